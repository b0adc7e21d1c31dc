//! Modbus addresses; the configuration reads them.

pub(super) use crate::config::{AddressError, ModbusAddress as Address, ModbusTable as Table};

/// In any of the notations that the configuration takes.
pub(super) fn parse(text: &str) -> Result<Address, AddressError> {
    Address::parse(text)
}
