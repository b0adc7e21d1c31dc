//! The words of the project as types. Imports nothing of the project; no clock, no I/O.
//!
//! ```text
//! Sample --align--> Frame --regime, features, model, monitors--> Verdict + Event
//! ```

mod command;
mod event;
mod frame;
mod historic;
mod output;
mod performance;
mod quality;
mod sample;
mod status;
mod text;
mod time;
mod value;
mod verdict;

pub use command::{Answer, Command, GATEWAY, LabelArguments, Refusal, RequestArguments, Via};
pub use event::{Contributor, Event, EventKind, Events};
pub use frame::{Channel, Frame};
pub use historic::{End, Historic};
pub use output::{Encoded, NumberType, Output};
pub use performance::{Basis, Confusion, NoEstimate, PerformanceReport, RegimePerformance, Statement};
pub use quality::{Cause, Quality};
pub use sample::{Sample, SampleId};
pub use status::{
    BufferReason, BufferState, CommandCode, CommandState, DriftKind, DriftStatus, Health, ModelState, RegimeState, ReportState, SourceState,
};
pub use text::one_line;
pub use time::{ParseTimeError, Timestamp};
pub use value::{Scalar, ScalarKind, Value};
pub use verdict::{
    BufferReport, CheckReport, Direction, ExportReport, FeatureReport, ModelReport, MonitorReport, NotEvaluated, RegimeReport,
    RegimeSlotReport, TestReport, Trust, Verdict, reference_id,
};
