use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::*;

const TESTS: [(Test, f64); 2] = [(Test::Metric(Metric::KolmogorovSmirnov), 0.001), (Test::Metric(Metric::Wasserstein), 0.5)];

fn params() -> MonitorParams {
    MonitorParams { enabled: true, tests: TESTS.to_vec(), window_rows: 100, hop: 20, consecutive_limit: 3, baseline_rows: 0 }
}

fn reference(rng: &mut ChaCha8Rng) -> Option<Reference> {
    let sample: Vec<f64> = (0..1000).map(|_| StandardNormal.sample(rng)).collect();
    Reference::new(&sample).ok()
}

/// Rows of two columns; the second is shifted by `shift` sd from row `from` on. Status after each evaluation.
fn run(monitor: &mut Monitor, references: &References, rows: usize, from: usize, shift: f64, rng: &mut ChaCha8Rng) -> Vec<DriftStatus> {
    let mut statuses = vec![];
    for i in 0..rows {
        let a: f64 = StandardNormal.sample(rng);
        let b: f64 = StandardNormal.sample(rng);
        let row = [a, b + if i >= from { shift } else { 0.0 }];
        let time = Timestamp::from_nanos(i as i64);
        statuses.extend(monitor.push(0, time, &row, references).map(|e| e.status));
    }
    statuses
}

#[test]
fn a_shift_is_found_named_and_over_when_it_is_gone() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let references: References = vec![reference(&mut rng), reference(&mut rng)];
    let mut monitor = Monitor::new(params(), 2, 1);
    let healthy = run(&mut monitor, &references, 2000, usize::MAX, 0.0, &mut rng);
    assert_eq!(healthy.len(), 96, "first at row 100, then every 20");
    assert!(healthy.iter().all(|s| *s == DriftStatus::OK));
    let drifted = run(&mut monitor, &references, 400, 0, 1.5, &mut rng);
    assert_eq!(drifted.last(), Some(&DriftStatus::Drift));
    assert_eq!(monitor.last().unwrap().top, Some(1));
    assert!(monitor.last().unwrap().index > 1.0);
    let repaired = run(&mut monitor, &references, 400, usize::MAX, 0.0, &mut rng);
    assert_eq!(repaired.last(), Some(&DriftStatus::OK));
}

#[test]
fn a_dead_column_does_not_stop_the_others() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let references: References = vec![None, reference(&mut rng)];
    let mut monitor = Monitor::new(params(), 2, 1);
    let statuses = run(&mut monitor, &references, 500, 0, 2.0, &mut rng);
    assert_eq!(statuses.last(), Some(&DriftStatus::Drift));
    assert!(monitor.columns()[0].index.is_nan());
}

#[test]
fn a_window_half_empty_is_not_tested() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let references: References = vec![reference(&mut rng)];
    let mut monitor = Monitor::new(params(), 1, 1);
    for i in 0..300 {
        let x: f64 = if i % 3 == 0 { 9.0 } else { f64::NAN };
        monitor.push(0, Timestamp::from_nanos(i), &[x], &references);
    }
    assert!(monitor.columns()[0].index.is_nan());
    assert!((monitor.columns()[0].missing - 0.66).abs() < 0.02);
    assert_eq!(monitor.status(), Some(DriftStatus::OK));
}

#[test]
fn a_new_threshold_holds_at_once_and_a_restart_keeps_the_count() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let references: References = vec![reference(&mut rng), reference(&mut rng)];
    let mut monitor = Monitor::new(params(), 2, 1);
    run(&mut monitor, &references, 140, usize::MAX, 0.0, &mut rng);
    assert!(!monitor.tests()[1].exceeded);
    let mut tight = params();
    tight.tests[1].1 = 1e-6;
    monitor.set_params(tight.clone());
    assert!(monitor.tests()[1].exceeded);
    let mut other = Monitor::new(tight, 2, 1);
    other.restore_state(&monitor.state());
    assert_eq!(other.state(), monitor.state());
    assert_eq!(other.status(), monitor.status());
}

#[test]
fn a_chart_goes_on_over_regimes_against_the_machines_own_baseline() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let regimes: Vec<References> = (0..2).map(|_| vec![reference(&mut rng)]).collect();
    let tests = vec![(Test::Chart(crate::drift::Chart::Cusum), 8.0)];
    let params = MonitorParams { enabled: true, tests, window_rows: 50, hop: 1, consecutive_limit: 1, baseline_rows: 200 };
    let mut monitor = Monitor::new(params.clone(), 1, 2);
    let mut push = |monitor: &mut Monitor, i: i64, level: f64| {
        let x: f64 = StandardNormal.sample(&mut rng);
        let slot = (i % 2) as u16;
        monitor.push(slot, Timestamp::from_nanos(i), &[x + level], &regimes[usize::from(slot)])
    };
    // This machine stands 3 sd from those of the reference.
    for i in 0..200 {
        assert_eq!(push(&mut monitor, i, 3.0), None);
        assert_eq!(monitor.status(), None, "learning");
    }
    let healthy = (200..500).filter_map(|i| push(&mut monitor, i, 3.0)).filter(|e| e.status == DriftStatus::Drift).count();
    assert_eq!(healthy, 0, "its offset is no drift");
    let mut restored = Monitor::new(params, 1, 2);
    restored.restore_state(&monitor.state());
    for i in 500..540 {
        push(&mut monitor, i, 4.5);
    }
    assert_eq!((monitor.regime_status(0), monitor.regime_status(1)), (Some(DriftStatus::Drift), Some(DriftStatus::Drift)));
    assert_eq!((monitor.worst_slot(), monitor.last().unwrap().top), (None, Some(0)));
    let again = (500..540).filter_map(|i| push(&mut restored, i, 4.5)).filter(|e| e.status == DriftStatus::Drift).count();
    assert!(again > 10, "a restart keeps baseline and chart");
}
