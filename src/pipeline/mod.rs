//! From samples to verdicts. `align` and `core` are pure: the same code runs live, in replay and in tests.
//! `replay` reads recorded data; `driver` (feature `gateway`) is the live shell: one task a machine owns its core.

#[cfg(feature = "gateway")]
pub mod alarm_desk;
pub mod align;
pub mod compared;
pub mod core;
#[cfg(feature = "gateway")]
pub mod cycle;
#[cfg(feature = "gateway")]
pub mod driver;
#[cfg(feature = "gateway")]
pub mod exports;
pub mod full_report;
#[cfg(feature = "gateway")]
pub mod inbox;
#[cfg(feature = "gateway")]
mod label_files;
#[cfg(feature = "gateway")]
pub mod outputs;
mod performance_summary;
pub mod recorded;
pub mod replay;
#[cfg(feature = "gateway")]
pub mod reports;
