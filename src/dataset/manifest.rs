//! What a dataset says of itself: as key-value metadata in the file, and as JSON.

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::columns::{Column, Layout};
use super::rows::{Counts, Gap};
use super::sink::Written;
use super::{Order, Rows};
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
    let trained = order.trained.as_deref();
    let models = order.config.models.iter().zip(&order.thresholds);
    let models = models.map(|(model, threshold)| {
        let sha256 = trained.and_then(|bundle| hash(bundle.model(&model.name)?));
        json!({ "name": &*model.name, "threshold": threshold, "sha256": sha256 })
    });
    let reference = trained.and_then(|bundle| match &order.rows {
        Rows::Regime { slot, .. } => hash(bundle.regimes.get(usize::from(*slot))?),
        Rows::Outside { .. } | Rows::Samples { .. } | Rows::All { .. } => None,
    });
    let by_regime = counts.by_regime.iter().map(|(key, rows)| (key.to_string(), json!(rows))).collect();
    let by_label = counts.by_label.iter().map(|(class, rows)| (class.to_string(), json!(rows))).collect();
    let waveforms = order.config.signals.iter().filter(|s| s.shape != Shape::Scalar).map(|s| s.name.to_string());
    let regime = match &order.rows {
        Rows::Regime { key, .. } | Rows::Outside { key, .. } => &**key,
        Rows::Samples { .. } | Rows::All { .. } => "",
    };
    let facts = [
        ("format", json!("1")),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("gateway", json!(origin.gateway)),
        ("machine", json!(&*order.config.name)),
        ("dataset", json!(&*order.dataset)),
        ("reason", json!(order.reason.name())),
        ("regime", json!(regime)),
        ("from", json!(span.as_ref().map(|s| &s.0))),
        ("to", json!(span.as_ref().map(|s| &s.1))),
        ("bundle_sha256", json!(&*order.bundle)),
        ("config_sha256", json!(origin.config)),
        ("reference", json!(order.reference)),
        ("reference_sha256", json!(reference)),
        ("models", models.collect()),
        ("waveforms_left_out", json!(waveforms.collect::<Vec<_>>())),
        ("rows", json!(counts.rows)),
        ("rows_by_regime", Value::Object(by_regime)),
        ("rows_labelled", json!(counts.labelled)),
        ("rows_by_label", Value::Object(by_label)),
        ("rows_of_faults", json!(counts.faults)),
        ("rows_not_good", json!(counts.not_good)),
        ("rows_without_signals", json!(counts.without_frame)),
        ("rows_lost", json!(lost(order, counts))),
        ("interruptions", json!(counts.interruptions)),
        ("gaps", counts.gaps.iter().map(gap).collect()),
    ];
    facts.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

fn gap(gap: &Gap) -> Value {
    json!({ "after": gap.after.to_string(), "until": gap.until.to_string(), "rows": gap.rows })
}

/// SHA-256 of what it is as JSON, hex; the same for the same numbers.
fn hash(part: &impl Serialize) -> Option<String> {
    Some(format!("{:x}", Sha256::digest(serde_json::to_vec(part).ok()?)))
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

/// The JSON of a file in a folder of datasets.
pub(super) fn manifest(
    facts: Map<String, Value>,
    order: &Order,
    layout: &Layout<'_>,
    (path, file): (&str, &str),
    written: &Written,
) -> Map<String, Value> {
    let column =
        |c: &Column| json!({ "name": c.name.as_str(), "type": c.kind.name(), "unit": c.unit.as_str(), "description": c.about.as_str() });
    let mut all = Map::new();
    all.insert("file".into(), file.into());
    all.insert("path".into(), path.into());
    all.insert("sha256".into(), written.hash.as_str().into());
    all.insert("bytes".into(), written.bytes.into());
    all.extend(facts);
    all.insert("exported".into(), order.asked.to_string().into());
    all.insert("exported_by".into(), (*order.user).into());
    all.insert("columns".into(), layout.columns.iter().map(column).collect());
    all
}

/// As it stands in the file.
pub(super) fn text(manifest: &Map<String, Value>) -> String {
    serde_json::to_string_pretty(manifest).map_or_else(|_| String::new(), |text| text + "\n")
}
