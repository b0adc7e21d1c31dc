//! The OPC UA server: address space from the nodeset, values from the pipeline, writes as commands to the owner of the state.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::types::{Quality, Scalar, ScalarKind, Timestamp};

/// A new value of one own variable: `Motor1.Drift.Status` is `ns=2;s=Motor1.Drift.Status`.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeUpdate {
    pub path: Arc<str>,
    /// `None`: no value (Bad).
    pub value: Option<Scalar>,
    pub quality: Quality,
    /// Source timestamp.
    pub time: Timestamp,
}

/// A writable variable: a ConfigParameterType instance in the address space.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// `Motor1.Drift.DataDrift.WindowRows`
    pub path: Arc<str>,
    pub kind: ScalarKind,
    /// In use at start (tuned or from the file).
    pub value: Scalar,
    /// From the file.
    pub default: Scalar,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub unit: &'static str,
    pub description: &'static str,
}

/// What an operator, an engineer or a program asks for. One list for variables, methods and the command line.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Write a tunable parameter.
    SetParameter { path: Arc<str>, value: Scalar },
    /// Back to the configuration file's value.
    ResetParameter { path: Arc<str> },
    /// The data of a retraining buffer was fetched: its slot is free again.
    ReleaseBuffer { machine: u16, slot: u16 },
}

/// A command with who asked and where the answer goes.
#[derive(Debug)]
pub struct CommandRequest {
    pub command: Command,
    pub user: Arc<str>,
    pub reply: oneshot::Sender<Result<(), Refusal>>,
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
}

/// Bounded; full = the sender waits (commands are rare).
pub type CommandSender = mpsc::Sender<CommandRequest>;
/// Bounded; the driver merges into its latched delta while it is full.
pub type UpdateSender = mpsc::Sender<Vec<NodeUpdate>>;
