//! What people and programs ask the gateway to do: one list for OPC UA methods, command variables and the command line.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CommandCode, Scalar, Timestamp};

/// Target of the commands that are for no single machine; first segment of their nodes.
pub const GATEWAY: &str = "Gateway";

/// One command to a machine or to the gateway. An empty regime key means the active regime.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Write a tunable parameter.
    SetParameter {
        path: Arc<str>,
        value: Scalar,
    },
    /// Back to the configuration file's value.
    ResetParameter {
        path: Arc<str>,
        comment: Arc<str>,
    },
    /// Acknowledge the alarms with these bits of the alarm word; 0: all.
    AcknowledgeAlarms {
        bits: u16,
        comment: Arc<str>,
    },
    /// Learn the reference of a regime anew. `min_rows` 0: as configured; `max_seconds` 0: without a limit.
    StartReferenceLearning {
        regime: Arc<str>,
        min_rows: u32,
        max_seconds: f64,
        comment: Arc<str>,
    },
    /// End a learning now, with the rows that are there.
    FreezeReference {
        regime: Arc<str>,
        comment: Arc<str>,
    },
    /// The rows of the present window become the reference.
    AcceptDriftAsNewReference {
        regime: Arc<str>,
        comment: Arc<str>,
    },
    /// The regime has no reference any more.
    DiscardReference {
        regime: Arc<str>,
        comment: Arc<str>,
    },
    /// The reference before the last change is in force again.
    RestoreReference {
        regime: Arc<str>,
        comment: Arc<str>,
    },
    /// Judge no rows for so long; 0: until resumed.
    SuspendMonitoring {
        max_seconds: f64,
        comment: Arc<str>,
    },
    ResumeMonitoring,
    /// Forget window, charts and decision of a monitor: `DataDrift`, `Stator.PredictionDrift`.
    ResetMonitor {
        monitor: Arc<str>,
        comment: Arc<str>,
    },
    /// Learn the machine's own offset anew, after maintenance.
    Rebaseline {
        comment: Arc<str>,
    },
    /// The own offset before the last rebaseline is in force again.
    RestoreBaseline {
        comment: Arc<str>,
    },
    /// Collect rows of a regime; without a slot (0 is B01) the first free one. `target_rows` 0: as configured.
    StartCollecting {
        slot: Option<u16>,
        regime: Arc<str>,
        target_rows: u32,
        comment: Arc<str>,
    },
    /// Write a buffer's rows into a file. An empty dataset id means whatever the slot holds.
    ExportBuffer {
        slot: Option<u16>,
        dataset: Arc<str>,
        format: Arc<str>,
        from: Timestamp,
        to: Timestamp,
    },
    /// The data was fetched.
    AcknowledgeBuffer {
        slot: Option<u16>,
        dataset: Arc<str>,
        comment: Arc<str>,
    },
    /// The slot is free again.
    ReleaseBuffer {
        slot: Option<u16>,
        dataset: Arc<str>,
        comment: Arc<str>,
    },
    /// What was true at a prediction or in a span of time.
    SubmitLabel {
        prediction: Arc<str>,
        from: Timestamp,
        to: Timestamp,
        class: u16,
        value: f64,
        comment: Arc<str>,
    },
    ActivateModel {
        model: Arc<str>,
        version: Arc<str>,
        hash: Arc<str>,
        comment: Arc<str>,
    },
    ConfirmModel {
        model: Arc<str>,
        comment: Arc<str>,
    },
    RollbackModel {
        model: Arc<str>,
        reason: Arc<str>,
    },
    /// Read the configuration file again; a dry run changes nothing.
    ReloadConfig {
        dry_run: bool,
    },
}

/// How a command came.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Via {
    Method,
    /// Plain variables of a command interface.
    Variables,
    /// The gateway itself or its command line.
    Program,
}

/// What a command has come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The method's output arguments.
    pub outputs: Vec<Scalar>,
    /// What was done, one ASCII sentence.
    pub text: String,
    /// What was changed, before and after; empty where no single value was.
    pub old: String,
    pub new: String,
}

impl Answer {
    /// A sentence alone.
    pub fn said(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// BadOutOfRange
    #[error("{0}")]
    OutOfRange(String),
    /// BadTypeMismatch
    #[error("{0}")]
    TypeMismatch(String),
    /// BadInvalidState
    #[error("{0}")]
    InvalidState(String),
    /// BadNodeIdUnknown
    #[error("{0}")]
    Unknown(String),
    /// BadNotSupported
    #[error("{0}")]
    NotSupported(String),
    /// BadUserAccessDenied
    #[error("{0}")]
    Denied(String),
    /// BadInvalidArgument, of the method's argument with this index.
    #[error("{text}")]
    Argument { index: usize, text: String },
}

/// What stands beside a written request code.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestArguments {
    pub text: Arc<str>,
    pub number: f64,
    /// What the variables of the label input hold.
    pub label: LabelArguments,
}

/// The label that a screen has prepared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelArguments {
    pub prediction: Arc<str>,
    pub from: Timestamp,
    pub to: Timestamp,
    pub class: u16,
    pub value: f64,
    pub comment: Arc<str>,
}

impl Command {
    /// The command that a request code and its arguments stand for. Dangerous codes need their target in the text.
    pub fn of_request(code: CommandCode, arguments: &RequestArguments) -> Result<Self, Refusal> {
        let text = || arguments.text.clone();
        let none = || Arc::<str>::from("");
        let target = |what: &str| match &*arguments.text {
            "" => Err(Refusal::OutOfRange(format!("{}: write the {what} into TextArgument first", code.name()))),
            _ => Ok(text()),
        };
        let count = |what: &str| match arguments.number {
            n if (0.0..=f64::from(u32::MAX)).contains(&n) && n.fract() == 0.0 => Ok(n as u32),
            n => Err(Refusal::OutOfRange(format!("NumericArgument: `{n}` is no {what}"))),
        };
        Ok(match code {
            CommandCode::None => return Err(Refusal::OutOfRange("0 is no command".into())),
            CommandCode::AcknowledgeAlarms => {
                let bits = u16::try_from(count("alarm word")?);
                let bits = bits.map_err(|_| Refusal::OutOfRange("NumericArgument: an alarm word has 16 bits".into()))?;
                Self::AcknowledgeAlarms { bits, comment: text() }
            }
            CommandCode::StartReferenceLearning => {
                Self::StartReferenceLearning { regime: text(), min_rows: count("number of rows")?, max_seconds: 0.0, comment: none() }
            }
            CommandCode::FreezeReference => Self::FreezeReference { regime: text(), comment: none() },
            CommandCode::AcceptDriftAsNewReference => Self::AcceptDriftAsNewReference { regime: target("regime key")?, comment: none() },
            CommandCode::DiscardReference => Self::DiscardReference { regime: target("regime key")?, comment: none() },
            CommandCode::RestoreReference => Self::RestoreReference { regime: target("regime key")?, comment: none() },
            CommandCode::SuspendMonitoring => Self::SuspendMonitoring { max_seconds: arguments.number, comment: text() },
            CommandCode::ResumeMonitoring => Self::ResumeMonitoring,
            CommandCode::ResetMonitor => Self::ResetMonitor { monitor: target("monitor's name")?, comment: none() },
            CommandCode::Rebaseline => Self::Rebaseline { comment: text() },
            CommandCode::RestoreBaseline => Self::RestoreBaseline { comment: text() },
            CommandCode::StartCollecting => {
                Self::StartCollecting { slot: None, regime: text(), target_rows: count("number of rows")?, comment: none() }
            }
            CommandCode::ExportBuffer => {
                Self::ExportBuffer { slot: None, dataset: text(), format: none(), from: Timestamp::EPOCH, to: Timestamp::EPOCH }
            }
            CommandCode::AcknowledgeBuffer => Self::AcknowledgeBuffer { slot: None, dataset: text(), comment: none() },
            CommandCode::ReleaseBuffer => Self::ReleaseBuffer { slot: None, dataset: text(), comment: none() },
            CommandCode::SubmitLabel => {
                let LabelArguments { prediction, from, to, class, value, comment } = arguments.label.clone();
                Self::SubmitLabel { prediction, from, to, class, value, comment }
            }
            CommandCode::ResetParameter => Self::ResetParameter { path: target("parameter's path")?, comment: none() },
            CommandCode::ActivateCandidate => {
                Self::ActivateModel { model: none(), version: target("version")?, hash: none(), comment: none() }
            }
            CommandCode::ConfirmModel => Self::ConfirmModel { model: text(), comment: none() },
            CommandCode::RollbackModel => Self::RollbackModel { model: text(), reason: none() },
            CommandCode::ReloadConfig => Self::ReloadConfig { dry_run: arguments.number != 0.0 },
        })
    }

    /// `None` only for the write of a parameter, which no request code stands for.
    pub const fn code(&self) -> CommandCode {
        match self {
            Self::SetParameter { .. } => CommandCode::None,
            Self::ResetParameter { .. } => CommandCode::ResetParameter,
            Self::AcknowledgeAlarms { .. } => CommandCode::AcknowledgeAlarms,
            Self::StartReferenceLearning { .. } => CommandCode::StartReferenceLearning,
            Self::FreezeReference { .. } => CommandCode::FreezeReference,
            Self::AcceptDriftAsNewReference { .. } => CommandCode::AcceptDriftAsNewReference,
            Self::DiscardReference { .. } => CommandCode::DiscardReference,
            Self::RestoreReference { .. } => CommandCode::RestoreReference,
            Self::SuspendMonitoring { .. } => CommandCode::SuspendMonitoring,
            Self::ResumeMonitoring => CommandCode::ResumeMonitoring,
            Self::ResetMonitor { .. } => CommandCode::ResetMonitor,
            Self::Rebaseline { .. } => CommandCode::Rebaseline,
            Self::RestoreBaseline { .. } => CommandCode::RestoreBaseline,
            Self::StartCollecting { .. } => CommandCode::StartCollecting,
            Self::ExportBuffer { .. } => CommandCode::ExportBuffer,
            Self::AcknowledgeBuffer { .. } => CommandCode::AcknowledgeBuffer,
            Self::ReleaseBuffer { .. } => CommandCode::ReleaseBuffer,
            Self::SubmitLabel { .. } => CommandCode::SubmitLabel,
            Self::ActivateModel { .. } => CommandCode::ActivateCandidate,
            Self::ConfirmModel { .. } => CommandCode::ConfirmModel,
            Self::RollbackModel { .. } => CommandCode::RollbackModel,
            Self::ReloadConfig { .. } => CommandCode::ReloadConfig,
        }
    }

    /// The node of the method that does the same: what rights and the audit trail go by.
    pub fn path(&self, target: &str) -> String {
        let buffer = |slot: &Option<u16>| format!("{target}.Buffers.B{:02}", slot.map_or(1, |s| s.saturating_add(1)));
        let model = |model: &str| if model.is_empty() { format!("{target}.Models.*") } else { format!("{target}.Models.{model}") };
        let (object, method) = match self {
            Self::SetParameter { path, .. } => return path.to_string(),
            Self::ResetParameter { .. } => (format!("{GATEWAY}.Configuration"), "ResetParameter"),
            Self::ReloadConfig { .. } => (format!("{GATEWAY}.Configuration"), "ReloadConfig"),
            Self::AcknowledgeAlarms { .. } => (format!("{target}.Alarms"), "AckWord"),
            Self::StartReferenceLearning { .. } => (format!("{target}.Regimes"), "StartReferenceLearning"),
            Self::FreezeReference { .. } => (format!("{target}.Regimes"), "FreezeReference"),
            Self::AcceptDriftAsNewReference { .. } => (format!("{target}.Regimes"), "AcceptDriftAsNewReference"),
            Self::DiscardReference { .. } => (format!("{target}.Regimes"), "DiscardReference"),
            Self::RestoreReference { .. } => (format!("{target}.Regimes"), "RestoreReference"),
            Self::SuspendMonitoring { .. } => (format!("{target}.Drift"), "SuspendMonitoring"),
            Self::ResumeMonitoring => (format!("{target}.Drift"), "ResumeMonitoring"),
            Self::Rebaseline { .. } => (format!("{target}.Drift"), "Rebaseline"),
            Self::RestoreBaseline { .. } => (format!("{target}.Drift"), "RestoreBaseline"),
            Self::ResetMonitor { monitor, .. } => {
                let object = if monitor.contains('.') { format!("{target}.Models.{monitor}") } else { format!("{target}.Drift.{monitor}") };
                (object, "ResetMonitor")
            }
            Self::StartCollecting { slot, .. } => (buffer(slot), "StartCollecting"),
            Self::ExportBuffer { slot, .. } => (buffer(slot), "ExportBuffer"),
            Self::AcknowledgeBuffer { slot, .. } => (buffer(slot), "AcknowledgeBuffer"),
            Self::ReleaseBuffer { slot, .. } => (buffer(slot), "ReleaseBuffer"),
            Self::SubmitLabel { .. } => (target.to_string(), "SubmitLabel"),
            Self::ActivateModel { model: name, .. } => (model(name), "ActivateModel"),
            Self::ConfirmModel { model: name, .. } => (model(name), "ConfirmModel"),
            Self::RollbackModel { model: name, .. } => (model(name), "RollbackModel"),
        };
        format!("{object}.{method}")
    }

    /// The method's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SetParameter { .. } => "SetParameter",
            Self::ActivateModel { .. } => "ActivateModel",
            other => other.code().name(),
        }
    }

    /// The method's input arguments: for the audit trail.
    pub fn arguments(&self) -> Vec<(Arc<str>, Scalar)> {
        let text = |name: &str, value: &Arc<str>| (Arc::from(name), Scalar::Text(value.clone()));
        let number = |name: &str, value: f64| (Arc::from(name), Scalar::F64(value));
        let count = |name: &str, value: u32| (Arc::from(name), Scalar::U32(value));
        let time = |name: &str, value: Timestamp| (Arc::from(name), Scalar::Time(value));
        match self {
            Self::SetParameter { path, value } => vec![text("Path", path), ("Value".into(), value.clone())],
            Self::ResetParameter { path, comment } => vec![text("Path", path), text("Comment", comment)],
            Self::AcknowledgeAlarms { bits, comment } => vec![("Bits".into(), Scalar::U16(*bits)), text("Comment", comment)],
            Self::StartReferenceLearning { regime, min_rows, max_seconds, comment } => {
                vec![text("RegimeKey", regime), count("MinRows", *min_rows), number("MaxSeconds", *max_seconds), text("Comment", comment)]
            }
            Self::FreezeReference { regime, comment }
            | Self::AcceptDriftAsNewReference { regime, comment }
            | Self::DiscardReference { regime, comment }
            | Self::RestoreReference { regime, comment } => vec![text("RegimeKey", regime), text("Comment", comment)],
            Self::SuspendMonitoring { max_seconds, comment } => vec![number("MaxSeconds", *max_seconds), text("Comment", comment)],
            Self::ResumeMonitoring => Vec::new(),
            Self::ResetMonitor { comment, .. } | Self::Rebaseline { comment } | Self::RestoreBaseline { comment } => {
                vec![text("Comment", comment)]
            }
            Self::StartCollecting { regime, target_rows, comment, .. } => {
                vec![text("RegimeKey", regime), count("TargetRows", *target_rows), text("Comment", comment)]
            }
            Self::ExportBuffer { format, from, to, .. } => {
                vec![text("Format", format), time("FromTime", *from), time("ToTime", *to)]
            }
            Self::AcknowledgeBuffer { dataset, comment, .. } | Self::ReleaseBuffer { dataset, comment, .. } => {
                vec![text("DatasetId", dataset), text("Comment", comment)]
            }
            Self::SubmitLabel { prediction, from, to, class, value, comment } => vec![
                text("PredictionId", prediction),
                time("FromTime", *from),
                time("ToTime", *to),
                ("LabelClass".into(), Scalar::U16(*class)),
                number("TrueValue", *value),
                text("Comment", comment),
            ],
            Self::ActivateModel { version, hash, comment, .. } => {
                vec![text("Version", version), text("Hash", hash), text("Comment", comment)]
            }
            Self::ConfirmModel { comment, .. } => vec![text("Comment", comment)],
            Self::RollbackModel { reason, .. } => vec![text("Reason", reason)],
            Self::ReloadConfig { dry_run } => vec![("DryRun".into(), Scalar::Bool(*dry_run))],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(code: CommandCode, text: &str, number: f64) -> Result<Command, Refusal> {
        Command::of_request(code, &RequestArguments { text: text.into(), number, ..RequestArguments::default() })
    }

    #[test]
    fn a_request_is_the_command_of_its_code() {
        for code in CommandCode::ALL.iter().filter(|c| **c != CommandCode::None) {
            assert_eq!(request(*code, "x", 5.0).unwrap().code(), *code);
        }
        assert!(CommandCode::ALL.iter().all(|c| c.code() < 32), "AllowedRequests has 32 bits");
        assert_eq!((CommandCode::of(31), CommandCode::of(99)), (Some(CommandCode::Rebaseline), None));
    }

    #[test]
    fn a_stray_dangerous_code_does_nothing() {
        for code in [CommandCode::ActivateCandidate, CommandCode::AcceptDriftAsNewReference, CommandCode::DiscardReference] {
            assert!(matches!(request(code, "", 0.0), Err(Refusal::OutOfRange(_))), "{code}");
        }
        assert!(request(CommandCode::FreezeReference, "", 0.0).is_ok());
    }

    #[test]
    fn numbers_that_count_are_whole() {
        for n in [-1.0, 0.5, f64::NAN, 1e12] {
            assert!(request(CommandCode::StartCollecting, "", n).is_err(), "{n}");
        }
        assert!(request(CommandCode::AcknowledgeAlarms, "", 65_536.0).is_err());
    }

    #[test]
    fn the_audit_names_the_method() {
        let command = Command::ResetMonitor { monitor: "Stator.PredictionDrift".into(), comment: "c".into() };
        assert_eq!(command.path("Motor1"), "Motor1.Models.Stator.PredictionDrift.ResetMonitor");
        assert_eq!(command.arguments(), [("Comment".into(), Scalar::Text("c".into()))]);
        let command = Command::StartCollecting { slot: Some(2), regime: "".into(), target_rows: 0, comment: "".into() };
        assert_eq!(command.path("Motor1"), "Motor1.Buffers.B03.StartCollecting");
    }
}
