//! Changes of variables as columns.

use std::sync::Arc;

use super::column::{Reader, Writer};
use super::rows::{index_of, quality_code, quality_of, read_texts};
use super::{BlockRow, CodecError};
use crate::store::ValueRow;
use crate::types::{Scalar, Timestamp};

/// Codes of a value's kind; never renumbered.
mod kind {
    pub const NONE: u8 = 0;
    pub const BOOL: u8 = 1;
    pub const U16: u8 = 2;
    pub const U32: u8 = 3;
    pub const F64: u8 = 4;
    pub const TEXT: u8 = 5;
    pub const TIME: u8 = 6;
}

impl BlockRow for ValueRow {
    const KIND: u8 = 5;

    fn time(&self) -> Timestamp {
        self.time
    }

    fn width(&self) -> usize {
        let text = match &self.value {
            Some(Scalar::Text(text)) => text.len(),
            _ => 0,
        };
        48 + self.path.len() + text
    }

    /// Numbers are XORed with the same variable's last one.
    fn write(rows: &[Self], out: &mut Writer) {
        let (mut paths, mut texts): (Vec<&Arc<str>>, Vec<&Arc<str>>) = (Vec::new(), Vec::new());
        let variables: Vec<usize> = rows.iter().map(|row| index_of(&mut paths, &row.path)).collect();
        let mut last = vec![0_u64; paths.len()];
        let (mut kinds, mut qualities, mut statuses, mut words) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (row, &variable) in rows.iter().zip(&variables) {
            let (kind, bits) = match &row.value {
                None => (kind::NONE, last[variable]),
                Some(Scalar::Bool(b)) => (kind::BOOL, u64::from(*b)),
                Some(Scalar::U16(v)) => (kind::U16, u64::from(*v)),
                Some(Scalar::U32(v)) => (kind::U32, u64::from(*v)),
                Some(Scalar::F64(x)) => (kind::F64, x.to_bits()),
                Some(Scalar::Text(text)) => (kind::TEXT, index_of(&mut texts, text) as u64),
                Some(Scalar::Time(time)) => (kind::TIME, time.as_nanos() as u64),
            };
            kinds.push(kind);
            words.push(bits ^ std::mem::replace(&mut last[variable], bits));
            let (code, status) = quality_code(row.quality);
            qualities.push(code);
            statuses.extend(status);
        }
        for list in [&paths, &texts] {
            out.varint(list.len() as u64);
            list.iter().for_each(|text| out.text(text));
        }
        variables.iter().for_each(|variable| out.varint(*variable as u64));
        out.even(rows.iter().map(|row| row.time.as_nanos()));
        out.raw(&kinds);
        out.raw(&qualities);
        statuses.iter().for_each(|status| out.varint(u64::from(*status)));
        out.words(&words);
    }

    fn read(count: usize, input: &mut Reader<'_>) -> Result<Vec<Self>, CodecError> {
        let (paths, texts) = (read_texts(input)?, read_texts(input)?);
        let variables = (0..count).map(|_| input.count()).collect::<Result<Vec<_>, _>>()?;
        let times = input.even(count)?;
        let kinds = input.raw(count)?;
        let codes = input.raw(count)?;
        let qualities = codes.iter().map(|code| quality_of(*code, input)).collect::<Result<Vec<_>, _>>()?;
        let words = input.words(count)?;
        let mut last = vec![0_u64; paths.len()];
        let mut rows = Vec::with_capacity(count);
        for i in 0..count {
            let path = paths.get(variables[i]).ok_or(CodecError::Payload("variable"))?;
            let bits = words[i] ^ last[variables[i]];
            last[variables[i]] = bits;
            let value = match kinds[i] {
                kind::NONE => None,
                kind::BOOL => Some(Scalar::Bool(bits != 0)),
                kind::U16 => Some(Scalar::U16(u16::try_from(bits).map_err(|_| CodecError::Payload("value"))?)),
                kind::U32 => Some(Scalar::U32(u32::try_from(bits).map_err(|_| CodecError::Payload("value"))?)),
                kind::F64 => Some(Scalar::F64(f64::from_bits(bits))),
                kind::TEXT => {
                    let text = usize::try_from(bits).ok().and_then(|k| texts.get(k)).ok_or(CodecError::Payload("text"))?;
                    Some(Scalar::Text(Arc::clone(text)))
                }
                kind::TIME => Some(Scalar::Time(Timestamp::from_nanos(bits as i64))),
                _ => return Err(CodecError::Payload("kind of a value")),
            };
            rows.push(Self { path: Arc::clone(path), time: Timestamp::from_nanos(times[i]), value, quality: qualities[i] });
        }
        Ok(rows)
    }
}
