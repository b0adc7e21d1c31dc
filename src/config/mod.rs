//! Configuration: what exists (sources, machines, signals, settings, models) and where tuning starts.
//!
//! Two types: `raw` is what TOML holds, [`Config`] is checked. Only a [`Config`] builds rooms.
//!
//! ```text
//! text --read--> raw --check--> Config        faults of both steps together: ConfigErrors
//!                 └──document──▶ configs/full.toml
//! ```

mod bounds;
mod check;
mod checked;
mod document;
mod fault;
mod load;
mod modbus_address;
mod raw;
mod read;
mod repeat;
#[cfg(test)]
mod tests;
pub mod tunable;
mod writes;

pub use checked::*;
pub use document::documented_default;
pub use fault::{ConfigErrors, Fault};
pub use load::LoadError;
pub use modbus_address::{AddressError, ModbusAddress, ModbusTable};
pub use writes::{Misfit, WriteConfig, Written, writes_of};
