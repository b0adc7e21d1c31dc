//! What is told to a PLC, before it has the PLC's type.

/// A value that the gateway has for a PLC.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Output {
    Number(f64),
    /// A counter: begins anew where the PLC's type is full.
    Count(u64),
    /// There is no value that is true at present.
    Unknown,
}

/// Types that a PLC may have for it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum NumberType {
    Bool,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl NumberType {
    /// Lowest and highest value of an integer type.
    pub const fn range(self) -> Option<(i128, i128)> {
        Some(match self {
            Self::I8 => (i8::MIN as i128, i8::MAX as i128),
            Self::U8 => (0, u8::MAX as i128),
            Self::I16 => (i16::MIN as i128, i16::MAX as i128),
            Self::U16 => (0, u16::MAX as i128),
            Self::I32 => (i32::MIN as i128, i32::MAX as i128),
            Self::U32 => (0, u32::MAX as i128),
            Self::I64 => (i64::MIN as i128, i64::MAX as i128),
            Self::U64 => (0, u64::MAX as i128),
            Self::Bool | Self::F32 | Self::F64 => return None,
        })
    }

    /// For messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::I16 => "i16",
            Self::U16 => "u16",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I64 => "i64",
            Self::U64 => "u64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// A value that fits into the type it was made for.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Encoded {
    Bool(bool),
    Integer(i128),
    Real(f64),
}
