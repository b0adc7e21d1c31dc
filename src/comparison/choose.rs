//! Which metric and threshold separate best: windows of normal and of drifted rows, each against the reference.
//!
//! Separation is the area under the ROC curve: how often a drifted window looks more drifted than a normal one (ties count half): 0.5 is
//! no better than a coin, 1.0 is always. The threshold is where the share of drifted windows beyond it is most above that of normal ones.

use serde::Serialize;

use super::ComparisonError;
use super::columns::{KindOptions, Pair, counts, numbers, pairs};
use super::data::{Column, Table};
use crate::drift::metric::{self, Kind, Metric, NotApplicable, Reference, Scratch, sort_finite};

/// Values of the reference that are used at most, evenly spaced, as a monitor does.
const REFERENCE_MOST: usize = 5_000;
/// A p-value of 0 for the middle between two.
const P_FLOOR: f64 = 1e-300;

#[derive(Clone, Debug)]
pub struct ChooseOptions {
    /// Consecutive rows that are compared at a time, 2 or more.
    pub window: usize,
    pub kinds: KindOptions,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    pub window: usize,
    pub windows_normal: usize,
    pub windows_drifted: usize,
    pub columns: Vec<ColumnChoice>,
    /// Of each metric, by the most drifted of its columns in each window; best first.
    pub overall: Vec<MetricChoice>,
    /// In words.
    pub recommendation: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct ColumnChoice {
    pub name: String,
    pub kind: Kind,
    /// Best first.
    pub metrics: Vec<MetricChoice>,
}

/// How well a metric tells drifted windows from normal ones; numbers are `None` where it has no answer.
#[derive(Clone, Debug, Serialize)]
pub struct MetricChoice {
    pub name: Metric,
    /// Area under the ROC curve, 0..=1.
    pub separation: Option<f64>,
    /// On the p-value or the distance.
    pub threshold: Option<f64>,
    /// Share of normal windows beyond the threshold.
    pub false_alarms: Option<f64>,
    /// Share of drifted windows beyond the threshold.
    pub detected: Option<f64>,
    /// Rows of the drifted data until the first window beyond the threshold is complete; `None` where none is.
    pub delay_rows: Option<usize>,
    pub not_applicable: Option<String>,
}

/// Measures every metric that fits on every column.
///
/// # Errors
/// As [`super::compare()`]; fewer than two windows of normal or of drifted rows.
pub fn choose(reference: &Table, normal: &Table, drifted: &Table, options: &ChooseOptions) -> Result<Choice, ComparisonError> {
    let window = options.window.max(2);
    let pairs = pairs(reference, normal, &[], &options.kinds, true)?;
    for (which, table) in [("normal", normal), ("drifted", drifted)] {
        if table.rows() < 2 * window {
            return Err(ComparisonError::FewRows { which, rows: table.rows(), window });
        }
    }
    let mut scratch = Scratch::new();
    let scored: Vec<Vec<Scored>> = pairs
        .iter()
        .map(|pair| {
            let fits = |m: &Metric| if pair.kind == Kind::Numerical { m.is_numerical() } else { m.is_categorical() };
            let side = Sides { pair, normal, drifted, window };
            Metric::all().filter(fits).map(|metric| side.score(metric, &mut scratch)).collect()
        })
        .collect();
    let columns = pairs.iter().zip(&scored).map(|(pair, scored)| ColumnChoice {
        name: pair.name.to_string(),
        kind: pair.kind,
        metrics: ranked(scored.iter().map(|s| s.judge(window)).collect()),
    });
    let columns: Vec<_> = columns.collect();
    let overall = ranked(Metric::all().filter_map(|m| together(m, &scored)).map(|s| s.judge(window)).collect());
    let (windows_normal, windows_drifted) = (normal.rows() / window, drifted.rows() / window);
    let recommendation = words(&columns, &overall, windows_normal, window);
    Ok(Choice { window, windows_normal, windows_drifted, columns, overall, recommendation })
}

/// One column against its reference.
struct Sides<'a> {
    pair: &'a Pair<'a>,
    normal: &'a Table,
    drifted: &'a Table,
    window: usize,
}

impl Sides<'_> {
    fn score(&self, metric: Metric, scratch: &mut Scratch) -> Scored {
        let rows = self.pair.reference.map_or(0, Column::len);
        let thin = rows.div_ceil(REFERENCE_MOST).max(1);
        let rows: Vec<usize> = (0..rows).step_by(thin).collect();
        let reference = Reference::new(&numbers(self.pair.reference, &rows));
        let mut why = None;
        let mut windows = |table: &Table| -> Vec<Option<f64>> {
            let column = table.column(self.pair.name);
            let mut sorted = Vec::new();
            let windows = 0..table.rows() / self.window;
            let score = |k: usize| {
                let window: Vec<usize> = (k * self.window..(k + 1) * self.window).collect();
                let outcome = if self.pair.kind == Kind::Numerical {
                    sort_finite(&numbers(column, &window), &mut sorted);
                    let reference = reference.as_ref().map_err(|e| *e);
                    reference.and_then(|r| metric::numerical(metric, r, &sorted, scratch))
                } else {
                    let classes = counts((self.pair.reference, &rows), (column, &window));
                    metric::categorical(metric, &classes.reference, &classes.current)
                };
                outcome.map_err(|e: NotApplicable| why = Some(e)).ok().map(|o| o.score)
            };
            windows.map(score).collect()
        };
        let (normal, drifted) = (windows(self.normal), windows(self.drifted));
        Scored { metric, normal, drifted, why }
    }
}

/// The scores of a metric in each window; `None` where it has no answer.
struct Scored {
    metric: Metric,
    normal: Vec<Option<f64>>,
    drifted: Vec<Option<f64>>,
    why: Option<NotApplicable>,
}

/// In each window the most drifted of the metric's columns.
fn together(metric: Metric, scored: &[Vec<Scored>]) -> Option<Scored> {
    let all: Vec<&Scored> = scored.iter().flatten().filter(|s| s.metric == metric).collect();
    let worst = |side: fn(&Scored) -> &Vec<Option<f64>>, k: usize| {
        let scores = all.iter().filter_map(|s| side(s)[k]);
        if metric.is_p_value() { scores.min_by(f64::total_cmp) } else { scores.max_by(f64::total_cmp) }
    };
    let first = all.first()?;
    let normal = (0..first.normal.len()).map(|k| worst(|s| &s.normal, k)).collect();
    let drifted = (0..first.drifted.len()).map(|k| worst(|s| &s.drifted, k)).collect();
    Some(Scored { metric, normal, drifted, why: first.why })
}

impl Scored {
    fn judge(&self, window: usize) -> MetricChoice {
        // more is more drifted
        let sign = if self.metric.is_p_value() { -1.0 } else { 1.0 };
        let signed = |side: &[Option<f64>]| side.iter().flatten().map(|s| s * sign).collect::<Vec<f64>>();
        let (normal, drifted) = (signed(&self.normal), signed(&self.drifted));
        let none = MetricChoice {
            name: self.metric,
            separation: None,
            threshold: None,
            false_alarms: None,
            detected: None,
            delay_rows: None,
            not_applicable: None,
        };
        if normal.is_empty() || drifted.is_empty() {
            let why = self.why.map_or_else(|| "no window has an answer".to_string(), |w| w.to_string());
            return MetricChoice { not_applicable: Some(why), ..none };
        }
        let threshold = self.threshold(&normal, &drifted);
        let beyond = |score: f64| if self.metric.is_p_value() { score <= threshold } else { score >= threshold };
        let share = |side: &[f64]| side.iter().filter(|s| beyond(*s * sign)).count() as f64 / side.len() as f64;
        MetricChoice {
            separation: Some(area(&normal, &drifted)),
            threshold: Some(threshold),
            false_alarms: Some(share(&normal)),
            detected: Some(share(&drifted)),
            delay_rows: self.drifted.iter().position(|s| s.is_some_and(beyond)).map(|k| (k + 1) * window),
            ..none
        }
    }

    /// Between the last score that is not beyond and the first that is.
    fn threshold(&self, normal: &[f64], drifted: &[f64]) -> f64 {
        let mut cuts: Vec<f64> = normal.iter().chain(drifted).copied().collect();
        cuts.sort_unstable_by(f64::total_cmp);
        cuts.dedup();
        let share = |side: &[f64], cut: f64| side.iter().filter(|s| **s >= cut).count() as f64 / side.len() as f64;
        let gain = |cut: f64| share(drifted, cut) - share(normal, cut);
        // of equal gains the last: fewer false alarms
        let best = (0..cuts.len()).max_by(|a, b| gain(cuts[*a]).total_cmp(&gain(cuts[*b]))).unwrap_or(0);
        let at = cuts[best].abs();
        let Some(below) = best.checked_sub(1).map(|k| cuts[k].abs()) else { return at };
        if self.metric.is_p_value() { (at.max(P_FLOOR) * below.max(P_FLOOR)).sqrt().max(at) } else { f64::midpoint(at, below) }
    }
}

/// The probability that a drifted window scores above a normal one.
fn area(normal: &[f64], drifted: &[f64]) -> f64 {
    let mut sorted = normal.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let wins = drifted.iter().map(|d| {
        let (below, not_above) = (sorted.partition_point(|n| n < d), sorted.partition_point(|n| n <= d));
        (below + not_above) as f64 / 2.0
    });
    wins.sum::<f64>() / (normal.len() * drifted.len()) as f64
}

/// Best first: separation, then fewer false alarms, then more windows detected; without an answer last.
fn ranked(mut metrics: Vec<MetricChoice>) -> Vec<MetricChoice> {
    let key = |m: &MetricChoice| (m.separation.unwrap_or(-1.0), -m.false_alarms.unwrap_or(1.0), m.detected.unwrap_or(0.0));
    metrics.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then(b.2.total_cmp(&a.2))
    });
    metrics
}

fn words(columns: &[ColumnChoice], overall: &[MetricChoice], windows: usize, window: usize) -> String {
    let best = columns.iter().filter_map(|c| c.metrics.first().map(|m| (Some(c.name.as_str()), m)));
    let mut best: Vec<_> = overall.first().map(|m| (None, m)).into_iter().chain(best).collect();
    best.sort_by(|a, b| b.1.separation.unwrap_or(-1.0).total_cmp(&a.1.separation.unwrap_or(-1.0)));
    let Some((place, MetricChoice { name, separation: Some(separation), threshold: Some(threshold), false_alarms, delay_rows, .. })) =
        best.first()
    else {
        return "no metric has an answer on any column".into();
    };
    let place = place.map_or_else(|| "over all columns".to_string(), |name| format!("on `{name}`"));
    let side = if name.is_p_value() { "at or below" } else { "at or above" };
    let alarms = (false_alarms.unwrap_or(0.0) * windows as f64).round();
    let delay =
        delay_rows.map_or_else(|| "the drifted data are never flagged".into(), |rows| format!("drift is flagged after {rows} rows"));
    let worth = if *separation < 0.7 { "; that is little: the data hardly differ, or other columns are needed" } else { "" };
    // none of n: at most 3/n with 95 % confidence
    let bound =
        if alarms == 0.0 { format!(" (the true share may be up to {:.1} %)", (300.0 / windows as f64).min(100.0)) } else { String::new() };
    format!(
        "{name} {place}, drift {side} {threshold:.4e}: {alarms} of {windows} normal windows of {window} rows are false alarms{bound}, \
         {delay}; separation {separation:.3}{worth}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::Entry;

    /// Evenly spread values from a level on, in a unit.
    fn table(rows: u32, level: f64, unit: f64) -> Table {
        let mut column = Column::new("a");
        (0..rows).for_each(|i| column.push(Entry::Number(unit * (level + (f64::from(i) * 0.618_034).fract()))));
        Table { columns: vec![column] }
    }

    #[test]
    fn a_shift_is_separated_at_once_whatever_the_unit() {
        let options = ChooseOptions { window: 50, kinds: KindOptions::default() };
        for unit in [1e-9, 1.0, 1e9] {
            let choice = choose(&table(500, 0.0, unit), &table(400, 0.0, unit), &table(200, 2.0, unit), &options).unwrap();
            assert_eq!((choice.windows_normal, choice.windows_drifted), (8, 4));
            let best = &choice.columns[0].metrics[0];
            assert_eq!((best.separation, best.false_alarms, best.delay_rows), (Some(1.0), Some(0.0), Some(50)));
            assert_eq!(choice.columns[0].metrics.len(), 13);
            assert!(choice.recommendation.contains("0 of 8 normal windows") && choice.recommendation.contains("after 50 rows"));
        }
    }

    #[test]
    fn areas_count_ties_half() {
        assert_eq!(area(&[1.0, 2.0], &[2.0, 3.0]), 0.875);
        assert_eq!(area(&[1.0], &[1.0]), 0.5);
        assert_eq!(area(&[1.0], &[0.0]), 0.0);
    }

    #[test]
    fn thresholds_lie_between_normal_and_drifted() {
        let scored = |metric, normal: &[f64], drifted: &[f64]| Scored {
            metric,
            normal: normal.iter().map(|s| Some(*s)).collect(),
            drifted: drifted.iter().map(|s| Some(*s)).collect(),
            why: None,
        };
        let distance = scored(Metric::Psi, &[0.1, 0.2], &[0.2, 0.6, 0.8]).judge(10);
        assert_eq!((distance.threshold, distance.false_alarms, distance.delay_rows), (Some(0.4), Some(0.0), Some(20)));
        let p = scored(Metric::TTest, &[0.5, 0.1], &[1e-5, 0.0]).judge(10);
        assert!((p.threshold.unwrap() - 1e-3).abs() < 1e-9 && p.false_alarms == Some(0.0) && p.detected == Some(1.0), "{p:?}");
    }

    #[test]
    fn too_few_rows_are_told() {
        let options = ChooseOptions { window: 200, kinds: KindOptions::default() };
        let error = choose(&table(500, 0.0, 1.0), &table(399, 0.0, 1.0), &table(500, 0.0, 1.0), &options).unwrap_err();
        assert!(error.to_string().contains("normal data have 399 rows"), "{error}");
    }
}
