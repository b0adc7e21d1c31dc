//! Runs of the monitor without drift, by what there is to run it on.

use std::ops::Range;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::recolour::{Past, Recolour};
use super::stream::{Stream, redraw};
use super::{FOLDS, HealthyRows, Subject, Trace};
use crate::drift::chart::ewma_t2::EwmaReference;
use crate::drift::metric::Reference;
use crate::drift::{Chart, Monitor, Test};
use crate::types::{DriftStatus, Timestamp};

/// Drawings of references: as many as so many values allow, so that small references, whose drawings differ most, get most.
const DRAWN_VALUES: usize = 60_000_000;
const REPLICATES: (usize, usize) = (24, 200);
/// Drawings for a chart that starts anew at an alarm: fewer, and each followed for longer.
const RESTARTING: usize = 10;
/// Evaluations wanted for each false alarm of the budget, and at most for windows and for charts.
const PER_ONSET: f64 = 24.0;
const MAX_WINDOWS: f64 = 4_000.0;
const MAX_CHARTS: f64 = 400_000.0;
const MIN_EVALUATIONS: f64 = 2_000.0;
/// Rows until a chart has forgotten its start, which life has once, and a drawing each time.
fn settling(chart: Chart) -> usize {
    match chart {
        Chart::EwmaT2 | Chart::Cusum => 1_000,
        // What the first mean got wrong goes at a quarter of a standard deviation a row.
        Chart::PageHinkley => 5_000,
        // Its windows grow until alarms end them as often as they do in life; short ones alarm less.
        Chart::Adwin => 25_000,
    }
}

/// What the monitor runs on.
pub enum Plan<'a> {
    HeldBack(&'a HealthyRows),
    /// Each fifth of the units against references from the other units.
    OtherUnits,
    /// Streams drawn anew, against references drawn anew.
    Resampled {
        colour: &'a Recolour<'a>,
        replicates: usize,
        skipped: usize,
        each: usize,
    },
}

/// One stream of rows without drift and what it is judged by.
pub struct Run<'a> {
    pub references: &'a [&'a [Option<Reference>]],
    pub ewma: Option<&'a Arc<EwmaReference>>,
    rows: Rows<'a>,
    /// Evaluations that do not count yet, and those that do at most.
    skipped: usize,
    enough: usize,
}

/// Rows one after the other.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
enum Rows<'a> {
    Recorded(&'a HealthyRows, Range<usize>),
    Drawn { colour: &'a Recolour<'a>, healthy: &'a HealthyRows, stream: Stream, past: Past, row: Vec<f64>, left: usize },
}

impl Rows<'_> {
    fn next(&mut self) -> Option<(u16, Timestamp, &[f64])> {
        match self {
            Rows::Recorded(rows, range) => range.next().map(|i| (rows.slot(i), rows.time(i), rows.row(i))),
            Rows::Drawn { colour, healthy, stream, past, row, left } => {
                *left = left.checked_sub(1)?;
                let (slot, i) = stream.next()?;
                colour.row(slot, i, past, row);
                Some((slot, healthy.time(i), row))
            }
        }
    }
}

impl Run<'_> {
    /// Feeds the rows to some monitors alike; after each evaluation that counts, `seen` with the regime it belongs to.
    pub fn follow(&mut self, monitors: &mut [Monitor], mut seen: impl FnMut(usize, &[Monitor])) {
        let pooled = monitors.iter().all(|m| m.params().is_pooled());
        let mut evaluations = 0;
        while let Some((slot, time, row)) = self.rows.next() {
            let references = self.references[usize::from(slot)];
            let due = monitors.iter_mut().filter_map(|m| m.push(slot, time, row, references)).count();
            if due == 0 {
                continue;
            }
            evaluations += 1;
            if evaluations > self.skipped {
                seen(if pooled { 0 } else { usize::from(slot) }, monitors);
            }
            if evaluations >= self.skipped.saturating_add(self.enough) {
                return;
            }
        }
    }
}

impl<'a> Plan<'a> {
    /// Streams and references drawn anew, so many that a budget's `rate` of onsets an evaluation shows.
    pub fn resampled(subject: &Subject<'_>, colour: &'a Recolour<'a>, rate: f64) -> Self {
        let healthy = subject.healthy;
        let pooled = subject.params.is_pooled();
        let restarts = subject.restarts();
        let affordable = DRAWN_VALUES / (healthy.len() * healthy.columns()).max(1);
        let replicates = if restarts { RESTARTING } else { affordable.clamp(REPLICATES.0, REPLICATES.1) };
        let charts = subject.params.tests.iter().filter_map(|t| if let Test::Chart(chart) = t.0 { Some(chart) } else { None });
        let skipped = if pooled { charts.map(settling).max().unwrap_or(0) } else { 0 };
        let wanted = (PER_ONSET / rate).clamp(MIN_EVALUATIONS, if pooled { MAX_CHARTS } else { MAX_WINDOWS });
        Self::Resampled {
            colour,
            replicates,
            skipped: skipped / subject.params.hop.max(1),
            each: (wanted / replicates as f64).ceil() as usize,
        }
    }
}

impl Subject<'_> {
    /// Whether scores depend on the threshold.
    pub(super) fn restarts(&self) -> bool {
        self.params.tests.iter().any(|t| t.0 == Test::Chart(Chart::Adwin))
    }

    /// All runs of a plan, one after the other; the same at each call.
    pub(super) fn runs(&self, plan: &Plan<'_>, ewma: Option<&Arc<EwmaReference>>, mut each: impl FnMut(&mut Run<'_>)) {
        match plan {
            Plan::HeldBack(rows) => self.recorded(rows, &self.references, ewma, &mut each),
            Plan::OtherUnits => self.each_against_the_others(&mut each),
            Plan::Resampled { colour, replicates, skipped, each: enough } => {
                let mut rng = ChaCha8Rng::seed_from_u64(0x5eed);
                (0..*replicates).for_each(|_| self.drawn(colour, (*skipped, *enough), &mut rng, &mut each));
            }
        }
    }

    /// A run for each unit.
    fn recorded(
        &self,
        rows: &HealthyRows,
        references: &[&[Option<Reference>]],
        ewma: Option<&Arc<EwmaReference>>,
        each: &mut impl FnMut(&mut Run<'_>),
    ) {
        for unit in rows.units() {
            each(&mut Run { references, ewma, rows: Rows::Recorded(rows, unit), skipped: 0, enough: usize::MAX });
        }
    }

    fn each_against_the_others(&self, each: &mut impl FnMut(&mut Run<'_>)) {
        let units = self.healthy.units();
        for fold in 0..FOLDS {
            let mut own = HealthyRows::new(self.healthy.columns());
            let mut others = HealthyRows::new(self.healthy.columns());
            for (u, unit) in units.iter().enumerate() {
                let to = if u % FOLDS == fold { &mut own } else { &mut others };
                to.start_unit();
                unit.clone().for_each(|i| to.push(self.healthy.slot(i), self.healthy.time(i), self.healthy.row(i)));
            }
            let references = others.references(&others.members(self.references.len()));
            let references: Vec<&[Option<Reference>]> = references.iter().map(Vec::as_slice).collect();
            let ewma = self.ewma(&self.residuals(&references, &others));
            self.recorded(&own, &references, ewma.as_ref(), each);
        }
    }

    /// A run on another course of chance, against what would have been learned from yet another.
    fn drawn(&self, colour: &Recolour<'_>, (skipped, enough): (usize, usize), rng: &mut ChaCha8Rng, each: &mut impl FnMut(&mut Run<'_>)) {
        let learned = self.redrawn(colour, rng);
        let references = learned.references(&learned.members(self.references.len()));
        let references: Vec<&[Option<Reference>]> = references.iter().map(Vec::as_slice).collect();
        let ewma = if self.learns_ewma() { self.ewma(&self.residuals(&references, &learned)) } else { None };
        // Windows of all regimes fill at the pace of the rarest one.
        let evaluations = skipped + enough + 2 * self.params.window_rows * self.references.len();
        let most = evaluations.saturating_mul(self.params.hop).max(100_000);
        let rows = self.stream(colour, rng, most);
        each(&mut Run { references: &references, ewma: ewma.as_ref(), rows, skipped, enough });
    }

    /// The healthy rows with another course of chance.
    fn redrawn(&self, colour: &Recolour<'_>, rng: &mut ChaCha8Rng) -> HealthyRows {
        let healthy = self.healthy;
        let drawn = redraw(healthy, &healthy.members(self.references.len()), colour.block, rng);
        let mut out = HealthyRows::new(healthy.columns());
        let mut row = vec![0.0; healthy.columns()];
        for unit in healthy.units() {
            out.start_unit();
            let mut past = colour.past(rng);
            for i in unit {
                colour.row(healthy.slot(i), drawn[i], &mut past, &mut row);
                out.push(healthy.slot(i), healthy.time(i), &row);
            }
        }
        out
    }

    /// At most so many rows of an endless stream: of all rows, or of one unit where machines have baselines of their own.
    fn stream<'a>(&'a self, colour: &'a Recolour<'a>, rng: &mut ChaCha8Rng, left: usize) -> Rows<'a> {
        let units = self.healthy.units();
        let unit = if self.params.baseline_rows == 0 { 0..self.healthy.len() } else { units[rng.gen_range(0..units.len())].clone() };
        let stream = Stream::new(self.healthy, unit, colour.block, self.own_share(colour), rng);
        let past = colour.past(rng);
        Rows::Drawn { colour, healthy: self.healthy, stream, past, row: vec![0.0; self.healthy.columns()], left }
    }

    /// Share of a stream's innovations that are of the regime they are for.
    ///
    /// A window is compared with its own regime, whose shape counts. Charts pool what they see over all regimes: there it is
    /// the share of what regimes differ in that is no chance.
    fn own_share(&self, colour: &Recolour<'_>) -> f64 {
        if self.params.is_pooled() { colour.own_share() } else { 1.0 }
    }

    /// Scores of all runs where nothing is ever exceeded.
    pub(super) fn trace(&self, plan: &Plan<'_>, ewma: Option<&Arc<EwmaReference>>) -> Trace {
        let mut trace = Trace { tests: self.params.tests.len(), sequences: vec![] };
        self.runs(plan, ewma, |run| {
            let first = trace.sequences.len();
            trace.sequences.resize(first + self.decisions(), Vec::new());
            run.follow(&mut [self.monitor(None, run.ewma)], |at, monitors| {
                let tests = monitors[0].tests().iter().zip(&monitors[0].params().tests);
                trace.sequences[first + at].extend(tests.map(|(r, (test, _))| if test.is_p_value() { r.p_value } else { r.value }));
            });
        });
        trace
    }

    /// Onsets of drift in all runs, for each of some sets of thresholds.
    pub(super) fn onsets(&self, plan: &Plan<'_>, ewma: Option<&Arc<EwmaReference>>, thresholds: &[Vec<f64>]) -> Vec<usize> {
        let mut onsets = vec![0; thresholds.len()];
        self.runs(plan, ewma, |run| {
            let mut monitors: Vec<Monitor> = thresholds.iter().map(|t| self.monitor(Some(t), run.ewma)).collect();
            let mut drifting = vec![false; thresholds.len() * self.decisions()];
            run.follow(&mut monitors, |at, monitors| {
                for (j, monitor) in monitors.iter().enumerate() {
                    let drift = monitor.last().is_some_and(|e| e.status == DriftStatus::Drift);
                    let before = std::mem::replace(&mut drifting[j * self.decisions() + at], drift);
                    onsets[j] += usize::from(drift && !before);
                }
            });
        });
        onsets
    }

    fn decisions(&self) -> usize {
        if self.params.is_pooled() { 1 } else { self.references.len() }
    }
}

/// Shifted streams for a delay, and windows (or hundreds of rows) that each is followed for.
const DELAYS: usize = 15;
const PATIENCE: usize = 10;

impl Subject<'_> {
    /// Median rows from a shift of one column, by `shift` standard deviations, to the drift.
    pub(super) fn delay(&self, thresholds: &[f64], ewma: Option<&Arc<EwmaReference>>, colour: &Recolour<'_>, shift: f64) -> Option<u32> {
        let columns = self.healthy.columns();
        let mut rng = ChaCha8Rng::seed_from_u64(0xde1a);
        let window = if self.params.is_pooled() { 100 } else { self.params.window_rows * self.references.len() };
        let lead = window + self.params.baseline_rows;
        let mut shifted = vec![0.0; columns];
        let mut delays: Vec<Option<u32>> = Vec::with_capacity(DELAYS);
        for run in 0..DELAYS {
            if delays.iter().filter(|d| d.is_none()).count() > DELAYS / 2 {
                return None;
            }
            let column = run * columns / DELAYS;
            let mut monitor = self.monitor(Some(thresholds), ewma);
            let mut rows = self.stream(colour, &mut rng, lead + PATIENCE * window);
            let (mut found, mut n) = (None, 0);
            while let Some((slot, time, row)) = rows.next() {
                shifted.copy_from_slice(row);
                let references = self.references[usize::from(slot)];
                if n >= lead {
                    shifted[column] += shift * references[column].as_ref().map_or(0.0, Reference::sd);
                }
                n += 1;
                let evaluation = monitor.push(slot, time, &shifted, references);
                if n > lead && evaluation.is_some_and(|e| e.status == DriftStatus::Drift) {
                    found = Some((n - lead) as u32);
                    break;
                }
            }
            delays.push(found);
        }
        // Not found sorts last.
        delays.sort_unstable_by_key(|d| d.unwrap_or(u32::MAX));
        delays[DELAYS / 2]
    }
}
