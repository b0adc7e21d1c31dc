//! What arrives: notifications of the subscription and answers of the refresh reads, per tag, as samples.
//!
//! A subscription says only what has changed. So that an unchanged value stays fresh, and a subscription that has silently died is
//! noticed, values without a notification are read again:
//!
//! - the same value: a repeated sample says that it still held shortly before the answer (`margin`: a change that is on its way in
//!   a notification must not find a newer sample). It makes no row, and a waveform is not taken for the next one;
//! - another value: its notification is awaited until the next read, for values between may come with it. Then what was read is sent,
//!   as Uncertain: values may be missing before it. Then the tag's monitored item is made anew, for it may have died with a node that
//!   has come back; a notification that does not come within `silence` all the same is a fault of the subscription.
//!
//! Source times are the PLC's. Where its clock has been set back, one Bad sample of each tag parts the times before from those after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use opcua::types::{DataValue, StatusCode, Variant};
use parking_lot::Mutex;

use super::{gap, members};
use crate::config::Shape;
use crate::source::emit::{Emitter, Reading, now};
use crate::types::{Cause, Quality, Timestamp, Value};
use crate::wire::opcua as wire;

/// A value without news for so long is read again. Shorter than the time between two looks, or each second look would come too early.
const REFRESH_AFTER: Duration = Duration::from_millis(700);
/// A clock that goes back by more has been set.
const CLOCK_STEP: Duration = Duration::from_secs(1);
/// What is said of the values between two times of a clock that was set: BadInvalidTimestamp.
const CLOCK_SET: Cause = Cause::Status(0x8023_0000);
/// A monitored item made anew that is still dumb is a matter for the subscription; only much later this is tried again.
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// One that tells something so long after it was made anew is alive: it may be made anew again.
const RENEWED_LIVES_AFTER: Duration = Duration::from_secs(2);
/// Where more tags are dumb, their monitored items are not the reason.
const MOST_RENEWED: usize = 100;
/// Waveforms are large and seldom stand still.
const REFRESH_BLOCK_AFTER: Duration = Duration::from_millis(1700);

/// News of one tag that are held back at most while a gap is filled.
const MOST_HELD: usize = 1_000;

/// A value from before the news.
#[derive(Clone, Debug)]
pub(super) struct Past {
    tag: usize,
    reading: Reading,
}

/// What is known of one tag in the present session.
#[derive(Clone, Debug)]
struct TagState {
    /// False where the monitored item could not be created.
    active: bool,
    /// Last news of any kind.
    heard: Instant,
    last: Option<Last>,
    /// Since when a read has shown a value that no notification has brought.
    unannounced: Option<Instant>,
    /// Time of the last usable value before the connection was lost, until the gap is filled or given up.
    gap: Option<Timestamp>,
    /// News that wait until the gap before them is filled.
    held: Option<Vec<DataValue>>,
    /// Time of the last value that was filled in, until there is news.
    filled: Option<Timestamp>,
    /// When its monitored item was last made anew.
    renewed: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Last {
    value: Option<Value>,
    status: StatusCode,
    source_time: Timestamp,
    /// From a refresh read: the notification of the same value is still to come.
    by_read: bool,
}

/// Shared by the callback of the subscription and the task that reads.
pub(super) struct Receiver {
    emitter: Arc<Emitter>,
    tags: Mutex<Vec<TagState>>,
    /// Clock of the PLC minus clock of this computer, ns.
    clock_offset: AtomicI64,
    clock_known: AtomicBool,
    /// A time has come that is before the last one.
    clock_suspect: AtomicBool,
    /// The server has ended the subscription.
    ended: AtomicBool,
}

impl Receiver {
    pub fn new(emitter: Arc<Emitter>) -> Self {
        let state = TagState {
            active: false,
            heard: Instant::now(),
            last: None,
            unannounced: None,
            renewed: None,
            gap: None,
            held: None,
            filled: None,
        };
        let tags = Mutex::new(vec![state; emitter.tags().len()]);
        Self {
            emitter,
            tags,
            clock_offset: AtomicI64::new(0),
            clock_known: AtomicBool::new(false),
            clock_suspect: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// Before a new subscription: nothing is being awaited. The last source times stay.
    pub fn begin(&self) {
        self.ended.store(false, Ordering::Relaxed);
        let mut tags = self.tags.lock();
        (0..tags.len()).for_each(|tag| self.release(&mut tags, tag));
        for tag in tags.iter_mut() {
            (tag.active, tag.heard, tag.unannounced, tag.renewed) = (false, Instant::now(), None, None);
            (tag.held, tag.filled) = (tag.gap.map(|_| Vec::new()), None);
        }
    }

    pub fn set_active(&self, tag: usize, active: bool) {
        self.tags.lock()[tag].active = active;
    }

    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Takes the PLC's clock from an answer that has just come, and took so long.
    pub fn set_plc_time(&self, time: Timestamp, took: Duration) {
        let offset = time.as_nanos().saturating_sub(now().as_nanos());
        let before = self.clock_offset.swap(offset, Ordering::Relaxed);
        self.clock_suspect.store(false, Ordering::Relaxed);
        // The answer may have been on its way for all that time.
        let slack = i64::try_from((took + CLOCK_STEP).as_nanos()).unwrap_or(i64::MAX);
        if self.clock_known.swap(true, Ordering::Relaxed) && offset.saturating_add(slack) < before {
            self.clock_was_set_back();
        }
    }

    /// Whether the clock is to be read now.
    pub fn suspects_clock(&self) -> bool {
        self.clock_suspect.load(Ordering::Relaxed)
    }

    /// Later times would be taken for late until the clock is where it was.
    fn clock_was_set_back(&self) {
        let time = self.plc_now();
        for (i, tag) in self.tags.lock().iter_mut().enumerate() {
            (tag.last, tag.unannounced) = (None, None);
            self.emitter.send_bad(i, CLOCK_SET, time);
        }
    }

    /// Seconds that the PLC's clock is ahead.
    pub fn clock_offset_secs(&self) -> f64 {
        self.clock_offset.load(Ordering::Relaxed) as f64 / 1e9
    }

    /// The present time by the PLC's clock.
    pub fn plc_now(&self) -> Timestamp {
        Timestamp::from_nanos(now().as_nanos().saturating_add(self.clock_offset.load(Ordering::Relaxed)))
    }

    /// A notification of the subscription.
    pub fn notified(&self, tag: usize, data: DataValue) {
        let data = self.member_of(tag, data);
        let mut tags = self.tags.lock();
        match tags.get_mut(tag).and_then(|state| state.held.as_mut()) {
            Some(held) if held.len() < MOST_HELD => held.push(data),
            Some(_) => {
                self.release(&mut tags, tag);
                self.news(&mut tags, tag, data);
            }
            None => self.news(&mut tags, tag, data),
        }
    }

    fn news(&self, tags: &mut [TagState], tag: usize, data: DataValue) {
        let Some(state) = tags.get_mut(tag) else { return };
        let mut new = self.last_of(&data, false);
        (state.heard, state.unannounced) = (Instant::now(), None);
        state.renewed = state.renewed.filter(|at| at.elapsed() < RENEWED_LIVES_AFTER);
        if state.filled.take().is_some_and(|filled| new.source_time <= filled) {
            state.last = Some(new);
            return;
        }
        if let Some(last) = &state.last {
            if last.by_read && last.same(&new) {
                new.source_time = new.source_time.max(last.source_time);
            } else if !last.by_read && new.source_time.plus(CLOCK_STEP) < last.source_time {
                self.clock_suspect.store(true, Ordering::Relaxed);
            }
        }
        self.emit(tag, &data, &new);
        state.last = Some(new);
    }

    /// The answer of a refresh read; `margin`: how long a notification can be on its way.
    pub fn refreshed(&self, tag: usize, data: DataValue, margin: Duration) {
        let data = self.member_of(tag, data);
        self.read_again(&mut self.tags.lock(), tag, data, margin);
    }

    /// The answer of a read where nothing is subscribed: another value is news at once.
    pub fn polled(&self, tag: usize, data: DataValue) {
        let data = self.member_of(tag, data);
        let mut tags = self.tags.lock();
        let last = tags.get(tag).and_then(|state| state.last.as_ref());
        if last.is_some_and(|last| last.same(&self.last_of(&data, false))) {
            self.read_again(&mut tags, tag, data, Duration::ZERO);
        } else {
            self.news(&mut tags, tag, data);
        }
    }

    fn read_again(&self, tags: &mut [TagState], tag: usize, data: DataValue, margin: Duration) {
        let Some(state) = tags.get_mut(tag).filter(|state| state.held.is_none()) else { return };
        let (heard, answered) = (Instant::now(), self.plc_now());
        state.heard = heard;
        let mut new = self.last_of(&data, true);
        let deadband = self.emitter.tags()[tag].deadband;
        let Some(last) = state.last.as_ref().filter(|last| last.same(&new) || deadband.is_some_and(|d| last.within(d, &new))) else {
            if state.unannounced.is_none() && state.last.is_some() {
                state.unannounced = Some(heard);
                return;
            }
            if state.last.as_ref().is_some_and(|last| new.source_time <= last.source_time) {
                new.source_time = answered;
            }
            state.unannounced.get_or_insert(heard);
            let mut reading = Self::reading(&data, &new);
            if reading.quality.is_good() && state.last.is_some() {
                reading.quality = Quality::Uncertain(Cause::Overflow);
            }
            self.emitter.send(tag, reading);
            state.last = Some(new);
            return;
        };
        // Of one that the deadband holds back the server will say nothing.
        new.value = last.value.clone();
        (new.source_time, new.by_read) = (answered.minus(margin).max(last.source_time), last.by_read);
        self.emitter.send_repeated(tag, Self::reading(&data, &new));
        state.last = Some(new);
    }

    /// The tags to be read now.
    pub fn due(&self) -> Vec<usize> {
        let tags = self.tags.lock();
        let wait = |i: usize| match self.emitter.tags()[i].shape {
            Shape::Scalar => REFRESH_AFTER,
            Shape::Block { .. } => REFRESH_BLOCK_AFTER,
        };
        (0..tags.len()).filter(|&i| tags[i].active && tags[i].heard.elapsed() >= wait(i)).collect()
    }

    /// The tags whose monitored items seem to be dead: what they have now was told as read, and no notification came. Each only once.
    pub fn take_dumb(&self) -> Vec<usize> {
        let mut tags = self.tags.lock();
        let dumb = |tag: &TagState| {
            let told = tag.unannounced.is_some() && tag.last.as_ref().is_some_and(|last| last.by_read);
            tag.active && told && tag.renewed.is_none_or(|at| at.elapsed() >= RENEW_AGAIN_AFTER)
        };
        let found: Vec<usize> = (0..tags.len()).filter(|&i| dumb(&tags[i])).collect();
        if found.len() > MOST_RENEWED {
            return Vec::new();
        }
        found.iter().for_each(|&i| tags[i].renewed = Some(Instant::now()));
        found
    }

    /// A tag whose value changes while its notifications stay away for longer than `silence`.
    pub fn silent(&self, silence: Duration) -> Option<usize> {
        self.tags.lock().iter().position(|tag| tag.active && tag.unannounced.is_some_and(|since| since.elapsed() >= silence))
    }

    /// The PLC refuses this tag.
    pub fn failed(&self, tag: usize, cause: Cause) {
        self.emitter.count_error();
        let time = self.bad_time(&mut self.tags.lock()[tag]);
        self.emitter.send_bad(tag, cause, time);
    }

    pub fn still_failed(&self, tag: usize, cause: Cause) {
        let time = self.bad_time(&mut self.tags.lock()[tag]);
        self.emitter.repeat_bad(tag, cause, time);
    }

    /// Tells at once that no value is known any more.
    pub fn connection_lost(&self) {
        let mut tags = self.tags.lock();
        let before: Vec<_> = tags.iter().map(|tag| tag.gap).collect();
        (0..tags.len()).for_each(|tag| self.release(&mut tags, tag));
        for (i, (tag, before)) in tags.iter_mut().zip(before).enumerate() {
            let usable = tag.last.as_ref().filter(|last| wire::to_quality(last.status).is_usable());
            tag.gap = usable.map(|last| last.source_time).or(before);
            let time = self.bad_time(tag);
            tag.active = false;
            self.emitter.send_bad(i, Cause::ConnectionLost, time);
        }
    }

    /// Tags with a gap, and the time of the last value before it. Their news are held back until [`Self::let_all_go`].
    pub fn gaps(&self) -> Vec<(usize, Timestamp)> {
        let tags = self.tags.lock();
        tags.iter().enumerate().filter_map(|(i, tag)| Some((i, tag.gap.filter(|_| tag.held.is_some())?))).collect()
    }

    /// The gaps of these tags stay: their news go on.
    pub fn let_go(&self, wanted: &[usize]) {
        let mut tags = self.tags.lock();
        wanted.iter().for_each(|&tag| self.release(&mut tags, tag));
    }

    /// Whether there are gaps that may be filled in the next session.
    pub fn misses_values(&self) -> bool {
        self.tags.lock().iter().any(|tag| tag.gap.is_some())
    }

    /// Those of these past values that are missing, in the order of their times.
    pub fn past(&self, filled: Vec<gap::Filled>) -> Vec<Past> {
        let tags = self.tags.lock();
        let mut past = Vec::new();
        for (tag, values) in filled {
            let Some(state) = tags.get(tag) else { continue };
            let (Some(after), Some(held)) = (state.gap, &state.held) else { continue };
            let before = held.first().map(|data| self.last_of(data, false).source_time);
            for data in values {
                let data = self.member_of(tag, data);
                let new = self.last_of(&data, false);
                if data.source_timestamp.is_none() || new.source_time <= after || before.is_some_and(|b| new.source_time >= b) {
                    continue;
                }
                past.push(Past { tag, reading: Self::reading(&data, &new) });
            }
        }
        past.sort_by_key(|past| (past.reading.source_time, past.tag));
        // The same value from the history and from the queue.
        let essence = |past: &Past| (past.tag, past.reading.source_time, past.reading.value.clone(), past.reading.quality);
        past.dedup_by(|a, b| essence(a) == essence(b));
        past
    }

    /// Sends past values, as Uncertain; not of tags whose news go on already.
    pub fn send_past(&self, past: &[Past]) {
        let mut tags = self.tags.lock();
        for Past { tag, reading } in past {
            let Some(state) = tags.get_mut(*tag).filter(|state| state.held.is_some()) else { continue };
            (state.filled, state.gap) = (Some(reading.source_time), Some(reading.source_time));
            let late = if reading.quality.is_good() { Quality::Uncertain(Cause::FromHistory) } else { reading.quality };
            self.emitter.send(*tag, Reading { quality: late, ..reading.clone() });
        }
    }

    /// The gaps that are left stay: all news go on.
    pub fn let_all_go(&self) {
        let mut tags = self.tags.lock();
        (0..tags.len()).for_each(|tag| self.release(&mut tags, tag));
    }

    /// Ends a gap: news that were held back go on.
    fn release(&self, tags: &mut [TagState], tag: usize) {
        let Some(held) = tags.get_mut(tag).and_then(|state| state.held.take()) else { return };
        tags[tag].gap = None;
        held.into_iter().for_each(|data| self.news(tags, tag, data));
    }

    /// Never before the last sample, or this one would not be seen.
    fn bad_time(&self, tag: &mut TagState) -> Timestamp {
        let time = tag.last.as_ref().map_or(Timestamp::MIN, |last| last.source_time).max(self.plc_now());
        tag.last = None;
        time
    }

    fn member_of(&self, tag: usize, data: DataValue) -> DataValue {
        match self.emitter.tags().get(tag) {
            Some(tag) => members::of_address(&tag.address, data),
            None => data,
        }
    }

    fn last_of(&self, data: &DataValue, by_read: bool) -> Last {
        let time = data.source_timestamp.as_ref().or(data.server_timestamp.as_ref());
        let plc_now = self.plc_now();
        // A time to come is of a clock that has been set since, or is about to be known.
        let possible = |time: Timestamp| if time > plc_now.plus(CLOCK_STEP) { plc_now } else { time };
        Last {
            value: data.value.as_ref().and_then(value_of),
            status: data.status.unwrap_or(StatusCode::Good),
            source_time: time.filter(|t| !t.is_null()).map_or(plc_now, |t| possible(wire::from_date_time(t))),
            by_read,
        }
    }

    fn emit(&self, tag: usize, data: &DataValue, new: &Last) {
        self.emitter.send(tag, Self::reading(data, new));
    }

    fn reading(data: &DataValue, new: &Last) -> Reading {
        let mut quality = wire::to_quality(new.status);
        if quality.is_usable() && new.value.is_none() {
            // A value that cannot be a signal: a structure, a matrix, a time.
            let none = data.value.as_ref().is_none_or(|v| matches!(v, Variant::Empty));
            quality = Quality::Bad(if none { Cause::NoData } else { Cause::WrongType });
        }
        let (value, source_time) = (new.value.clone(), new.source_time);
        Reading { value, quality, source_time, receive_time: now() }
    }
}

impl Last {
    /// Bit for bit, so that NaN is equal to itself; the overflow bit is no difference.
    fn same(&self, other: &Self) -> bool {
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let values = match (&self.value, &other.value) {
            (Some(Value::Real(a)), Some(Value::Real(b))) => a.to_bits() == b.to_bits(),
            (Some(Value::Block(a)), Some(Value::Block(b))) => bits(a) == bits(b),
            (a, b) => a == b,
        };
        values && self.has_status_of(other)
    }

    /// Whether a server with this deadband has no news of `other`. A little more, for numbers that are rounded on their way.
    fn within(&self, deadband: f64, other: &Self) -> bool {
        let number = |last: &Self| last.value.as_ref().and_then(Value::number);
        let near = |(a, b): (f64, f64)| (a - b).abs() <= deadband * (1.0 + 1e-6);
        self.has_status_of(other) && number(self).zip(number(other)).is_some_and(near)
    }

    fn has_status_of(&self, other: &Self) -> bool {
        self.status.set_overflow(false) == other.status.set_overflow(false)
    }
}

/// Arrays of bytes come as a byte string.
fn value_of(variant: &Variant) -> Option<Value> {
    match variant {
        Variant::ByteString(bytes) => Some(Value::Block(bytes.as_ref().iter().map(|b| f64::from(*b)).collect())),
        other => wire::to_value(other),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::source::{SampleSender, test_tag};
    use crate::types::Sample;

    fn receiver() -> (Receiver, mpsc::Receiver<Sample>) {
        let (tx, rx) = mpsc::channel(16);
        let receiver = Receiver::new(Arc::new(Emitter::new(vec![test_tag("Speed", "a")].into(), SampleSender::new(vec![tx]))));
        receiver.set_active(0, true);
        (receiver, rx)
    }

    fn fill(receiver: &Receiver, filled: Vec<gap::Filled>) -> usize {
        let past = receiver.past(filled);
        receiver.send_past(&past);
        receiver.let_all_go();
        past.len()
    }

    fn data(value: f64, time: Timestamp) -> DataValue {
        let time = wire::to_date_time(time);
        DataValue { source_timestamp: Some(time), ..DataValue::value_only(value) }
    }

    #[test]
    fn an_unchanged_value_stays_fresh() {
        let (receiver, mut rx) = receiver();
        let old = now().minus(Duration::from_secs(100));
        receiver.notified(0, data(1.0, old));
        assert_eq!(rx.try_recv().unwrap().receive_time.since(old).as_secs(), 100);
        receiver.refreshed(0, data(1.0, old), Duration::from_millis(300));
        let sample = rx.try_recv().unwrap();
        assert!(sample.source_time.since(old) > Duration::from_secs(99), "{}", sample.source_time);
        assert!(sample.receive_time.since(sample.source_time) >= Duration::from_millis(300));
        assert!(sample.repeated, "no news");
        assert_eq!(receiver.silent(Duration::ZERO), None, "nothing has changed");
    }

    #[test]
    fn what_a_deadband_holds_back_is_no_change() {
        let (tx, mut rx) = mpsc::channel(16);
        let tag = crate::source::Tag { deadband: Some(0.5), ..test_tag("Speed", "a") };
        let receiver = Receiver::new(Arc::new(Emitter::new(vec![tag].into(), SampleSender::new(vec![tx]))));
        receiver.set_active(0, true);
        let start = now().minus(Duration::from_secs(10));
        receiver.notified(0, data(1.0, start));
        rx.try_recv().unwrap();
        for value in [1.3, 0.5, 1.5] {
            receiver.refreshed(0, data(value, start.plus(Duration::from_secs(1))), Duration::ZERO);
            let sample = rx.try_recv().unwrap();
            assert_eq!((sample.value, sample.repeated), (Some(Value::Real(1.0)), true), "{value}");
        }
        assert_eq!(receiver.silent(Duration::ZERO), None);
        receiver.refreshed(0, data(1.6, start.plus(Duration::from_secs(2))), Duration::ZERO);
        assert_eq!(receiver.silent(Duration::ZERO), Some(0), "this one it would have announced");
    }

    #[test]
    fn a_change_that_nobody_announces_is_noticed() {
        let (receiver, mut rx) = receiver();
        // Whole seconds: OPC UA's times are multiples of 100 ns.
        let start = Timestamp::from_secs_f64((now().as_secs_f64() - 10.0).floor());
        receiver.notified(0, data(1.0, start));
        assert_eq!(rx.try_recv().unwrap().value, Some(Value::Real(1.0)));
        let change = start.plus(Duration::from_secs(5));
        receiver.refreshed(0, data(2.0, change), Duration::ZERO);
        assert!(rx.try_recv().is_err(), "its notification may be on its way, with others before it");
        assert_eq!(receiver.silent(Duration::ZERO), Some(0));
        assert!(receiver.take_dumb().is_empty(), "it may still come");
        receiver.refreshed(0, data(2.0, change), Duration::ZERO);
        let read = rx.try_recv().unwrap();
        assert_eq!((receiver.take_dumb(), receiver.take_dumb()), (vec![0], vec![]), "made anew once");
        assert_eq!((read.source_time, read.quality), (change, Quality::Uncertain(Cause::Overflow)));
        // Its notification comes after all: nothing is missing any more, and the subscription lives.
        receiver.notified(0, data(2.0, change));
        let told = rx.try_recv().unwrap();
        assert_eq!((told.source_time, told.quality), (change, Quality::Good));
        assert_eq!(receiver.silent(Duration::ZERO), None);
    }

    #[test]
    fn a_clock_that_is_set_back_parts_the_times() {
        let (receiver, mut rx) = receiver();
        let ahead = now().plus(Duration::from_secs(60));
        receiver.set_plc_time(ahead, Duration::ZERO);
        receiver.notified(0, data(1.0, ahead));
        rx.try_recv().unwrap();
        // A slow answer is no clock that was set.
        receiver.set_plc_time(ahead.minus(Duration::from_secs(2)), Duration::from_secs(2));
        assert!(rx.try_recv().is_err() && !receiver.suspects_clock());
        receiver.notified(0, data(2.0, now()));
        rx.try_recv().unwrap();
        assert!(receiver.suspects_clock());
        receiver.set_plc_time(now(), Duration::ZERO);
        let between = rx.try_recv().unwrap();
        assert_eq!(between.quality, Quality::Bad(CLOCK_SET));
        assert!(between.source_time < ahead && !receiver.suspects_clock());
        // What is left of the old clock is not ahead of the new one.
        receiver.notified(0, data(3.0, ahead));
        assert!(rx.try_recv().unwrap().source_time <= now());
    }

    #[test]
    fn nan_is_no_change() {
        let (receiver, mut rx) = receiver();
        let time = now();
        receiver.notified(0, data(f64::NAN, time));
        receiver.refreshed(0, data(f64::NAN, time), Duration::from_secs(1));
        assert_eq!(rx.try_recv().unwrap().quality, Quality::Bad(Cause::NotFinite));
        assert_eq!(receiver.silent(Duration::ZERO), None);
    }

    #[test]
    fn a_lost_connection_is_never_older_than_the_last_value() {
        let (receiver, mut rx) = receiver();
        let ahead = now().plus(Duration::from_millis(900));
        receiver.notified(0, data(1.0, ahead));
        receiver.connection_lost();
        rx.try_recv().unwrap();
        let lost = rx.try_recv().unwrap();
        assert_eq!(
            (lost.quality, lost.source_time),
            (Quality::Bad(Cause::ConnectionLost), wire::from_date_time(&wire::to_date_time(ahead)))
        );
        // By the PLC's clock where that is behind: else its next values would come too late.
        receiver.set_plc_time(now().minus(Duration::from_secs(60)), Duration::ZERO);
        receiver.connection_lost();
        assert!(rx.try_recv().unwrap().source_time < now().minus(Duration::from_secs(59)));
    }

    #[test]
    fn a_gap_is_filled_before_the_news() {
        let (receiver, mut rx) = receiver();
        let start = Timestamp::from_secs_f64((now().as_secs_f64() - 10.0).floor());
        let at = |second: u64| start.plus(Duration::from_secs(second));
        receiver.notified(0, data(1.0, at(1)));
        receiver.connection_lost();
        let before = [rx.try_recv().unwrap().quality, rx.try_recv().unwrap().quality];
        assert_eq!(before, [Quality::Good, Quality::Bad(Cause::ConnectionLost)]);
        assert!(receiver.gaps().is_empty(), "not connected");
        receiver.begin();
        assert_eq!(receiver.gaps(), [(0, at(1))]);
        receiver.notified(0, data(5.0, at(5)));
        assert!(rx.try_recv().is_err(), "held back");
        // The PLC's history overlaps at both ends.
        let past = (1..=6).map(|second| data(second as f64, at(second))).collect();
        assert_eq!(fill(&receiver, vec![(0, past)]), 3);
        let filled = Quality::Uncertain(Cause::FromHistory);
        for (value, quality) in [(2.0, filled), (3.0, filled), (4.0, filled), (5.0, Quality::Good)] {
            let sample = rx.try_recv().unwrap();
            assert_eq!((sample.value, sample.quality, sample.source_time), (Some(Value::Real(value)), quality, at(value as u64)));
        }
        receiver.notified(0, data(6.0, at(6)));
        assert_eq!(rx.try_recv().unwrap().value, Some(Value::Real(6.0)), "not held any more");
    }

    #[test]
    fn the_last_value_of_the_history_is_not_taken_twice() {
        let (receiver, mut rx) = receiver();
        let start = Timestamp::from_secs_f64((now().as_secs_f64() - 10.0).floor());
        receiver.notified(0, data(1.0, start));
        receiver.connection_lost();
        receiver.begin();
        let last = data(2.0, start.plus(Duration::from_secs(1)));
        assert_eq!(fill(&receiver, vec![(0, vec![last.clone()])]), 1);
        receiver.notified(0, last);
        let values: Vec<_> = std::iter::from_fn(|| rx.try_recv().ok()).map(|s| s.value).collect();
        assert_eq!(values, [Some(Value::Real(1.0)), None, Some(Value::Real(2.0))]);
    }

    #[test]
    fn a_gap_that_is_not_filled_holds_nothing_back() {
        let (receiver, mut rx) = receiver();
        let start = now().minus(Duration::from_secs(10));
        receiver.notified(0, data(1.0, start));
        receiver.connection_lost();
        receiver.begin();
        receiver.notified(0, data(2.0, start.plus(Duration::from_secs(5))));
        // Lost again before the history was read: what was held comes, and the gap begins there.
        receiver.connection_lost();
        let values: Vec<_> = std::iter::from_fn(|| rx.try_recv().ok()).map(|s| s.value).collect();
        assert_eq!(values, [Some(Value::Real(1.0)), None, Some(Value::Real(2.0)), None]);
        receiver.begin();
        assert_eq!(receiver.gaps().len(), 1);
        receiver.notified(0, data(3.0, start.plus(Duration::from_secs(7))));
        receiver.let_go(&[0]);
        assert_eq!(rx.try_recv().unwrap().quality, Quality::Good);
        assert!(receiver.gaps().is_empty());
    }

    #[test]
    fn structures_are_no_values() {
        let (receiver, mut rx) = receiver();
        receiver.notified(0, DataValue::value_only(Variant::DateTime(Box::default())));
        assert_eq!(rx.try_recv().unwrap().quality, Quality::Bad(Cause::WrongType));
        receiver.notified(0, DataValue { status: Some(StatusCode::BadNodeIdUnknown), ..DataValue::default() });
        assert_eq!(rx.try_recv().unwrap().quality, Quality::Bad(Cause::UnknownAddress));
        receiver.notified(0, DataValue::value_only(Variant::from(vec![1.0f32, 2.0])));
        assert_eq!(rx.try_recv().unwrap().quality, Quality::Bad(Cause::WrongType));
    }
}
