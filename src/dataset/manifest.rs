//! What a dataset says of itself: as key-value metadata in the file, and as JSON beside it.

use serde_json::{Map, Value, json};

use super::Order;
use super::columns::{Column, Layout};
use super::rows::Counts;
use super::sink::Written;
use crate::config::Shape;

/// Where the rows are from.
pub(super) struct Origin<'a> {
    pub(super) gateway: &'a str,
    /// SHA-256 of the configuration file, hex.
    pub(super) config: &'a str,
}

/// What is true of the rows, whoever exports them and whenever.
pub(super) fn facts(order: &Order, origin: &Origin<'_>, counts: &Counts) -> Map<String, Value> {
    let span = counts.span.map(|(first, last)| (first.to_string(), last.to_string()));
    let models = order.config.models.iter().zip(&order.thresholds);
    let models: Vec<Value> = models.map(|(model, threshold)| json!({ "name": &*model.name, "threshold": threshold })).collect();
    let waveforms = order.config.signals.iter().filter(|s| s.shape != Shape::Scalar).map(|s| s.name.to_string());
    let facts = [
        ("format", json!("1")),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("gateway", json!(origin.gateway)),
        ("machine", json!(&*order.config.name)),
        ("dataset", json!(&*order.dataset)),
        ("reason", json!(order.reason.name())),
        ("regime", json!(&*order.regime_key)),
        ("from", json!(span.as_ref().map(|s| &s.0))),
        ("to", json!(span.as_ref().map(|s| &s.1))),
        ("bundle_sha256", json!(&*order.bundle)),
        ("config_sha256", json!(origin.config)),
        ("reference", json!(order.reference)),
        ("models", Value::Array(models)),
        ("waveforms_left_out", json!(waveforms.collect::<Vec<_>>())),
        ("rows", json!(counts.rows)),
        ("rows_labelled", json!(counts.labelled)),
        ("rows_of_faults", json!(counts.faults)),
        ("rows_not_good", json!(counts.not_good)),
        ("rows_without_signals", json!(counts.without_frame)),
        ("rows_lost", json!(lost(order, counts))),
        ("interruptions", json!(counts.interruptions)),
    ];
    facts.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

/// Rows that the buffer has counted and the store has not any more.
pub(super) fn lost(order: &Order, counts: &Counts) -> u64 {
    if order.whole { u64::from(order.expected).saturating_sub(counts.rows) } else { 0 }
}

/// As key-value metadata: `driftgate.machine`, texts plain, anything else as JSON.
pub(super) fn key_values(facts: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    facts.iter().map(|(key, value)| (format!("driftgate.{key}"), text(value))).collect()
}

/// The JSON beside the file.
pub(super) fn manifest(facts: Map<String, Value>, order: &Order, layout: &Layout<'_>, file: &str, written: &Written) -> String {
    let column =
        |c: &Column| json!({ "name": c.name.as_str(), "type": c.kind.name(), "unit": c.unit.as_str(), "description": c.about.as_str() });
    let mut all = Map::new();
    all.insert("file".into(), file.into());
    all.insert("sha256".into(), written.hash.as_str().into());
    all.insert("bytes".into(), written.bytes.into());
    all.extend(facts);
    all.insert("exported".into(), order.asked.to_string().into());
    all.insert("exported_by".into(), (*order.user).into());
    all.insert("columns".into(), layout.columns.iter().map(column).collect());
    format!("{:#}\n", Value::Object(all))
}
