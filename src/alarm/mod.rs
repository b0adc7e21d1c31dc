//! Alarms as plain state: what is active, what somebody has acknowledged, what is to be shown. No clock, no OPC UA: readings and
//! times come in as data, changes come out.
//!
//! ```text
//! verdicts, sources, store ─observe─▶ Reading ─▶ Alarms ─▶ changed alarms ─▶ events, nodes, alarm words, log lines
//!                    acknowledge, comment, enable ──┘
//! ```
//! Invariants: one state an alarm, whatever way it is acknowledged; an alarm changes only when what it says of the machine changes
//! (the verdicts are debounced, so alarms need no timer of their own); an event id is never given twice.

mod book;
mod observe;
mod state;
#[cfg(test)]
mod tests;
mod words;

pub use book::{AlarmError, Alarms, Kept, Scope};
pub use observe::{AlarmLayout, drift, envelope, fault, source_down, store_failing};
pub use state::{Alarm, AlarmKind, AlarmSpec, AlarmState, Comment, Detail, EventId, Reading};
pub use words::{BUFFER_FULL, BUFFER_READY, MODEL_AWAITING, MODEL_FAILURE, Words};
