use std::sync::Arc;
use std::time::Duration;

use crate::config::{Condition, MachineConfig, Plausible, SignalConfig};
use crate::types::{Cause, Frame, Quality, Timestamp, Value};

/// Share of a waveform's samples at an end of the converter from which it counts as saturated.
const SATURATED_SHARE: f64 = 0.01;

/// Finds broken sensors before they look like drift: values that cannot be become Bad, with the cause. They keep the number, for those who look
/// for what happened.
///
/// One for each machine (or unit of a replay); frames come in the order of their times.
#[derive(Clone)]
pub struct PlausibilityCheck {
    signals: Vec<SignalCheck>,
    active_when: Option<Condition>,
}

#[derive(Clone)]
struct SignalCheck {
    range: Option<(f64, f64)>,
    rules: Plausible,
    /// The last value, and since when it is exactly this.
    same: Option<(Value, Timestamp)>,
    /// The last number that could be, and when it was taken.
    accepted: Option<(f64, Timestamp)>,
}

impl PlausibilityCheck {
    /// A check that has seen nothing yet.
    pub fn new(machine: &MachineConfig) -> Self {
        let signals = machine.signals.iter().map(SignalCheck::new).collect();
        Self { signals, active_when: machine.active_when }
    }

    /// Marks what cannot be. Where the machine is known not to produce, nothing is stuck.
    pub fn mark(&mut self, frame: &mut Frame) {
        let standing = self.active_when.as_ref().and_then(|c| c.holds(frame)) == Some(false);
        let time = frame.time;
        for (check, channel) in self.signals.iter_mut().zip(&mut frame.channels) {
            let Some(value) = channel.usable() else {
                check.same = None;
                continue;
            };
            if let Some(cause) = check.fault(value, channel.source_time, time, standing) {
                channel.quality = Quality::Bad(cause);
            }
        }
    }
}

impl SignalCheck {
    fn new(signal: &SignalConfig) -> Self {
        Self { range: signal.range, rules: signal.plausible, same: None, accepted: None }
    }

    fn fault(&mut self, value: &Value, taken: Timestamp, time: Timestamp, standing: bool) -> Option<Cause> {
        let stuck = self.is_stuck(value, time, standing);
        if self.is_saturated(value) {
            return Some(Cause::Saturated);
        }
        if !self.is_in_range(value) {
            return Some(Cause::OutOfRange);
        }
        if self.is_a_jump(value, taken) {
            return Some(Cause::Jump);
        }
        stuck.then_some(Cause::Stuck)
    }

    fn is_in_range(&self, value: &Value) -> bool {
        let Some((low, high)) = self.range else { return true };
        let inside = |x: f64| low <= x && x <= high;
        match value.block() {
            Some(block) => block.iter().all(|x| inside(*x)),
            None => value.number().is_none_or(inside),
        }
    }

    fn is_saturated(&self, value: &Value) -> bool {
        let Some((low, high)) = self.rules.saturation else { return false };
        let at_an_end = |x: f64| x <= low || x >= high;
        match value.block() {
            Some(block) => block.iter().filter(|x| at_an_end(**x)).count() as f64 > SATURATED_SHARE * block.len() as f64,
            None => value.number().is_some_and(at_an_end),
        }
    }

    /// From the last value that could be: one spike does not make the next value a jump, and after a real step its level is taken as soon as
    /// the rate allows.
    fn is_a_jump(&mut self, value: &Value, taken: Timestamp) -> bool {
        let (Some(rate), Some(x)) = (self.rules.max_rate, value.number()) else { return false };
        if let Some((last, at)) = self.accepted
            && (x - last).abs() > rate * taken.since(at).as_secs_f64()
        {
            return true;
        }
        self.accepted = Some((x, taken));
        false
    }

    /// Exactly the same for too long; a waveform also where all its samples are the same.
    fn is_stuck(&mut self, value: &Value, time: Timestamp, standing: bool) -> bool {
        let Some(longest) = self.rules.stuck_after else { return false };
        let since = match &self.same {
            Some((same, since)) if !standing && is_unchanged(same, value) => *since,
            _ => {
                self.same = Some((shared(value), time));
                time
            }
        };
        longest > Duration::ZERO && time.since(since) >= longest
    }
}

/// The same value, or one flat waveform after another.
fn is_unchanged(before: &Value, now: &Value) -> bool {
    let flat = |value: &Value| value.block().is_some_and(|b| b.windows(2).all(|pair| pair[0] == pair[1]));
    before == now || (flat(before) && flat(now))
}

/// Blocks and texts are shared, not copied.
fn shared(value: &Value) -> Value {
    match value {
        Value::Block(block) => Value::Block(Arc::clone(block)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::types::Channel;

    /// A machine with one signal, and whether it runs.
    struct Bench {
        check: PlausibilityCheck,
        blocks: bool,
    }

    impl Bench {
        fn new(rules: &str) -> Self {
            let text = format!(
                "[[machines]]\nname = \"M\"\nactive_when = \"Run == 1\"\nsettings = [\"Run\"]\n[[machines.signals]]\nname = \"S\"\n{rules}\n\
                 [machines.data_drift]\ntests = [\"psi\"]\n"
            );
            let config = Config::parse(&text).unwrap_or_else(|e| panic!("{e}"));
            Self { check: PlausibilityCheck::new(&config.machines[0]), blocks: rules.contains("block") }
        }

        fn quality(&mut self, seconds: f64, value: f64) -> Quality {
            let value = if self.blocks { Value::Block(vec![value; 8].into()) } else { Value::Real(value) };
            self.of(seconds, value, 1.0)
        }

        fn of(&mut self, seconds: f64, value: Value, run: f64) -> Quality {
            let time = Timestamp::from_secs_f64(1_000.0 + seconds);
            let channels = vec![Channel::good(value, time), Channel::good(Value::Real(run), time)];
            let mut frame = Frame { time, channels };
            self.check.mark(&mut frame);
            assert!(frame.channels[0].value.is_some(), "the number is kept");
            frame.channels[0].quality
        }
    }

    #[test]
    fn outside_its_range_is_bad() {
        let mut bench = Bench::new("range = [0.0, 50.0]");
        assert_eq!([0.0, 50.0].map(|x| bench.quality(0.0, x)), [Quality::Good; 2]);
        assert_eq!([-0.1, 50.1].map(|x| bench.quality(0.0, x)), [Quality::Bad(Cause::OutOfRange); 2]);
    }

    #[test]
    fn at_an_end_of_the_converter_it_is_saturated() {
        let mut bench = Bench::new("saturation = [0.0, 27648.0]\nrange = [-1.0, 20000.0]");
        assert_eq!(bench.quality(0.0, 1.0), Quality::Good);
        assert_eq!([0.0, 27_648.0, 30_000.0].map(|x| bench.quality(0.0, x)), [Quality::Bad(Cause::Saturated); 3]);
        let mut bench = Bench::new("saturation = [-1.0, 1.0]\nblock = { length = 200, rate = 1000.0 }");
        let block = |ends: usize| Value::Block((0..200).map(|k| if k < ends { 1.0 } else { 0.3 }).collect());
        assert_eq!(bench.of(0.0, block(2), 1.0), Quality::Good, "a peak may touch it");
        assert_eq!(bench.of(1.0, block(3), 1.0), Quality::Bad(Cause::Saturated));
    }

    #[test]
    fn faster_than_can_be_is_a_jump_and_a_step_is_taken_in_the_end() {
        let mut bench = Bench::new("max_rate = 2.0");
        assert_eq!(bench.quality(0.0, 20.0), Quality::Good);
        assert_eq!(bench.quality(1.0, 60.0), Quality::Bad(Cause::Jump));
        assert_eq!(bench.quality(2.0, 21.0), Quality::Good, "held against the value before the spike");
        assert_eq!(bench.quality(3.0, 26.0), Quality::Bad(Cause::Jump));
        assert_eq!(bench.quality(4.5, 26.0), Quality::Good);
    }

    #[test]
    fn exactly_the_same_for_too_long_is_stuck_while_the_machine_runs() {
        let mut bench = Bench::new("stuck_after = \"10s\"");
        assert_eq!([0.0, 5.0, 9.9].map(|t| bench.quality(t, 7.0)), [Quality::Good; 3]);
        assert_eq!(bench.quality(10.0, 7.0), Quality::Bad(Cause::Stuck));
        assert_eq!(bench.quality(11.0, 7.5), Quality::Good);
        // A standstill begins the count anew.
        assert_eq!(bench.of(12.0, Value::Real(0.0), 0.0), Quality::Good);
        assert_eq!(bench.of(40.0, Value::Real(0.0), 0.0), Quality::Good);
        assert_eq!(bench.of(49.0, Value::Real(0.0), 1.0), Quality::Good);
        assert_eq!(bench.of(51.0, Value::Real(0.0), 1.0), Quality::Bad(Cause::Stuck));
    }

    #[test]
    fn flat_waveforms_are_stuck_though_their_level_moves() {
        let mut bench = Bench::new("stuck_after = \"10s\"\nblock = { length = 8, rate = 1000.0 }");
        assert_eq!(bench.quality(0.0, 0.1), Quality::Good);
        assert_eq!(bench.quality(11.0, 0.2), Quality::Bad(Cause::Stuck));
        let waves = |k: u32| Value::Block((0..8).map(|i| f64::from(i % 3 + k)).collect());
        assert_eq!(bench.of(12.0, waves(0), 1.0), Quality::Good);
        assert_eq!(bench.of(30.0, waves(1), 1.0), Quality::Good);
    }
}
