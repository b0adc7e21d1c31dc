//! The full report: all metrics of every feature in every regime, from a [`Snapshot`]. Slow (tenths of a second), so it is made beside
//! the live monitors, at an interval. Pure.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::core::{RecentRows, Snapshot};
use crate::comparison::{self, CheckAnswer, Column, Comparison, ComparisonError, Entry, KindOptions, Metrics, Options, Setting, Table};
use crate::drift::metric::Reference;
use crate::report::comparison::Pictures;
use crate::report::{self, About};
use crate::types::{CheckReport, Timestamp};

/// Column that tells the regime of a row; no feature can have this name.
const REGIME: &str = "~regime";

/// One full report, as it is kept and served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FullReport {
    /// Of the last row that it looked at.
    pub time: Timestamp,
    /// Its verdict in one ASCII sentence.
    pub text: String,
    pub features: u16,
    /// Features that all metrics call drifted, in some regime.
    pub drifted: u16,
    pub checks_failed: u16,
    /// A page that needs nothing else.
    pub html: String,
    /// `{"machine", "row", "time", "status", "checks": [...], "columns": [...], "summary": {...}}`: the last two as of `compare --json`.
    pub json: String,
}

/// Makes the report.
///
/// # Errors
/// Nothing can be compared: no regime has values.
pub fn full_report(snapshot: &Snapshot) -> Result<FullReport, ComparisonError> {
    let (reference, current) = (references(snapshot), recent(snapshot));
    let settings = vec![Setting { name: REGIME.into(), tolerance: None }];
    // Features are numbers to the monitors, also where they take few values.
    let numerical = snapshot.machine.features.iter().map(|f| f.name.to_string()).collect();
    let kinds = KindOptions { numerical, ..KindOptions::default() };
    let options = Options { metrics: Metrics::All, settings, kinds, ..Options::default() };
    let mut pictures = Pictures::default();
    let mut comparison = comparison::compare_with(&reference, &current, &options, &mut |_, samples| pictures.take(samples))?;
    name_regimes(&mut comparison);
    // A frozen sample has no order: how much its values depend on each other is not known any more.
    comparison.columns.iter_mut().for_each(|c| c.reference.effective_n = None);
    // The machine's own checks stand in for the usual ones.
    comparison.checks = snapshot.checks.iter().map(|c| check_answer(snapshot, c)).collect();
    let failed = snapshot.checks.iter().filter(|c| c.passed == Some(false)).count();
    let text = sentence(snapshot, &comparison, failed);
    Ok(FullReport {
        time: snapshot.time,
        features: count(comparison.summary.columns),
        drifted: count(comparison.summary.drifted_columns.len()),
        checks_failed: count(failed),
        json: json(snapshot, &comparison),
        html: report::comparison::html(&comparison, &pictures, &about(snapshot)),
        text,
    })
}

fn about(snapshot: &Snapshot) -> About {
    let facts = vec![("Live status".into(), snapshot.status.name().into()), ("Last row".into(), snapshot.row.to_string())];
    About { subject: format!("{}: all metrics", snapshot.machine.name), facts, made: snapshot.time.to_string() }
}

fn count(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// The frozen samples; shorter ones end in gaps.
fn references(snapshot: &Snapshot) -> Table {
    let of = |rows: &RecentRows, k: usize| {
        let regime = snapshot.bundle.regimes.get(usize::from(rows.slot));
        regime.and_then(|r| r.references.get(k)).and_then(Option::as_ref).map_or(&[][..], Reference::sorted)
    };
    let rows_of = |rows: &RecentRows| (0..rows.columns.len()).map(|k| of(rows, k).len()).max().unwrap_or(0);
    table(snapshot, rows_of, |rows, k, row| of(rows, k).get(row).copied())
}

fn recent(snapshot: &Snapshot) -> Table {
    let rows_of = |rows: &RecentRows| rows.columns.first().map_or(0, Vec::len);
    table(snapshot, rows_of, |rows, k, row| rows.columns[k].get(row).copied())
}

/// One column a feature, and the regime.
fn table(snapshot: &Snapshot, rows_of: impl Fn(&RecentRows) -> usize, value: impl Fn(&RecentRows, usize, usize) -> Option<f64>) -> Table {
    let mut regime = Column::new(REGIME);
    let mut columns: Vec<Column> = snapshot.machine.features.iter().map(|f| Column::new(&*f.name)).collect();
    for rows in &snapshot.regimes {
        let key = snapshot.bundle.envelope.regimes.get(usize::from(rows.slot)).map_or("", |r| &r.key);
        for row in 0..rows_of(rows) {
            regime.push(Entry::Text(key));
            for (k, column) in columns.iter_mut().enumerate() {
                column.push(value(rows, k, row).map_or(Entry::Missing, Entry::Number));
            }
        }
    }
    columns.push(regime);
    Table { columns }
}

/// `~regime=Voltage=164` is `Voltage=164`.
fn name_regimes(comparison: &mut Comparison) {
    let named = |key: &str| key.strip_prefix(REGIME).and_then(|k| k.strip_prefix('=')).unwrap_or(key).to_string();
    for column in &mut comparison.columns {
        column.regime = column.regime.as_deref().map(named).filter(|key| !key.is_empty());
    }
    comparison.regimes.iter_mut().for_each(|regime| regime.key = named(&regime.key));
    comparison.regimes.retain(|regime| !regime.key.is_empty());
    let summary = &mut comparison.summary;
    for keys in [&mut summary.regimes, &mut summary.outside, &mut summary.unseen] {
        keys.iter_mut().for_each(|key| *key = named(key));
        keys.retain(|key| !key.is_empty());
    }
}

fn sentence(snapshot: &Snapshot, comparison: &Comparison, failed: usize) -> String {
    let drifted = &comparison.summary.drifted_columns;
    let features = match drifted.len() {
        0 => format!("no feature of {} differs by all metrics", comparison.summary.columns),
        n => {
            let named = drifted.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            let more = if n > 3 { ", ..." } else { "" };
            format!("{n} of {} features differ by all metrics: {named}{more}", comparison.summary.columns)
        }
    };
    let checks = match (snapshot.checks.len(), failed) {
        (0, _) => String::new(),
        (n, 0) => format!("; all {n} checks pass"),
        (n, failed) => format!("; {failed} of {n} checks fail"),
    };
    format!("status {}; {features}{checks}", snapshot.status)
}

fn json(snapshot: &Snapshot, comparison: &Comparison) -> String {
    let value = json!({
        "machine": &*snapshot.machine.name,
        "row": snapshot.row,
        "time": snapshot.time.to_string(),
        "status": snapshot.status.name(),
        "checks": comparison.checks,
        "columns": comparison.columns,
        "summary": comparison.summary,
    });
    value.to_string()
}

fn check_answer(snapshot: &Snapshot, check: &CheckReport) -> CheckAnswer {
    let feature = check.feature.and_then(|k| snapshot.machine.features.get(usize::from(k)));
    CheckAnswer {
        name: check.name.to_string().into(),
        column: feature.map(|f| f.name.to_string()),
        regime: Some(check.regime.to_string()).filter(|r| !r.is_empty()),
        value: Some(check.value).filter(|x| x.is_finite()),
        limit: Some(check.limit),
        passed: check.passed,
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;
    use serde_json::Value as Json;

    use super::*;
    use crate::config::Config;
    use crate::pipeline::core::MachineCore;
    use crate::types::{Channel, Frame, Value};

    const CONFIG: &str = r#"
[[machines]]
name = "M"
signals = ["a", "b", "dead"]
settings = [{ name = "Voltage", tolerance = 5.0 }]
learn_rows = 400
[machines.data_drift]
window_rows = 50
[machines.report]
interval = "1h"
rows = 100
[[machines.checks]]
name = "Gaps"
check = "missing_share"
"#;

    /// `dead` never has a value; `b` is shifted.
    fn feed(core: &mut MachineCore, rng: &mut ChaCha8Rng, rows: i64, voltage: f64, shift: f64) {
        for _ in 0..rows {
            let time = Timestamp::from_nanos((core.verdict().row as i64 + 1) * 1_000_000_000);
            let mut noise = || rng.sample::<f64, _>(StandardNormal);
            let values = [voltage + noise(), noise() + shift, f64::NAN, voltage];
            core.step(&Frame { time, channels: values.map(|x| Channel::good(Value::Real(x), time)).to_vec() });
        }
    }

    #[test]
    fn each_feature_in_each_regime_by_all_metrics() {
        let config = Config::parse(CONFIG).unwrap();
        let mut core = MachineCore::new(config.machines[0].clone(), "".into(), "M".into(), None).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        assert!(core.snapshot().is_none(), "there is nothing to report on");
        feed(&mut core, &mut rng, 200, 164.0, 0.0);
        feed(&mut core, &mut rng, 200, 220.0, 0.0);
        assert!(core.bundle().is_some() && core.snapshot().is_none());
        feed(&mut core, &mut rng, 120, 164.0, 0.0);
        assert!(core.report_is_worth_it());
        feed(&mut core, &mut rng, 60, 220.0, 2.0);
        feed(&mut core, &mut rng, 10, 289.0, 9.0);
        let report = full_report(&core.snapshot().unwrap()).unwrap();
        let json: Json = serde_json::from_str(&report.json).unwrap();
        let columns = json["columns"].as_array().unwrap();
        assert_eq!(columns.len(), 3 * 2, "three features, two regimes; 289 V was never trained");
        let of = |name: &str, regime: &str| columns.iter().find(|c| c["name"] == name && c["regime"] == regime).unwrap();
        let b = of("b", "Voltage=220");
        assert_eq!((b["n_reference"].as_u64(), b["n_current"].as_u64()), (Some(200), Some(60)));
        let metrics = b["metrics"].as_array().unwrap();
        assert_eq!(metrics.len(), crate::drift::Metric::all().filter(|m| m.is_numerical()).count());
        assert!(metrics.iter().all(|m| m["drifted"] == true), "{b}");
        assert!(of("b", "Voltage=164")["metrics"].as_array().unwrap().iter().any(|m| m["drifted"] == false));
        assert!(of("dead", "Voltage=164")["metrics"][0]["not_applicable"].is_string(), "it says why");
        assert_eq!(json["summary"]["drifted_columns"], serde_json::json!(["b"]));
        assert_eq!((report.features, report.drifted, report.checks_failed), (3, 1, 1));
        assert_eq!((json["checks"][0]["name"].as_str(), json["checks"][0]["column"].as_str()), (Some("Gaps"), Some("dead")));
        assert!(report.html.contains("Voltage=220") && report.html.contains("Gaps") && report.html.len() < 300_000);
        assert!(!report.html.contains(REGIME), "the name of the helper column is no text for people");
        assert_eq!(report.text, "status NotEvaluated; 1 of 3 features differ by all metrics: b; 1 of 1 checks fail");
    }
}
