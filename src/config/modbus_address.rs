//! Modbus addresses in the notations of manuals and PLCs.

use std::fmt;

/// Byte offset 0 of the PLC memory (`%M`) behind Beckhoff's TF6250.
const BECKHOFF_MEMORY: u32 = 0x3000;

/// One of the four tables of a Modbus device.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModbusTable {
    Holding,
    Input,
    Coil,
    Discrete,
}

impl ModbusTable {
    /// Coils and discrete inputs.
    pub fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }
}

/// Where a value begins: zero-based, as on the wire. Its text is `holding:100`, or `holding:100.3` for a bit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ModbusAddress {
    pub table: ModbusTable,
    pub start: u16,
    /// One bit of a register: 0 (the lowest of the register as it is sent) to 15.
    pub bit: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "not a Modbus address: `{0}`; write holding:100, holding:100.3 (a bit), input:0x10, coil:3, discrete:3, 40101, DBW20, DBX2.3 or %MW4"
)]
pub struct AddressError(String);

impl ModbusAddress {
    /// Reads
    /// - `holding:100`, `input:0x3000`, `coil:3`, `discrete:3`: zero-based, decimal or hexadecimal; `holding:100.3` is one bit;
    /// - `40101`, `30101`, `10101`, `00101`, and the same with six digits: the table in the first digit, then a number from 1;
    /// - `DBW20`, `DBD20`, `DBX2.3`: byte offsets in the data block behind Siemens' MB_SERVER, whose first word is holding register 0;
    /// - `%MW4`, `%MD4`, `%MX4.3`, and so on for `%Q` and `%I`: byte offsets in TwinCAT, at TF6250's default places.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        read(text.trim()).ok_or_else(|| AddressError(text.into()))
    }

    /// A coil, a discrete input or a bit of a register.
    pub fn is_bit(self) -> bool {
        self.table.is_bits() || self.bit.is_some()
    }
}

impl fmt::Display for ModbusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = match self.table {
            ModbusTable::Holding => "holding",
            ModbusTable::Input => "input",
            ModbusTable::Coil => "coil",
            ModbusTable::Discrete => "discrete",
        };
        write!(f, "{table}:{}", self.start)?;
        self.bit.map_or(Ok(()), |bit| write!(f, ".{bit}"))
    }
}

fn read(text: &str) -> Option<ModbusAddress> {
    if let Some((table, number)) = text.split_once(':') {
        return named(table.trim(), number.trim());
    }
    if let Some(place) = text.strip_prefix("DB") {
        return siemens(place);
    }
    if let Some(place) = text.strip_prefix('%') {
        return beckhoff(place);
    }
    classic(text)
}

fn named(table: &str, number: &str) -> Option<ModbusAddress> {
    let table = match table.to_ascii_lowercase().as_str() {
        "holding" => ModbusTable::Holding,
        "input" => ModbusTable::Input,
        "coil" => ModbusTable::Coil,
        "discrete" => ModbusTable::Discrete,
        _ => return None,
    };
    let (number, bit) = match number.split_once('.') {
        Some(_) if table.is_bits() => return None,
        Some((number, bit)) => (number, Some(bit_below(bit, 16)?)),
        None => (number, None),
    };
    Some(ModbusAddress { table, start: number_of(number)?, bit })
}

/// The table in the first digit, then a number from 1.
fn classic(text: &str) -> Option<ModbusAddress> {
    let is_classic = matches!(text.len(), 5 | 6) && text.bytes().all(|b| b.is_ascii_digit());
    let (table, number) = is_classic.then(|| text.split_at(1))?;
    let table = match table {
        "0" => ModbusTable::Coil,
        "1" => ModbusTable::Discrete,
        "3" => ModbusTable::Input,
        "4" => ModbusTable::Holding,
        _ => return None,
    };
    place(table, number.parse::<u32>().ok()?.checked_sub(1)?, None)
}

/// Bytes are big endian: the even one is the upper half of its register.
fn siemens(text: &str) -> Option<ModbusAddress> {
    if let Some(text) = text.strip_prefix('X') {
        let (byte, bit) = byte_and_bit(text)?;
        let upper = if byte.is_multiple_of(2) { 8 } else { 0 };
        return place(ModbusTable::Holding, byte / 2, Some(bit + upper));
    }
    let word = even(text.strip_prefix(['W', 'D'])?)?;
    place(ModbusTable::Holding, word, None)
}

/// Bytes are little endian: the even one is the lower half of its register.
fn beckhoff(text: &str) -> Option<ModbusAddress> {
    let (registers, base, bits) = match text.get(..1)? {
        "M" => (ModbusTable::Holding, BECKHOFF_MEMORY, None),
        "Q" => (ModbusTable::Holding, 0, Some(ModbusTable::Coil)),
        "I" => (ModbusTable::Input, 0, Some(ModbusTable::Discrete)),
        _ => return None,
    };
    let text = text.get(1..)?;
    let Some(text) = text.strip_prefix('X') else {
        let word = even(text.strip_prefix(['B', 'W', 'D', 'L'])?)?;
        return within_area(base, word).and_then(|start| place(registers, start, None));
    };
    let (byte, bit) = byte_and_bit(text)?;
    match bits {
        Some(table) => {
            let number = byte.checked_mul(8)?.checked_add(u32::from(bit))?;
            (number < 0x8000).then(|| place(table, number, None)).flatten()
        }
        None => {
            let upper = if byte.is_multiple_of(2) { 0 } else { 8 };
            within_area(base, byte / 2).and_then(|start| place(registers, start, Some(bit + upper)))
        }
    }
}

/// Every area of TF6250 has 0x3000 registers; what lies behind is another one.
fn within_area(base: u32, word: u32) -> Option<u32> {
    (word < 0x3000).then_some(base + word)
}

fn place(table: ModbusTable, start: u32, bit: Option<u8>) -> Option<ModbusAddress> {
    Some(ModbusAddress { table, start: u16::try_from(start).ok()?, bit })
}

/// The register of an even byte offset.
fn even(text: &str) -> Option<u32> {
    let byte: u32 = digits(text)?;
    byte.is_multiple_of(2).then_some(byte / 2)
}

fn byte_and_bit(text: &str) -> Option<(u32, u8)> {
    let (byte, bit) = text.split_once('.')?;
    Some((digits(byte)?, bit_below(bit, 8)?))
}

fn bit_below(text: &str, end: u32) -> Option<u8> {
    let bit = digits(text)?;
    (bit < end).then(|| u8::try_from(bit).ok()).flatten()
}

/// No sign, unlike `parse`.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn number_of(text: &str) -> Option<u16> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => u16::try_from(digits(text)?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> String {
        ModbusAddress::parse(text).unwrap().to_string()
    }

    #[test]
    fn named_tables_count_from_zero() {
        for (text, same) in [
            ("holding:100", "holding:100"),
            ("Holding:0x3000", "holding:12288"),
            ("input:65535", "input:65535"),
            ("coil:3", "coil:3"),
            ("discrete: 0", "discrete:0"),
            ("holding:100.15", "holding:100.15"),
            ("input:0x10.0", "input:16.0"),
        ] {
            assert_eq!(at(text), same);
            assert_eq!(at(same), same, "its own text is read again");
        }
    }

    #[test]
    fn classic_numbers_count_from_one() {
        assert_eq!([at("40001"), at("40101"), at("400001"), at("465536")], ["holding:0", "holding:100", "holding:0", "holding:65535"]);
        assert_eq!([at("30101"), at("10001"), at("00101")], ["input:100", "discrete:0", "coil:100"]);
    }

    #[test]
    fn siemens_offsets_are_bytes() {
        assert_eq!([at("DBW0"), at("DBW20"), at("DBD4")], ["holding:0", "holding:10", "holding:2"]);
        assert_eq!([at("DBX2.3"), at("DBX3.3"), at("DBX0.0")], ["holding:1.11", "holding:1.3", "holding:0.8"]);
    }

    #[test]
    fn beckhoff_offsets_are_bytes_from_the_area_on() {
        assert_eq!([at("%MW0"), at("%MD4"), at("%MB6"), at("%ML8")], ["holding:12288", "holding:12290", "holding:12291", "holding:12292"]);
        assert_eq!([at("%MX2.3"), at("%MX3.3")], ["holding:12289.3", "holding:12289.11"]);
        assert_eq!([at("%QW4"), at("%IW4"), at("%QX1.2"), at("%IX0.7")], ["holding:2", "input:2", "coil:10", "discrete:7"]);
    }

    #[test]
    fn what_is_none() {
        for wrong in [
            "",
            "100",
            "40000",
            "20001",
            "465537",
            "holding",
            "holding:",
            "holding:65536",
            "register:1",
            "DBW3",
            "holding:-1",
            "holding:+1",
            "holding:1.16",
            "coil:1.1",
            "DBX2.8",
            "DBX2",
            "DBB2",
            "DBW+2",
            "%MW3",
            "%MX1.8",
            "%MW24576",
            "%ZW0",
            "%",
            "%M",
            "%Mü",
            "holding:0x",
        ] {
            assert_eq!(ModbusAddress::parse(wrong), Err(AddressError(wrong.into())));
        }
    }
}
