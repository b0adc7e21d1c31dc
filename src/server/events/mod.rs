//! Events to clients: which item gets which event, with which fields.
//!
//! ```text
//! Occurrence ─▶ Hub: for each item ─where_clause─▶ row of its select clauses ─▶ pending ─pump─▶ the stack's queue of the item
//!                        ▲
//! decoded EventFilter ─▶ filter (kept as the client sent it)
//! ```
//! The stack's own evaluation matches no clause on a NodeId or a String and drops the ConditionId; so it is given filters that it
//! cannot get wrong, and rows that are computed here.

mod filter;
mod hub;
mod occurrence;
mod where_clause;

pub(super) use hub::{Hub, Notifier, Target};
pub(super) use occurrence::{Audience, Base, Occurrence};
