//! The story of the demo through the pure core with the demo's configuration: what it should say, it says.

use std::sync::Arc;
use std::time::Duration;

use driftgate::config::Config;
use driftgate::pipeline::core::MachineCore;
use driftgate::sim::{Actual, CYCLE_SECONDS, Simulation, Story};
use driftgate::types::{BufferState, DriftKind, DriftStatus, NotEvaluated, RegimeState, Timestamp};

/// What was seen in one visit of a phase.
#[derive(Default)]
struct Seen {
    name: &'static str,
    phase: usize,
    data: Vec<DriftStatus>,
    prediction: Vec<DriftStatus>,
    fault: Vec<bool>,
    trusted: Vec<bool>,
    regime: Vec<RegimeState>,
    reasons: Vec<Option<NotEvaluated>>,
    buffer_ready: bool,
    anomalies: usize,
}

/// Time from the phase's start to the first row with this value, s.
fn first<T: PartialEq>(values: &[T], wanted: T) -> Option<f64> {
    values.iter().position(|v| *v == wanted).map(|row| row as f64 * CYCLE_SECONDS)
}

fn share<T: PartialEq>(values: &[T], wanted: T) -> f64 {
    values.iter().filter(|v| **v == wanted).count() as f64 / values.len() as f64
}

/// Runs the whole story, `speed` times faster in the time of the rows.
fn run(seed: u64, speed: f64) -> Vec<Seen> {
    let config = Config::load(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/demo.toml")).unwrap();
    let mut machine = config.machines[0].as_ref().clone();
    machine.settle = machine.settle.div_f64(speed);
    let mut core = MachineCore::new(Arc::new(machine), config.hash.as_str().into(), "Motor1".into(), None).unwrap();
    let cycles = (Story::default().seconds() / CYCLE_SECONDS).round() as usize;
    let start = Timestamp::from_secs_f64(1.7e9);
    let mut seen: Vec<Seen> = Vec::new();
    for (point, cycle) in Simulation::new(seed, 0.0).take(cycles) {
        if seen.last().is_none_or(|s| s.phase != point.phase) {
            seen.push(Seen { name: point.name, phase: point.phase, ..Seen::default() });
        }
        let frame = cycle.frame(start.plus(Duration::from_secs_f64(point.seconds / speed)));
        let verdict = core.step(&frame).verdict;
        let Some(phase) = seen.last_mut() else { unreachable!() };
        let status = |kind| verdict.monitors.iter().find(|m| m.kind == kind).map(|m| m.status).unwrap();
        phase.data.push(status(DriftKind::DataDrift));
        phase.prediction.push(status(DriftKind::PredictionDrift));
        phase.fault.push(verdict.models[0].fault);
        phase.trusted.push(verdict.models[0].trust.is_trusted());
        phase.regime.push(verdict.regime.state);
        phase.reasons.push(verdict.not_evaluated);
        phase.anomalies += usize::from(verdict.models[0].anomaly);
        phase.buffer_ready |= verdict.buffers.iter().any(|b| b.state == BufferState::Ready);
    }
    seen
}

#[test]
fn the_story_is_told_as_it_is_written() {
    for (seed, speed) in [(1, 1.0), (2, 20.0), (3, 1.0)] {
        let seen = run(seed, speed);
        for s in &seen {
            println!(
                "seed {seed} {:17} data drift after {:?} s (warning {:.2}), prediction drift after {:?} s (warning {:.2}), fault after {:?} s, {} anomalies of {}, end {:?} {:?}",
                s.name,
                first(&s.data, DriftStatus::Drift),
                share(&s.data, DriftStatus::Warning),
                first(&s.prediction, DriftStatus::Drift),
                share(&s.prediction, DriftStatus::Warning),
                first(&s.fault, true),
                s.anomalies,
                s.data.len(),
                s.data.last(),
                s.prediction.last(),
            );
        }
        check(&seen);
    }
}

fn check(seen: &[Seen]) {
    let story = Story::default();
    for s in seen {
        let actual = story.phases()[s.phase].actual;
        let drift = first(&s.data, DriftStatus::Drift);
        let fault = first(&s.fault, true);
        match (actual, s.name) {
            (Actual::Drift, _) => {
                assert!(drift.is_some_and(|t| t < 100.0), "found in the first half of the ramp: {drift:?}");
                assert!(s.buffer_ready, "data for retraining is there");
                assert_eq!(fault, None, "a slow change is no fault");
            }
            (Actual::Fault, _) => {
                assert!(fault.is_some_and(|t| t < 3.0), "found at once: {fault:?}");
                assert!(share(&s.reasons, Some(NotEvaluated::FaultActive)) > 0.9, "and no drift is judged");
            }
            (Actual::Outside, _) => {
                assert!(first(&s.trusted, true).is_none() && fault.is_none() && drift.is_none());
                assert!(share(&s.regime, RegimeState::OutOfEnvelope) > 0.7);
            }
            (Actual::Standstill, _) => assert_eq!(share(&s.reasons, Some(NotEvaluated::NotProducing)), 1.0),
            (Actual::Healthy, "Learning") => {
                assert_eq!(first(&s.reasons, None), Some(150.0), "learned from 1,500 rows");
            }
            (Actual::Healthy, "Repaired") => {
                assert_eq!(first(&s.fault[50..], true), None, "a fault ends within five seconds");
                assert_eq!((s.data.last(), s.prediction.last()), (Some(&DriftStatus::OK), Some(&DriftStatus::OK)), "the drift has gone");
            }
            (Actual::Healthy, _) => {
                assert_eq!((drift, fault), (None, None), "{}", s.name);
                assert_eq!(first(&s.prediction, DriftStatus::Drift), None, "{}", s.name);
                assert!(share(&s.data, DriftStatus::Warning) < 0.2, "{}: hardly a warning", s.name);
                assert!((s.anomalies > 0) || s.name != "Spikes", "some of the spikes are anomalies");
            }
        }
    }
}
