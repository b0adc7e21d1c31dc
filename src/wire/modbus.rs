//! Modbus registers -> the project's values.

use crate::config::{RegisterType, WordOrder};
use crate::types::Value;

/// One value from exactly as many registers as it takes ([`RegisterType::width`]); `None` where there are more or fewer.
///
/// The order says where the bytes A (most significant) to D of a 32-bit value lie; 64-bit values accordingly. Orders with
/// swapped bytes (BADC, DCBA) swap those of 16-bit values too. A `bool` is true where the register is not 0.
/// A text lies in ascending registers whatever the order of words is, its first character in the upper half; it ends at the first NUL, and blanks at
/// its end are not part of it. One that is not UTF-8 is Latin-1.
pub fn decode(registers: &[u16], kind: RegisterType, order: WordOrder) -> Option<Value> {
    if registers.len() != kind.width() {
        return None;
    }
    let (words_swapped, bytes_swapped) = match order {
        WordOrder::Abcd => (false, false),
        WordOrder::Cdab => (true, false),
        WordOrder::Badc => (false, true),
        WordOrder::Dcba => (true, true),
    };
    let bits = (0..registers.len()).fold(0u64, |bits, i| {
        let word = registers[if words_swapped { registers.len() - 1 - i } else { i }];
        bits << 16 | u64::from(if bytes_swapped { word.swap_bytes() } else { word })
    });
    // The casts keep the low bits: exactly those that were put together above.
    Some(match kind {
        RegisterType::Bool => Value::Bool(bits != 0),
        RegisterType::I16 => Value::Integer(i64::from(bits as u16 as i16)),
        RegisterType::U16 | RegisterType::U32 => Value::Integer(bits as i64),
        RegisterType::I32 => Value::Integer(i64::from(bits as u32 as i32)),
        RegisterType::I64 => Value::Integer(bits as i64),
        // Beyond i64 only the magnitude matters.
        RegisterType::U64 => i64::try_from(bits).map_or(Value::Real(bits as f64), Value::Integer),
        RegisterType::F32 => Value::Real(f64::from(f32::from_bits(bits as u32))),
        RegisterType::F64 => Value::Real(f64::from_bits(bits)),
        RegisterType::String(characters) => Value::Text(text(registers, usize::from(characters), bytes_swapped).into()),
    })
}

fn text(registers: &[u16], characters: usize, bytes_swapped: bool) -> String {
    let bytes = registers.iter().flat_map(|word| if bytes_swapped { word.to_le_bytes() } else { word.to_be_bytes() });
    let bytes: Vec<u8> = bytes.take(characters).take_while(|byte| *byte != 0).collect();
    let text = String::from_utf8(bytes).unwrap_or_else(|e| e.as_bytes().iter().map(|byte| char::from(*byte)).collect());
    text.trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_word_orders_of_a_float() {
        // 123.456f32 is 0x42F6E979.
        for (registers, order) in [
            ([0x42F6, 0xE979], WordOrder::Abcd),
            ([0xE979, 0x42F6], WordOrder::Cdab),
            ([0xF642, 0x79E9], WordOrder::Badc),
            ([0x79E9, 0xF642], WordOrder::Dcba),
        ] {
            assert_eq!(decode(&registers, RegisterType::F32, order), Some(Value::Real(f64::from(123.456f32))), "{order:?}");
        }
    }

    #[test]
    fn four_registers_in_all_orders() {
        let words = [0x0102, 0x0304, 0x0506, 0x0708];
        let expected = Some(Value::Integer(0x0102_0304_0506_0708));
        assert_eq!(decode(&words, RegisterType::I64, WordOrder::Abcd), expected);
        assert_eq!(decode(&[0x0708, 0x0506, 0x0304, 0x0102], RegisterType::U64, WordOrder::Cdab), expected);
        assert_eq!(decode(&[0x0201, 0x0403, 0x0605, 0x0807], RegisterType::I64, WordOrder::Badc), expected);
        assert_eq!(decode(&[0x0807, 0x0605, 0x0403, 0x0201], RegisterType::I64, WordOrder::Dcba), expected);
        assert_eq!(decode(&[0x3FF8, 0, 0, 0], RegisterType::F64, WordOrder::Abcd), Some(Value::Real(1.5)));
    }

    #[test]
    fn signs_and_sizes() {
        let order = WordOrder::Abcd;
        assert_eq!(decode(&[0xFFFE], RegisterType::I16, order), Some(Value::Integer(-2)));
        assert_eq!(decode(&[0xFFFE], RegisterType::U16, order), Some(Value::Integer(65_534)));
        assert_eq!(decode(&[0xFFFF, 0xFFFE], RegisterType::I32, order), Some(Value::Integer(-2)));
        assert_eq!(decode(&[0xFFFF, 0xFFFE], RegisterType::U32, order), Some(Value::Integer(4_294_967_294)));
        assert_eq!(decode(&[0xFFFF; 4], RegisterType::U64, order), Some(Value::Real(u64::MAX as f64)));
        assert_eq!(decode(&[2], RegisterType::Bool, order), Some(Value::Bool(true)));
        assert_eq!(decode(&[0], RegisterType::Bool, order), Some(Value::Bool(false)));
        assert_eq!(decode(&[0x0100], RegisterType::U16, WordOrder::Dcba), Some(Value::Integer(1)));
        assert_eq!(decode(&[1, 2, 3], RegisterType::F32, order), None);
    }

    #[test]
    fn texts_are_bytes_in_ascending_registers() {
        let read = |registers: &[u16], characters, order| decode(registers, RegisterType::String(characters), order);
        let text = |text: &str| Some(Value::Text(text.into()));
        assert_eq!(read(&[0x4142, 0x4344], 4, WordOrder::Abcd), text("ABCD"));
        assert_eq!(read(&[0x4142, 0x4344], 3, WordOrder::Cdab), text("ABC"), "an odd length; words are not swapped");
        assert_eq!(read(&[0x4241, 0x4443], 4, WordOrder::Badc), text("ABCD"));
        assert_eq!(read(&[0x4241, 0x4443], 4, WordOrder::Dcba), text("ABCD"));
        assert_eq!(read(&[0x4142, 0x2000, 0x5858], 6, WordOrder::Abcd), text("AB"), "what follows a NUL is no text, nor are blanks");
        assert_eq!(read(&[0x0000], 2, WordOrder::Abcd), text(""));
        assert_eq!(read(&[0xC3BC], 2, WordOrder::Abcd), text("ü"));
        assert_eq!(read(&[0xFC41], 2, WordOrder::Abcd), text("üA"), "Latin-1");
        assert_eq!(read(&[0x4142], 4, WordOrder::Abcd), None);
    }
}
