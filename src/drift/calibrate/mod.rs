//! Thresholds for a stated number of false alarms, learned from healthy rows. Pure and deterministic.
//!
//! ```text
//! healthy rows ─▶ runs of the monitor itself, without drift ─▶ scores of its tests ─▶ thresholds ─▶ expected delays
//!                 1. held-back rows of their own, unit by unit, against the references; else
//!                 2. with eight units or more: each fifth of the units against references of the others; else
//!                 3. resampling: references and stream both drawn anew, innovations in blocks, memory by a model
//! ```
//! Everything that the monitor does is in these runs: features, regimes, windows, hops, charts, own baseline, "all x N". The
//! estimation error of references is in them too, as each run is against references that its rows are not part of (1, 2) or
//! that are drawn as independently as the rows (3). How rows are drawn: `recolour`; charts that start anew at an alarm:
//! `restart`. Beyond the rates that the runs show, thresholds are extrapolated (`tail`).
//! Block resampling: Kuensch, Annals of Statistics 17 (1989).

mod autoregression;
mod budget;
mod recolour;
mod restart;
mod rows;
mod runs;
mod stationary;
mod stream;
mod tail;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chart::ewma_t2::EwmaReference;
use super::metric::Reference;
use super::{Chart, Monitor, MonitorParams, Test};
use recolour::Recolour;
use runs::Plan;
use tail::Curve;

pub use budget::{Budget, ParseBudgetError};
pub use rows::HealthyRows;
pub use stationary::{has_unit_root, memory};
pub use tail::Trace;

/// What is calibrated: a monitor, its references, and healthy rows.
pub struct Subject<'a> {
    /// Thresholds in it are ignored.
    pub params: &'a MonitorParams,
    /// `None`: only what charts need is learned.
    pub budget: Option<Budget>,
    /// References of each regime, one a column.
    pub references: Vec<&'a [Option<Reference>]>,
    /// The rows that the references come from.
    pub healthy: &'a HealthyRows,
    /// Healthy rows that they do not come from; preferred.
    pub held_back: Option<&'a HealthyRows>,
}

/// What a bundle holds of a monitor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// For `ewma_t2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ewma: Option<Arc<EwmaReference>>,
    /// The monitor it holds for.
    pub tests: Vec<Test>,
    pub answer: Answer,
}

/// The answer to a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// No budget was stated.
    NotAsked,
    Thresholds(Calibrated),
    /// These columns have no level to come back to (unit root): no threshold keeps a budget on them.
    NotStationary {
        columns: Vec<u16>,
    },
    /// The healthy rows gave too few evaluations.
    TooFewRows {
        evaluations: u64,
    },
    /// A budget per time, and rows without time.
    NoTime,
}

/// Thresholds that keep a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// T1..T4.
    pub thresholds: Vec<f64>,
    pub budget: Budget,
    pub basis: Basis,
    /// Evaluations without drift that they come from.
    pub evaluations: u64,
    /// Window, hop and N they hold for.
    pub window_rows: usize,
    pub hop: usize,
    pub consecutive_limit: u16,
    /// Median rows from a lasting shift of one feature to the drift, for [`SHIFTS`]; `None`: most were not found in time.
    pub delay_rows: [Option<u32>; 3],
}

/// Shifts of one feature that delays are stated for, in standard deviations of its regime.
pub const SHIFTS: [f64; 3] = [0.5, 1.0, 2.0];

/// Where the runs without drift came from.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Basis {
    HeldBack,
    /// Units against references of other units.
    OtherUnits,
    /// Innovations in blocks of so many rows.
    Resampled {
        block: u32,
    },
}

/// Units from which on each is held against the others.
const MANY_UNITS: usize = 8;
/// Parts of the units, or evaluations, that make a calibration.
const FOLDS: usize = 5;
const MIN_EVALUATIONS: usize = 50;

impl Calibration {
    /// The thresholds, where there are some for these tests.
    pub fn thresholds_for(&self, params: &MonitorParams) -> Option<&[f64]> {
        let Answer::Thresholds(c) = &self.answer else { return None };
        self.tests.iter().eq(params.tests.iter().map(|t| &t.0)).then_some(c.thresholds.as_slice())
    }

    /// The budget that a monitor keeps; `None` where it runs with other tests, another window, hop or N, or other thresholds.
    pub fn kept_by(&self, params: &MonitorParams) -> Option<Budget> {
        let Answer::Thresholds(c) = &self.answer else { return None };
        let same = c.window_rows == params.window_rows && c.hop == params.hop && c.consecutive_limit == params.consecutive_limit;
        let thresholds = self.thresholds_for(params)?.iter().eq(params.tests.iter().map(|t| &t.1));
        (same && thresholds).then_some(c.budget)
    }

    /// Rows from a lasting shift of one feature to the drift, in words; for shifts of [`SHIFTS`].
    pub fn delay_text(&self) -> String {
        let Answer::Thresholds(c) = &self.answer else { return "not calibrated".into() };
        let rows = |d: &Option<u32>| d.map_or("not in time".to_string(), |d| format!("{d} rows"));
        let parts: Vec<_> = SHIFTS.iter().zip(&c.delay_rows).map(|(shift, delay)| format!("{shift} sd: {}", rows(delay))).collect();
        parts.join(", ")
    }

    /// Decoded tables fit a monitor of so many columns.
    pub fn is_sound(&self, columns: usize) -> bool {
        let ewma = self.ewma.as_ref().is_none_or(|e| e.sd.len() == columns && e.inverse.len() == columns * columns);
        ewma && match &self.answer {
            Answer::Thresholds(c) => c.thresholds.len() == self.tests.len() && c.thresholds.iter().all(|h| h.is_finite()),
            _ => true,
        }
    }
}

/// Learns what a monitor needs from healthy rows.
pub fn calibrate(subject: &Subject<'_>) -> Calibration {
    let tests: Vec<Test> = subject.params.tests.iter().map(|t| t.0).collect();
    let residuals = subject.residuals(&subject.references, subject.healthy);
    let ewma = subject.ewma(&residuals);
    let answer = match subject.budget {
        None => Answer::NotAsked,
        Some(budget) => answer(subject, budget, &residuals, ewma.as_ref()),
    };
    Calibration { ewma, tests, answer }
}

fn answer(subject: &Subject<'_>, budget: Budget, residuals: &[Vec<f64>], ewma: Option<&Arc<EwmaReference>>) -> Answer {
    let columns = subject.healthy.columns();
    let wandering = wandering(residuals, columns);
    if !wandering.is_empty() {
        return Answer::NotStationary { columns: wandering };
    }
    let Some(rate) = budget.per_evaluation(subject.healthy.interval(), subject.params.hop) else { return Answer::NoTime };
    let colour = Recolour::new(subject.healthy, &subject.references, subject.params.baseline_rows > 0);
    let (basis, plan) = if let Some(held_back) = subject.held_back.filter(|h| !h.is_empty()) {
        (Basis::HeldBack, Plan::HeldBack(held_back))
    } else if subject.healthy.units().len() >= MANY_UNITS {
        (Basis::OtherUnits, Plan::OtherUnits)
    } else {
        (Basis::Resampled { block: colour.block as u32 }, Plan::resampled(subject, &colour, rate))
    };
    let trace = subject.trace(&plan, ewma);
    let evaluations = trace.evaluations();
    let kinds: Vec<Test> = subject.params.tests.iter().map(|t| t.0).collect();
    let limit = subject.params.consecutive_limit;
    let curve = if evaluations >= MIN_EVALUATIONS { Curve::new(&kinds, &trace, limit) } else { None };
    let found = match curve {
        Some(curve) if subject.restarts() => subject.restarted(&curve, &plan, ewma, evaluations, rate),
        Some(curve) => curve.thresholds(rate),
        None => None,
    };
    let Some(thresholds) = found else { return Answer::TooFewRows { evaluations: evaluations as u64 } };
    Answer::Thresholds(Calibrated {
        delay_rows: SHIFTS.map(|shift| subject.delay(&thresholds, ewma, &colour, shift)),
        thresholds,
        budget,
        basis,
        evaluations: evaluations as u64,
        window_rows: subject.params.window_rows,
        hop: subject.params.hop,
        consecutive_limit: limit,
    })
}

impl Subject<'_> {
    /// A fresh monitor with these thresholds (or none that anything exceeds).
    fn monitor(&self, thresholds: Option<&[f64]>, ewma: Option<&Arc<EwmaReference>>) -> Monitor {
        let mut params = self.params.clone();
        params.enabled = true;
        for (i, (test, threshold)) in params.tests.iter_mut().enumerate() {
            *threshold = thresholds.map_or(if test.is_p_value() { 0.5 } else { f64::MAX }, |t| t[i]);
        }
        if params.is_pooled() {
            // Charts do not look at the window.
            params.window_rows = 1;
        }
        let mut monitor = Monitor::new(params, self.healthy.columns(), self.references.len());
        monitor.set_ewma(ewma.cloned());
        monitor
    }

    /// Residuals of each unit after its own baseline, as the charts get them.
    fn residuals(&self, references: &[&[Option<Reference>]], rows: &HealthyRows) -> Vec<Vec<f64>> {
        let mut params = self.params.clone();
        params.tests = vec![(Chart::Cusum.into(), f64::MAX)];
        (params.enabled, params.window_rows, params.hop) = (true, 1, usize::MAX);
        let of = |unit: std::ops::Range<usize>| {
            let mut monitor = Monitor::new(params.clone(), rows.columns(), references.len());
            let mut out = Vec::with_capacity(unit.len() * rows.columns());
            for i in unit {
                let learning = !monitor.baseline().is_complete();
                monitor.push(rows.slot(i), rows.time(i), rows.row(i), references[usize::from(rows.slot(i))]);
                if !learning {
                    out.extend_from_slice(monitor.residuals());
                }
            }
            out
        };
        rows.units().into_iter().map(of).collect()
    }

    fn learns_ewma(&self) -> bool {
        self.params.tests.iter().any(|t| t.0 == Test::Chart(Chart::EwmaT2))
    }

    fn ewma(&self, residuals: &[Vec<f64>]) -> Option<Arc<EwmaReference>> {
        self.learns_ewma().then(|| Arc::new(EwmaReference::learn(self.healthy.columns(), residuals)))
    }
}

/// One column of a unit's residuals, finite ones.
fn column(unit: &[f64], columns: usize, k: usize) -> Vec<f64> {
    unit.iter().skip(k).step_by(columns).copied().filter(|z| z.is_finite()).collect()
}

/// Columns with a unit root.
fn wandering(residuals: &[Vec<f64>], columns: usize) -> Vec<u16> {
    let wanders = |k: &usize| {
        let units: Vec<Vec<f64>> = residuals.iter().map(|u| column(u, columns, *k)).collect();
        has_unit_root(units.iter().map(Vec::as_slice))
    };
    (0..columns).filter(wanders).map(|k| k as u16).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::drift::{Metric, References};
    use crate::types::{DriftStatus, Timestamp};

    /// AR(1) rows of two columns, two regimes in turns of 100 rows.
    fn rows(n: usize, phi: f64, seed: u64) -> HealthyRows {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut rows = HealthyRows::new(2);
        let mut x = [0.0; 2];
        for i in 0..n {
            for x in &mut x {
                let e: f64 = StandardNormal.sample(&mut rng);
                *x = phi * *x + e;
            }
            let slot = (i / 100 % 2) as u16;
            let level = 50.0 * f64::from(slot);
            rows.push(slot, Timestamp::from_secs_f64(i as f64), &[x[0] + level, x[1] - level]);
        }
        rows
    }

    fn params(test: Test, hop: usize, limit: u16) -> MonitorParams {
        MonitorParams { enabled: true, tests: vec![(test, 0.05)], window_rows: 50, hop, consecutive_limit: limit, baseline_rows: 0 }
    }

    fn calibrated(
        params: &MonitorParams,
        healthy: &HealthyRows,
        held_back: Option<&HealthyRows>,
        budget: &str,
    ) -> (Calibration, Vec<References>) {
        let references = healthy.references(&healthy.members(2));
        let slices = references.iter().map(Vec::as_slice).collect();
        let subject = Subject { params, budget: budget.parse().ok(), references: slices, healthy, held_back };
        (calibrate(&subject), references)
    }

    /// Onsets of drift on fresh rows.
    fn onsets(params: &MonitorParams, calibration: &Calibration, references: &[References], fresh: &HealthyRows) -> (usize, usize) {
        let mut params = params.clone();
        params.tests[0].1 = calibration.thresholds_for(&params).unwrap()[0];
        let mut monitor = Monitor::new(params, 2, 2);
        monitor.set_ewma(calibration.ewma.clone());
        let (mut evaluations, mut onsets, mut drifting) = (0, 0, [false; 2]);
        for i in 0..fresh.len() {
            let slot = fresh.slot(i);
            if let Some(e) = monitor.push(slot, fresh.time(i), fresh.row(i), &references[usize::from(slot)]) {
                let at = usize::from(slot) * usize::from(!monitor.params().is_pooled());
                let drift = e.status == DriftStatus::Drift;
                onsets += usize::from(drift && !drifting[at]);
                drifting[at] = drift;
                evaluations += 1;
            }
        }
        (onsets, evaluations)
    }

    #[test]
    fn a_chart_keeps_its_budget_on_autocorrelated_rows() {
        let params = params(Chart::EwmaT2.into(), 1, 1);
        let (calibration, references) = calibrated(&params, &rows(6_000, 0.7, 1), None, "1 per 1000 evaluations");
        let (found, evaluations) = onsets(&params, &calibration, &references, &rows(60_000, 0.7, 2));
        let wanted = evaluations as f64 / 1000.0;
        assert!((0.4..2.5).contains(&(found as f64 / wanted)), "{found} onsets, wanted {wanted}");
        let Answer::Thresholds(c) = &calibration.answer else { panic!() };
        assert!(matches!(c.basis, Basis::Resampled { .. }));
        assert!(c.delay_rows[2] < Some(30) && c.delay_rows[2].is_some(), "{:?}", c.delay_rows);
    }

    #[test]
    fn every_chart_keeps_its_budget_where_memory_is_long() {
        for chart in Chart::ALL {
            let params = params(chart.into(), 1, 1);
            let (mut found, mut wanted) = (0, 0.0);
            for seed in 0..3 {
                let (calibration, references) = calibrated(&params, &rows(8_000, 0.9, 10 + seed), None, "1 per 1000 evaluations");
                let (more, evaluations) = onsets(&params, &calibration, &references, &rows(40_000, 0.9, 20 + seed));
                (found, wanted) = (found + more, wanted + evaluations as f64 / 1000.0);
            }
            let ratio = found as f64 / wanted;
            assert!((0.5..2.0).contains(&ratio), "{chart}: {found} onsets, wanted {wanted}");
        }
    }

    #[test]
    fn a_window_test_keeps_its_budget_in_a_row() {
        let params = params(Metric::KolmogorovSmirnov.into(), 10, 2);
        let (calibration, references) = calibrated(&params, &rows(6_000, 0.7, 3), None, "1 per 200 evaluations");
        let (found, evaluations) = onsets(&params, &calibration, &references, &rows(60_000, 0.7, 4));
        let wanted = evaluations as f64 / 200.0;
        assert!((0.4..2.5).contains(&(found as f64 / wanted)), "{found} onsets, wanted {wanted}");
    }

    #[test]
    fn held_back_rows_are_preferred_and_the_answer_survives_a_bundle() {
        let params = params(Chart::EwmaT2.into(), 1, 1);
        let (calibration, _) = calibrated(&params, &rows(2_000, 0.0, 5), Some(&rows(4_000, 0.0, 6)), "1 per 1h");
        let Answer::Thresholds(c) = &calibration.answer else { panic!("{:?}", calibration.answer) };
        assert_eq!((c.basis, c.evaluations), (Basis::HeldBack, 4_000 - 9));
        let text = serde_json::to_string(&calibration).unwrap();
        let read: Calibration = serde_json::from_str(&text).unwrap();
        assert_eq!(read, calibration);
        assert!(read.is_sound(2) && !read.is_sound(3));
        let mut other = params.clone();
        other.tests[0].0 = Chart::Cusum.into();
        assert_eq!(read.thresholds_for(&other), None, "thresholds of another test are not used");
    }

    #[test]
    fn what_has_no_answer_says_so() {
        let params = params(Chart::Cusum.into(), 1, 1);
        let (walk, _) = calibrated(&params, &rows(4_000, 1.0, 7), None, "1 per 1000 evaluations");
        assert_eq!(walk.answer, Answer::NotStationary { columns: vec![0, 1] });
        let (none, _) = calibrated(&params, &rows(400, 0.0, 8), None, "");
        assert_eq!((none.answer, none.ewma), (Answer::NotAsked, None));
        let mut still = HealthyRows::new(1);
        (0..400).for_each(|i| still.push(0, Timestamp::EPOCH, &[f64::from(i % 7)]));
        let (still, _) = calibrated(&params, &still, None, "1 per 30d");
        assert_eq!(still.answer, Answer::NoTime);
    }
}
