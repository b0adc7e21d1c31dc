//! Columns of numbers as bytes that compress well.

use super::CodecError;

/// Collects a payload.
#[derive(Default)]
pub(in crate::store) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// LEB128.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub fn text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.raw(text.as_bytes());
    }

    /// Byte-shuffled: the lowest bytes of all values, then the next, ...
    pub fn words(&mut self, values: &[u64]) {
        self.bytes.reserve(values.len() * 8);
        for byte in 0..8 {
            self.bytes.extend(values.iter().map(|value| (value >> (8 * byte)) as u8));
        }
    }

    /// One column of whole numbers that mostly grow evenly: differences of the differences.
    pub fn even(&mut self, values: impl Iterator<Item = i64>) {
        let (mut last, mut step) = (0_i64, 0_i64);
        let words: Vec<u64> = values
            .map(|value| {
                let now = value.wrapping_sub(last);
                let word = zigzag(now.wrapping_sub(step));
                (last, step) = (value, now);
                word
            })
            .collect();
        self.words(&words);
    }

    /// Columns of `rows` bit patterns each, one column after the other: each XORed with the one before it in its column.
    pub fn matrix(&mut self, rows: usize, mut cells: Vec<u64>) {
        for column in cells.chunks_mut(rows.max(1)) {
            for i in (1..column.len()).rev() {
                column[i] ^= column[i - 1];
            }
        }
        self.words(&cells);
    }
}

/// Takes a payload apart; the counterpart of [`Writer`]. Never reads past the end, never allocates more than the payload justifies.
pub(in crate::store) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// All must have been read.
    pub fn finish(&self) -> Result<(), CodecError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(CodecError::Payload("bytes left over")) }
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(CodecError::Payload("end too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    pub fn varint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.raw(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CodecError::Payload("number too long"))
    }

    /// A count that the rest of the payload, or a block, can hold.
    pub fn count(&mut self) -> Result<usize, CodecError> {
        usize::try_from(self.varint()?).ok().filter(|n| *n <= super::MAX_PAYLOAD).ok_or(CodecError::Payload("count"))
    }

    pub fn text(&mut self) -> Result<&'a str, CodecError> {
        let length = self.count()?;
        std::str::from_utf8(self.raw(length)?).map_err(|_| CodecError::Payload("text"))
    }

    pub fn words(&mut self, count: usize) -> Result<Vec<u64>, CodecError> {
        let planes = self.raw(count.checked_mul(8).ok_or(CodecError::Payload("count"))?)?;
        let mut values = vec![0_u64; count];
        for (byte, plane) in planes.chunks_exact(count.max(1)).enumerate() {
            for (value, part) in values.iter_mut().zip(plane) {
                *value |= u64::from(*part) << (8 * byte);
            }
        }
        Ok(values)
    }

    pub fn even(&mut self, count: usize) -> Result<Vec<i64>, CodecError> {
        let (mut last, mut step) = (0_i64, 0_i64);
        Ok(self
            .words(count)?
            .into_iter()
            .map(|word| {
                step = step.wrapping_add(unzigzag(word));
                last = last.wrapping_add(step);
                last
            })
            .collect())
    }

    /// `rows * columns` bit patterns, one column after the other.
    pub fn matrix(&mut self, rows: usize, columns: usize) -> Result<Vec<u64>, CodecError> {
        let mut cells = self.words(rows.checked_mul(columns).ok_or(CodecError::Payload("count"))?)?;
        for column in cells.chunks_mut(rows.max(1)) {
            for i in 1..column.len() {
                column[i] ^= column[i - 1];
            }
        }
        Ok(cells)
    }
}

/// Small numbers of either sign become small words.
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) const fn unzigzag(word: u64) -> i64 {
    (word >> 1) as i64 ^ -((word & 1) as i64)
}
