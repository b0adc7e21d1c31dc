//! Drift: metrics, monitors and the decision. Pure: no clock, no I/O.

pub mod metric;

pub use metric::Metric;
