//! Commands to a core, from learning on: each with what it changes for the rows after it, and over a restart.

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{CoreState, Decided, MachineCore};
use crate::config::{Config, MachineConfig};
use crate::types::{
    BufferReason, BufferState, Channel, Command, CommandCode, DriftStatus, EventKind, Frame, NotEvaluated, Refusal, RegimeState, Scalar,
    Timestamp, Trust, Value,
};

const CONFIG: &str = r#"
[[machines]]
name = "M"
signals = ["a", "b"]
settings = [{ name = "V", tolerance = 5.0 }]
learn_rows = 600
min_reference_rows = 100
regime_slots = 4
[[machines.models]]
name = "K"
inputs = ["a", "b"]
[machines.models.prediction_drift]
tests = [{ metric = "wasserstein", threshold = 0.5 }]
window_rows = 100
hop = 10
[machines.data_drift]
tests = [{ metric = "kolmogorov_smirnov", threshold = 0.001 }, { metric = "wasserstein", threshold = 0.5 }]
window_rows = 100
hop = 10
"#;

/// A machine at 164 V and 289 V that has learned both; one row a second.
struct Bench {
    core: MachineCore,
    rng: ChaCha8Rng,
    seconds: f64,
    told: Vec<EventKind>,
}

fn machine(text: &str) -> Arc<MachineConfig> {
    Config::parse(text).unwrap_or_else(|e| panic!("{e}")).machines[0].clone()
}

impl Bench {
    fn learned() -> Self {
        Self::of(CONFIG)
    }

    fn of(text: &str) -> Self {
        let core = MachineCore::new(machine(text), "".into(), "M".into(), None).unwrap();
        let mut bench = Self { core, rng: ChaCha8Rng::seed_from_u64(7), seconds: 0.0, told: Vec::new() };
        bench.rows(300, 164.0, 0.0);
        bench.rows(300, 289.0, 0.0);
        assert!(bench.core.bundle().is_some());
        bench.core.name_bundle("0123456789abcdef".into());
        bench.rows(150, 164.0, 0.0);
        assert_eq!(bench.status(), DriftStatus::OK);
        bench
    }

    /// Rows with both signals moved by `shift` standard deviations.
    fn rows(&mut self, count: usize, volts: f64, shift: f64) {
        for _ in 0..count {
            self.seconds += 1.0;
            let time = Timestamp::from_secs_f64(self.seconds);
            let mut noise = || -> f64 { StandardNormal.sample(&mut self.rng) };
            let values = [volts / 10.0 + noise() + shift, 5.0 + noise() + shift, volts];
            let frame = Frame { time, channels: values.map(|x| Channel::good(Value::Real(x), time)).to_vec() };
            let step = self.core.step(&frame);
            self.told.extend(step.events.iter().map(|e| e.kind.clone()));
        }
    }

    fn decide(&mut self, command: &Command) -> Result<Decided, Refusal> {
        self.core.decide(command, &"eva".into(), Timestamp::EPOCH)
    }

    /// A command that must succeed, in force.
    fn give(&mut self, command: Command) -> Vec<Scalar> {
        match self.decide(&command) {
            Ok(Decided::Done(answer, _)) => answer.outputs,
            Ok(Decided::Plan(plan)) => {
                self.core.commit(&plan);
                Vec::new()
            }
            Err(refusal) => panic!("{command:?}: {refusal}"),
        }
    }

    fn refused(&mut self, command: Command) -> Refusal {
        match self.decide(&command) {
            Err(refusal) => refusal,
            Ok(_) => panic!("{command:?} was not refused"),
        }
    }

    fn status(&self) -> DriftStatus {
        self.core.verdict().status
    }

    fn can(&self, code: CommandCode) -> bool {
        self.core.allowed() & code.bit() != 0
    }

    /// The same machine after a stop and a start: its bundle and state from their bytes, without rows in its windows.
    fn restart(&mut self) {
        let state: CoreState = serde_json::from_str(&serde_json::to_string(&self.core.state()).unwrap()).unwrap();
        let (bytes, _) = crate::bundle::encode(self.core.bundle().unwrap()).unwrap();
        let (bundle, hash) = crate::bundle::decode(&bytes).unwrap();
        let mut core = MachineCore::new(self.core.config().clone(), "".into(), "M".into(), Some(Arc::new(bundle))).unwrap();
        core.restore_forgotten(&state);
        core.restore(&state);
        core.name_bundle(hash.into());
        self.core = core;
    }
}

fn accept(regime: &str) -> Command {
    Command::AcceptDriftAsNewReference { regime: regime.into(), comment: "new bearing".into() }
}

fn learn(regime: &str, min_rows: u32, max_seconds: f64) -> Command {
    Command::StartReferenceLearning { regime: regime.into(), min_rows, max_seconds, comment: "".into() }
}

fn suspend(max_seconds: f64) -> Command {
    Command::SuspendMonitoring { max_seconds, comment: "".into() }
}

fn restore(regime: &str) -> Command {
    Command::RestoreReference { regime: regime.into(), comment: "".into() }
}

#[test]
fn accepted_drift_is_the_new_normal_and_can_be_taken_back() {
    let mut bench = Bench::learned();
    bench.rows(400, 164.0, 2.0);
    assert_eq!(bench.status(), DriftStatus::Drift);
    assert!(bench.can(CommandCode::AcceptDriftAsNewReference) && !bench.can(CommandCode::RestoreReference));
    bench.give(accept("V=164"));
    bench.rows(1, 164.0, 2.0);
    assert_eq!(bench.core.verdict().monitors[0].status, DriftStatus::OK, "the next row is judged by the new reference");
    bench.rows(150, 164.0, 2.0);
    assert_eq!(bench.status(), DriftStatus::OK);
    assert_eq!(bench.core.verdict().models[0].trust, Trust::Trusted);
    let slot = &bench.core.verdict().regimes[0];
    assert_eq!((slot.revision, slot.rows_learned), (1, 100));
    assert_eq!(bench.core.reference_id(0, 1), "0123456789ab-R01.1");

    bench.restart();
    assert_eq!(bench.core.reference_id(0, 1), "0123456789ab-R01.1", "named by what was trained");
    bench.rows(150, 164.0, 2.0);
    assert_eq!(bench.status(), DriftStatus::OK, "kept over a restart");
    assert_eq!(bench.core.bundle().unwrap().regimes[0].change.as_ref().unwrap().stamp.user, "eva");

    bench.give(restore("V=164"));
    bench.rows(250, 164.0, 2.0);
    assert_eq!(bench.status(), DriftStatus::Drift, "against the trained reference again");
    assert_eq!(bench.core.verdict().regimes[0].revision, 2);
    bench.give(restore("V=164"));
    bench.rows(250, 164.0, 2.0);
    assert_eq!(bench.status(), DriftStatus::OK, "undo of the undo");
}

#[test]
fn other_regimes_keep_what_they_had() {
    let mut bench = Bench::learned();
    bench.rows(150, 289.0, 0.0);
    bench.rows(250, 164.0, 2.0);
    let before = bench.core.bundle().unwrap().regimes[1].clone();
    bench.give(accept("V=164"));
    assert_eq!(bench.core.bundle().unwrap().regimes[1], before);
    assert_eq!(bench.core.data.regime_status(1), Some(DriftStatus::OK));
    assert_eq!(bench.core.data.window_fill(1), (100, 100));
}

#[test]
fn what_cannot_be_accepted_is_refused_and_changes_nothing() {
    let mut bench = Bench::learned();
    let state = bench.core.state();
    assert!(matches!(bench.refused(accept("V=12")), Refusal::Argument { index: 0, .. }));
    let text = bench.refused(accept("V=289")).to_string();
    assert!(text.contains("0 of 100 rows"), "{text}");
    assert!(matches!(bench.refused(restore("V=164")), Refusal::InvalidState(_)));
    assert!(matches!(bench.refused(learn("", 5, 0.0)), Refusal::Argument { index: 1, .. }));
    for seconds in [-1.0, f64::NAN, f64::INFINITY, 1e12] {
        assert!(matches!(bench.refused(suspend(seconds)), Refusal::Argument { index: 0, .. }), "{seconds}");
    }
    assert!(matches!(bench.refused(Command::ReloadConfig { dry_run: true }), Refusal::NotSupported(_)));
    assert_eq!(bench.core.state(), state);
}

#[test]
fn a_regime_is_learned_anew_while_the_other_is_watched() {
    let mut bench = Bench::learned();
    let id = bench.give(learn("V=164", 200, 0.0));
    assert_eq!(id, [Scalar::from("0123456789ab-R01.1")]);
    assert!(matches!(bench.refused(learn("V=289", 0, 0.0)), Refusal::InvalidState(_)), "one at a time");
    bench.rows(150, 164.0, 3.0);
    let verdict = bench.core.verdict();
    assert_eq!((verdict.not_evaluated, verdict.regime.state), (Some(NotEvaluated::Learning), RegimeState::Learning));
    assert_eq!((verdict.regimes[0].rows_learned, verdict.regimes[0].rows_required), (150, 200));
    assert_eq!(verdict.regimes[0].state, RegimeState::Learning);
    bench.rows(150, 289.0, 0.0);
    assert_eq!(bench.core.verdict().monitors[0].status, DriftStatus::OK);
    bench.told.clear();
    bench.rows(50, 164.0, 3.0);
    assert!(bench.told.iter().any(|e| matches!(e, EventKind::Reference { rows: 200, .. })), "{:?}", bench.told);
    assert!(bench.told.iter().any(|e| matches!(e, EventKind::ReferenceChanged { new, .. } if &**new == "0123456789ab-R01.1")));
    bench.rows(150, 164.0, 3.0);
    assert_eq!(bench.status(), DriftStatus::OK, "three standard deviations up are normal now");
    assert!(bench.can(CommandCode::RestoreReference));
}

#[test]
fn learning_ends_with_its_time_or_when_frozen() {
    let mut bench = Bench::learned();
    bench.give(learn("", 500, 60.0));
    assert!(!bench.can(CommandCode::FreezeReference));
    bench.rows(30, 164.0, 3.0);
    assert!(bench.can(CommandCode::FreezeReference));
    bench.rows(40, 164.0, 3.0);
    assert!(!bench.can(CommandCode::FreezeReference), "the time was over");
    assert_eq!(bench.core.verdict().regimes[0].revision, 0, "the reference before stays");

    bench.give(learn("V=164", 500, 0.0));
    bench.rows(10, 164.0, 3.0);
    let freeze = |regime: &str| Command::FreezeReference { regime: regime.into(), comment: "".into() };
    assert!(matches!(bench.refused(freeze("")), Refusal::InvalidState(_)), "ten rows are no reference");
    bench.rows(110, 164.0, 3.0);
    assert!(matches!(bench.refused(freeze("V=289")), Refusal::Argument { .. }));
    bench.give(freeze("V=164"));
    assert_eq!(bench.core.verdict().regimes[0].rows_learned, 120);
    bench.rows(150, 164.0, 3.0);
    assert_eq!(bench.status(), DriftStatus::OK);
}

#[test]
fn a_learning_goes_on_after_a_restart() {
    let mut bench = Bench::learned();
    bench.give(learn("V=164", 100, 0.0));
    bench.rows(50, 164.0, 3.0);
    bench.restart();
    bench.rows(60, 164.0, 3.0);
    assert_eq!(bench.core.verdict().regimes[0].rows_learned, 60, "rows are counted anew");
    bench.rows(40, 164.0, 3.0);
    assert_eq!(bench.core.verdict().regimes[0].revision, 1);
}

#[test]
fn new_settings_are_learned_but_never_trusted() {
    let mut bench = Bench::learned();
    bench.rows(5, 230.0, 0.0);
    assert_eq!(bench.core.verdict().not_evaluated, Some(NotEvaluated::OutsideEnvelope));
    bench.give(learn("V=230", 0, 0.0));
    bench.rows(100, 230.0, 0.0);
    bench.rows(150, 230.0, 0.0);
    let verdict = bench.core.verdict();
    assert_eq!(verdict.monitors[0].status, DriftStatus::OK, "its data is watched");
    assert_eq!((verdict.regime.slot, &*verdict.regimes[2].key), (Some(2), "V=230"));
    assert!(verdict.regimes[2].in_use && !verdict.regimes[2].in_envelope);
    assert!(verdict.models[0].score.is_nan() && verdict.models[0].trust == Trust::Outside);
    bench.restart();
    bench.rows(400, 230.0, 2.0);
    assert_eq!(bench.core.verdict().monitors[0].status, DriftStatus::Drift);
    assert!(bench.core.verdict().models[0].score.is_nan());
}

#[test]
fn new_settings_are_learned_by_themselves_where_that_is_wanted() {
    let mut bench = Bench::of(&CONFIG.replace("regime_slots = 4", "regime_slots = 3\nauto_learn_new_regime = true"));
    bench.rows(1, 230.0, 0.0);
    assert_eq!(bench.core.verdict().not_evaluated, Some(NotEvaluated::Learning));
    bench.rows(200, 230.0, 0.0);
    assert_eq!(bench.core.verdict().regime.slot, Some(2));
    bench.rows(5, 400.0, 0.0);
    assert_eq!(bench.core.verdict().not_evaluated, Some(NotEvaluated::OutsideEnvelope), "no slot is left");
}

#[test]
fn a_discarded_regime_is_not_judged_until_it_is_restored() {
    let mut bench = Bench::learned();
    bench.give(Command::DiscardReference { regime: "V=164".into(), comment: "".into() });
    bench.rows(20, 164.0, 0.0);
    let verdict = bench.core.verdict();
    assert_eq!((verdict.not_evaluated, verdict.regimes[0].state), (Some(NotEvaluated::NoReference), RegimeState::NoReference));
    assert!(verdict.models[0].score.is_nan());
    assert!(matches!(bench.refused(accept("V=164")), Refusal::InvalidState(_)));
    bench.restart();
    bench.give(restore("V=164"));
    bench.rows(150, 164.0, 0.0);
    assert_eq!(bench.status(), DriftStatus::OK);
}

#[test]
fn a_suspension_ends_by_itself_or_by_command() {
    let mut bench = Bench::learned();
    bench.give(suspend(30.0));
    bench.rows(29, 164.0, 5.0);
    assert_eq!((bench.status(), bench.core.verdict().regime.state), (DriftStatus::Suspended, RegimeState::Suspended));
    assert!(bench.can(CommandCode::ResumeMonitoring) && !bench.can(CommandCode::SuspendMonitoring));
    bench.restart();
    bench.told.clear();
    bench.rows(1, 164.0, 0.0);
    assert_ne!(bench.status(), DriftStatus::Suspended, "thirty seconds of frames");
    assert!(bench.told.iter().any(|e| matches!(e, EventKind::Note { text } if text.contains("resumed"))));
    bench.give(suspend(0.0));
    bench.rows(1_000, 164.0, 0.0);
    assert_eq!(bench.status(), DriftStatus::Suspended, "without a limit");
    bench.give(Command::ResumeMonitoring);
    assert!(matches!(bench.refused(Command::ResumeMonitoring), Refusal::InvalidState(_)));
    bench.rows(150, 164.0, 0.0);
    assert_eq!(bench.status(), DriftStatus::OK);
}

#[test]
fn a_new_baseline_takes_an_offset_out_and_can_be_taken_back() {
    let mut bench = Bench::learned();
    bench.rows(400, 164.0, 2.0);
    assert_eq!(bench.core.verdict().monitors[0].status, DriftStatus::Drift);
    bench.give(Command::Rebaseline { comment: "".into() });
    bench.rows(50, 164.0, 2.0);
    bench.restart();
    bench.rows(200, 164.0, 2.0);
    assert_eq!(bench.core.verdict().monitors[0].status, DriftStatus::OK, "the offset is the machine's own now");
    assert!(bench.can(CommandCode::RestoreBaseline));
    bench.give(Command::RestoreBaseline { comment: "".into() });
    bench.rows(200, 164.0, 2.0);
    assert_eq!(bench.core.verdict().monitors[0].status, DriftStatus::Drift);
}

#[test]
fn a_monitor_that_is_reset_starts_anew() {
    let mut bench = Bench::learned();
    bench.rows(400, 164.0, 2.0);
    let reset = |monitor: &str| Command::ResetMonitor { monitor: monitor.into(), comment: "".into() };
    assert!(matches!(bench.refused(reset("Drift")), Refusal::OutOfRange(_)));
    bench.give(reset("DataDrift"));
    bench.rows(50, 164.0, 0.0);
    assert_eq!(bench.core.verdict().monitors[0].status, DriftStatus::Learning);
    bench.rows(100, 164.0, 0.0);
    assert_eq!(bench.core.verdict().monitors[0].status, DriftStatus::OK);
    let row = bench.core.state().row;
    bench.give(reset("DataDrift"));
    bench.restart();
    bench.core.restore_row(row, 0, Timestamp::EPOCH, &[0.0, 0.0], &[0.1]);
    assert_eq!(bench.core.data.window_fill(0).0, 0, "rows from before the reset stay forgotten");
    assert_eq!(bench.core.models[0].monitor.window_fill(0).0, 1, "of that monitor alone");
}

#[test]
fn buffers_are_started_acknowledged_and_released() {
    let mut bench = Bench::learned();
    let start = |slot, rows| Command::StartCollecting { slot, regime: "".into(), target_rows: rows, comment: "".into() };
    let id = bench.give(start(None, 10));
    let [Scalar::Text(id)] = id.as_slice() else { panic!("{id:?}") };
    assert!(matches!(bench.refused(start(Some(0), 10)), Refusal::InvalidState(_)), "in use");
    let acknowledge = |dataset: &str| Command::AcknowledgeBuffer { slot: Some(0), dataset: dataset.into(), comment: "".into() };
    assert!(matches!(bench.refused(acknowledge(id)), Refusal::InvalidState(_)), "not ready");
    bench.rows(10, 164.0, 0.0);
    assert!(matches!(bench.refused(acknowledge("other")), Refusal::Argument { index: 0, .. }));
    bench.give(acknowledge(id));
    bench.restart();
    let report = &bench.core.verdict().buffers[0];
    assert_eq!((report.state.name(), &*report.acknowledged_by, report.rows, report.target_rows), ("Acknowledged", "eva", 10, 10));
    let release = |slot, dataset: &str| Command::ReleaseBuffer { slot, dataset: dataset.into(), comment: "".into() };
    assert!(matches!(bench.refused(release(Some(1), "")), Refusal::InvalidState(_)));
    bench.give(release(None, id));
    assert_eq!(bench.core.verdict().buffers[0].state.name(), "Idle");
    assert!(!bench.can(CommandCode::ReleaseBuffer) && bench.can(CommandCode::StartCollecting));
}

#[test]
fn a_label_names_a_prediction_or_a_span() {
    let mut bench = Bench::learned();
    let label = |prediction: &str, from: f64, to: f64| Command::SubmitLabel {
        prediction: prediction.into(),
        from: Timestamp::from_secs_f64(from),
        to: Timestamp::from_secs_f64(to),
        class: 1,
        value: 0.0,
        comment: "outer race".into(),
    };
    bench.give(label("M-700", 0.0, 0.0));
    bench.give(label("", 100.0, 200.0));
    for (wrong, index) in
        [(label("M-99999", 0.0, 0.0), 0), (label("X-1", 0.0, 0.0), 0), (label("", 200.0, 100.0), 1), (label("", 0.0, 0.0), 1)]
    {
        assert!(matches!(bench.refused(wrong.clone()), Refusal::Argument { index: i, .. } if i == index), "{wrong:?}");
    }
    bench.restart();
    assert_eq!(bench.core.labels().0, 2);
}

#[test]
fn labels_by_people_count_for_the_performance_monitor() {
    let labelled = CONFIG.replace("[machines.models.prediction_drift]", "[machines.models.label]\n[machines.models.prediction_drift]");
    let mut bench = Bench::of(&labelled);
    let count = |bench: &Bench| bench.core.verdict().models[0].performance.as_ref().map_or(0, |p| p.regimes[0].total.total());
    let label = |prediction: &str, from: f64, to: f64| Command::SubmitLabel {
        prediction: prediction.into(),
        from: Timestamp::from_secs_f64(from),
        to: Timestamp::from_secs_f64(to),
        class: 0,
        value: f64::NAN,
        comment: "".into(),
    };
    assert_eq!(count(&bench), 0);
    bench.give(label("M-700", 0.0, 0.0));
    bench.rows(1, 164.0, 0.0);
    assert_eq!(count(&bench), 1, "of one prediction");
    bench.give(label("", 701.0, 720.0));
    bench.rows(1, 164.0, 0.0);
    assert_eq!(count(&bench), 21, "of a time");
    // Learned from, so without a prediction: kept, not counted.
    let Ok(Decided::Done(answer, _)) = bench.decide(&label("M-5", 0.0, 0.0)) else { panic!("refused") };
    assert!(answer.text.contains("no performance monitor counts it"), "{}", answer.text);
    let time = bench.core.verdict().regimes[0].total_time;
    assert!((100.0..200.0).contains(&time), "{time} s: without the time before the first row that was judged");
    bench.restart();
    assert!(bench.core.verdict().regimes[0].total_time > 100.0);
}

#[test]
fn nothing_is_offered_before_there_is_a_reference() {
    let mut core = MachineCore::new(machine(CONFIG), "".into(), "M".into(), None).unwrap();
    assert_eq!(core.allowed(), 0);
    for command in [suspend(1.0), accept("V=164"), learn("", 0, 0.0), Command::Rebaseline { comment: "".into() }] {
        assert!(matches!(core.decide(&command, &"eva".into(), Timestamp::EPOCH), Err(Refusal::InvalidState(_))), "{command:?}");
    }
}

/// A look at rows without a value has no answer; the one before says nothing of them.
#[test]
fn a_check_of_a_sensor_that_is_gone_has_no_answer() {
    let text = format!("{CONFIG}[[machines.checks]]\nname = \"Middle\"\ncheck = \"mean_in_band\"\nfeature = \"a\"\nlimit = 0.5\n");
    let mut bench = Bench::of(&text);
    let passed = |bench: &Bench| bench.core.verdict().checks[0].passed;
    assert_eq!(passed(&bench), Some(true));
    for _ in 0..150 {
        bench.seconds += 1.0;
        let time = Timestamp::from_secs_f64(bench.seconds);
        let gone = Channel { value: None, quality: crate::types::Quality::Bad(crate::types::Cause::SensorFailure), source_time: time };
        let frame = Frame { time, channels: vec![gone, Channel::good(Value::Real(5.0), time), Channel::good(Value::Real(164.0), time)] };
        bench.core.step(&frame);
    }
    let check = &bench.core.verdict().checks[0];
    assert_eq!((check.passed, check.value.is_nan()), (None, true));
    bench.rows(150, 164.0, 0.0);
    assert_eq!(passed(&bench), Some(true), "it is back");
}

/// 350 V was never trained: its rows wait in a buffer, over a restart, until somebody has it learned.
#[test]
fn rows_outside_the_envelope_are_collected_until_they_are_learned() {
    let mut bench = Bench::of(&format!("{CONFIG}[machines.buffers]\ncollect_outside = true\n"));
    let last = |bench: &Bench| {
        let report = &bench.core.verdict().buffers[3];
        (report.state, report.reason, report.regime_key.to_string(), report.rows)
    };
    let outside = |state, rows| (state, BufferReason::OutOfEnvelope, "V=350".to_string(), rows);
    bench.rows(30, 350.0, 0.0);
    bench.rows(10, 164.0, 0.0);
    bench.restart();
    bench.rows(20, 350.0, 0.0);
    assert_eq!(last(&bench), outside(BufferState::Collecting, 50));
    assert_eq!(bench.core.buffer_stretches(3).len(), 2, "the rows at 164 V are not of it");
    let started = bench.told.iter().filter(|e| matches!(e, EventKind::Buffer { reason: BufferReason::OutOfEnvelope, .. })).count();
    assert_eq!(started, 1);
    bench.give(learn("", 60, 0.0));
    bench.rows(200, 350.0, 0.0);
    assert_eq!(bench.core.verdict().regime.state, RegimeState::Monitoring);
    assert_eq!(last(&bench), outside(BufferState::Ready, 50));
    let mut bench = Bench::of(CONFIG);
    bench.rows(30, 350.0, 0.0);
    assert_eq!(bench.core.verdict().buffers[3].state, BufferState::Idle, "not unless it is asked for");
}

/// A row of each regime every 20 s, two of each at most, a dataset every 5 minutes: whatever the status, over restarts.
#[test]
fn samples_of_all_regimes_become_a_dataset_at_an_interval() {
    let mut bench = Bench::of(&format!("{CONFIG}[machines.buffers]\nsample_every = \"20s\"\nsample_rows = 10\nsample_export = \"5min\"\n"));
    let strata = |bench: &Bench| bench.core.strata().iter().map(|s| (s.key.to_string(), s.rows)).collect::<Vec<_>>();
    assert_eq!(strata(&bench), [("V=164".into(), 8)], "150 judged rows");
    bench.rows(1, 289.0, 0.0);
    bench.restart();
    bench.rows(139, 164.0, 0.0);
    let last = |bench: &Bench| {
        let report = &bench.core.verdict().buffers[3];
        (report.state, report.reason, report.rows, report.dataset_id.to_string())
    };
    assert_eq!(last(&bench).0, BufferState::Idle);
    bench.rows(30, 164.0, 3.0);
    assert_eq!(strata(&bench), [("V=164".into(), 10), ("V=289".into(), 1)], "the rare one is kept");
    assert_eq!(last(&bench), (BufferState::Ready, BufferReason::Scheduled, 11, "M-Scheduled-901".into()));
    let before = bench.core.strata().to_vec();
    bench.rows(50, 164.0, 0.0);
    assert_eq!(bench.core.strata(), before, "as it is until it is exported");
    let told = bench.told.iter().filter(|e| matches!(e, EventKind::Buffer { reason: BufferReason::Scheduled, .. })).count();
    assert_eq!(told, 1);
    assert!(bench.core.start_export(Some(3), "").is_ok());
    bench.core.end_export(3, "M-Scheduled-901", Ok(crate::types::ExportReport::default()));
    bench.rows(300, 164.0, 0.0);
    assert_eq!(last(&bench).0, BufferState::Ready);
    assert_ne!(last(&bench).3, "M-Scheduled-901");
}
