use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::*;
use crate::types::NoEstimate;

const OK: Option<DriftStatus> = Some(DriftStatus::OK);
const WARNING: Option<DriftStatus> = Some(DriftStatus::Warning);
const DRIFT: Option<DriftStatus> = Some(DriftStatus::Drift);

fn params(window_rows: usize) -> MonitorParams {
    MonitorParams {
        enabled: true,
        tests: vec![(Metric::FisherExact.into(), default_threshold(Metric::FisherExact.into()))],
        window_rows,
        hop: 20,
        consecutive_limit: 3,
        baseline_rows: 0,
    }
}

/// A reference of 1,000 rows a regime: a tenth are faults, found with `recall`; of the healthy ones `alarms` are called faulty.
fn reference(regimes: usize, recall: f64, alarms: f64) -> PerformanceReference {
    let mut rows = LabelledScores::default();
    for i in 0..1000 {
        let fault = i % 10 == 0;
        let k = f64::from(i / 10 % 100) / 100.0;
        let called = k < if fault { recall } else { alarms };
        rows.push(if called { 1.0 } else { 0.0 }, fault);
    }
    PerformanceReference::new(vec![rows; regimes])
}

struct Bench {
    performance: Performance,
    rng: ChaCha8Rng,
    row: i64,
}

impl Bench {
    fn new(regimes: usize, reference: Option<&PerformanceReference>) -> Self {
        let mut performance = Performance::new(params(200), regimes);
        performance.set_reference(reference, 0.5);
        Self { performance, rng: ChaCha8Rng::seed_from_u64(3), row: 0 }
    }

    /// Labelled rows of a regime: share of faults, recall, share of false alarms.
    fn rows(&mut self, slot: u16, rows: usize, faults: f64, recall: f64, alarms: f64) -> Option<DriftStatus> {
        for _ in 0..rows {
            self.row += 1;
            let time = Timestamp::from_nanos(self.row);
            let fault = self.rng.gen_bool(faults);
            let predicted = self.rng.gen_bool(if fault { recall } else { alarms });
            self.performance.predicted(slot, time, f64::NAN);
            self.performance.label(slot, Labelled { time, predicted, fault });
        }
        self.performance.regime_status(slot)
    }
}

#[test]
fn worse_is_drift_better_is_none() {
    let reference = reference(1, 0.8, 0.05);
    let mut bench = Bench::new(1, Some(&reference));
    assert_eq!(bench.rows(0, 150, 0.1, 0.8, 0.05), None, "the window is not full");
    assert_eq!(bench.rows(0, 2000, 0.1, 0.8, 0.05), OK);
    assert_eq!(bench.rows(0, 1000, 0.1, 1.0, 0.0), OK, "an improvement is no alarm");
    assert_eq!(bench.performance.tests()[0].index, 0.0);
    assert_eq!(bench.rows(0, 400, 0.1, 0.8, 0.30), DRIFT);
    let evaluation = *bench.performance.last().unwrap();
    assert!(evaluation.index > 1.0 && evaluation.window.0 < evaluation.window.1 && bench.performance.basis(0) == Basis::Labels);
    assert_eq!(bench.rows(0, 400, 0.1, 0.8, 0.05), OK, "and over again");
}

#[test]
fn more_faults_than_usual_are_no_worse_model() {
    let reference = reference(1, 0.6, 0.01);
    let mut bench = Bench::new(1, Some(&reference));
    bench.rows(0, 300, 0.1, 0.6, 0.01);
    assert_eq!(bench.rows(0, 600, 0.9, 0.6, 0.01), OK, "the error rate is 9 times as high, but not that of faults");
    assert!(bench.performance.regime(0).unwrap().window.error_rate() > 0.3);
    assert_eq!(bench.rows(0, 400, 0.9, 0.2, 0.01), DRIFT, "faults are missed that were found before");
}

#[test]
fn a_class_that_the_reference_lacks_is_held_against_its_overall_error() {
    let mut healthy = LabelledScores::default();
    (0..1000).for_each(|i| healthy.push(f64::from(u8::from(i % 100 == 0)), false));
    let reference = PerformanceReference::new(vec![healthy]);
    assert_eq!(reference.probability, Err(NoEstimate::TooFew { healthy: 1000, faulty: 0, need: 20 }));
    let mut bench = Bench::new(1, Some(&reference));
    assert_eq!(bench.rows(0, 400, 0.0, 0.0, 0.01), OK);
    assert_eq!(bench.rows(0, 400, 0.1, 0.95, 0.01), OK, "faults are found");
    assert_eq!(bench.rows(0, 400, 0.1, 0.0, 0.01), DRIFT, "labels say fault, the model never does");
}

#[test]
fn one_regime_does_not_speak_for_another() {
    let reference = reference(2, 0.8, 0.05);
    let mut bench = Bench::new(2, Some(&reference));
    for _ in 0..20 {
        bench.rows(0, 50, 0.1, 0.8, 0.05);
        bench.rows(1, 50, 0.1, 0.8, 0.35);
    }
    assert_eq!((bench.performance.regime_status(0), bench.performance.regime_status(1)), (OK, DRIFT));
    assert_eq!((bench.performance.status(), bench.performance.worst_slot()), (DRIFT, Some(1)));
}

#[test]
fn without_labels_in_training_the_first_rows_are_the_reference() {
    let mut bench = Bench::new(1, None);
    assert_eq!(bench.rows(0, 199, 0.1, 0.8, 0.05), None);
    assert_eq!(bench.performance.regime(0).unwrap().reference, Confusion::default());
    assert_eq!(bench.rows(0, 600, 0.1, 0.8, 0.05), OK);
    let regime = bench.performance.regime(0).unwrap();
    assert_eq!((regime.reference.total(), regime.window.total(), regime.total.total()), (200, 200, 799));
    assert_eq!(bench.rows(0, 400, 0.1, 0.1, 0.4), DRIFT);
}

#[test]
fn a_restart_goes_on() {
    let mut bench = Bench::new(1, None);
    bench.rows(0, 500, 0.1, 0.8, 0.05);
    bench.rows(0, 270, 0.1, 0.1, 0.5);
    let bytes = serde_json::to_vec(&bench.performance.state()).unwrap();
    let mut restored = Performance::new(params(200), 1);
    restored.restore_state(&serde_json::from_slice(&bytes).unwrap());
    assert_eq!(restored.regime_status(0), DRIFT);
    for i in 0..400 {
        let row = Labelled { time: Timestamp::from_nanos(10_000 + i), predicted: i % 3 == 0, fault: i % 7 == 0 };
        assert_eq!(restored.label(0, row), bench.performance.label(0, row));
    }
}

/// Scores of a normal distribution around `mean`; a fault with the probability of a logistic curve around 1.5.
fn scored(rng: &mut ChaCha8Rng, mean: f64, rows: usize) -> LabelledScores {
    let mut out = LabelledScores::default();
    for _ in 0..rows {
        let noise: f64 = StandardNormal.sample(rng);
        let score = mean + noise;
        let p = 1.0 / (1.0 + (-4.0 * (score - 1.5)).exp());
        out.push(score, rng.gen_bool(p));
    }
    out
}

#[test]
fn the_estimate_follows_the_error_when_the_data_shifts() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let threshold = 1.5;
    let reference = PerformanceReference::new(vec![scored(&mut rng, 0.0, 4000)]);
    let mut errors = Vec::new();
    for mean in [-1.0, 0.0, 0.5, 1.0, 1.5, 2.5] {
        let mut performance = Performance::new(params(2000), 1);
        performance.set_reference(Some(&reference), threshold);
        let rows = scored(&mut rng, mean, 2000);
        for (i, score) in rows.scores.iter().enumerate() {
            performance.predicted(0, Timestamp::from_nanos(i as i64), reference.expected_error(*score, threshold));
        }
        let mut truth = Confusion::default();
        rows.rows().for_each(|(score, fault)| truth.add(score > threshold, fault));
        let estimate = performance.regime(0).unwrap().estimate;
        errors.push(truth.error_rate());
        assert!((estimate - truth.error_rate()).abs() < 0.03, "mean {mean}: estimated {estimate}, true {}", truth.error_rate());
    }
    assert!(errors[4] > 5.0 * errors[0] && errors[4] > 0.1, "the errors differ: {errors:?}");
}

#[test]
fn an_estimate_warns_and_labels_overrule_it() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let threshold = 1.5;
    let reference = PerformanceReference::new(vec![scored(&mut rng, 0.0, 4000)]);
    let mut performance = Performance::new(params(200), 1);
    performance.set_reference(Some(&reference), threshold);
    let mut row = 0;
    let mut run = |performance: &mut Performance, mean: f64, rows: usize, labelled: bool| {
        for (score, _) in scored(&mut rng, mean, rows).rows() {
            row += 1;
            let time = Timestamp::from_nanos(row);
            performance.predicted(0, time, reference.expected_error(score, threshold));
            if labelled {
                // Labels that agree with the model.
                performance.label(0, Labelled { time, predicted: score > threshold, fault: score > threshold });
            }
        }
        (performance.regime_status(0), performance.basis(0))
    };
    assert_eq!(run(&mut performance, 0.0, 190, false), (None, Basis::None));
    assert_eq!(run(&mut performance, 0.0, 2000, false), (OK, Basis::Estimate));
    assert_eq!(run(&mut performance, 1.5, 2000, false), (WARNING, Basis::Estimate), "never more than a warning");
    assert_eq!(run(&mut performance, 1.5, 400, true), (OK, Basis::Labels), "labels overrule it");
    assert_eq!(run(&mut performance, 1.5, 150, false), (OK, Basis::Labels), "the last labels still count");
    assert_eq!(run(&mut performance, 1.5, 400, false), (WARNING, Basis::Estimate), "labels have stopped");
    assert!(performance.regime(0).unwrap().band.1 < performance.regime(0).unwrap().estimate);
}

/// The default threshold with the default window and N, on independent rows: at most one onset in 100,000 labels.
#[test]
fn false_alarms_are_rare() {
    let reference = reference(1, 0.8, 0.05);
    let (mut onsets, mut labels) = (0, 0);
    for seed in 0..20 {
        let mut bench = Bench::new(1, Some(&reference));
        bench.rng = ChaCha8Rng::seed_from_u64(seed);
        let mut before = None;
        for _ in 0..500 {
            let status = bench.rows(0, 20, 0.1, 0.8, 0.05);
            onsets += usize::from(status == DRIFT && before != DRIFT);
            (before, labels) = (status, labels + 20);
        }
    }
    assert!(onsets <= labels / 100_000, "{onsets} onsets in {labels} labels");
}
