//! Code lists. The numbers are part of the OPC UA contract (`nodesets/`): never renumbered, never reused.

use serde::{Deserialize, Serialize};

macro_rules! code_list {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $code:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* $variant = $code),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number that OPC UA clients see.
            pub const fn code(self) -> u16 {
                self as u16
            }

            /// The name, as in files, messages and `...Text` variables.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

code_list! {
    /// Health of the gateway or of a machine's evaluation.
    Health { Unknown = 0, OK = 1, Degraded = 2, Fault = 3, Starting = 4, Stopped = 5 }
}
code_list! {
    /// State of a connection to a PLC.
    SourceState { Disabled = 0, Connecting = 1, Connected = 2, Stale = 3, Down = 4, ConfigurationError = 5, CertificateRejected = 6 }
}
code_list! {
    /// What is known of the present combination of settings.
    RegimeState { NoReference = 0, Learning = 1, Monitoring = 2, OutOfEnvelope = 3, Suspended = 4, Transient = 5, NotProducing = 6 }
}
code_list! {
    /// Status of a monitor, of a feature, or of a whole machine.
    DriftStatus { NotEvaluated = 0, Learning = 1, OK = 2, Warning = 3, Drift = 4, Suspended = 5, Error = 6 }
}
code_list! {
    /// What a monitor watches.
    DriftKind { None = 0, DataDrift = 1, PredictionDrift = 2, PerformanceDrift = 3 }
}
code_list! {
    /// State of a model slot.
    ModelState { Empty = 0, Loading = 1, Ready = 2, Active = 3, AwaitingConfirmation = 4, Failed = 5, RolledBack = 6 }
}
code_list! {
    /// State of a retraining buffer.
    BufferState { Idle = 0, Collecting = 1, Ready = 2, Exporting = 3, Exported = 4, Acknowledged = 5, Error = 6 }
}
code_list! {
    /// State of the full report.
    ReportState { None = 0, Making = 1, Ready = 2, Failed = 3 }
}
code_list! {
    /// Why a buffer collects.
    BufferReason { None = 0, DataDrift = 1, PredictionDrift = 2, OutOfEnvelope = 3, FaultDetected = 4, OperatorRequest = 5, Scheduled = 6, PerformanceDrift = 7 }
}
code_list! {
    /// What a command interface is doing.
    CommandState { Idle = 0, Busy = 1, Done = 2, Rejected = 3, Failed = 4 }
}
code_list! {
    /// What can be asked for through the plain variables of a command interface.
    CommandCode {
        None = 0, AcknowledgeAlarms = 1, StartReferenceLearning = 2, FreezeReference = 3, AcceptDriftAsNewReference = 4,
        DiscardReference = 5, SuspendMonitoring = 6, ResumeMonitoring = 7, RestoreReference = 8, RestoreBaseline = 9,
        StartCollecting = 10, ExportBuffer = 11, AcknowledgeBuffer = 12, ReleaseBuffer = 13, SubmitLabel = 14, ResetMonitor = 15,
        ResetParameter = 16, ActivateCandidate = 20, ConfirmModel = 21, RollbackModel = 22, ReloadConfig = 30, Rebaseline = 31,
    }
}

impl CommandCode {
    /// The command of a number; `None` for numbers that are none.
    pub fn of(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.code() == code)
    }

    /// Its bit in `AllowedRequests`.
    pub const fn bit(self) -> u32 {
        1 << self.code()
    }
}
