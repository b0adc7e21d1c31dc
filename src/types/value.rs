use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A value as a PLC gives it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Value {
    Bool(bool),
    Integer(i64),
    Real(f64),
    Text(Arc<str>),
    /// A waveform: consecutive samples of one signal, oldest first.
    Block(Arc<[f64]>),
}

impl Value {
    /// For people, in one line: numbers with four decimals at most, the beginning of texts and blocks.
    pub fn short(&self) -> String {
        let number = |x: f64| {
            if x == 0.0 || (1e-3..1e7).contains(&x.abs()) {
                format!("{x:.4}").trim_end_matches('0').trim_end_matches('.').to_string()
            } else {
                format!("{x:.4e}")
            }
        };
        match self {
            Self::Bool(v) => v.to_string(),
            Self::Integer(v) => v.to_string(),
            Self::Real(v) => number(*v),
            Self::Text(v) => v.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect(),
            Self::Block(values) => {
                let first: Vec<String> = values.iter().take(3).map(|x| number(*x)).collect();
                format!("{} ...", first.join(" "))
            }
        }
    }

    /// The value as a number; `None` for text and blocks.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            Self::Integer(i) => Some(*i as f64),
            Self::Real(x) => Some(*x),
            Self::Text(_) | Self::Block(_) => None,
        }
    }

    pub fn block(&self) -> Option<&[f64]> {
        match self {
            Self::Block(b) => Some(b),
            _ => None,
        }
    }
}

/// The plain values that screens and panels can read: what own OPC UA variables hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Scalar {
    Bool(bool),
    U16(u16),
    U32(u32),
    F64(f64),
    Text(Arc<str>),
    Time(Timestamp),
}

/// The type of a [`Scalar`].
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ScalarKind {
    Bool,
    U16,
    U32,
    F64,
    Text,
    Time,
}

impl Scalar {
    pub fn kind(&self) -> ScalarKind {
        match self {
            Self::Bool(_) => ScalarKind::Bool,
            Self::U16(_) => ScalarKind::U16,
            Self::U32(_) => ScalarKind::U32,
            Self::F64(_) => ScalarKind::F64,
            Self::Text(_) => ScalarKind::Text,
            Self::Time(_) => ScalarKind::Time,
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            Self::U16(v) => Some(f64::from(*v)),
            Self::U32(v) => Some(f64::from(*v)),
            Self::F64(v) => Some(*v),
            Self::Text(_) | Self::Time(_) => None,
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(v) => v.fmt(f),
            Self::U16(v) => v.fmt(f),
            Self::U32(v) => v.fmt(f),
            Self::F64(v) => v.fmt(f),
            Self::Text(v) => v.fmt(f),
            Self::Time(v) => v.fmt(f),
        }
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short() {
        assert_eq!([0.0, 1480.25, 0.5, 1e-9, 3e12].map(|x| Value::Real(x).short()), ["0", "1480.25", "0.5", "1.0000e-9", "3.0000e12"]);
        assert_eq!(Value::Block(vec![1.0; 9].into()).short(), "1 1 1 ...");
        assert_eq!(Value::Text("a\nb".into()).short(), "a?b");
    }
}
