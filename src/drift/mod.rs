//! Drift: metrics, monitors and the decision. Pure: no clock, no I/O.

mod decide;
pub mod metric;
mod monitor;
mod window;

pub use decide::Decision;
pub use metric::Metric;
pub use monitor::{ColumnResult, Evaluation, Monitor, MonitorParams, MonitorState, References, TestResult};
pub use window::Window;
