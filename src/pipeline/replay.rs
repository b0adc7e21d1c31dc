//! Recorded data through the same core as live: training, and replay faster than real time.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::core::MachineCore;
use super::performance_summary::{self, PerformanceSummary};
use super::recorded::{FrameReader, Input, RecordedError, TimeBase};
use crate::bundle::{Bundle, ContractError, Labeller, TrainError, Training};
use crate::config::{MachineConfig, ReplayConfig};
use crate::report::run::{Clock, Collector, End, Unit};
use crate::types::{Contributor, DriftStatus, Event, EventKind, NotEvaluated, RegimeState, Timestamp, Verdict};

/// What `train` and `replay` are given besides files.
#[derive(Clone)]
pub struct Recorded {
    /// The machine that the data are of.
    pub machine: Arc<MachineConfig>,
    /// SHA-256 of the configuration, hex: goes into a bundle's provenance.
    pub config_hash: Arc<str>,
    /// Columns of time and unit.
    pub replay: ReplayConfig,
    /// Columns that the files lack.
    pub set: Vec<(String, String)>,
}

/// Why a run over recorded data ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Recorded(#[from] RecordedError),
    #[error("nothing learned from {rows} valid rows: {cause}")]
    Train { rows: usize, cause: TrainError },
    #[error("the bundle does not fit the configuration: {0}")]
    Contract(#[from] ContractError),
    #[error("cannot write the events: {0}")]
    Events(io::Error),
    #[error("there is neither a bundle nor anything to learn from; give --bundle FILE or --learn-rows N")]
    NothingLearned,
}

/// Told how many rows were read, every few thousand.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

const PROGRESS_EVERY: u64 = 5_000;

/// Learns a bundle from recorded healthy data, with thresholds from the healthy data in `calibrate` where there is some and a
/// monitor has a budget. Rows in a transient, not producing, or with a bad setting are left out.
pub fn train(recorded: &Recorded, inputs: &[Input], calibrate: &[Input], progress: Progress<'_>) -> Result<Bundle, ReplayError> {
    let mut training = collect(recorded, inputs, progress)?;
    if !calibrate.is_empty() {
        training.held_back = Some(Box::new(collect(recorded, calibrate, progress)?));
    }
    let rows = training.rows.len();
    training.train(&recorded.machine, &recorded.config_hash).map_err(|cause| ReplayError::Train { rows, cause })
}

/// The rows to learn from, each with its unit.
fn collect(recorded: &Recorded, inputs: &[Input], progress: Progress<'_>) -> Result<Training, ReplayError> {
    let mut training = Training::default();
    let mut units_before = 0;
    for input in inputs {
        let mut reader = FrameReader::open(input, &recorded.machine, &recorded.replay, &recorded.set)?;
        let mut cores: Vec<(MachineCore, Labeller)> = Vec::new();
        loop {
            let read = reader.rows_read();
            if read.is_multiple_of(PROGRESS_EVERY) {
                progress(read);
            }
            let Some(unit) = reader.next_unit()? else { break };
            if unit == cores.len() {
                let mut machine = (*recorded.machine).clone();
                machine.learn_rows = 0;
                let labeller = Labeller::new(&machine);
                cores.push((MachineCore::new(Arc::new(machine), recorded.config_hash.clone(), "".into(), None)?, labeller));
            }
            let (core, labeller) = &mut cores[unit];
            core.prepare(reader.frame(unit));
            let index = core.training_row().map(|row| {
                training.push(units_before + unit as u32, row);
                training.rows.len() - 1
            });
            labeller.step(&mut training, index, core.truths());
        }
        units_before += cores.len() as u32;
    }
    training.set_faults_aside();
    Ok(training)
}

/// What a replay counted. Rates are added by the caller: they are no part of the result.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Frames, all units together.
    pub rows: u64,
    /// A unit is a file and a value of its unit column.
    pub units: u64,
    /// Rows in each regime, by key.
    pub rows_per_regime: BTreeMap<String, u64>,
    /// Rows outside the trained envelope.
    pub outside: u64,
    /// Rows while settings had just changed.
    pub transient: u64,
    /// Rows while `active_when` did not hold.
    pub not_producing: u64,
    /// Rows with a conditioning setting that had no usable value.
    pub bad_setting: u64,
    /// Rows without any usable feature.
    pub bad_inputs: u64,
    /// Rows that a bundle was learned from.
    pub learning: u64,
    /// Evaluations of the data drift monitor.
    pub evaluations: u64,
    /// Changes of the machines' statuses, the first row of each unit not counted.
    pub status_changes: u64,
    /// Rows with each status.
    pub rows_per_status: BTreeMap<String, u64>,
    /// Onsets of Drift.
    pub drifts: u64,
    /// Onsets of faults.
    pub faults: u64,
    /// Named checks by name, all units together.
    pub checks: BTreeMap<String, CheckCount>,
    /// Cells of signals that held no number.
    pub unreadable: u64,
    /// How right each model with labels was.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub performance: BTreeMap<String, PerformanceSummary>,
}

/// How one named check went.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckCount {
    /// Times it looked and had an answer.
    pub looks: u64,
    /// Looks that failed.
    pub failures: u64,
    /// Units at whose end it fails in some regime.
    pub units_failing: u64,
}

/// Runs recorded data through a core for each unit; event lines go to `events` as JSON, one a line.
pub fn replay(
    recorded: &Recorded,
    bundle: Option<&Arc<Bundle>>,
    inputs: &[Input],
    events: Option<&mut dyn Write>,
    progress: Progress<'_>,
) -> Result<Summary, ReplayError> {
    replay_with(recorded, bundle, inputs, events, None, progress)
}

/// Units whose histories are kept for a report; it draws fewer.
const REPORTED: usize = 8;

/// As [`replay`]; `report` receives the units in the order of the data, for [`crate::report::run::html`].
pub fn replay_with(
    recorded: &Recorded,
    bundle: Option<&Arc<Bundle>>,
    inputs: &[Input],
    mut events: Option<&mut dyn Write>,
    mut report: Option<&mut Vec<Unit>>,
    progress: Progress<'_>,
) -> Result<Summary, ReplayError> {
    if bundle.is_none() && recorded.machine.learn_rows == 0 {
        return Err(ReplayError::NothingLearned);
    }
    let mut summary = Summary::default();
    let mut read_before = 0;
    for input in inputs {
        let mut reader = FrameReader::open(input, &recorded.machine, &recorded.replay, &recorded.set)?;
        let mut cores: Vec<MachineCore> = Vec::new();
        let mut collectors: Vec<Collector> = Vec::new();
        let file = input.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        loop {
            let read = read_before + reader.rows_read();
            if read.is_multiple_of(PROGRESS_EVERY) {
                progress(read);
            }
            let Some(unit) = reader.next_unit()? else { break };
            if unit == cores.len() {
                let config = recorded.machine.clone();
                cores.push(MachineCore::new(config, recorded.config_hash.clone(), reader.unit(unit), bundle.cloned())?);
                summary.units += 1;
                collectors.push(Collector::default());
            }
            let step = cores[unit].step(reader.frame(unit));
            summary.count(step.verdict);
            performance_summary::count(&mut summary.performance, &recorded.machine, step.verdict);
            if report.is_some() {
                collectors[unit].push(step.verdict, step.events);
            }
            for event in step.events {
                summary.count_event(event);
                performance_summary::count_event(&mut summary.performance, event);
                if let Some(out) = events.as_deref_mut() {
                    write_line(out, event, &file, reader.time_base()).map_err(ReplayError::Events)?;
                }
            }
        }
        cores.iter().for_each(|core| summary.count_checks(core.verdict()));
        for core in &cores {
            performance_summary::close_unit(&mut summary.performance, &recorded.machine, core);
        }
        if let Some(units) = report.as_deref_mut() {
            let clock = clock(reader.time_base());
            units.extend(collectors.into_iter().zip(&cores).enumerate().map(|(k, (c, core))| reported(c, core, &reader.unit(k), clock)));
            Unit::keep_worst(units, REPORTED);
        }
        read_before += reader.rows_read();
        summary.unreadable += reader.unreadable;
    }
    progress(read_before);
    Ok(summary)
}

/// How a unit ended, with what its report needs.
fn reported(collected: Collector, core: &MachineCore, unit: &str, clock: Clock) -> Unit {
    let window = |slot: u16, feature: usize| core.window_values(slot, feature);
    let (config, bundle) = (core.config(), core.bundle().map(Arc::as_ref));
    Unit::new(collected, &End { unit, config, verdict: core.verdict(), bundle, window: &window, clock })
}

fn clock(base: TimeBase) -> Clock {
    match base {
        TimeBase::Rows => Clock::Rows,
        TimeBase::Seconds => Clock::Seconds,
        TimeBase::Clock => Clock::Utc,
    }
}

impl Summary {
    fn count(&mut self, verdict: &Verdict) {
        self.rows += 1;
        let of = |map: &mut BTreeMap<String, u64>, key: &str| match map.get_mut(key) {
            Some(n) => *n += 1,
            None => drop(map.insert(key.to_string(), 1)),
        };
        of(&mut self.rows_per_status, verdict.status.name());
        if verdict.regime.slot.is_some() {
            of(&mut self.rows_per_regime, &verdict.regime.key);
        }
        match verdict.not_evaluated {
            Some(NotEvaluated::OutsideEnvelope) => self.outside += 1,
            Some(NotEvaluated::Transient) => self.transient += 1,
            Some(NotEvaluated::NotProducing) => self.not_producing += 1,
            Some(NotEvaluated::BadSetting) => self.bad_setting += 1,
            Some(NotEvaluated::BadInputs) => self.bad_inputs += 1,
            Some(NotEvaluated::Learning) => self.learning += 1,
            Some(NotEvaluated::NoReference | NotEvaluated::FaultActive | NotEvaluated::Suspended | NotEvaluated::NoLabels) | None => {}
        }
        self.evaluations += u64::from(verdict.monitors.first().is_some_and(|m| m.evaluated));
    }

    /// At the end of a unit.
    fn count_checks(&mut self, verdict: &Verdict) {
        for check in &verdict.checks {
            let count = self.checks.entry(check.name.to_string()).or_default();
            count.looks += check.looks;
            count.failures += check.failures;
            count.units_failing += u64::from(check.passed == Some(false));
        }
    }

    fn count_event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Status { monitor, status, previous: Some(_), .. } if &**monitor == "machine" => {
                self.status_changes += 1;
                self.drifts += u64::from(*status == DriftStatus::Drift);
            }
            EventKind::Fault { active: true, .. } => self.faults += 1,
            _ => {}
        }
    }
}

fn write_line(out: &mut dyn Write, event: &Event, file: &str, base: TimeBase) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &line(event, file, base))?;
    out.write_all(b"\n")
}

/// One event as a JSON object with always the same keys in the same order; what does not exist is null.
pub fn line(event: &Event, file: &str, base: TimeBase) -> Json {
    let mut object = Map::new();
    let mut put = |key: &str, value: Json| object.insert(key.into(), value);
    put("unit", json!(&*event.unit));
    put("file", if file.is_empty() { Json::Null } else { json!(file) });
    put("row", json!(event.row));
    put("time", time(event.time, base));
    let name = match &event.kind {
        EventKind::Status { .. } => "status",
        EventKind::Regime { .. } => "regime",
        EventKind::Fault { .. } => "fault",
        EventKind::Buffer { .. } => "buffer",
        EventKind::Reference { .. } => "reference",
        EventKind::Parameter { .. } => "parameter",
        EventKind::Note { .. } => "note",
        EventKind::Check { .. } => "check",
        EventKind::Contributors { .. } => "contributors",
        EventKind::Statement { .. } => "statement",
        EventKind::Refused { .. } => "refused",
        EventKind::Session { .. } => "session",
        EventKind::Command { .. } => "command",
        EventKind::ReferenceChanged { .. } => "reference_changed",
        EventKind::Label { .. } => "label",
        EventKind::ModelChanged { .. } => "model_changed",
    };
    put("event", json!(name));
    for key in ["monitor", "status", "regime", "feature", "value", "threshold"] {
        put(key, Json::Null);
    }
    match &event.kind {
        EventKind::Status { monitor, status, previous, reason, regime, feature, metric, value, threshold } => {
            put("monitor", json!(&**monitor));
            put("status", json!(status.name()));
            put("regime", json!(regime.as_deref()));
            put("feature", json!(feature.as_deref()));
            put("value", number(*value));
            put("threshold", number(*threshold));
            put("metric", json!(metric.as_deref()));
            put("previous", json!(previous.map(DriftStatus::name)));
            put("reason", json!(reason.map(NotEvaluated::text)));
        }
        EventKind::Regime { state, regime, key, distance } => {
            put("regime", json!(regime.as_deref()));
            put("state", json!(state_word(*state)));
            put("key", json!(&**key));
            put("distance", number(*distance));
        }
        EventKind::Fault { model, active, regime, feature, value, threshold } => {
            put("monitor", json!(&**model));
            put("status", json!(if *active { "Fault" } else { "OK" }));
            put("regime", json!(regime.as_deref()));
            put("feature", json!(feature.as_deref()));
            put("value", number(Some(*value)));
            put("threshold", number(Some(*threshold)));
        }
        EventKind::Buffer { slot, state, reason, regime, rows, dataset_id } => {
            put("status", json!(state.name()));
            put("regime", json!(regime.as_deref()));
            put("buffer", json!(format!("B{:02}", slot + 1)));
            put("reason", json!(reason.name()));
            put("rows", json!(rows));
            put("dataset_id", json!(&**dataset_id));
        }
        EventKind::Reference { regime, rows } => {
            put("regime", json!(&**regime));
            put("rows", json!(rows));
        }
        EventKind::Parameter { path, old, new, user, refused } => {
            put("path", json!(&**path));
            put("old", json!(old));
            put("new", json!(new));
            put("user", json!(&**user));
            put("refused", json!(refused));
        }
        EventKind::Note { text } => {
            put("text", json!(text));
        }
        EventKind::Refused { user, address, action, target, reason, unlisted } => {
            for (key, text) in [("user", user), ("address", address), ("action", action), ("target", target), ("reason", reason)] {
                put(key, json!(&**text));
            }
            put("unlisted", json!(unlisted));
        }
        EventKind::Session { user, address, roles } => {
            put("user", json!(&**user));
            put("address", json!(&**address));
            put("roles", json!(&**roles));
        }
        EventKind::Contributors { monitor, regime, features } => {
            put("monitor", json!(&**monitor));
            put("regime", json!(regime.as_deref()));
            put("feature", json!(features.first().map(|f| &*f.feature)));
            let feature = |f: &Contributor| {
                let direction = Some(f.direction.name()).filter(|d| !d.is_empty());
                json!({"feature": &*f.feature, "index": number(Some(f.index)), "direction": direction, "since": time(f.since, base)})
            };
            put("features", features.iter().map(feature).collect());
        }
        EventKind::Check { check, passed, regime, feature, value, limit } => {
            put("monitor", json!(&**check));
            put("status", json!(if *passed { "Passed" } else { "Failed" }));
            put("regime", json!(regime.as_deref()));
            put("feature", json!(feature.as_deref()));
            put("value", number(Some(*value)));
            put("threshold", number(Some(*limit)));
        }
        EventKind::Statement { model, statement, labels, regime, error_rate, reference, estimate } => {
            put("monitor", json!(&**model));
            put("regime", json!(regime.as_deref()));
            put("statement", json!(statement.name()));
            put("text", json!(statement.text(*labels)));
            put("labels", json!(labels));
            put("error_rate", number(*error_rate));
            put("reference_error_rate", number(*reference));
            put("estimated_error_rate", number(*estimate));
        }
        EventKind::Command { command, path, via: _, arguments, user, operator, old, new, result, refused } => {
            put("command", json!(&**command));
            put("path", json!(&**path));
            put("arguments", arguments.iter().map(|(name, value)| (name.to_string(), json!(value.to_string()))).collect());
            put("user", json!(&**user));
            put("operator", json!(&**operator));
            put("old", json!(old));
            put("new", json!(new));
            put("result", json!(result));
            put("refused", json!(refused));
        }
        EventKind::ReferenceChanged { regime, old, new, reason, user } => {
            put("regime", json!(&**regime));
            put("old", json!(&**old));
            put("new", json!(&**new));
            put("reason", json!(reason));
            put("user", json!(&**user));
        }
        EventKind::ModelChanged { old, new, hash, reason, user } => {
            put("old", json!(&**old));
            put("new", json!(&**new));
            put("hash", json!(&**hash));
            put("reason", json!(reason));
            put("user", json!(&**user));
        }
        EventKind::Label { prediction, from, to, class, value, comment, user, operator } => {
            put("value", number(Some(*value)));
            put("prediction", json!(&**prediction));
            put("from", time(*from, base));
            put("to", time(*to, base));
            put("class", json!(class));
            put("comment", json!(comment));
            put("user", json!(&**user));
            put("operator", json!(&**operator));
        }
    }
    Json::Object(object)
}

/// `Outside`, `Transient`, ... as events name them.
fn state_word(state: RegimeState) -> &'static str {
    match state {
        RegimeState::OutOfEnvelope => "Outside",
        other => other.name(),
    }
}

/// JSON has no NaN and no infinity.
fn number(value: Option<f64>) -> Json {
    value.filter(|x| x.is_finite()).map_or(Json::Null, |x| json!(x))
}

fn time(time: Timestamp, base: TimeBase) -> Json {
    match base {
        TimeBase::Rows => Json::Null,
        TimeBase::Seconds => json!(time.as_secs_f64()),
        TimeBase::Clock => json!(time.to_string()),
    }
}
