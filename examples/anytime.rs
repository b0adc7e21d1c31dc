//! Anytime-valid control next to the calibrated chart: an e-detector on rank e-values, tried in a seeded simulation.
//!
//! 50 features follow AR(1) processes, correlated 0.3 with each other. The rows come in blocks longer than their memory; a
//! block's mean has a rank among those of the reference, and a bet on that rank, `exp(b z) / (its mean over all ranks)` with z
//! the rank's normal score, is an e-value: its mean is 1 whatever the distribution. Each feature, direction and bet has a
//! Shiryaev-Roberts sum `R = (1 + R) e exp(-b d)`; the detector is their mean, the threshold is the budgeted number of
//! blocks between alarms (Shin, Ramdas, Rinaldo, "E-detectors", 2024). The allowance `d` is for what nobody can bet away:
//! the reference is a sample itself, and a mean that it got wrong by a hair is a small drift without end.
//!
//! ```text
//! cargo run --release --no-default-features --example anytime
//! ```
//!
//! | phi | rows a block | alarms over budget | median rows to a shift of 0.5, 1, 2 sd | `ewma_t2` |
//! |---|---|---|---|---|
//! | 0 | 5 | 0.29 | 92, 27, 14 | 363, 32, 10 |
//! | 0.9 | 60 | 0.59 | 1334, 380, 186 | 2328, 1485, 202 |
//!
//! The budget holds over 1,000,000 blocks. A shift of one feature is found sooner than by the chart, but for a large one on rows without
//! memory, which a block keeps waiting (1.4 times). Blocks are of one regime here; it is not a chart of a monitor.

use driftgate::drift::calibrate::{Answer, Calibration, HealthyRows, Subject, calibrate};
use driftgate::drift::metric::Reference;
use driftgate::drift::{Chart, Monitor, MonitorParams};
use driftgate::types::{DriftStatus, Timestamp};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use statrs::distribution::{ContinuousCDF, Normal};

const FEATURES: usize = 50;
const REFERENCE_ROWS: usize = 16_000;
/// Rows per budgeted alarm.
const BUDGET: usize = 5_000;
/// Bets, in standard deviations of a block's mean.
const BETS: [f64; 4] = [0.35, 0.7, 1.4, 2.4];
/// Standard errors of a reference's mean that are allowed for.
const ALLOWED: f64 = 2.0;
const TRIALS: u64 = 100;
const PATIENCE: usize = 20_000;

/// Healthy rows, shifted in one feature if wanted.
struct Machine {
    phi: f64,
    x: [f64; FEATURES],
    rng: ChaCha8Rng,
}

impl Machine {
    fn new(phi: f64, seed: u64) -> Self {
        let mut machine = Self { phi, x: [0.0; FEATURES], rng: ChaCha8Rng::seed_from_u64(seed) };
        (0..500).for_each(|_| {
            machine.row();
        });
        machine
    }

    fn row(&mut self) -> &mut [f64; FEATURES] {
        let common: f64 = StandardNormal.sample(&mut self.rng);
        let scale = (1.0 - self.phi * self.phi).sqrt();
        for x in &mut self.x {
            let own: f64 = StandardNormal.sample(&mut self.rng);
            *x = self.phi * *x + scale * (0.3f64.sqrt() * common + 0.7f64.sqrt() * own);
        }
        &mut self.x
    }

    fn shifted(&mut self, feature: usize, shift: f64) -> [f64; FEATURES] {
        let mut row = *self.row();
        row[feature] += shift;
        row
    }
}

/// What the detector learns: sorted block means of each feature, and the stake of each bet at each rank.
struct Ranks {
    block: usize,
    means: Vec<Vec<f64>>,
    /// By bet and rank, 0 to the number of reference blocks.
    stakes: Vec<Vec<f64>>,
}

impl Ranks {
    fn learn(rows: &[[f64; FEATURES]], block: usize) -> Self {
        let n = rows.len() / block;
        let means = |k: usize| {
            let mut means: Vec<f64> = rows.chunks_exact(block).map(|b| b.iter().map(|r| r[k]).sum::<f64>() / block as f64).collect();
            means.sort_unstable_by(f64::total_cmp);
            means
        };
        let normal = Normal::standard();
        let score = |rank: usize| normal.inverse_cdf((rank as f64 + 0.5) / (n + 1) as f64);
        let stakes = |bet: &f64| {
            let stakes: Vec<f64> = (0..=n).map(|rank| (bet * score(rank)).exp()).collect();
            let mean = stakes.iter().sum::<f64>() / stakes.len() as f64;
            let allowance = (-bet * ALLOWED / (n as f64).sqrt()).exp();
            stakes.iter().map(|s| s / mean * allowance).collect()
        };
        Self { block, means: (0..FEATURES).map(means).collect(), stakes: BETS.iter().map(stakes).collect() }
    }
}

/// The running detector.
struct EDetector<'a> {
    ranks: &'a Ranks,
    sums: [f64; FEATURES],
    rows: usize,
    /// By feature, direction and bet.
    evidence: Vec<f64>,
}

impl<'a> EDetector<'a> {
    fn new(ranks: &'a Ranks) -> Self {
        Self { ranks, sums: [0.0; FEATURES], rows: 0, evidence: vec![0.0; FEATURES * 2 * BETS.len()] }
    }

    /// One row; the mean evidence at the end of a block.
    fn push(&mut self, row: &[f64; FEATURES]) -> Option<f64> {
        self.sums.iter_mut().zip(row).for_each(|(s, x)| *s += x);
        self.rows += 1;
        if self.rows < self.ranks.block {
            return None;
        }
        let mut evidence = self.evidence.iter_mut();
        for (sum, means) in self.sums.iter().zip(&self.ranks.means) {
            let mean = sum / self.ranks.block as f64;
            let rank = means.partition_point(|m| *m < mean);
            for rank in [rank, means.len() - rank] {
                for (stakes, r) in self.ranks.stakes.iter().zip(&mut evidence) {
                    *r = (1.0 + *r) * stakes[rank];
                }
            }
        }
        (self.sums, self.rows) = ([0.0; FEATURES], 0);
        Some(self.evidence.iter().sum::<f64>() / self.evidence.len() as f64)
    }

    fn is_beyond(&self, evidence: f64) -> bool {
        evidence >= BUDGET as f64 / self.ranks.block as f64
    }
}

/// Alarms per budgeted alarm over so many blocks, each alarm followed by a new start.
fn false_alarms(ranks: &Ranks, machine: &mut Machine, blocks: usize) -> f64 {
    let mut detector = EDetector::new(ranks);
    let mut alarms = 0;
    for _ in 0..blocks * ranks.block {
        if detector.push(machine.row()).is_some_and(|e| detector.is_beyond(e)) {
            alarms += 1;
            detector = EDetector::new(ranks);
        }
    }
    f64::from(alarms) / (blocks * ranks.block) as f64 * BUDGET as f64
}

/// Median rows from a shift to the alarm, 500 healthy rows before it.
fn delay(phi: f64, shift: f64, mut alarm: impl FnMut(bool, &[f64; FEATURES]) -> bool) -> usize {
    let delays = (0..TRIALS).map(|trial| {
        let mut machine = Machine::new(phi, 1_000 + trial);
        let feature = machine.rng.gen_range(0..FEATURES);
        let lead = 500 + machine.rng.gen_range(0..100);
        (0..lead).for_each(|i| {
            alarm(i == 0, &machine.shifted(feature, 0.0));
        });
        (1..PATIENCE).find(|_| alarm(false, &machine.shifted(feature, shift))).unwrap_or(PATIENCE)
    });
    let mut delays: Vec<usize> = delays.collect();
    delays.sort_unstable();
    delays[delays.len() / 2]
}

/// The calibrated chart for the same rows and budget.
fn chart(rows: &[[f64; FEATURES]]) -> Option<(MonitorParams, Calibration, Vec<Option<Reference>>)> {
    let tests = vec![(Chart::EwmaT2.into(), f64::MAX)];
    let mut params = MonitorParams { enabled: true, tests, window_rows: 1, hop: 1, consecutive_limit: 1, baseline_rows: 0 };
    let mut healthy = HealthyRows::new(FEATURES);
    rows.iter().enumerate().for_each(|(i, row)| healthy.push(0, Timestamp::from_secs_f64(i as f64), row));
    let references = healthy.references(&healthy.members(1)).remove(0);
    let budget = format!("1 per {BUDGET} evaluations").parse().ok();
    let calibration = calibrate(&Subject { params: &params, budget, references: vec![&references], healthy: &healthy, held_back: None });
    let Answer::Thresholds(calibrated) = &calibration.answer else { return None };
    params.tests[0].1 = calibrated.thresholds[0];
    Some((params, calibration, references))
}

fn main() {
    let blocks: usize = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(1_000_000);
    println!("| phi | rows a block | alarms over budget | rows to a shift of 0.5, 1, 2 sd | ewma_t2 |\n|---|---|---|---|---|");
    for (phi, block) in [(0.0, 5), (0.9, 60)] {
        let mut machine = Machine::new(phi, 1);
        let rows: Vec<[f64; FEATURES]> = (0..REFERENCE_ROWS).map(|_| *machine.row()).collect();
        let ranks = Ranks::learn(&rows, block);
        let ratio = false_alarms(&ranks, &mut machine, blocks);
        let mut detector = EDetector::new(&ranks);
        let ours = [0.5, 1.0, 2.0].map(|shift| {
            delay(phi, shift, |first, row| {
                if first {
                    detector = EDetector::new(&ranks);
                }
                detector.push(row).is_some_and(|e| detector.is_beyond(e))
            })
        });
        let Some((params, calibration, references)) = chart(&rows) else { continue };
        let fresh = || {
            let mut monitor = Monitor::new(params.clone(), FEATURES, 1);
            monitor.set_ewma(calibration.ewma.clone());
            monitor
        };
        let mut monitor = fresh();
        let charts = [0.5, 1.0, 2.0].map(|shift| {
            delay(phi, shift, |first, row| {
                if first {
                    monitor = fresh();
                }
                monitor.push(0, Timestamp::EPOCH, row, &references).is_some_and(|e| e.status == DriftStatus::Drift)
            })
        });
        println!("| {phi} | {block} | {ratio:.3} | {ours:?} | {charts:?} |");
    }
}
