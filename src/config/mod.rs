//! Configuration: what exists (sources, machines, signals, settings, models) and where tuning starts.
//!
//! Two types: `raw` is what TOML holds, [`Config`] is checked. Only a [`Config`] builds rooms.

mod checked;
mod raw;
pub mod tunable;

pub use checked::*;
