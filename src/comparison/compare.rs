//! The comparison of two tables: each column in each regime, by the chosen metrics.
//!
//! In default mode the threshold of p-values is shared between all columns and regimes that are judged (Bonferroni), so that a verdict does not
//! depend on how many are looked at. A column has drifted where, in some regime, all metrics that have an answer exceed.

use std::collections::BTreeSet;

use serde::Serialize;

use super::ComparisonError;
use super::checks::{self, CheckAnswer, Figures};
use super::columns::{Classes, KindOptions, Pair, counts, numbers, pairs};
use super::data::{Key, Table};
use super::regimes::{Regime, Setting, split};
use super::statistics::Statistics;
use crate::checks::CheckKind;
use crate::drift::metric::{self, Kind, Metric, NotApplicable, Outcome, Reference, Scratch, evidently, sort_finite};

/// Texts of which more than half are different, of more values than this, are identifiers.
const IDENTIFIERS_FROM: usize = 20;
/// Evidently's MMD holds the distances of all pairs of values.
const EVIDENTLY_MMD_MOST: usize = 5_000;
/// Smallest p-values that resampling metrics can give: a shared threshold is not below.
const RESAMPLED: [(Metric, f64); 2] = [(Metric::Mmd, 1.0 / 200.0), (Metric::TotalVariation, 1.0 / 1_000.0)];
/// Share of drifted columns from which a data set has drifted, in mode evidently.
const DATASET_SHARE: f64 = 0.5;

/// Whose statistics.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Default,
    Evidently,
}

/// Which metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Metrics {
    /// By the rule of the mode.
    #[default]
    Default,
    /// All that fit the kind of the column.
    All,
    Named(Vec<Metric>),
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub mode: Mode,
    pub metrics: Metrics,
    pub settings: Vec<Setting>,
    pub kinds: KindOptions,
}

/// What came of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// One entry a column and regime.
    pub columns: Vec<ColumnComparison>,
    /// Of each column and regime, then of the whole.
    pub checks: Vec<CheckAnswer>,
    pub summary: Summary,
    /// All regimes of either side; empty without settings.
    #[serde(skip)]
    pub regimes: Vec<RegimeRows>,
    /// Rows of the reference, and of the current data.
    #[serde(skip)]
    pub rows: (usize, usize),
}

/// A regime and its rows on either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegimeRows {
    pub key: String,
    pub reference: usize,
    pub current: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct ColumnComparison {
    pub name: String,
    pub kind: Kind,
    /// `None` without settings.
    pub regime: Option<String>,
    /// Values compared, without gaps.
    pub n_reference: usize,
    pub n_current: usize,
    pub metrics: Vec<MetricAnswer>,
    /// What the two samples are like.
    #[serde(skip)]
    pub reference: Statistics,
    #[serde(skip)]
    pub current: Statistics,
}

/// The values that a column was compared by in one regime.
pub enum Samples<'a> {
    /// Ascending.
    Numbers { reference: &'a [f64], current: &'a [f64] },
    /// The classes of either side, and how often each occurs.
    Classes { labels: &'a dyn Fn(usize) -> String, reference: &'a [u64], current: &'a [u64] },
}

/// The answer of one metric, or why it has none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricAnswer {
    pub name: Metric,
    pub statistic: Option<f64>,
    pub p_value: Option<f64>,
    pub score: Option<f64>,
    pub threshold: f64,
    pub drifted: Option<bool>,
    pub not_applicable: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Number of columns.
    pub columns: usize,
    /// Names of the columns that have drifted in some regime.
    pub drifted_columns: Vec<String>,
    /// Drifted columns over columns, 0..=1.
    pub share_drifted: f64,
    /// Mode evidently: at least half of the columns have drifted; default mode: any has.
    pub drifted: bool,
    /// Regimes on both sides.
    pub regimes: Vec<String>,
    /// Regimes only in the current data: never trained, so neither drift nor OK.
    pub outside: Vec<String>,
    /// Rows of the current data in regimes outside.
    pub outside_rows: usize,
    /// Regimes only in the reference.
    pub unseen: Vec<String>,
    pub thresholds: &'static str,
    pub mode: Mode,
}

impl ColumnComparison {
    /// All metrics that have an answer exceed.
    pub fn drifted(&self) -> bool {
        let mut answers = self.metrics.iter().filter_map(|m| m.drifted).peekable();
        answers.peek().is_some() && answers.all(|d| d)
    }
}

/// Compares the current table with the reference.
///
/// # Errors
/// An empty table, a named column that is missing, settings that make too many regimes. A column that cannot be judged says so in its own place.
pub fn compare(reference: &Table, current: &Table, options: &Options) -> Result<Comparison, ComparisonError> {
    compare_with(reference, current, options, &mut |_, _| {})
}

/// As [`compare`]; `look` is shown each column and regime with its values, for pictures of them.
///
/// # Errors
/// As [`compare`].
pub fn compare_with(
    reference: &Table,
    current: &Table,
    options: &Options,
    look: &mut dyn FnMut(&ColumnComparison, &Samples<'_>),
) -> Result<Comparison, ComparisonError> {
    let pairs = pairs(reference, current, &options.settings, &options.kinds, options.mode == Mode::Default)?;
    let regimes = split(reference, current, &options.settings)?;
    let rows_of = |r: &Regime| Some(RegimeRows { key: r.key.clone()?, reference: r.reference.len(), current: r.current.len() });
    let regime_rows = regimes.iter().filter_map(rows_of).collect();
    let (both, alone): (Vec<_>, Vec<_>) = regimes.into_iter().partition(|r| !r.reference.is_empty() && !r.current.is_empty());
    let cells: Vec<Cell<'_>> = pairs.iter().flat_map(|p| both.iter().map(move |r| Cell::of(p, r))).collect();
    let judged = cells.iter().filter(|c| c.n_reference > 0 && c.n_current > 0).count();
    let mut scratch = Scratch::new();
    let mut checks = Vec::new();
    let columns: Vec<ColumnComparison> = cells.iter().map(|c| c.compare(options, judged, &mut scratch, &mut checks, look)).collect();
    let summary = summarise(&columns, pairs.len(), &both, &alone, options.mode);
    checks.push(checks::of_all(summary.share_drifted));
    Ok(Comparison { columns, checks, summary, regimes: regime_rows, rows: (reference.rows(), current.rows()) })
}

fn summarise(columns: &[ColumnComparison], count: usize, both: &[Regime], alone: &[Regime], mode: Mode) -> Summary {
    let mut seen = BTreeSet::new();
    let drifted: Vec<String> = columns.iter().filter(|c| c.drifted() && seen.insert(&c.name)).map(|c| c.name.clone()).collect();
    let keys = |regimes: &[&Regime]| regimes.iter().filter_map(|r| r.key.clone()).collect::<Vec<_>>();
    let (outside, unseen): (Vec<&Regime>, Vec<&Regime>) = alone.iter().partition(|r| r.reference.is_empty());
    let share = drifted.len() as f64 / count.max(1) as f64;
    Summary {
        columns: count,
        share_drifted: share,
        drifted: if mode == Mode::Evidently { share >= DATASET_SHARE } else { !drifted.is_empty() },
        drifted_columns: drifted,
        regimes: keys(&both.iter().collect::<Vec<_>>()),
        outside_rows: outside.iter().map(|r| r.current.len()).sum(),
        outside: keys(&outside),
        unseen: keys(&unseen),
        thresholds: "uncalibrated",
        mode,
    }
}

/// One column in one regime.
struct Cell<'a> {
    pair: &'a Pair<'a>,
    regime: &'a Regime,
    n_reference: usize,
    n_current: usize,
    values: Values<'a>,
}

enum Values<'a> {
    Numbers { reference: Vec<f64>, current: Vec<f64> },
    Classes(Classes<'a>),
}

impl<'a> Cell<'a> {
    fn of(pair: &'a Pair<'a>, regime: &'a Regime) -> Self {
        let (n_reference, n_current, values) = match pair.kind {
            Kind::Numerical => {
                let (reference, current) = (numbers(pair.reference, &regime.reference), numbers(pair.current, &regime.current));
                (reference.len(), current.len(), Values::Numbers { reference, current })
            }
            Kind::Categorical => {
                let classes = counts((pair.reference, &regime.reference), (pair.current, &regime.current));
                let total = |counts: &[u64]| counts.iter().sum::<u64>() as usize;
                (total(&classes.reference), total(&classes.current), Values::Classes(classes))
            }
        };
        Self { pair, regime, n_reference, n_current, values }
    }

    fn compare(
        &self,
        options: &Options,
        judged: usize,
        scratch: &mut Scratch,
        checks: &mut Vec<CheckAnswer>,
        look: &mut dyn FnMut(&ColumnComparison, &Samples<'_>),
    ) -> ColumnComparison {
        let prepared = self.prepare();
        let answers = self.metrics(options).into_iter().map(|metric| {
            let threshold = threshold(metric, options.mode, judged);
            let outcome = match self.hindrance(metric, options.mode) {
                Some(why) => Err(why),
                None => self.ask(metric, options.mode, prepared.as_ref(), scratch).map_err(|e| e.to_string()),
            };
            answer(metric, options.mode, threshold, outcome)
        });
        let (reference, current) = self.statistics(prepared.as_ref());
        let column = ColumnComparison {
            name: self.pair.name.to_string(),
            kind: self.pair.kind,
            regime: self.regime.key.clone(),
            n_reference: self.n_reference,
            n_current: self.n_current,
            metrics: answers.collect(),
            reference,
            current,
        };
        checks.extend(checks::of_column(&self.figures(&column, prepared.as_ref())));
        self.show(&column, prepared.as_ref(), look);
        column
    }

    fn prepare(&self) -> Option<Prepared> {
        let Values::Numbers { reference, current } = &self.values else { return None };
        let mut sorted = Vec::new();
        sort_finite(current, &mut sorted);
        Some((Reference::new(reference), sorted, dtype(reference, current)))
    }

    fn statistics(&self, prepared: Option<&Prepared>) -> (Statistics, Statistics) {
        let (rows, current_rows) = (self.regime.reference.len(), self.regime.current.len());
        match (&self.values, prepared) {
            (Values::Numbers { reference, current }, Some((known, sorted, _))) => {
                let of_reference = known.as_ref().map_or((&[][..], f64::NAN, f64::NAN), |r| (r.sorted(), r.mean(), r.sd()));
                let (mean, sd) = mean_sd(sorted);
                (
                    Statistics::of_numbers(rows, reference, of_reference.0, of_reference.1, of_reference.2),
                    Statistics::of_numbers(current_rows, current, sorted, mean, sd),
                )
            }
            (Values::Classes(c), _) => (Statistics::of_classes(rows, &c.reference), Statistics::of_classes(current_rows, &c.current)),
            (Values::Numbers { .. }, None) => Default::default(),
        }
    }

    /// What the checks hold against their limits.
    fn figures<'b>(&self, column: &'b ColumnComparison, prepared: Option<&Prepared>) -> Figures<'b> {
        let (outside, distance) = match (&self.values, prepared) {
            (Values::Numbers { .. }, Some((reference, sorted, _))) => {
                let figure = |kind: CheckKind| reference.as_ref().map_or(f64::NAN, |r| kind.figure(sorted, Some(r)));
                (figure(CheckKind::Range(None)), figure(CheckKind::MeanInBand))
            }
            (Values::Classes(c), _) if self.n_reference > 0 => {
                let unseen = c.reference.iter().zip(&c.current).filter(|(r, _)| **r == 0).map(|(_, c)| *c).sum::<u64>();
                // without values NaN: no figure
                (unseen as f64 / self.n_current as f64, f64::NAN)
            }
            _ => (f64::NAN, f64::NAN),
        };
        let (reference, current) = (&column.reference, &column.current);
        let numerical = self.pair.kind == Kind::Numerical;
        Figures { column: &column.name, regime: column.regime.as_deref(), reference, current, outside, distance, numerical }
    }

    fn show(&self, column: &ColumnComparison, prepared: Option<&Prepared>, look: &mut dyn FnMut(&ColumnComparison, &Samples<'_>)) {
        match (&self.values, prepared) {
            (Values::Numbers { .. }, Some((reference, current, _))) => {
                let reference = reference.as_ref().map_or(&[][..], Reference::sorted);
                look(column, &Samples::Numbers { reference, current });
            }
            (Values::Classes(c), _) => {
                let labels = |k: usize| c.keys.get(k).map(Key::text).unwrap_or_default();
                look(column, &Samples::Classes { labels: &labels, reference: &c.reference, current: &c.current });
            }
            (Values::Numbers { .. }, None) => {}
        }
    }

    /// The metrics to ask; of named ones those that fit the kind, or all where none does, so that each says why.
    fn metrics(&self, options: &Options) -> Vec<Metric> {
        let fits = |m: &Metric| if self.pair.kind == Kind::Numerical { m.is_numerical() } else { m.is_categorical() };
        match &options.metrics {
            Metrics::All => Metric::all().filter(fits).collect(),
            Metrics::Named(named) if named.iter().any(fits) => named.iter().copied().filter(fits).collect(),
            Metrics::Named(named) => named.clone(),
            Metrics::Default => vec![match options.mode {
                Mode::Default => metric::default_metric(self.pair.kind, self.n_reference, self.n_current, self.distinct()),
                Mode::Evidently => evidently::default_metric(self.pair.kind, self.n_reference, self.distinct()),
            }],
        }
    }

    /// Different values on both sides together.
    fn distinct(&self) -> usize {
        match &self.values {
            Values::Classes(classes) => classes.keys.len(),
            Values::Numbers { reference, current } => {
                let mut all: Vec<f64> = reference.iter().chain(current).copied().collect();
                all.sort_unstable_by(f64::total_cmp);
                all.dedup();
                all.len()
            }
        }
    }

    /// What keeps a column from being judged at all.
    fn hindrance(&self, metric: Metric, mode: Mode) -> Option<String> {
        let lacks = |side: &str| Some(format!("the {side} data have no such column"));
        if self.pair.reference.is_none() {
            return lacks("reference");
        }
        if self.pair.current.is_none() {
            return lacks("current");
        }
        for (side, n) in [("reference", self.n_reference), ("current", self.n_current)] {
            if n == 0 {
                return Some(format!("the {side} data have no value in this column"));
            }
        }
        let values = self.n_reference + self.n_current;
        if matches!(self.values, Values::Classes(_)) && values > IDENTIFIERS_FROM && self.distinct() * 2 > values {
            return Some("more than half of the values are different: identifiers or times, not classes".into());
        }
        let too_many = mode == Mode::Evidently && metric == Metric::Mmd && values > EVIDENTLY_MMD_MOST;
        too_many.then(|| format!("too many values for all pairs of them: `{values}`, at most {EVIDENTLY_MMD_MOST}; use a part of the rows"))
    }

    fn ask(&self, metric: Metric, mode: Mode, prepared: Option<&Prepared>, scratch: &mut Scratch) -> Result<Outcome, NotApplicable> {
        match (&self.values, prepared) {
            (Values::Numbers { .. }, Some((reference, current, dtype))) => {
                let reference = reference.as_ref().map_err(|e| *e)?;
                match mode {
                    Mode::Default => metric::numerical(metric, reference, current, scratch),
                    Mode::Evidently => evidently::numerical(metric, reference, current, *dtype, scratch),
                }
            }
            (Values::Classes(Classes { reference, current, .. }), _) => match mode {
                Mode::Default => metric::categorical(metric, reference, current),
                Mode::Evidently => evidently::categorical(metric, reference, current),
            },
            (Values::Numbers { .. }, None) => Err(NotApplicable::Empty),
        }
    }
}

/// The reference, the sorted current values, and what Evidently takes the numbers for.
type Prepared = (Result<Reference, NotApplicable>, Vec<f64>, evidently::Dtype);

/// Mean and standard deviation (n - 1) of ascending values; NaN where there are too few.
fn mean_sd(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    match (values.first(), values.last()) {
        (Some(first), Some(last)) if first == last => (*first, if values.len() > 1 { 0.0 } else { f64::NAN }),
        (Some(_), _) => {
            // shares of the values: their sum may be too large for a number
            let mean = values.iter().map(|x| x / n).sum::<f64>();
            let squares = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
            (mean, (squares / (n - 1.0)).sqrt())
        }
        _ => (f64::NAN, f64::NAN),
    }
}

fn dtype(reference: &[f64], current: &[f64]) -> evidently::Dtype {
    if reference.iter().chain(current).all(|x| x.fract() == 0.0) { evidently::Dtype::Integer } else { evidently::Dtype::Float }
}

fn threshold(metric: Metric, mode: Mode, judged: usize) -> f64 {
    match mode {
        Mode::Evidently => evidently::default_threshold(metric),
        Mode::Default if metric.is_p_value() => {
            let floor = RESAMPLED.iter().find(|(m, _)| *m == metric).map_or(0.0, |(_, p)| *p);
            (metric.default_threshold() / judged.max(1) as f64).max(floor)
        }
        Mode::Default => metric.default_threshold(),
    }
}

fn answer(name: Metric, mode: Mode, threshold: f64, outcome: Result<Outcome, String>) -> MetricAnswer {
    match outcome {
        Ok(o) => {
            let exceeded = if mode == Mode::Evidently { evidently::exceeded } else { metric::exceeded };
            let drifted = Some(exceeded(name, &o, threshold));
            let (statistic, score) = (Some(o.statistic), Some(o.score));
            MetricAnswer { name, statistic, p_value: o.p_value, score, threshold, drifted, not_applicable: None }
        }
        Err(why) => MetricAnswer { name, statistic: None, p_value: None, score: None, threshold, drifted: None, not_applicable: Some(why) },
    }
}
