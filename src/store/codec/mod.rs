//! Blocks: about a hundred rows of one ring as one value.
//!
//! ```text
//! version u8 | kind u8 | rows u16 | layout u32 | number u64 | first time i64 | last time i64 | payload length u32 | CRC-32 u32 | payload (LZ4)
//! ```
//! All little endian. The checksum covers everything but itself. The payload holds columns: numbers are XORed with (or subtracted
//! from) the value before them in their column, then the first bytes of all numbers stand together, then the second bytes, and so
//! on, so that LZ4 finds long runs. Every bit pattern comes back as it was: NaN payloads, infinities, negative zero.
//!
//! A damaged block is an error of that block; it says nothing about its neighbours.

mod column;
mod rows;
mod values;

use super::{FeatureRow, HistoryRow, ValueRow};
use crate::types::{Event, Timestamp};

use column::{Reader, Writer};
pub(super) use rows::{FrameRow, storable_event, storable_frame};

/// Version that is written; others are refused.
const VERSION: u8 = 1;
const HEADER: usize = 40;
const CRC_AT: usize = 36;
/// No block comes near it; a length beyond it is damage, not a reason to allocate.
const MAX_PAYLOAD: usize = 64 << 20;
/// Rows of a block at most.
pub(super) const MAX_ROWS: usize = 100;

/// Why a block cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CodecError {
    #[error("block too short")]
    Short,
    #[error("block version `{0}` is unknown")]
    Version(u8),
    #[error("block of kind `{found}` where `{expected}` was expected")]
    Kind { found: u8, expected: u8 },
    #[error("checksum of the block is wrong")]
    Checksum,
    #[error("payload of the block is malformed: {0}")]
    Payload(&'static str),
}

/// A row of a ring that blocks can hold.
pub(super) trait BlockRow: Clone + Sized {
    /// Code in the block's header; never reused.
    const KIND: u8;

    fn time(&self) -> Timestamp;

    /// Number of columns of each group; rows of one block have the same.
    fn shape(&self) -> (usize, usize) {
        (0, 0)
    }

    /// Bytes of a payload with this row alone, at most; `usize::MAX` where that is not known without packing it.
    fn width(&self) -> usize;

    /// Writes rows of one shape.
    fn write(rows: &[Self], out: &mut Writer);

    /// Reads `count` rows.
    fn read(count: usize, input: &mut Reader<'_>) -> Result<Vec<Self>, CodecError>;
}

/// What is known of a block without unpacking it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Ascending within a ring, without end.
    pub number: u64,
    pub rows: u16,
    /// Fingerprint of the columns' names.
    pub layout: u32,
    /// Smallest and largest time of its rows.
    pub first: Timestamp,
    pub last: Timestamp,
}

/// Packs rows of one shape, at most [`MAX_ROWS`].
pub(super) fn encode<R: BlockRow>(number: u64, layout: u32, rows: &[R]) -> Vec<u8> {
    let mut payload = Writer::default();
    R::write(rows, &mut payload);
    let payload = payload.into_bytes();
    let first = rows.iter().map(BlockRow::time).min().unwrap_or_default();
    let last = rows.iter().map(BlockRow::time).max().unwrap_or_default();
    let mut block = Vec::with_capacity(HEADER + lz4_flex::block::get_maximum_output_size(payload.len()));
    block.extend([VERSION, R::KIND]);
    block.extend((rows.len() as u16).to_le_bytes());
    block.extend(layout.to_le_bytes());
    block.extend(number.to_le_bytes());
    block.extend(first.as_nanos().to_le_bytes());
    block.extend(last.as_nanos().to_le_bytes());
    block.extend((payload.len() as u32).to_le_bytes());
    block.extend([0; 4]);
    block.extend(lz4_flex::block::compress(&payload));
    let crc = checksum(&block);
    block[CRC_AT..HEADER].copy_from_slice(&crc.to_le_bytes());
    block
}

/// Checks a block and reads its header.
pub(super) fn read_header<R: BlockRow>(block: &[u8]) -> Result<Header, CodecError> {
    let head = block.get(..HEADER).ok_or(CodecError::Short)?;
    if u32_at(head, CRC_AT) != checksum(block) {
        return Err(CodecError::Checksum);
    }
    if head[0] != VERSION {
        return Err(CodecError::Version(head[0]));
    }
    if head[1] != R::KIND {
        return Err(CodecError::Kind { found: head[1], expected: R::KIND });
    }
    Ok(Header {
        rows: u16::from_le_bytes([head[2], head[3]]),
        layout: u32_at(head, 4),
        number: u64_at(head, 8),
        first: Timestamp::from_nanos(u64_at(head, 16) as i64),
        last: Timestamp::from_nanos(u64_at(head, 24) as i64),
    })
}

/// Checks and unpacks a block.
pub(super) fn decode<R: BlockRow>(block: &[u8]) -> Result<(Header, Vec<R>), CodecError> {
    let header = read_header::<R>(block)?;
    let length = u32_at(block, 32) as usize;
    if length > MAX_PAYLOAD {
        return Err(CodecError::Payload("length"));
    }
    let payload = lz4_flex::block::decompress(&block[HEADER..], length).map_err(|_| CodecError::Payload("compression"))?;
    let mut input = Reader::new(&payload);
    let rows = R::read(usize::from(header.rows), &mut input)?;
    input.finish()?;
    Ok((header, rows))
}

/// Checks and unpacks a block of any kind: its number, and how many rows it has.
pub(super) fn check(block: &[u8]) -> Result<(u64, u16), CodecError> {
    fn of<R: BlockRow>(block: &[u8]) -> Result<(u64, u16), CodecError> {
        decode::<R>(block).map(|(header, _)| (header.number, header.rows))
    }
    match *block.get(1).ok_or(CodecError::Short)? {
        FrameRow::KIND => of::<FrameRow>(block),
        FeatureRow::KIND => of::<FeatureRow>(block),
        HistoryRow::KIND => of::<HistoryRow>(block),
        Event::KIND => of::<Event>(block),
        ValueRow::KIND => of::<ValueRow>(block),
        found => Err(CodecError::Kind { found, expected: 0 }),
    }
}

fn checksum(block: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&block[..CRC_AT]);
    crc.update(&block[HEADER..]);
    crc.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests;
