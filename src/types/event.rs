use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{BufferReason, BufferState, Direction, DriftStatus, RegimeState, Scalar, Statement, Timestamp, Via};

/// Something that changed, at one row of one unit (machine). A line of the events file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// The machine; in a replay, the file and the value of the unit column.
    pub unit: Arc<str>,
    /// 1-based within the unit.
    pub row: u64,
    pub time: Timestamp,
    pub kind: EventKind,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum EventKind {
    /// A monitor, or the machine as a whole, has a new status (`monitor` is `machine` for the machine).
    Status {
        monitor: Arc<str>,
        status: DriftStatus,
        previous: Option<DriftStatus>,
        /// Why it is not evaluated, where it is not.
        reason: Option<super::NotEvaluated>,
        /// Key of the regime; `None` outside or in a transient.
        regime: Option<Arc<str>>,
        feature: Option<Arc<str>>,
        /// Which test stands nearest to its threshold, and what it says.
        metric: Option<Arc<str>>,
        value: Option<f64>,
        threshold: Option<f64>,
    },
    /// The settings have changed.
    Regime { state: RegimeState, regime: Option<Arc<str>>, key: Arc<str>, distance: Option<f64> },
    /// A model reports a machine fault, or its end.
    Fault { model: Arc<str>, active: bool, regime: Option<Arc<str>>, feature: Option<Arc<str>>, value: f64, threshold: f64 },
    /// A retraining buffer has a new state.
    Buffer { slot: u16, state: BufferState, reason: BufferReason, regime: Option<Arc<str>>, rows: u32, dataset_id: Arc<str> },
    /// A reference was learned.
    Reference { regime: Arc<str>, rows: u32 },
    /// A parameter was written; `refused` says why nothing changed.
    Parameter { path: Arc<str>, old: String, new: String, user: Arc<str>, refused: Option<String> },
    /// Anything else worth keeping.
    Note { text: String },
    /// A named check fails at a regime, or passes again.
    Check { check: Arc<str>, passed: bool, regime: Option<Arc<str>>, feature: Option<Arc<str>>, value: f64, limit: f64 },
    /// What drives a monitor's warning or drift: its features with the largest indexes, largest first. Follows its status.
    Contributors { monitor: Arc<str>, regime: Option<Arc<str>>, features: Vec<Contributor> },
    /// What data and labels together say of a model has changed.
    Statement {
        model: Arc<str>,
        statement: Statement,
        /// Labels it rests on.
        labels: u32,
        regime: Option<Arc<str>>,
        /// Error rate of the last labelled rows of that regime, and the reference's.
        error_rate: Option<f64>,
        reference: Option<f64>,
        /// Error rate estimated without labels.
        estimate: Option<f64>,
    },
    /// A client was refused something: a login, a read, a write, a call, a connection.
    Refused {
        /// `anonymous` where there is none (yet).
        user: Arc<str>,
        /// IP address.
        address: Arc<str>,
        /// One word: `login`, `read`, `write`, `call`, `history`, `connect`, ...
        action: Arc<str>,
        /// Path of the node, where there is one.
        target: Arc<str>,
        reason: Arc<str>,
        /// Refusals of the same address before this one that were not listed one by one.
        unlisted: u32,
    },
    /// A user has logged in.
    Session { user: Arc<str>, address: Arc<str>, roles: Arc<str> },
    /// Somebody has given a command, by a method or by command variables; `refused` says why nothing was done.
    Command {
        /// Its name: `AcceptDriftAsNewReference`.
        command: Arc<str>,
        /// The method's node, also where a variable was written: `Motor1.Regimes.AcceptDriftAsNewReference`.
        path: Arc<str>,
        via: Via,
        /// The method's input arguments, in order.
        arguments: Vec<(Arc<str>, Scalar)>,
        user: Arc<str>,
        /// The name that a shared screen claims for whoever stands before it; empty for none.
        operator: Arc<str>,
        /// What the command has changed, before and after; empty where it changes no single value.
        old: String,
        new: String,
        /// What was done, in words.
        result: String,
        refused: Option<String>,
    },
    /// A reference was accepted, learned anew, restored, discarded or frozen by command.
    ReferenceChanged { regime: Arc<str>, old: Arc<str>, new: Arc<str>, reason: String, user: Arc<str> },
    /// Somebody has said what was true: of one prediction, or of a span of time.
    Label {
        prediction: Arc<str>,
        from: Timestamp,
        to: Timestamp,
        class: u16,
        /// NaN where none was given.
        value: f64,
        comment: String,
        user: Arc<str>,
        operator: Arc<str>,
    },
    /// Another bundle is active, or the present one has been confirmed.
    ModelChanged {
        /// Versions; empty where there was, or is, no bundle.
        old: Arc<str>,
        new: Arc<str>,
        /// SHA-256 of the new one, hex.
        hash: Arc<str>,
        reason: String,
        /// Empty where the gateway has done it by itself.
        user: Arc<str>,
    },
}

/// A feature's part in a warning or drift.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Contributor {
    pub feature: Arc<str>,
    /// 1.0 is the threshold.
    pub index: f64,
    pub direction: Direction,
    /// From when on its index has been above one half.
    pub since: Timestamp,
}

/// Events in the order in which they happened.
pub type Events = Vec<Event>;
