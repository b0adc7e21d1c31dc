//! Modbus addresses as the configuration has them.

/// One of the four tables of a Modbus device.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Table {
    Holding,
    Input,
    Coil,
    Discrete,
}

impl Table {
    /// Coils and discrete inputs.
    pub fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }
}

/// Where a value begins: zero-based, as on the wire.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub table: Table,
    pub start: u16,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("not a Modbus address: `{0}`; write holding:100, input:0x10, coil:3, discrete:3, a number like 40101, or DBW20")]
pub(super) struct AddressError(String);

/// Reads
/// - `holding:100`, `input:0x3000`, `coil:3`, `discrete:3`: zero-based, decimal or hexadecimal (Beckhoff's mapping is in hexadecimal);
/// - `40101`, `30101`, `10101`, `00101`, and the same with six digits: the table in the first digit, then a number from 1;
/// - `DBW20`, `DBD20`: the byte offset in the data block behind Siemens' MB_SERVER (holding register 10).
pub(super) fn parse(text: &str) -> Result<Address, AddressError> {
    read(text.trim()).ok_or_else(|| AddressError(text.into()))
}

fn read(text: &str) -> Option<Address> {
    if let Some((table, number)) = text.split_once(':') {
        let table = match table.to_ascii_lowercase().as_str() {
            "holding" => Table::Holding,
            "input" => Table::Input,
            "coil" => Table::Coil,
            "discrete" => Table::Discrete,
            _ => return None,
        };
        return Some(Address { table, start: number_of(number)? });
    }
    if let Some(offset) = text.strip_prefix("DBW").or_else(|| text.strip_prefix("DBD")) {
        let offset: u32 = offset.parse().ok()?;
        let start = u16::try_from(offset / 2).ok()?;
        return offset.is_multiple_of(2).then_some(Address { table: Table::Holding, start });
    }
    let is_classic = matches!(text.len(), 5 | 6) && text.bytes().all(|b| b.is_ascii_digit());
    let (table, number) = is_classic.then(|| text.split_at(1))?;
    let table = match table {
        "0" => Table::Coil,
        "1" => Table::Discrete,
        "3" => Table::Input,
        "4" => Table::Holding,
        _ => return None,
    };
    let start = number.parse::<u32>().ok()?.checked_sub(1)?;
    Some(Address { table, start: u16::try_from(start).ok()? })
}

fn number_of(text: &str) -> Option<u16> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_notations() {
        let at = |text: &str| parse(text).map(|a| (a.table, a.start)).unwrap();
        assert_eq!(at("holding:100"), (Table::Holding, 100));
        assert_eq!(at("Holding:0x3000"), (Table::Holding, 0x3000));
        assert_eq!(at("input:65535"), (Table::Input, 65_535));
        assert_eq!(at("coil:3"), (Table::Coil, 3));
        assert_eq!(at("discrete:0"), (Table::Discrete, 0));
        assert_eq!(at("40101"), (Table::Holding, 100));
        assert_eq!(at("465536"), (Table::Holding, 65_535));
        assert_eq!(at("30101"), (Table::Input, 100));
        assert_eq!(at("10001"), (Table::Discrete, 0));
        assert_eq!(at("00101"), (Table::Coil, 100));
        assert_eq!(at("DBW20"), (Table::Holding, 10));
        assert_eq!(at("DBD4"), (Table::Holding, 2));
    }

    #[test]
    fn what_is_none() {
        for wrong in ["", "100", "40000", "20001", "465537", "holding", "holding:", "holding:65536", "register:1", "DBW3", "holding:-1"] {
            assert_eq!(parse(wrong), Err(AddressError(wrong.into())));
        }
    }
}
