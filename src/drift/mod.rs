//! Drift: metrics, charts, monitors and the decision. Pure: no clock, no I/O.

mod baseline;
pub mod calibrate;
pub mod chart;
mod covariance;
mod decide;
pub mod metric;
mod monitor;
pub mod performance;
mod test;
mod window;

pub use baseline::Baseline;
pub use chart::Chart;
pub use decide::Decision;
pub use metric::Metric;
pub use monitor::{ColumnResult, Evaluation, Monitor, MonitorParams, MonitorState, References, TestResult};
pub use test::{Test, UnknownTest};
pub use window::Window;

/// Values kept of each reference at most, evenly spaced over the rows.
pub const REFERENCE_CAP: usize = 5_000;
