//! How each kind of row becomes columns.

use std::sync::Arc;

use super::column::{Reader, Writer, unzigzag, zigzag};
use super::{BlockRow, CodecError};
use crate::store::{FeatureRow, HistoryRow, RowFlags};
use crate::types::{Cause, Channel, Event, EventKind, Frame, Quality, Scalar, Timestamp, Value};

/// Texts of a frame (a recipe's name) are kept up to so many bytes.
const FRAME_TEXT: usize = 255;
/// Free texts of an event are kept up to so many bytes, so that no event is too long to be kept.
const EVENT_TEXT: usize = 900;

/// A frame with its row number.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) struct FrameRow {
    pub row: u64,
    pub frame: Arc<Frame>,
}

/// The frame as rings keep it: waveforms leave their quality only, long texts their beginning.
pub(in crate::store) fn storable_frame(frame: Arc<Frame>) -> Arc<Frame> {
    let fits = |channel: &Channel| match &channel.value {
        Some(Value::Block(_)) => false,
        Some(Value::Text(text)) => text.len() <= FRAME_TEXT,
        _ => true,
    };
    if frame.channels.iter().all(fits) {
        return frame;
    }
    let mut frame = Arc::unwrap_or_clone(frame);
    for channel in &mut frame.channels {
        match &mut channel.value {
            Some(Value::Block(_)) => channel.value = None,
            Some(Value::Text(text)) if text.len() > FRAME_TEXT => *text = start_of(text, FRAME_TEXT).into(),
            _ => {}
        }
    }
    Arc::new(frame)
}

/// The event as the ring keeps it: texts that come from outside are cut (and end in `...`), so that none is too long to be audited.
pub(in crate::store) fn storable_event(mut event: Event) -> Event {
    let cut = |text: &mut String| {
        if text.len() > EVENT_TEXT {
            *text = format!("{}...", start_of(text, EVENT_TEXT));
        }
    };
    let short = |name: &mut Arc<str>| {
        if name.len() > EVENT_TEXT {
            *name = start_of(name, EVENT_TEXT).into();
        }
    };
    match &mut event.kind {
        EventKind::Note { text } => cut(text),
        EventKind::Parameter { old, new, refused, user, path } => {
            cut(old);
            cut(new);
            refused.iter_mut().for_each(cut);
            [user, path].into_iter().for_each(short);
        }
        EventKind::Command { arguments, user, operator, path, old, new, result, refused, .. } => {
            for text in [old, new, result].into_iter().chain(refused) {
                cut(text);
            }
            for name in [user, operator, path] {
                short(name);
            }
            for (_, value) in arguments {
                if let Scalar::Text(text) = value {
                    short(text);
                }
            }
        }
        EventKind::Label { prediction, comment, user, operator, .. } => {
            cut(comment);
            [prediction, user, operator].into_iter().for_each(short);
        }
        EventKind::ReferenceChanged { reason, user, .. } | EventKind::ModelChanged { reason, user, .. } => {
            cut(reason);
            short(user);
        }
        _ => {}
    }
    event
}

fn start_of(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

impl BlockRow for FeatureRow {
    const KIND: u8 = 2;

    fn time(&self) -> Timestamp {
        self.time
    }

    fn shape(&self) -> (usize, usize) {
        (self.features.len(), self.scores.len())
    }

    fn width(&self) -> usize {
        32 + 8 * (self.features.len() + self.scores.len())
    }

    fn write(rows: &[Self], out: &mut Writer) {
        let (features, scores) = rows.first().map(Self::shape).unwrap_or_default();
        out.varint(features as u64);
        out.varint(scores as u64);
        write_stamps(out, rows.iter().map(|r| (r.row, r.time)));
        write_regimes(out, rows.iter().map(|r| r.regime));
        out.raw(&rows.iter().map(|r| r.flags.bits()).collect::<Vec<u8>>());
        let mut cells = Vec::with_capacity(rows.len() * (features + scores));
        for i in 0..features {
            cells.extend(rows.iter().map(|r| r.features[i].to_bits()));
        }
        for i in 0..scores {
            cells.extend(rows.iter().map(|r| r.scores[i].to_bits()));
        }
        out.matrix(rows.len(), cells);
    }

    fn read(count: usize, input: &mut Reader<'_>) -> Result<Vec<Self>, CodecError> {
        let (features, scores) = (input.count()?, input.count()?);
        let stamps = read_stamps(count, input)?;
        let regimes = read_regimes(count, input)?;
        let flags = input.raw(count)?;
        let cells = input.matrix(count, features + scores)?;
        let cell = |column: usize, i: usize| f64::from_bits(cells[column * count + i]);
        Ok(stamps
            .into_iter()
            .zip(regimes)
            .enumerate()
            .map(|(i, ((row, time), regime))| Self {
                row,
                time,
                regime,
                flags: RowFlags::from_bits(flags[i]),
                features: (0..features).map(|c| cell(c, i)).collect(),
                scores: (features..features + scores).map(|c| cell(c, i)).collect(),
            })
            .collect())
    }
}

impl BlockRow for HistoryRow {
    const KIND: u8 = 3;

    fn time(&self) -> Timestamp {
        self.time
    }

    fn width(&self) -> usize {
        48 + self.monitor.len() + 16 * self.tests.len()
    }

    /// Numbers are XORed with those of the same monitor's last evaluation: the monitors take turns.
    fn write(rows: &[Self], out: &mut Writer) {
        let mut names: Vec<&Arc<str>> = Vec::new();
        let monitors: Vec<usize> = rows.iter().map(|r| index_of(&mut names, &r.monitor)).collect();
        out.varint(names.len() as u64);
        names.iter().for_each(|name| out.text(name));
        write_stamps(out, rows.iter().map(|r| (r.row, r.time)));
        write_regimes(out, rows.iter().map(|r| r.regime));
        let mut last = vec![Vec::new(); names.len()];
        let mut words = Vec::new();
        for (row, &monitor) in rows.iter().zip(&monitors) {
            out.varint(monitor as u64);
            out.varint(u64::from(row.status));
            out.varint(row.tests.len() as u64);
            let numbers = std::iter::once(row.index).chain(row.tests.iter().flat_map(|(value, index)| [*value, *index]));
            let numbers: Vec<u64> = numbers.map(f64::to_bits).collect();
            words.extend(numbers.iter().enumerate().map(|(i, n)| n ^ last[monitor].get(i).copied().unwrap_or(0)));
            last[monitor] = numbers;
        }
        out.words(&words);
    }

    fn read(count: usize, input: &mut Reader<'_>) -> Result<Vec<Self>, CodecError> {
        let names = read_texts(input)?;
        let stamps = read_stamps(count, input)?;
        let regimes = read_regimes(count, input)?;
        let mut heads = Vec::with_capacity(count);
        for _ in 0..count {
            let (monitor, status, tests) = (input.count()?, input.varint()?, input.count()?);
            let status = u16::try_from(status).map_err(|_| CodecError::Payload("status"))?;
            heads.push((monitor, status, tests));
        }
        let total = heads.iter().map(|(_, _, tests)| 1 + 2 * tests).sum();
        let words = input.words(total)?;
        let mut words = words.as_slice();
        let mut last = vec![Vec::new(); names.len()];
        let mut rows = Vec::with_capacity(count);
        for (((row, time), regime), (monitor, status, tests)) in stamps.into_iter().zip(regimes).zip(heads) {
            let name = names.get(monitor).ok_or(CodecError::Payload("monitor"))?;
            let (now, rest) = words.split_at(1 + 2 * tests);
            words = rest;
            let bits: Vec<u64> = now.iter().enumerate().map(|(i, n)| n ^ last[monitor].get(i).copied().unwrap_or(0)).collect();
            let number = |i: usize| f64::from_bits(bits[i]);
            rows.push(Self {
                row,
                time,
                monitor: Arc::clone(name),
                regime,
                status,
                index: number(0),
                tests: (0..tests).map(|t| (number(1 + 2 * t), number(2 + 2 * t))).collect(),
            });
            last[monitor] = bits;
        }
        Ok(rows)
    }
}

impl BlockRow for Event {
    const KIND: u8 = 4;

    fn time(&self) -> Timestamp {
        self.time
    }

    fn width(&self) -> usize {
        usize::MAX
    }

    fn write(rows: &[Self], out: &mut Writer) {
        for event in rows {
            // Plain data into memory: there is nothing that could fail. Were it to, the row would be missing and the block
            // unreadable, never wrong.
            out.raw(&postcard::to_stdvec(event).unwrap_or_default());
        }
    }

    fn read(count: usize, input: &mut Reader<'_>) -> Result<Vec<Self>, CodecError> {
        let mut bytes = input.rest();
        (0..count)
            .map(|_| {
                let (event, rest) = postcard::take_from_bytes(bytes).map_err(|_| CodecError::Payload("event"))?;
                bytes = rest;
                Ok(event)
            })
            .collect()
    }
}

/// Codes of a cell's kind; never renumbered.
mod kind {
    pub const NONE: u8 = 0;
    pub const BOOL: u8 = 1;
    pub const INTEGER: u8 = 2;
    pub const REAL: u8 = 3;
    pub const TEXT: u8 = 4;
}

impl BlockRow for FrameRow {
    const KIND: u8 = 1;

    fn time(&self) -> Timestamp {
        self.frame.time
    }

    fn shape(&self) -> (usize, usize) {
        (self.frame.channels.len(), 0)
    }

    /// Kind, quality, status, mode, source time, value.
    fn width(&self) -> usize {
        let text = |c: &Channel| match &c.value {
            Some(Value::Text(text)) => text.len() + 2,
            _ => 0,
        };
        self.frame.channels.iter().fold(32, |sum, c| sum + 24 + text(c))
    }

    fn write(rows: &[Self], out: &mut Writer) {
        let channels = rows.first().map_or(0, |r| r.frame.channels.len());
        let mut texts: Vec<&Arc<str>> = Vec::new();
        let (mut kinds, mut qualities, mut statuses) = (Vec::new(), Vec::new(), Vec::new());
        let mut cells = Vec::with_capacity(rows.len() * channels);
        for c in 0..channels {
            let mut last = 0;
            for channel in rows.iter().map(|r| &r.frame.channels[c]) {
                let (kind, cell) = match &channel.value {
                    // The bits of the cell before it: XORed, nothing.
                    None | Some(Value::Block(_)) => (kind::NONE, last),
                    Some(Value::Bool(b)) => (kind::BOOL, u64::from(*b)),
                    Some(Value::Integer(i)) => (kind::INTEGER, *i as u64),
                    Some(Value::Real(x)) => (kind::REAL, x.to_bits()),
                    Some(Value::Text(text)) => (kind::TEXT, index_of(&mut texts, text) as u64),
                };
                kinds.push(kind);
                cells.push(cell);
                last = cell;
                let (code, status) = quality_code(channel.quality);
                qualities.push(code);
                statuses.extend(status);
            }
        }
        out.varint(channels as u64);
        out.varint(texts.len() as u64);
        texts.iter().for_each(|text| out.text(text));
        write_stamps(out, rows.iter().map(|r| (r.row, r.frame.time)));
        out.raw(&kinds);
        out.raw(&qualities);
        statuses.iter().for_each(|status| out.varint(u64::from(*status)));
        write_source_times(rows, channels, out);
        out.matrix(rows.len(), cells);
    }

    fn read(count: usize, input: &mut Reader<'_>) -> Result<Vec<Self>, CodecError> {
        let channels = input.count()?;
        let texts = read_texts(input)?;
        let stamps = read_stamps(count, input)?;
        let size = count.checked_mul(channels).ok_or(CodecError::Payload("count"))?;
        let kinds = input.raw(size)?;
        let codes = input.raw(size)?;
        let qualities = codes.iter().map(|code| quality_of(*code, input)).collect::<Result<Vec<_>, _>>()?;
        let times = read_source_times(&stamps, channels, input)?;
        let cells = input.matrix(count, channels)?;
        let channel = |at: usize| -> Result<Channel, CodecError> {
            let bits = cells[at];
            let value = match kinds[at] {
                kind::NONE => None,
                kind::BOOL => Some(Value::Bool(bits != 0)),
                kind::INTEGER => Some(Value::Integer(bits as i64)),
                kind::REAL => Some(Value::Real(f64::from_bits(bits))),
                kind::TEXT => Some(Value::Text(Arc::clone(texts.get(bits as usize).ok_or(CodecError::Payload("text"))?))),
                _ => return Err(CodecError::Payload("kind of a value")),
            };
            Ok(Channel { value, quality: qualities[at], source_time: Timestamp::from_nanos(times[at]) })
        };
        stamps
            .iter()
            .enumerate()
            .map(|(i, &(row, time))| {
                let channels = (0..channels).map(|c| channel(c * count + i)).collect::<Result<_, _>>()?;
                Ok(Self { row, frame: Arc::new(Frame { time, channels }) })
            })
            .collect()
    }
}

/// How the source times of one channel are written.
#[derive(Copy, Clone)]
enum Against {
    /// The same channel's last one: best for what seldom changes.
    RowBefore = 0,
    /// The previous channel's in the same row (the first channel: the frame's time): best for what is read together.
    ChannelBefore = 1,
}

fn write_source_times(rows: &[FrameRow], channels: usize, out: &mut Writer) {
    let time = |row: &FrameRow, c: usize| row.frame.channels[c].source_time.as_nanos();
    let mut modes = Vec::with_capacity(channels);
    let mut words = Vec::with_capacity(channels * rows.len());
    for c in 0..channels {
        let before = |row: &FrameRow| c.checked_sub(1).map_or(row.frame.time.as_nanos(), |left| time(row, left));
        let mut last = 0;
        let by_row: Vec<u64> = rows.iter().map(|r| zigzag(time(r, c).wrapping_sub(std::mem::replace(&mut last, time(r, c))))).collect();
        let by_channel: Vec<u64> = rows.iter().map(|r| zigzag(time(r, c).wrapping_sub(before(r)))).collect();
        let bits = |words: &[u64]| -> u32 { words.iter().map(|w| 64 - w.leading_zeros()).sum() };
        let (mode, column) =
            if bits(&by_channel) <= bits(&by_row) { (Against::ChannelBefore, by_channel) } else { (Against::RowBefore, by_row) };
        modes.push(mode as u8);
        words.extend(column);
    }
    out.raw(&modes);
    out.words(&words);
}

fn read_source_times(stamps: &[(u64, Timestamp)], channels: usize, input: &mut Reader<'_>) -> Result<Vec<i64>, CodecError> {
    let count = stamps.len();
    let modes = input.raw(channels)?;
    let words = input.words(count * channels)?;
    let mut times = Vec::with_capacity(words.len());
    for (c, mode) in modes.iter().enumerate() {
        let mut last = 0_i64;
        for (i, (_, frame_time)) in stamps.iter().enumerate() {
            let base = match *mode {
                0 => last,
                1 if c == 0 => frame_time.as_nanos(),
                1 => times[(c - 1) * count + i],
                _ => return Err(CodecError::Payload("source times")),
            };
            last = base.wrapping_add(unzigzag(words[c * count + i]));
            times.push(last);
        }
    }
    Ok(times)
}

const UNCERTAIN: u8 = 0x40;
const BAD: u8 = 0x80;
const STATUS: u8 = 0x3f;

/// Causes by their code minus one; never reordered, new ones at the end.
const CAUSES: [Cause; 16] = [
    Cause::NoData,
    Cause::Stale,
    Cause::ConnectionLost,
    Cause::UnknownAddress,
    Cause::WrongType,
    Cause::NotFinite,
    Cause::OutOfRange,
    Cause::WrongLength,
    Cause::SensorFailure,
    Cause::LastUsable,
    Cause::Overflow,
    Cause::SwitchedOff,
    Cause::Stuck,
    Cause::Jump,
    Cause::Saturated,
    Cause::FromHistory,
];

/// One byte, and the PLC's own status where the cause is one.
pub(super) fn quality_code(quality: Quality) -> (u8, Option<u32>) {
    let (base, cause) = match quality {
        Quality::Good => return (0, None),
        Quality::Uncertain(cause) => (UNCERTAIN, cause),
        Quality::Bad(cause) => (BAD, cause),
    };
    let code = match cause {
        Cause::NoData => 1,
        Cause::Stale => 2,
        Cause::ConnectionLost => 3,
        Cause::UnknownAddress => 4,
        Cause::WrongType => 5,
        Cause::NotFinite => 6,
        Cause::OutOfRange => 7,
        Cause::WrongLength => 8,
        Cause::SensorFailure => 9,
        Cause::LastUsable => 10,
        Cause::Overflow => 11,
        Cause::SwitchedOff => 12,
        Cause::Stuck => 13,
        Cause::Jump => 14,
        Cause::Saturated => 15,
        Cause::FromHistory => 16,
        Cause::Status(status) => return (base | STATUS, Some(status)),
    };
    (base | code, None)
}

pub(super) fn quality_of(code: u8, input: &mut Reader<'_>) -> Result<Quality, CodecError> {
    let wrong = CodecError::Payload("quality");
    let cause = match code & STATUS {
        0 if code == 0 => return Ok(Quality::Good),
        0 => return Err(wrong),
        STATUS => Cause::Status(u32::try_from(input.varint()?).map_err(|_| wrong.clone())?),
        n => *CAUSES.get(usize::from(n) - 1).ok_or(wrong.clone())?,
    };
    match code & !STATUS {
        UNCERTAIN => Ok(Quality::Uncertain(cause)),
        BAD => Ok(Quality::Bad(cause)),
        _ => Err(wrong),
    }
}

/// Index of a text in the list, which it is added to where it is new. The lists are short.
pub(super) fn index_of<'a>(list: &mut Vec<&'a Arc<str>>, text: &'a Arc<str>) -> usize {
    list.iter().position(|known| *known == text).unwrap_or_else(|| {
        list.push(text);
        list.len() - 1
    })
}

pub(super) fn read_texts(input: &mut Reader<'_>) -> Result<Vec<Arc<str>>, CodecError> {
    let count = input.count()?;
    (0..count).map(|_| input.text().map(Arc::from)).collect()
}

fn write_stamps(out: &mut Writer, stamps: impl Iterator<Item = (u64, Timestamp)> + Clone) {
    out.even(stamps.clone().map(|(row, _)| row as i64));
    out.even(stamps.map(|(_, time)| time.as_nanos()));
}

fn read_stamps(count: usize, input: &mut Reader<'_>) -> Result<Vec<(u64, Timestamp)>, CodecError> {
    let rows = input.even(count)?;
    let times = input.even(count)?;
    Ok(rows.into_iter().zip(times).map(|(row, time)| (row as u64, Timestamp::from_nanos(time))).collect())
}

/// 0 is none, else the slot plus one.
fn write_regimes(out: &mut Writer, regimes: impl Iterator<Item = Option<u16>>) {
    regimes.for_each(|regime| out.varint(regime.map_or(0, |slot| u64::from(slot) + 1)));
}

fn read_regimes(count: usize, input: &mut Reader<'_>) -> Result<Vec<Option<u16>>, CodecError> {
    (0..count)
        .map(|_| match input.varint()? {
            0 => Ok(None),
            n => u16::try_from(n - 1).map(Some).map_err(|_| CodecError::Payload("regime")),
        })
        .collect()
}
