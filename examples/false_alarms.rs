//! How well calibrated thresholds keep their budget: a seeded simulation.
//!
//! 50 features follow AR(1) processes of unit variance, correlated 0.3 with each other; the machine holds each of 1 or 8
//! settings for 500 rows at a time, and each setting has levels and spreads of its own. A monitor is calibrated by
//! resampling its reference rows alone, then runs on fresh rows without drift; alarm onsets are counted. Several references
//! are drawn: one reference is a draw of luck, the mean over many is what the method promises.
//!
//! ```text
//! cargo run --release --no-default-features --example false_alarms [delays] [ewma_t2,cusum,page_hinkley,adwin,windows] [REFERENCES]
//! ```
//! With `delays` it measures how long a lasting shift of one feature stays unseen, next to what the calibration states.
//!
//! What it measured is in `docs/drift.md`.

use std::io::Write;

use driftgate::drift::calibrate::{Answer, Calibration, HealthyRows, SHIFTS, Subject, calibrate};
use driftgate::drift::metric::{Metric, Reference};
use driftgate::drift::{Chart, Monitor, MonitorParams, Test};
use driftgate::types::{DriftStatus, Timestamp};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const FEATURES: usize = 50;
const REFERENCE_ROWS: usize = 16_000;
const VISIT: usize = 500;
const PHIS: [f64; 4] = [0.0, 0.5, 0.9, 0.95];
/// Shifts after each reference.
const TRIALS: usize = 25;

/// The simulated machine.
struct Machine {
    phi: f64,
    regimes: usize,
    x: Vec<f64>,
    t: usize,
    slot: usize,
    rng: ChaCha8Rng,
}

impl Machine {
    fn new(phi: f64, regimes: usize, seed: u64) -> Self {
        let mut machine = Self { phi, regimes, x: vec![0.0; FEATURES], t: 0, slot: 0, rng: ChaCha8Rng::seed_from_u64(seed) };
        let mut row = vec![0.0; FEATURES];
        (0..1_000).for_each(|_| {
            machine.row(&mut row);
        });
        machine.t = 0;
        machine
    }

    fn row(&mut self, out: &mut [f64]) -> u16 {
        if self.t.is_multiple_of(VISIT) {
            // The reference visits all settings evenly, life in any order.
            self.slot = if self.t < REFERENCE_ROWS { (self.t / VISIT) % self.regimes } else { self.rng.gen_range(0..self.regimes) };
        }
        self.t += 1;
        let common: f64 = StandardNormal.sample(&mut self.rng);
        let scale = (1.0 - self.phi * self.phi).sqrt();
        for (k, (x, out)) in self.x.iter_mut().zip(out).enumerate() {
            let own: f64 = StandardNormal.sample(&mut self.rng);
            *x = self.phi * *x + scale * (0.3f64.sqrt() * common + 0.7f64.sqrt() * own);
            let level = (self.slot * 7 + k) as f64;
            *out = level + *x * (1.0 + self.slot as f64);
        }
        self.slot as u16
    }
}

/// A monitor whose budget is tried.
struct Case {
    name: &'static str,
    tests: Vec<Test>,
    /// Evaluations per budgeted onset.
    per: usize,
    /// Budgeted onsets that each reference is followed for.
    onsets: usize,
}

impl Case {
    fn charts(&self) -> bool {
        self.tests.iter().all(|t| t.is_chart())
    }
}

fn cases() -> Vec<Case> {
    let (ks, w1) = (Test::from(Metric::KolmogorovSmirnov), Test::from(Metric::Wasserstein));
    let mut cases: Vec<Case> =
        Chart::ALL.into_iter().map(|c| Case { name: c.name(), tests: vec![c.into()], per: 5_000, onsets: 20 }).collect();
    cases.push(Case { name: "windows", tests: vec![ks, w1], per: 200, onsets: 10 });
    cases
}

/// A monitor calibrated on a machine's first rows.
struct Trained {
    params: MonitorParams,
    calibration: Calibration,
    references: Vec<Vec<Option<Reference>>>,
}

impl Trained {
    /// `None` where there is no calibration.
    fn new(case: &Case, machine: &mut Machine) -> Option<Self> {
        let charts = case.charts();
        let mut params = MonitorParams {
            enabled: true,
            tests: case.tests.iter().map(|t| (*t, f64::MAX)).collect(),
            window_rows: 200,
            hop: if charts { 1 } else { 50 },
            consecutive_limit: if charts { 1 } else { 3 },
            baseline_rows: 0,
        };
        let mut row = vec![0.0; FEATURES];
        let mut healthy = HealthyRows::new(FEATURES);
        for i in 0..REFERENCE_ROWS {
            let slot = machine.row(&mut row);
            healthy.push(slot, Timestamp::from_secs_f64(i as f64), &row);
        }
        let references = healthy.references(&healthy.members(machine.regimes));
        let slices = references.iter().map(Vec::as_slice).collect();
        let budget = format!("1 per {} evaluations", case.per).parse().ok();
        let calibration = calibrate(&Subject { params: &params, budget, references: slices, healthy: &healthy, held_back: None });
        let Answer::Thresholds(calibrated) = &calibration.answer else {
            eprintln!("phi {}: {:?}", machine.phi, calibration.answer);
            return None;
        };
        for (test, threshold) in params.tests.iter_mut().zip(&calibrated.thresholds) {
            test.1 = *threshold;
        }
        if charts {
            params.window_rows = 1;
        }
        Some(Self { params, calibration, references })
    }

    fn monitor(&self) -> Monitor {
        let mut monitor = Monitor::new(self.params.clone(), FEATURES, self.references.len());
        monitor.set_ewma(self.calibration.ewma.clone());
        monitor
    }

    fn stated_delays(&self) -> [Option<u32>; 3] {
        match &self.calibration.answer {
            Answer::Thresholds(calibrated) => calibrated.delay_rows,
            _ => [None; 3],
        }
    }

    /// Rows from a shift of one feature to the drift, on fresh rows; `None` after as many as a stated delay looks at.
    fn delay(&self, case: &Case, machine: &mut Machine, shift: f64) -> Option<u32> {
        let lead = if case.charts() { 100 } else { self.params.window_rows * machine.regimes };
        let feature = machine.rng.gen_range(0..FEATURES);
        let mut monitor = self.monitor();
        let mut row = vec![0.0; FEATURES];
        for n in 0..11 * lead {
            let slot = machine.row(&mut row);
            if n >= lead {
                row[feature] += shift * (1.0 + f64::from(slot));
            }
            let evaluation = monitor.push(slot, Timestamp::EPOCH, &row, &self.references[usize::from(slot)]);
            if n >= lead && evaluation.is_some_and(|e| e.status == DriftStatus::Drift) {
                return Some((n + 1 - lead) as u32);
            }
        }
        None
    }
}

/// Onsets per budgeted onset on fresh rows, for one reference; `None` where there is no calibration.
fn run(case: &Case, phi: f64, regimes: usize, seed: u64) -> Option<f64> {
    let mut machine = Machine::new(phi, regimes, seed);
    let trained = Trained::new(case, &mut machine)?;
    let mut monitor = trained.monitor();
    let mut row = vec![0.0; FEATURES];
    let (mut evaluations, mut onsets) = (0, 0);
    let mut drifting = vec![false; regimes];
    while evaluations < case.per * case.onsets {
        let slot = machine.row(&mut row);
        if let Some(e) = monitor.push(slot, Timestamp::EPOCH, &row, &trained.references[usize::from(slot)]) {
            evaluations += 1;
            let at = if case.charts() { 0 } else { usize::from(slot) };
            let drift = e.status == DriftStatus::Drift;
            onsets += usize::from(drift && !drifting[at]);
            drifting[at] = drift;
        }
    }
    Some(onsets as f64 / case.onsets as f64)
}

/// Median of the stated delays over some references, and of what happened after them, [`TRIALS`] times each; in words.
fn delays(case: &Case, phi: f64, regimes: usize, draws: u64) -> String {
    let mut stated: [Vec<Option<u32>>; 3] = Default::default();
    let mut measured: [Vec<Option<u32>>; 3] = Default::default();
    for seed in 0..draws {
        let mut machine = Machine::new(phi, regimes, seed);
        let Some(trained) = Trained::new(case, &mut machine) else { continue };
        for (k, shift) in SHIFTS.into_iter().enumerate() {
            stated[k].push(trained.stated_delays()[k]);
            measured[k].extend((0..TRIALS).map(|_| trained.delay(case, &mut machine, shift)));
        }
    }
    let words = |k: usize| format!("{} / {}", median(&mut stated[k].clone()), median(&mut measured[k].clone()));
    [0, 1, 2].map(words).join(" | ")
}

/// In words; what was not found in time sorts last.
fn median(delays: &mut [Option<u32>]) -> String {
    delays.sort_unstable_by_key(|d| d.unwrap_or(u32::MAX));
    delays.get(delays.len() / 2).copied().flatten().map_or("late".into(), |d| d.to_string())
}

/// Mean over references and half of its 90 % interval, from their spread (Student's quantile, about; for four references or more).
fn mean(ratios: &[f64]) -> (f64, f64) {
    let n = ratios.len() as f64;
    let mean = ratios.iter().sum::<f64>() / n;
    let variance = ratios.iter().map(|r| (r - mean) * (r - mean)).sum::<f64>() / (n - 1.0);
    (mean, (1.645 + 1.85 / (n - 1.0)) * (variance / n).sqrt())
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let wants_delays = args.first().is_some_and(|a| a == "delays");
    if wants_delays {
        args.remove(0);
    }
    let wanted = |name: &str| args.first().is_none_or(|a| a == "all" || a.split(',').any(|a| a == name));
    let draws = args.get(1).and_then(|a| a.parse().ok());
    if wants_delays {
        println!("| tests | regimes | phi | 0.5 sd | 1 sd | 2 sd |\n|---|---|---|---|---|---|");
        for (case, regimes, phi) in all(&wanted, &[0.0, 0.9]) {
            println!("| {} | {regimes} | {phi} | {} |", case.name, delays(&case, phi, regimes, draws.unwrap_or(4)));
        }
        return;
    }
    println!("| tests | regimes | phi 0 | 0.5 | 0.9 | 0.95 |\n|---|---|---|---|---|---|");
    for (case, regimes, phi) in all(&wanted, &PHIS) {
        if phi == PHIS[0] {
            print!("| {} | {regimes} |", case.name);
        }
        let ratios: Vec<f64> = (0..draws.unwrap_or(24)).filter_map(|seed| run(&case, phi, regimes, seed)).collect();
        let (mean, half) = mean(&ratios);
        print!(" {mean:.2} ± {half:.2} |{}", if phi == PHIS[3] { "\n" } else { "" });
        std::io::stdout().flush().unwrap_or_default();
    }
}

/// What is tried: each monitor with 1 and 8 regimes and these memories.
fn all(wanted: &dyn Fn(&str) -> bool, phis: &[f64]) -> Vec<(Case, usize, f64)> {
    let mut out = Vec::new();
    for regimes in [1, 8] {
        for phi in phis {
            out.extend(cases().into_iter().filter(|c| wanted(c.name)).map(|c| (c, regimes, *phi)));
        }
    }
    out.sort_by_key(|(case, ..)| case.name);
    out
}
