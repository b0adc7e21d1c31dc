//! Monitors: metrics, thresholds, windows.

use super::{bounds, join};
use crate::config::raw::{RawMonitor, RawPerformance, RawTest};
use crate::config::read::Notes;
use crate::config::{MonitorConfig, TestConfig};
use crate::drift::{Metric, Test, performance};

pub(super) fn monitor(raw: Option<RawMonitor>, path: &str, notes: &mut Notes<'_>) -> MonitorConfig {
    let raw = raw.unwrap_or_default();
    let window_rows = notes.within(&join(path, "window_rows"), raw.window_rows, bounds::WINDOW_ROWS);
    // Charts look at every row and need no second opinion.
    let charts = raw.tests.as_ref().is_some_and(|t| !t.is_empty() && t.iter().all(|t| t.metric.is_some_and(Test::is_chart)));
    let hop = notes.within(&join(path, "hop"), raw.hop.or(charts.then_some(1)), bounds::HOP);
    if bounds::WINDOW_ROWS.min <= window_rows
        && let Some((message, hint)) = hop_fault(window_rows, hop)
    {
        notes.fault(&join(path, "hop"), message, hint);
    }
    let enabled = raw.enabled.unwrap_or(true);
    let default = default_metric(window_rows);
    MonitorConfig {
        enabled,
        tests: tests(raw.tests, enabled, default, &NUMBERS, &join(path, "tests"), notes),
        window_rows,
        hop,
        consecutive_limit: notes.within(
            &join(path, "consecutive_limit"),
            raw.consecutive_limit.or(charts.then_some(1)),
            bounds::CONSECUTIVE_LIMIT,
        ),
        budget: raw.budget,
    }
}

/// The monitor of right and wrong predictions.
pub(super) fn performance(raw: RawPerformance, path: &str, notes: &mut Notes<'_>) -> MonitorConfig {
    let window_rows = notes.within(&join(path, "window_rows"), raw.window_rows, bounds::WINDOW_ROWS);
    let hop = notes.within(&join(path, "hop"), raw.hop, bounds::HOP);
    if bounds::WINDOW_ROWS.min <= window_rows
        && let Some((message, hint)) = hop_fault(window_rows, hop)
    {
        notes.fault(&join(path, "hop"), message, hint);
    }
    let enabled = raw.enabled.unwrap_or(true);
    MonitorConfig {
        enabled,
        tests: tests(raw.tests, enabled, Metric::FisherExact, &OUTCOMES, &join(path, "tests"), notes),
        window_rows,
        hop,
        consecutive_limit: notes.within(&join(path, "consecutive_limit"), raw.consecutive_limit, bounds::CONSECUTIVE_LIMIT),
        budget: None,
    }
}

/// What a monitor looks at, and which tests can.
pub(in crate::config) struct Watched {
    pub(in crate::config) allows: fn(Test) -> bool,
    pub(in crate::config) refusal: &'static str,
}

pub(in crate::config) const NUMBERS: Watched =
    Watched { allows: |t| !is_categorical_only(t), refusal: "only for categories, but features and scores are numbers" };
pub(in crate::config) const OUTCOMES: Watched =
    Watched { allows: performance::is_applicable, refusal: "only for numbers, but a prediction is right or wrong" };

/// What is wrong with a hop for this window, and what to do.
pub(in crate::config) fn hop_fault(window_rows: u32, hop: u32) -> Option<(String, String)> {
    (hop > window_rows).then(|| {
        (format!("the hop is larger than the window of {window_rows} rows: `{hop}`"), "rows between would never be looked at".to_string())
    })
}

fn tests(
    raw: Option<Vec<RawTest>>,
    enabled: bool,
    default: Metric,
    watched: &Watched,
    path: &str,
    notes: &mut Notes<'_>,
) -> Vec<TestConfig> {
    let Some(raw) = raw else {
        return vec![TestConfig { metric: default.into(), threshold: None }];
    };
    if raw.is_empty() && enabled {
        notes.fault(path, "no test: `[]`", Some("name a metric, or set enabled = false".to_string()));
    }
    if raw.len() > bounds::MAX_TESTS {
        notes.fault(path, format!("too many tests: `{}`", raw.len()), Some(format!("at most {}", bounds::MAX_TESTS)));
    }
    let mut tests: Vec<TestConfig> = Vec::new();
    for (i, raw) in raw.into_iter().enumerate() {
        let path = format!("{path}[{i}]");
        let Some(metric) = notes.required(raw.metric, &path, "metric", r#"like { metric = "wasserstein", threshold = 0.1 }"#) else {
            continue;
        };
        if tests.iter().any(|t| t.metric == metric) {
            notes.fault(&path, format!("second test with this metric: `{metric}`"), Some("one test a metric".to_string()));
        }
        check_test(metric, raw.threshold, watched, &path, notes);
        tests.push(TestConfig { metric, threshold: raw.threshold });
    }
    tests
}

/// Kolmogorov-Smirnov up to 1,000 rows, Wasserstein above.
fn default_metric(window_rows: u32) -> Metric {
    if window_rows <= 1_000 { Metric::KolmogorovSmirnov } else { Metric::Wasserstein }
}

fn check_test(metric: Test, threshold: Option<f64>, watched: &Watched, path: &str, notes: &mut Notes<'_>) {
    if !(watched.allows)(metric) {
        let known: Vec<_> = Test::all().filter(|t| (watched.allows)(*t)).map(Test::name).collect();
        notes.fault(path, format!("{}: `{metric}`", watched.refusal), format!("use one of {}", known.join(", ")));
    }
    let (min, max) = threshold_range(metric);
    if let Some(threshold) = threshold
        && !(min..=max).contains(&threshold)
    {
        let kind = if metric.is_p_value() { "p-value" } else { "distance" };
        notes.fault(
            &join(path, "threshold"),
            format!("out of range for {metric}: `{threshold}`"),
            format!("a {kind}, from {min:?} to {max}"),
        );
    }
}

/// Lowest and highest threshold.
pub(in crate::config) fn threshold_range(metric: Test) -> (f64, f64) {
    if metric.is_p_value() { bounds::P_THRESHOLD } else { bounds::DISTANCE_THRESHOLD }
}

fn is_categorical_only(test: Test) -> bool {
    test.metric().is_some_and(|m| !m.is_numerical())
}
