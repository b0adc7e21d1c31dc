//! What arrives: notifications of the subscription and answers of the refresh reads, per tag, as samples.
//!
//! A subscription says only what has changed. So that an unchanged value stays fresh, and a subscription that has silently died is
//! noticed, values without a notification are read again:
//!
//! - the same value: the sample says that it still held shortly before the answer (`margin`: a change that is on its way in a
//!   notification must not find a newer sample);
//! - another value: it is sent at once, and the notification of it is awaited. One that does not come within `silence` is a fault
//!   of the subscription.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use opcua::types::{DataValue, StatusCode, Variant};
use parking_lot::Mutex;

use crate::config::Shape;
use crate::source::emit::{Emitter, Reading, now};
use crate::types::{Cause, Quality, Timestamp, Value};
use crate::wire::opcua as wire;

/// A scalar without news for so long is read again.
const REFRESH_AFTER: Duration = Duration::from_secs(1);

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
    /// The server has ended the subscription.
    ended: AtomicBool,
}

impl Receiver {
    pub fn new(emitter: Arc<Emitter>) -> Self {
        let state = TagState { active: false, heard: Instant::now(), last: None, unannounced: None };
        let tags = Mutex::new(vec![state; emitter.tags().len()]);
        Self { emitter, tags, clock_offset: AtomicI64::new(0), ended: AtomicBool::new(false) }
    }

    /// Before a new subscription: nothing is being awaited. The last source times stay.
    pub fn begin(&self) {
        self.ended.store(false, Ordering::Relaxed);
        for tag in self.tags.lock().iter_mut() {
            (tag.active, tag.heard, tag.unannounced) = (false, Instant::now(), None);
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

    /// Takes the PLC's clock from an answer that has just come.
    pub fn set_plc_time(&self, time: Timestamp) {
        self.clock_offset.store(time.as_nanos().saturating_sub(now().as_nanos()), Ordering::Relaxed);
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
        let mut tags = self.tags.lock();
        let Some(state) = tags.get_mut(tag) else { return };
        let new = self.last_of(&data, false);
        (state.heard, state.unannounced) = (Instant::now(), None);
        let known = state.last.as_ref().is_some_and(|l| l.by_read && l.same(&new) && new.source_time <= l.source_time);
        if !known {
            self.emit(tag, &data, &new);
            state.last = Some(new);
        } else if let Some(last) = &mut state.last {
            last.by_read = false;
        }
    }

    /// The answer of a refresh read; `margin`: how long a notification can be on its way.
    pub fn refreshed(&self, tag: usize, data: DataValue, margin: Duration) {
        let mut tags = self.tags.lock();
        let Some(state) = tags.get_mut(tag) else { return };
        let (heard, answered) = (Instant::now(), self.plc_now());
        state.heard = heard;
        let mut new = self.last_of(&data, true);
        let Some(last) = state.last.as_ref().filter(|last| last.same(&new)) else {
            if state.last.as_ref().is_some_and(|last| new.source_time <= last.source_time) {
                new.source_time = answered;
            }
            state.unannounced.get_or_insert(heard);
            self.emit(tag, &data, &new);
            state.last = Some(new);
            return;
        };
        let is_block = matches!(self.emitter.tags()[tag].shape, Shape::Block { .. });
        (new.source_time, new.by_read) = (answered.minus(margin), last.by_read);
        // A block that is sent again would be taken for the next one.
        if !is_block && new.source_time > last.source_time {
            self.emit(tag, &data, &new);
            state.last = Some(new);
        }
    }

    /// The tags to be read now. Blocks are large and seldom stand still: they are read only to check on the subscription.
    pub fn due(&self, silence: Duration) -> Vec<usize> {
        let tags = self.tags.lock();
        let wait = |i: usize| match self.emitter.tags()[i].shape {
            Shape::Scalar => REFRESH_AFTER,
            Shape::Block { .. } => silence.max(REFRESH_AFTER),
        };
        (0..tags.len()).filter(|&i| tags[i].active && tags[i].heard.elapsed() >= wait(i)).collect()
    }

    /// A tag whose value changes while its notifications stay away for longer than `silence`.
    pub fn silent(&self, silence: Duration) -> Option<usize> {
        self.tags.lock().iter().position(|tag| tag.active && tag.unannounced.is_some_and(|since| since.elapsed() >= silence))
    }

    /// The PLC refuses this tag.
    pub fn failed(&self, tag: usize, cause: Cause) {
        self.emitter.count_error();
        self.still_failed(tag, cause);
    }

    pub fn still_failed(&self, tag: usize, cause: Cause) {
        let time = self.bad_time(&mut self.tags.lock()[tag]);
        self.emitter.send_bad(tag, cause, time);
    }

    /// Tells at once that no value is known any more.
    pub fn connection_lost(&self) {
        for (i, tag) in self.tags.lock().iter_mut().enumerate() {
            let time = self.bad_time(tag);
            tag.active = false;
            self.emitter.send_bad(i, Cause::ConnectionLost, time);
        }
    }

    /// Never before the last sample, or this one would not be seen.
    fn bad_time(&self, tag: &mut TagState) -> Timestamp {
        let time = tag.last.as_ref().map_or(Timestamp::MIN, |last| last.source_time).max(self.plc_now());
        tag.last = None;
        time
    }

    fn last_of(&self, data: &DataValue, by_read: bool) -> Last {
        let time = data.source_timestamp.as_ref().or(data.server_timestamp.as_ref());
        Last {
            value: data.value.as_ref().and_then(value_of),
            status: data.status.unwrap_or(StatusCode::Good),
            source_time: time.filter(|t| !t.is_null()).map_or_else(|| self.plc_now(), wire::from_date_time),
            by_read,
        }
    }

    fn emit(&self, tag: usize, data: &DataValue, new: &Last) {
        let mut quality = wire::to_quality(new.status);
        if quality.is_usable() && new.value.is_none() {
            // A value that cannot be a signal: a structure, a matrix, a time.
            let none = data.value.as_ref().is_none_or(|v| matches!(v, Variant::Empty));
            quality = Quality::Bad(if none { Cause::NoData } else { Cause::WrongType });
        }
        let (value, source_time) = (new.value.clone(), new.source_time);
        self.emitter.send(tag, Reading { value, quality, source_time, receive_time: now() });
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
        values && self.status.set_overflow(false) == other.status.set_overflow(false)
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
        assert_eq!(receiver.silent(Duration::ZERO), None, "nothing has changed");
    }

    #[test]
    fn a_change_that_nobody_announces_is_noticed() {
        let (receiver, mut rx) = receiver();
        // Whole seconds: OPC UA's times are multiples of 100 ns.
        let start = Timestamp::from_secs_f64((now().as_secs_f64() - 10.0).floor());
        receiver.notified(0, data(1.0, start));
        let change = start.plus(Duration::from_secs(5));
        receiver.refreshed(0, data(2.0, change), Duration::ZERO);
        assert_eq!(rx.try_recv().unwrap().value, Some(Value::Real(1.0)));
        assert_eq!(rx.try_recv().unwrap().source_time, change);
        assert_eq!(receiver.silent(Duration::ZERO), Some(0));
        // Its notification comes after all: known already, and the subscription lives.
        receiver.notified(0, data(2.0, change));
        assert!(rx.try_recv().is_err());
        assert_eq!(receiver.silent(Duration::ZERO), None);
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
        let ahead = now().plus(Duration::from_secs(60));
        receiver.notified(0, data(1.0, ahead));
        receiver.connection_lost();
        rx.try_recv().unwrap();
        let lost = rx.try_recv().unwrap();
        assert_eq!(
            (lost.quality, lost.source_time),
            (Quality::Bad(Cause::ConnectionLost), wire::from_date_time(&wire::to_date_time(ahead)))
        );
        // By the PLC's clock where that is behind: else its next values would come too late.
        receiver.set_plc_time(now().minus(Duration::from_secs(60)));
        receiver.connection_lost();
        assert!(rx.try_recv().unwrap().source_time < now().minus(Duration::from_secs(59)));
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
