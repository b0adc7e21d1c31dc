//! The parameters that people tune: they start from the file and are changed over OPC UA.
//!
//! One list for a machine ([`tunables`]); [`check`] gives the changed machine or says why not. Ranges are those of the file.
//!
//! Two conventions: a test's threshold that nobody set reads as its metric's default; a score's threshold that nobody set
//! reads as 0, and writing 0 gives it back to the model.

use std::sync::Arc;
use std::time::Duration;

mod files;
mod names;

pub use self::files::{adopt, default_of, reset, restore, same_but_tunables};

use super::bounds::{self, Bound};
use super::check::{hop_fault, learn_fault, threshold_range};
use super::fault::did_you_mean;
use super::{Conditioning, ExportFormat, MachineConfig, MonitorConfig, TestConfig};
use crate::drift::calibrate::Budget;
use crate::drift::{Test, performance};
use crate::types::{Scalar, ScalarKind};

/// A parameter of a machine that can be changed while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Tunable {
    /// Path of its node: `Motor1.Drift.DataDrift.WindowRows`.
    pub path: Arc<str>,
    /// Where a written value is kept. The path, except where several nodes show one value: then the path of the first.
    pub kept_as: Arc<str>,
    pub kind: ScalarKind,
    /// Lowest and highest value; `None` for flags.
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub unit: &'static str,
    /// Of a text: the only ones, where not any will do.
    pub allowed: &'static [&'static str],
    pub description: &'static str,
    parameter: Parameter,
}

/// What a tunable changes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Parameter {
    Monitor(Watch, MonitorParameter),
    /// Of the model with this index.
    ScoreThreshold(usize),
    ConfirmationTimeout(usize),
    /// Of the model with this index.
    LatencyBudget(usize),
    MinReferenceRows,
    FreezeAfterLearning,
    AutoLearnNewRegime,
    TargetRows,
    ExportFormat,
    AutoExport,
    /// Of the check with this index.
    CheckLimit(usize),
    ReportInterval,
    /// Of the setting with this index; it has one.
    Tolerance(usize),
}

/// Which monitor of a machine.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Watch {
    Data,
    /// Of the model with this index.
    Prediction(usize),
    /// The same; only models with labels have one.
    Performance(usize),
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum MonitorParameter {
    Enabled,
    WindowRows,
    Hop,
    ConsecutiveLimit,
    /// Metric or chart of the test with this index: T1 is 0.
    Name(usize),
    /// Of the test with this index: T1 is 0.
    Threshold(usize),
    Budget,
}

/// Why a parameter was not changed. The text is ASCII unless the value is not, for panels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TunableError {
    /// The value is outside the parameter's range.
    #[error("{0}")]
    OutOfRange(String),
    /// The value has another type.
    #[error("{0}")]
    TypeMismatch(String),
    /// The value does not go with another parameter's present value.
    #[error("{0}")]
    InvalidState(String),
    /// No parameter has this path.
    #[error("{0}")]
    Unknown(String),
}

/// Seconds.
const HOUR: f64 = 3600.0;

/// Retraining buffers of a machine; they share one target.
const BUFFER_SLOTS: usize = 4;

const FORMATS: [&str; 2] = [ExportFormat::Parquet.name(), ExportFormat::Csv.name()];

/// All parameters of a machine, in the order of its nodes.
pub fn tunables(machine: &MachineConfig) -> Vec<Tunable> {
    let name = &machine.name;
    let mut list = vec![rows(
        format!("{name}.Regimes.MinReferenceRows"),
        Parameter::MinReferenceRows,
        bounds::MIN_REFERENCE_ROWS,
        "Rows that a combination of settings needs before it is monitored",
    )];
    for (parameter, member, description) in [
        (
            Parameter::FreezeAfterLearning,
            "FreezeAfterLearning",
            "A reference learned by command is in force as soon as it has its rows; if not, when it is frozen",
        ),
        (Parameter::AutoLearnNewRegime, "AutoLearnNewRegime", "Settings that no training knows are learned by themselves"),
    ] {
        list.push(Tunable::new(format!("{name}.Regimes.{member}"), parameter, ScalarKind::Bool, None, "", description));
    }
    for (i, setting) in machine.settings.iter().enumerate().filter(|(_, s)| matches!(s.conditioning, Conditioning::Tolerance(_))) {
        list.push(Tunable::new(
            format!("{name}.Settings.{}.Tolerance", setting.name),
            Parameter::Tolerance(i),
            ScalarKind::F64,
            Some(bounds::TOLERANCE),
            "",
            "Values within so much of a trained value are that value, in the setting's unit. At once for which combination a row belongs to; \
             the trained combinations stay as they are until the next training",
        ));
    }
    for (i, model) in machine.models.iter().enumerate() {
        let path = format!("{name}.Models.{}", model.name);
        list.push(Tunable::new(
            format!("{path}.Inference.ScoreThreshold"),
            Parameter::ScoreThreshold(i),
            ScalarKind::F64,
            Some((0.0, bounds::SCORE_THRESHOLD)),
            "",
            "Score beyond which a row counts towards a fault; 0: the model's own threshold",
        ));
        let timeout = bounds::CONFIRMATION_TIMEOUT;
        list.push(Tunable::new(
            format!("{path}.ConfirmationTimeout"),
            Parameter::ConfirmationTimeout(i),
            ScalarKind::F64,
            Some((timeout.min.as_secs_f64(), timeout.max.as_secs_f64())),
            "s",
            "An activated model that nobody confirms within it is rolled back",
        ));
        list.push(Tunable::new(
            format!("{path}.Inference.LatencyBudget"),
            Parameter::LatencyBudget(i),
            ScalarKind::F64,
            Some((0.0, bounds::LATENCY_BUDGET.max.as_secs_f64() * 1e3)),
            "ms",
            "Longest time that an inference should take; beyond it the machine's health is Degraded; 0: any",
        ));
        list.extend(monitor(&model.prediction_drift, Watch::Prediction(i), &format!("{path}.PredictionDrift")));
        if let Some(performance) = &model.performance {
            list.extend(monitor(&performance.drift, Watch::Performance(i), &format!("{path}.PerformanceDrift")));
        }
    }
    list.extend(monitor(&machine.data_drift, Watch::Data, &format!("{name}.Drift.DataDrift")));
    for (i, check) in machine.checks.iter().enumerate() {
        list.push(Tunable::new(
            format!("{name}.Checks.{}.Limit", check.name),
            Parameter::CheckLimit(i),
            ScalarKind::F64,
            Some((0.0, check.kind.highest_limit())),
            "",
            "The check fails beyond",
        ));
    }
    list.push(Tunable::new(
        format!("{name}.Report.Interval"),
        Parameter::ReportInterval,
        ScalarKind::F64,
        Some((0.0, bounds::REPORT_INTERVAL.max.as_secs_f64() / HOUR)),
        "h",
        "Hours between two full reports; 0: none is made",
    ));
    for slot in 1..=BUFFER_SLOTS {
        let mut format = Tunable::new(
            format!("{name}.Buffers.B{slot:02}.ExportFormat"),
            Parameter::ExportFormat,
            ScalarKind::Text,
            None,
            "",
            "How an export is written that names no format; one value for all slots",
        );
        format.allowed = &FORMATS;
        format.kept_as = format!("{name}.Buffers.B01.ExportFormat").into();
        list.push(format);
        let mut auto = Tunable::new(
            format!("{name}.Buffers.B{slot:02}.AutoExport"),
            Parameter::AutoExport,
            ScalarKind::Bool,
            None,
            "",
            "A buffer that is ready is exported by itself; one value for all slots",
        );
        auto.kept_as = format!("{name}.Buffers.B01.AutoExport").into();
        list.push(auto);
        let mut target = rows(
            format!("{name}.Buffers.B{slot:02}.TargetRows"),
            Parameter::TargetRows,
            bounds::TARGET_ROWS,
            "Rows that make a buffer ready; one value for all slots",
        );
        target.kept_as = format!("{name}.Buffers.B01.TargetRows").into();
        list.push(target);
    }
    list
}

/// The value in use; `None` where no parameter has this path.
pub fn read(machine: &MachineConfig, path: &str) -> Option<Scalar> {
    find(machine, path).map(|tunable| tunable.get(machine))
}

/// The machine with the parameter changed.
///
/// # Errors
/// The path is unknown, the value has another type or is out of range, or it does not go with another parameter.
pub fn check(machine: &MachineConfig, path: &str, value: &Scalar) -> Result<MachineConfig, TunableError> {
    let tunable = find(machine, path).ok_or_else(|| unknown(machine, path))?;
    tunable.check_type(value)?;
    tunable.check_range(value)?;
    let mut changed = machine.clone();
    tunable.set(&mut changed, value);
    tunable.check_state(&changed, value)?;
    Ok(changed)
}

impl Tunable {
    fn new(
        path: String,
        parameter: Parameter,
        kind: ScalarKind,
        range: Option<(f64, f64)>,
        unit: &'static str,
        description: &'static str,
    ) -> Self {
        let path: Arc<str> = path.into();
        let (min, max) = range.unzip();
        Self { kept_as: path.clone(), path, kind, min, max, unit, allowed: &[], description, parameter }
    }

    /// The value in use. The machine must have what the list was made for.
    pub fn get(&self, machine: &MachineConfig) -> Scalar {
        match self.parameter {
            Parameter::MinReferenceRows => Scalar::U32(machine.min_reference_rows),
            Parameter::FreezeAfterLearning => Scalar::Bool(machine.freeze_after_learning),
            Parameter::AutoLearnNewRegime => Scalar::Bool(machine.auto_learn_new_regime),
            Parameter::TargetRows => Scalar::U32(machine.buffers.target_rows),
            Parameter::CheckLimit(check) => Scalar::F64(machine.checks[check].limit),
            Parameter::Tolerance(setting) => Scalar::F64(match machine.settings[setting].conditioning {
                Conditioning::Tolerance(tolerance) => tolerance,
                _ => f64::NAN,
            }),
            Parameter::ReportInterval => Scalar::F64(machine.report.interval.map_or(0.0, |i| i.as_secs_f64() / HOUR)),
            Parameter::ExportFormat => machine.buffers.export_format.name().into(),
            Parameter::AutoExport => Scalar::Bool(machine.buffers.auto_export),
            Parameter::LatencyBudget(model) => Scalar::F64(machine.models[model].latency_budget.map_or(0.0, |b| b.as_secs_f64() * 1e3)),
            Parameter::ScoreThreshold(model) => Scalar::F64(machine.models[model].score_threshold.unwrap_or(0.0)),
            Parameter::ConfirmationTimeout(model) => Scalar::F64(machine.models[model].confirmation_timeout.as_secs_f64()),
            Parameter::Monitor(watch, parameter) => {
                let Some(monitor) = watch.of(machine) else { return Scalar::Bool(false) };
                match parameter {
                    MonitorParameter::Enabled => Scalar::Bool(monitor.enabled),
                    MonitorParameter::WindowRows => Scalar::U32(monitor.window_rows),
                    MonitorParameter::Hop => Scalar::U32(monitor.hop),
                    MonitorParameter::ConsecutiveLimit => Scalar::U16(monitor.consecutive_limit),
                    MonitorParameter::Budget => Scalar::Text(monitor.budget.map_or_else(String::new, |b| b.to_string()).into()),
                    MonitorParameter::Name(test) => monitor.tests[test].metric.name().into(),
                    MonitorParameter::Threshold(test) => {
                        let test = &monitor.tests[test];
                        Scalar::F64(test.threshold.unwrap_or(watch.default_threshold(test.metric, machine)))
                    }
                }
            }
        }
    }

    /// Changes the machine; a value of another type changes nothing.
    fn set(&self, machine: &mut MachineConfig, value: &Scalar) {
        match (self.parameter, value) {
            (Parameter::MinReferenceRows, Scalar::U32(v)) => machine.min_reference_rows = *v,
            (Parameter::FreezeAfterLearning, Scalar::Bool(v)) => machine.freeze_after_learning = *v,
            (Parameter::AutoLearnNewRegime, Scalar::Bool(v)) => machine.auto_learn_new_regime = *v,
            (Parameter::TargetRows, Scalar::U32(v)) => machine.buffers.target_rows = *v,
            (Parameter::CheckLimit(check), Scalar::F64(v)) => machine.checks[check].limit = *v,
            (Parameter::Tolerance(setting), Scalar::F64(v)) => machine.settings[setting].conditioning = Conditioning::Tolerance(*v),
            (Parameter::ReportInterval, Scalar::F64(v)) => {
                machine.report.interval = (*v > 0.0).then(|| Duration::from_secs_f64(*v * HOUR));
            }
            (Parameter::ExportFormat, Scalar::Text(v)) => machine.buffers.export_format = ExportFormat::of(v).unwrap_or_default(),
            (Parameter::AutoExport, Scalar::Bool(v)) => machine.buffers.auto_export = *v,
            (Parameter::LatencyBudget(model), Scalar::F64(v)) => {
                machine.models[model].latency_budget = (*v > 0.0).then(|| Duration::from_secs_f64(*v / 1e3));
            }
            (Parameter::ScoreThreshold(model), Scalar::F64(v)) => machine.models[model].score_threshold = (*v != 0.0).then_some(*v),
            (Parameter::ConfirmationTimeout(model), Scalar::F64(v)) => {
                machine.models[model].confirmation_timeout = Duration::from_secs_f64(*v)
            }
            (Parameter::Monitor(watch, parameter), value) => {
                let Some(monitor) = watch.of_mut(machine) else { return };
                match (parameter, value) {
                    (MonitorParameter::Enabled, Scalar::Bool(v)) => monitor.enabled = *v,
                    (MonitorParameter::WindowRows, Scalar::U32(v)) => monitor.window_rows = *v,
                    (MonitorParameter::Hop, Scalar::U32(v)) => monitor.hop = *v,
                    (MonitorParameter::ConsecutiveLimit, Scalar::U16(v)) => monitor.consecutive_limit = *v,
                    (MonitorParameter::Budget, Scalar::Text(v)) => monitor.budget = v.parse().ok(),
                    (MonitorParameter::Name(test), Scalar::Text(v)) => {
                        // A threshold is of one metric: another one begins with its own.
                        if let Some(metric) = v.parse().ok().filter(|m| *m != monitor.tests[test].metric) {
                            monitor.tests[test] = TestConfig { metric, threshold: None };
                        }
                    }
                    (MonitorParameter::Threshold(test), Scalar::F64(v)) => monitor.tests[test].threshold = Some(*v),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Takes the parameter over from another machine of the same shape, also where it is left open there.
    fn copy(&self, machine: &mut MachineConfig, from: &MachineConfig) {
        match self.parameter {
            Parameter::ScoreThreshold(model) => machine.models[model].score_threshold = from.models[model].score_threshold,
            Parameter::Monitor(watch, MonitorParameter::Threshold(test)) => {
                if let (Some(to), Some(from)) = (watch.of_mut(machine), watch.of(from)) {
                    let (to, from) = (&mut to.tests[test], &from.tests[test]);
                    // That of another metric says nothing here.
                    to.threshold = if to.metric == from.metric { from.threshold } else { None };
                }
            }
            Parameter::Monitor(watch, MonitorParameter::Name(test)) => {
                if let (Some(to), Some(from)) = (watch.of_mut(machine), watch.of(from))
                    && to.tests[test].metric != from.tests[test].metric
                {
                    to.tests[test] = from.tests[test].clone();
                }
            }
            _ => self.set(machine, &self.get(from)),
        }
    }

    fn check_type(&self, value: &Scalar) -> Result<(), TunableError> {
        if value.kind() == self.kind {
            return Ok(());
        }
        Err(TunableError::TypeMismatch(format!(
            "{}: expected {}, got {}: `{value}`",
            self.path,
            opc_name(self.kind),
            opc_name(value.kind())
        )))
    }

    fn check_range(&self, value: &Scalar) -> Result<(), TunableError> {
        if let Scalar::Text(text) = value {
            return self.check_text(text);
        }
        let (Some(min), Some(max), Some(number)) = (self.min, self.max, value.number()) else {
            return Ok(());
        };
        // NaN is in no range.
        if (min..=max).contains(&number) {
            return Ok(());
        }
        Err(TunableError::OutOfRange(format!("{}: out of range: `{value}`; from {} to {}", self.path, plain(min), plain(max))))
    }

    /// The path of a parameter whose written value lapses when this one changes.
    pub fn takes_along(&self) -> Option<String> {
        self.path.strip_suffix(".Name").filter(|_| matches!(self.parameter, Parameter::Monitor(..))).map(|test| format!("{test}.Threshold"))
    }

    fn check_text(&self, text: &str) -> Result<(), TunableError> {
        let refuse = |why: String| Err(TunableError::OutOfRange(format!("{}: {why}", self.path)));
        match self.parameter {
            Parameter::Monitor(_, MonitorParameter::Budget) if !text.is_empty() => match text.parse::<Budget>() {
                Ok(_) => Ok(()),
                Err(why) => refuse(format!("{why}; empty: none")),
            },
            Parameter::Monitor(watch, MonitorParameter::Name(_)) => names::fault(watch, text).map_or(Ok(()), refuse),
            _ if !self.allowed.is_empty() && !self.allowed.contains(&text) => {
                refuse(format!("none of {}: `{text}`", self.allowed.join(", ")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the changed machine is consistent.
    fn check_state(&self, changed: &MachineConfig, value: &Scalar) -> Result<(), TunableError> {
        let refuse = |why: String| Err(TunableError::InvalidState(format!("{}: {why}", self.path)));
        match self.parameter {
            Parameter::MinReferenceRows if learn_fault(changed.learn_rows, changed.min_reference_rows).is_some() => refuse(format!(
                "more rows than are learned from: `{value}`; learn_rows is {}, then nothing would ever be monitored",
                changed.learn_rows
            )),
            Parameter::ReportInterval if changed.report.interval.is_some_and(|i| i < bounds::REPORT_INTERVAL.min) => {
                refuse(format!("less than a minute: `{value}`; write 0 for none"))
            }
            Parameter::Monitor(watch, parameter) => {
                let Some(monitor) = watch.of(changed) else { return Ok(()) };
                let hop_too_large = hop_fault(monitor.window_rows, monitor.hop).is_some();
                match parameter {
                    MonitorParameter::WindowRows if hop_too_large => {
                        refuse(format!("the window is smaller than the hop: `{value}`; lower Hop ({}) first", monitor.hop))
                    }
                    MonitorParameter::Hop if hop_too_large => {
                        refuse(format!("the hop is larger than the window: `{value}`; WindowRows is {}", monitor.window_rows))
                    }
                    MonitorParameter::Name(test) if names::is_second(&monitor.tests, test) => {
                        refuse(format!("another test of this monitor has this metric: `{value}`"))
                    }
                    MonitorParameter::Enabled if monitor.enabled && monitor.tests.is_empty() => {
                        refuse("the monitor has no test; add one to the configuration file".to_string())
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Watch {
    /// `None` where the model has no such monitor.
    fn of(self, machine: &MachineConfig) -> Option<&MonitorConfig> {
        match self {
            Self::Data => Some(&machine.data_drift),
            Self::Prediction(model) => Some(&machine.models[model].prediction_drift),
            Self::Performance(model) => machine.models[model].performance.as_ref().map(|p| &p.drift),
        }
    }

    fn of_mut(self, machine: &mut MachineConfig) -> Option<&mut MonitorConfig> {
        match self {
            Self::Data => Some(&mut machine.data_drift),
            Self::Prediction(model) => Some(&mut machine.models[model].prediction_drift),
            Self::Performance(model) => machine.models[model].performance.as_mut().map(|p| &mut p.drift),
        }
    }

    fn default_threshold(self, test: Test, machine: &MachineConfig) -> f64 {
        match self {
            Self::Data => test.default_threshold(machine.features.len()),
            Self::Prediction(_) => test.default_threshold(1),
            Self::Performance(_) => performance::default_threshold(test),
        }
    }
}

fn rows(path: String, parameter: Parameter, bound: Bound<u32>, description: &'static str) -> Tunable {
    let range = (f64::from(bound.min), f64::from(bound.max));
    Tunable::new(path, parameter, ScalarKind::U32, Some(range), "rows", description)
}

fn monitor(monitor: &MonitorConfig, watch: Watch, path: &str) -> Vec<Tunable> {
    let parameter = |p| Parameter::Monitor(watch, p);
    let limit = bounds::CONSECUTIVE_LIMIT;
    let mut list = vec![
        Tunable::new(
            format!("{path}.Enabled"),
            parameter(MonitorParameter::Enabled),
            ScalarKind::Bool,
            None,
            "",
            "Whether the monitor runs",
        ),
        rows(
            format!("{path}.WindowRows"),
            parameter(MonitorParameter::WindowRows),
            bounds::WINDOW_ROWS,
            "Rows of the present combination of settings that a test looks at",
        ),
        rows(format!("{path}.Hop"), parameter(MonitorParameter::Hop), bounds::HOP, "Rows between two evaluations; at most WindowRows"),
        Tunable::new(
            format!("{path}.ConsecutiveLimit"),
            parameter(MonitorParameter::ConsecutiveLimit),
            ScalarKind::U16,
            Some((f64::from(limit.min), f64::from(limit.max))),
            "evaluations",
            "Evaluations in a row with all tests exceeded that make a drift",
        ),
    ];
    // Errors are held against labels; nothing of them is calibrated.
    if !matches!(watch, Watch::Performance(_)) {
        list.push(Tunable::new(
            format!("{path}.Budget"),
            parameter(MonitorParameter::Budget),
            ScalarKind::Text,
            None,
            "",
            "False alarms accepted, as `1 per 30d` or `1 per 10000 evaluations`; empty: none. Thresholds are calibrated for it at the next \
             training; EffectiveValue is the one that those in use keep",
        ));
    }
    for (i, test) in monitor.tests.iter().enumerate() {
        let mut name = Tunable::new(
            format!("{path}.T{}.Name", i + 1),
            parameter(MonitorParameter::Name(i)),
            ScalarKind::Text,
            None,
            "",
            "Metric or chart. Another one begins with its own threshold: that of the bundle's calibration where it knows these tests, else \
             the metric's default",
        );
        name.allowed = names::allowed(watch);
        list.push(name);
        let description = if test.metric.is_p_value() {
            "p-value below which the test is exceeded"
        } else {
            "Distance from which on the test is exceeded"
        };
        list.push(Tunable::new(
            format!("{path}.T{}.Threshold", i + 1),
            parameter(MonitorParameter::Threshold(i)),
            ScalarKind::F64,
            Some(threshold_range(test.metric)),
            "",
            description,
        ));
    }
    list
}

fn find(machine: &MachineConfig, path: &str) -> Option<Tunable> {
    tunables(machine).into_iter().find(|t| *t.path == *path)
}

fn unknown(machine: &MachineConfig, path: &str) -> TunableError {
    let list = tunables(machine);
    let near = did_you_mean(path, list.iter().map(|t| &*t.path)).map(|near| format!("; did you mean `{near}`?"));
    TunableError::Unknown(format!("no such parameter: `{path}`{}", near.unwrap_or_default()))
}

fn opc_name(kind: ScalarKind) -> &'static str {
    match kind {
        ScalarKind::Bool => "Boolean",
        ScalarKind::U16 => "UInt16",
        ScalarKind::U32 => "UInt32",
        ScalarKind::F64 => "Double",
        ScalarKind::Text => "String",
        ScalarKind::Time => "DateTime",
    }
}

/// `1e-12` and not twelve digits.
fn plain(number: f64) -> String {
    if number != 0.0 && number.abs() < 1e-3 { format!("{number:e}") } else { number.to_string() }
}

#[cfg(test)]
mod tests;
