//! From what was read to a [`Sample`]: shape, scale and finiteness are checked here, for every kind of source.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{SampleSender, Tag};
use crate::config::Shape;
use crate::types::{Cause, Quality, Sample, Timestamp, Value};

/// The time of this computer.
pub(super) fn now() -> Timestamp {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    Timestamp::from_nanos(nanos)
}

/// One value as the PLC gave it, before shape and scale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    pub value: Option<Value>,
    pub quality: Quality,
    pub source_time: Timestamp,
    pub receive_time: Timestamp,
}

/// Sends the samples of one source and keeps its counts.
pub(super) struct Emitter {
    tags: Arc<[Tag]>,
    samples: SampleSender,
    /// The last sample of the tag found the channel full.
    lost: Box<[AtomicBool]>,
    dropped: AtomicU64,
    read_errors: AtomicU64,
    last_good: AtomicI64,
    /// Of the last usable value, in steps of 100 us; `NO_LATENCY` before the first.
    latency: AtomicU64,
}

const NO_LATENCY: u64 = u64::MAX;
/// A finer one would be news with each value.
const LATENCY_STEP: u64 = 100_000;

impl Emitter {
    pub fn new(tags: Arc<[Tag]>, samples: SampleSender) -> Self {
        let lost = tags.iter().map(|_| AtomicBool::new(false)).collect();
        Self {
            tags,
            samples,
            lost,
            dropped: AtomicU64::new(0),
            read_errors: AtomicU64::new(0),
            last_good: AtomicI64::new(0),
            latency: AtomicU64::new(NO_LATENCY),
        }
    }

    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// Receive time of the last usable value; the epoch before the first.
    pub fn last_good(&self) -> Timestamp {
        Timestamp::from_nanos(self.last_good.load(Ordering::Relaxed))
    }

    /// How old the last usable value was when it came; `None` before the first, and where the PLC gives no times. Zero where its
    /// clock is ahead.
    pub fn latency(&self) -> Option<Duration> {
        let steps = self.latency.load(Ordering::Relaxed);
        (steps != NO_LATENCY).then(|| Duration::from_nanos(steps.saturating_mul(LATENCY_STEP)))
    }

    pub fn read_errors(&self) -> u64 {
        self.read_errors.load(Ordering::Relaxed)
    }

    /// Samples of this source that found the channel full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Makes a sample of tag number `tag` and sends it; never waits.
    pub fn send(&self, tag: usize, reading: Reading) {
        self.send_reading(tag, reading, false);
    }

    /// Says that the value before still holds: this is what the PLC has answered when asked.
    pub fn send_repeated(&self, tag: usize, reading: Reading) {
        self.send_reading(tag, reading, true);
    }

    fn send_reading(&self, tag: usize, reading: Reading, repeated: bool) {
        let (value, quality) = judge(&self.tags[tag], reading.value, reading.quality);
        let quality =
            if quality.is_good() && self.lost[tag].load(Ordering::Relaxed) { Quality::Uncertain(Cause::Overflow) } else { quality };
        if quality.is_usable() {
            self.last_good.store(reading.receive_time.as_nanos(), Ordering::Relaxed);
            if !repeated && reading.source_time != reading.receive_time {
                let age = reading.receive_time.since(reading.source_time).as_nanos();
                self.latency.store(u64::try_from(age).unwrap_or(0) / LATENCY_STEP, Ordering::Relaxed);
            }
        } else {
            self.count_error();
        }
        self.send_sample(tag, value, quality, (reading.source_time, reading.receive_time), repeated);
    }

    /// One more read that failed.
    pub fn count_error(&self) {
        self.read_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends a sample without a value; not counted as an error.
    pub fn send_bad(&self, tag: usize, cause: Cause, source_time: Timestamp) {
        self.send_sample(tag, None, Quality::Bad(cause), (source_time, now()), false);
    }

    /// Says again that there is no value, and why; no news.
    pub fn repeat_bad(&self, tag: usize, cause: Cause, source_time: Timestamp) {
        self.send_sample(tag, None, Quality::Bad(cause), (source_time, now()), true);
    }

    /// Sends a sample without a value of each of these tags, all of one time; gives back those that found the channel full.
    pub fn send_all_bad(&self, tags: Vec<usize>, cause: Cause) -> Vec<usize> {
        let time = now();
        let send = |tag: &usize| self.send_sample(*tag, None, Quality::Bad(cause), (time, time), false);
        tags.into_iter().filter(|tag| !send(tag)).collect()
    }

    /// `times`: of the source, and of receiving.
    fn send_sample(&self, tag: usize, value: Option<Value>, quality: Quality, times: (Timestamp, Timestamp), repeated: bool) -> bool {
        let (source_time, receive_time) = times;
        let sample = Sample { id: self.tags[tag].id, value, quality, source_time, receive_time, repeated };
        let sent = self.samples.send(sample);
        self.lost[tag].store(!sent, Ordering::Relaxed);
        if !sent {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }
}

/// The value and the quality that a reading has for this tag.
fn judge(tag: &Tag, value: Option<Value>, quality: Quality) -> (Option<Value>, Quality) {
    if !quality.is_usable() {
        return (None, quality);
    }
    match value.ok_or(Cause::NoData).and_then(|value| shape(tag, value)) {
        Ok(value) => (Some(value), quality),
        Err(cause) => (None, Quality::Bad(cause)),
    }
}

/// Checks the value against the tag's shape and applies `value * scale + offset`.
fn shape(tag: &Tag, value: Value) -> Result<Value, Cause> {
    let plain = tag.scale == 1.0 && tag.offset == 0.0;
    let scaled = |x: f64| if plain { x } else { x * tag.scale + tag.offset };
    match (tag.shape, value) {
        (Shape::Block { length, .. }, Value::Block(block)) => {
            if block.len() != length {
                return Err(Cause::WrongLength);
            }
            let block = if plain { block } else { block.iter().map(|&x| scaled(x)).collect() };
            if block.iter().all(|x| x.is_finite()) { Ok(Value::Block(block)) } else { Err(Cause::NotFinite) }
        }
        (Shape::Block { .. }, _) | (Shape::Scalar, Value::Block(_)) => Err(Cause::WrongType),
        (Shape::Scalar, Value::Integer(i)) if plain => Ok(Value::Integer(i)),
        (Shape::Scalar, Value::Integer(i)) => finite(scaled(i as f64)),
        (Shape::Scalar, Value::Real(x)) => finite(scaled(x)),
        (Shape::Scalar, value @ (Value::Bool(_) | Value::Text(_))) => Ok(value),
    }
}

fn finite(x: f64) -> Result<Value, Cause> {
    if x.is_finite() { Ok(Value::Real(x)) } else { Err(Cause::NotFinite) }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::source::test_tag;

    fn reading(value: Value) -> Reading {
        Reading { value: Some(value), quality: Quality::Good, source_time: Timestamp::EPOCH, receive_time: Timestamp::from_nanos(1) }
    }

    #[test]
    fn scales_numbers_and_refuses_what_is_not_finite() {
        let mut tag = test_tag("Speed", "a");
        assert_eq!(shape(&tag, Value::Integer(7)), Ok(Value::Integer(7)));
        (tag.scale, tag.offset) = (0.5, 1.0);
        assert_eq!(shape(&tag, Value::Integer(7)), Ok(Value::Real(4.5)));
        assert_eq!(shape(&tag, Value::Bool(true)), Ok(Value::Bool(true)));
        assert_eq!(shape(&tag, Value::Real(f64::NAN)), Err(Cause::NotFinite));
        assert_eq!(shape(&tag, Value::Block(vec![1.0].into())), Err(Cause::WrongType));
    }

    #[test]
    fn blocks_keep_their_length() {
        let mut tag = test_tag("Wave", "a");
        tag.shape = Shape::Block { length: 2, rate: 1.0 };
        tag.scale = 10.0;
        assert_eq!(shape(&tag, Value::Block(vec![1.0, 2.0].into())), Ok(Value::Block(vec![10.0, 20.0].into())));
        assert_eq!(shape(&tag, Value::Block(vec![1.0].into())), Err(Cause::WrongLength));
        assert_eq!(shape(&tag, Value::Block(vec![1.0, f64::INFINITY].into())), Err(Cause::NotFinite));
        assert_eq!(shape(&tag, Value::Real(1.0)), Err(Cause::WrongType));
    }

    #[test]
    fn a_full_channel_is_counted_and_the_next_sample_says_so() {
        let (tx, mut rx) = mpsc::channel(1);
        let emitter = Emitter::new(vec![test_tag("Speed", "a")].into(), SampleSender::new(vec![tx]));
        emitter.send(0, reading(Value::Real(1.0)));
        emitter.send(0, reading(Value::Real(2.0)));
        assert_eq!(emitter.dropped(), 1);
        assert_eq!(rx.try_recv().unwrap().quality, Quality::Good);
        emitter.send(0, reading(Value::Real(3.0)));
        assert_eq!(rx.try_recv().unwrap().quality, Quality::Uncertain(Cause::Overflow));
        emitter.send(0, reading(Value::Real(4.0)));
        assert_eq!(rx.try_recv().unwrap().quality, Quality::Good);
    }

    #[test]
    fn a_bad_reading_has_no_value_and_counts_as_an_error() {
        let (tx, mut rx) = mpsc::channel(4);
        let emitter = Emitter::new(vec![test_tag("Speed", "a")].into(), SampleSender::new(vec![tx]));
        emitter.send(0, Reading { quality: Quality::Bad(Cause::SensorFailure), ..reading(Value::Real(1.0)) });
        emitter.send_bad(0, Cause::ConnectionLost, Timestamp::EPOCH);
        let first = rx.try_recv().unwrap();
        assert_eq!((first.value, first.quality), (None, Quality::Bad(Cause::SensorFailure)));
        assert_eq!((emitter.read_errors(), emitter.last_good()), (1, Timestamp::EPOCH));
    }

    #[test]
    fn latency_is_from_the_plcs_time_to_ours() {
        let (tx, _rx) = mpsc::channel(4);
        let emitter = Emitter::new(vec![test_tag("Speed", "a")].into(), SampleSender::new(vec![tx]));
        let at = |ms: i64| Timestamp::from_nanos(ms * 1_000_000);
        let read = |source, received| Reading { source_time: at(source), receive_time: at(received), ..reading(Value::Real(1.0)) };
        emitter.send(0, read(5, 5));
        assert_eq!(emitter.latency(), None, "without a time of the PLC");
        emitter.send(0, read(5, 17));
        assert_eq!(emitter.latency(), Some(Duration::from_millis(12)));
        emitter.send(0, read(9, 7));
        assert_eq!(emitter.latency(), Some(Duration::ZERO));
    }
}
