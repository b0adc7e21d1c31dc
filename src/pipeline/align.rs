//! Samples -> frames: all values of a machine at one time, each the last at or before it.
//!
//! Pure: the clock comes in as data. Frames leave in order; a sample that comes too late for its frame is counted, never put
//! back into the past.
//!
//! ```text
//! samples ─▶ queue a channel ─(trigger sample, or period, waited for `WAIT`)─▶ Frame
//!                             (nothing for `max_age`: one frame that says stale)
//! ```
//! A Bad sample that is older than the last value parts two times: the source's clock has been set back, and goes on from there.
//! A repeated sample (the value before still holds) keeps its channel fresh and is no trigger.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{FrameClock, MachineConfig};
use crate::types::{Cause, Channel, Frame, Quality, Sample, Timestamp};

/// How long a frame waits for the other channels: they come in the same or the next notification.
pub const WAIT: Duration = Duration::from_millis(150);
/// Samples queued a channel at most; beyond it the oldest goes and is counted.
pub const QUEUE: usize = 4096;

/// Makes the frames of one machine.
pub struct Aligner {
    config: Arc<MachineConfig>,
    /// Index of each channel's source; channels of one source share a clock.
    sources: Vec<Option<usize>>,
    channels: Vec<State>,
    /// Receive time of the newest frame's trigger, or its grid time.
    last_frame: Option<Timestamp>,
    next_period: Option<Timestamp>,
    stale_told: bool,
    late: u64,
    lost: u64,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Sample>,
    now: Channel,
    received: Timestamp,
}

impl Aligner {
    /// An aligner without any sample yet.
    pub fn new(config: Arc<MachineConfig>) -> Self {
        let origin = |o: &Option<crate::config::Origin>| o.as_ref().map(|o| o.source);
        let signals = config.signals.iter().map(|s| origin(&s.origin));
        let settings = config.settings.iter().map(|s| origin(&s.origin));
        let sources: Vec<_> = signals.chain(settings).chain(config.labels().map(|l| origin(&l.origin))).collect();
        let channels = sources.iter().map(|_| State::default()).collect();
        Self { config, sources, channels, last_frame: None, next_period: None, stale_told: true, late: 0, lost: 0 }
    }

    /// Takes a sample; one of an unknown channel is ignored.
    pub fn push(&mut self, sample: Sample) {
        let Some(state) = self.channels.get_mut(usize::from(sample.id.channel)) else { return };
        let newest = state.queue.back().map_or(state.now.source_time, |s| s.source_time);
        if sample.quality.is_usable() && sample.source_time < newest {
            self.late += u64::from(!sample.repeated);
            return;
        }
        if !sample.quality.is_usable() && sample.source_time < newest {
            self.lost += state.queue.drain(..).filter(|s| !s.repeated).count() as u64;
        }
        // Only the newest counts: else they would pile up while the trigger stands still.
        if sample.repeated && state.queue.back().is_some_and(|s| s.repeated) {
            state.queue.pop_back();
        }
        if state.queue.len() >= QUEUE {
            state.queue.pop_front();
            self.lost += 1;
        }
        state.queue.push_back(sample);
    }

    /// The next frame that is due at `now` (the receive clock).
    pub fn next_frame(&mut self, now: Timestamp) -> Option<Frame> {
        let frame = match self.config.frame {
            FrameClock::Trigger(trigger) => self.triggered(trigger, now),
            FrameClock::Period(period) => self.periodic(period, now),
        };
        if frame.is_some() {
            self.stale_told = false;
            return frame;
        }
        self.stale(now)
    }

    fn triggered(&mut self, trigger: usize, now: Timestamp) -> Option<Frame> {
        let state = self.channels.get_mut(trigger)?;
        while state.queue.front().is_some_and(|sample| sample.repeated) {
            state.take();
        }
        let sample = self.channels.get(trigger)?.queue.front()?;
        let (time, received) = (sample.source_time, sample.receive_time);
        // A lost connection is told channel by channel: what is told of the others meanwhile is of the same loss.
        let told_until = if sample.quality.is_usable() { received } else { received.plus(WAIT) };
        if now < received.plus(WAIT) && !self.complete(trigger, time) {
            return None;
        }
        let source = self.sources[trigger];
        for (k, state) in self.channels.iter_mut().enumerate() {
            let shared = self.sources[k] == source;
            while let Some(sample) = state.queue.front() {
                let due = match sample.quality.is_usable() {
                    true if shared => sample.source_time <= time,
                    true => sample.receive_time <= received,
                    false => sample.receive_time <= told_until,
                };
                if !due || (k == trigger && sample.source_time > time) {
                    break;
                }
                let repeated = sample.repeated;
                state.take();
                if k == trigger && !repeated {
                    break;
                }
            }
        }
        self.last_frame = Some(received);
        Some(self.frame(time, received))
    }

    /// Every channel has a value at or after `time`: nothing to wait for.
    fn complete(&self, trigger: usize, time: Timestamp) -> bool {
        let newest = |s: &State| s.queue.back().map_or(s.now.source_time, |q| q.source_time);
        self.channels.iter().enumerate().all(|(k, s)| k == trigger || self.sources[k].is_none() || newest(s) >= time)
    }

    fn periodic(&mut self, period: Duration, now: Timestamp) -> Option<Frame> {
        let due = *self.next_period.get_or_insert(now.plus(period));
        if now < due.plus(WAIT) {
            return None;
        }
        // After a long pause the grid goes on from now: frames of the past would only repeat old values.
        let behind = now.since(due) > period * 100;
        self.next_period = Some(if behind { now.plus(period) } else { due.plus(period) });
        for state in &mut self.channels {
            while state.queue.front().is_some_and(|s| s.receive_time <= due) {
                state.take();
            }
        }
        self.last_frame = Some(due);
        Some(self.frame(due, due))
    }

    /// Nothing came for `max_age`: one frame that says so.
    fn stale(&mut self, now: Timestamp) -> Option<Frame> {
        let silent = now.since(self.last_frame?) > self.config.max_age;
        if !silent || self.stale_told {
            return None;
        }
        self.stale_told = true;
        // Also what has been asked for since: nobody shows its changes without rows.
        let mut frame = self.frame(now, now);
        for channel in frame.channels.iter_mut().filter(|c| c.quality.is_usable()) {
            (channel.value, channel.quality) = (None, Quality::Bad(Cause::Stale));
        }
        Some(frame)
    }

    fn frame(&self, time: Timestamp, received: Timestamp) -> Frame {
        let channels = self.channels.iter().map(|state| {
            let old = received.since(state.received) > self.config.max_age;
            if old && state.now.quality.is_usable() {
                Channel { value: None, quality: Quality::Bad(Cause::Stale), source_time: state.now.source_time }
            } else {
                state.now.clone()
            }
        });
        Frame { time, channels: channels.collect() }
    }

    /// Samples that came too late for their frame.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Samples that a full queue has lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl State {
    fn take(&mut self) {
        if let Some(sample) = self.queue.pop_front() {
            self.received = sample.receive_time;
            let usable = sample.quality.is_usable();
            let source_time = if usable { sample.source_time } else { self.now.source_time.min(sample.source_time) };
            self.now = Channel { value: sample.value, quality: sample.quality, source_time };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::types::{SampleId, Value};

    fn aligner(clock: &str) -> Aligner {
        let text = format!(
            r#"
            [[sources]]
            name = "P"
            protocol = "opcua"
            endpoint = "opc.tcp://127.0.0.1:4840"
            namespace = "urn:x"
            [[machines]]
            name = "M"
            {clock}
            max_age = "2s"
            [[machines.signals]]
            name = "A"
            address = "a"
            [[machines.signals]]
            name = "B"
            address = "b"
            "#
        );
        Aligner::new(Config::parse(&text).unwrap().machines[0].clone())
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    fn sample(channel: u16, taken: i64, received: i64, value: f64) -> Sample {
        Sample {
            id: SampleId { machine: 0, channel },
            value: Some(Value::Real(value)),
            quality: Quality::Good,
            source_time: at(taken),
            receive_time: at(received),
            repeated: false,
        }
    }

    fn repeated(channel: u16, taken: i64, received: i64, value: f64) -> Sample {
        Sample { repeated: true, ..sample(channel, taken, received, value) }
    }

    fn numbers(frame: &Frame) -> Vec<Option<f64>> {
        frame.channels.iter().map(|c| c.usable().and_then(Value::number)).collect()
    }

    #[test]
    fn a_batch_that_comes_channel_by_channel_gives_rows_in_order() {
        let mut a = aligner("trigger = \"A\"");
        for t in 0..3 {
            a.push(sample(0, 100 * t, 1000, t as f64));
        }
        for t in 0..3 {
            a.push(sample(1, 100 * t, 1001, 10.0 + t as f64));
        }
        for t in 0..3 {
            let frame = a.next_frame(at(1002)).unwrap();
            assert_eq!((frame.time, numbers(&frame)), (at(100 * t), vec![Some(t as f64), Some(10.0 + t as f64)]));
        }
        assert!(a.next_frame(at(1003)).is_none());
    }

    #[test]
    fn a_frame_waits_for_the_others_but_not_for_ever() {
        let mut a = aligner("trigger = \"A\"");
        a.push(sample(1, 0, 0, 5.0));
        a.push(sample(0, 100, 100, 1.0));
        assert!(a.next_frame(at(200)).is_none());
        let frame = a.next_frame(at(251)).unwrap();
        assert_eq!(numbers(&frame), [Some(1.0), Some(5.0)], "the last value before");
    }

    #[test]
    fn old_values_are_stale_and_late_ones_are_counted() {
        let mut a = aligner("trigger = \"A\"");
        a.push(sample(1, 0, 0, 5.0));
        a.push(sample(0, 3000, 3000, 1.0));
        let frame = a.next_frame(at(3200)).unwrap();
        assert_eq!(frame.channels[1].quality, Quality::Bad(Cause::Stale));
        a.push(sample(0, 2000, 3300, 9.0));
        assert_eq!(a.late(), 1);
        assert!(a.next_frame(at(3500)).is_none());
    }

    /// The trigger's sample is the first of those that tell the loss.
    #[test]
    fn a_lost_connection_is_one_row_without_values() {
        let mut a = aligner("trigger = \"A\"");
        a.push(sample(0, 0, 1000, 1.0));
        a.push(sample(1, 0, 1000, 2.0));
        assert_eq!(numbers(&a.next_frame(at(1001)).unwrap()), [Some(1.0), Some(2.0)]);
        let lost = |channel, ms| Sample { value: None, quality: Quality::Bad(Cause::ConnectionLost), ..sample(channel, ms, ms, 0.0) };
        a.push(lost(0, 1500));
        assert!(a.next_frame(at(1500)).is_none(), "the other one may be told as well");
        a.push(lost(1, 1501));
        let frame = a.next_frame(at(1502)).unwrap();
        assert_eq!(frame.channels.iter().map(|c| c.quality).collect::<Vec<_>>(), [Quality::Bad(Cause::ConnectionLost); 2]);
        // A trigger that is broken by itself takes nothing with it.
        a.push(sample(0, 2000, 2000, 3.0));
        a.push(sample(1, 2000, 2000, 4.0));
        a.next_frame(at(2001)).unwrap();
        a.push(lost(0, 2500));
        assert!(a.next_frame(at(2510)).is_none());
        assert_eq!(numbers(&a.next_frame(at(2700)).unwrap()), [None, Some(4.0)]);
    }

    #[test]
    fn silence_is_told_once_and_a_bad_sample_at_once() {
        let mut a = aligner("trigger = \"A\"");
        assert!(a.next_frame(at(9000)).is_none(), "nothing was ever there");
        a.push(sample(0, 0, 0, 1.0));
        a.next_frame(at(200)).unwrap();
        assert!(a.next_frame(at(1900)).is_none());
        let frame = a.next_frame(at(2100)).unwrap();
        assert_eq!(frame.channels[0].quality, Quality::Bad(Cause::Stale));
        assert!(a.next_frame(at(9000)).is_none());
        a.push(Sample { value: None, quality: Quality::Bad(Cause::ConnectionLost), ..sample(0, 9000, 9000, 0.0) });
        let frame = a.next_frame(at(9200)).unwrap();
        assert_eq!(frame.channels[0].quality, Quality::Bad(Cause::ConnectionLost));
    }

    #[test]
    fn a_clock_that_is_set_back_goes_on_after_one_bad_row() {
        let mut a = aligner("trigger = \"A\"");
        a.push(sample(0, 60_000, 0, 1.0));
        a.push(sample(1, 60_000, 0, 5.0));
        a.next_frame(at(10)).unwrap();
        a.push(sample(1, 60_100, 100, 6.0));
        for channel in [0, 1] {
            a.push(Sample { value: None, quality: Quality::Bad(Cause::NoData), ..sample(channel, 200, 200, 0.0) });
        }
        a.push(sample(0, 300, 300, 2.0));
        a.push(sample(1, 300, 300, 7.0));
        assert_eq!(numbers(&a.next_frame(at(310)).unwrap()), [None, None]);
        let frame = a.next_frame(at(310)).unwrap();
        assert_eq!((frame.time, numbers(&frame)), (at(300), vec![Some(2.0), Some(7.0)]));
        assert_eq!((a.late(), a.lost()), (0, 1));
    }

    #[test]
    fn what_is_asked_again_stays_fresh_and_is_no_trigger() {
        let mut a = aligner("trigger = \"A\"");
        a.push(sample(0, 0, 0, 1.0));
        a.push(sample(1, 0, 0, 5.0));
        assert_eq!(numbers(&a.next_frame(at(10)).unwrap()), [Some(1.0), Some(5.0)]);
        for second in 1..4 {
            a.push(repeated(1, 1000 * second - 300, 1000 * second, 5.0));
        }
        a.push(repeated(0, 700, 1000, 1.0));
        assert!(a.next_frame(at(1200)).is_none(), "the trigger has no news");
        a.push(sample(0, 3100, 3200, 2.0));
        let frame = a.next_frame(at(3400)).unwrap();
        assert_eq!((numbers(&frame), frame.channels[1].quality), (vec![Some(2.0), Some(5.0)], Quality::Good));
        // A trigger that stands still is no reason to show the others as good.
        a.push(repeated(0, 5500, 5600, 2.0));
        assert!(a.next_frame(at(5100)).is_none());
        let frame = a.next_frame(at(5700)).unwrap();
        assert!(frame.channels.iter().all(|c| c.quality == Quality::Bad(Cause::Stale) && c.value.is_none()), "{frame:?}");
        assert_eq!(a.late(), 0);
    }

    #[test]
    fn a_period_samples_what_is_there() {
        let mut a = aligner("period = \"100ms\"");
        assert!(a.next_frame(at(0)).is_none());
        a.push(sample(0, 50, 50, 1.0));
        a.push(sample(0, 120, 120, 2.0));
        let frame = a.next_frame(at(250)).unwrap();
        assert_eq!((frame.time, numbers(&frame)), (at(100), vec![Some(1.0), None]));
        assert_eq!(numbers(&a.next_frame(at(350)).unwrap())[0], Some(2.0));
    }
}
