//! What happens to the motor, as a table of phases on a time axis of its own (story time: seconds, ten cycles each).
//!
//! The story is told once from its start. After its last phase it goes on at the phase `Normal`: nobody learns twice.

use super::motor::{Condition, Spike};

/// Cycles in a second of story time.
const CYCLES_PER_SECOND: f64 = 10.0;
/// Cycles between two spikes, and the first of them.
const SPIKE_EVERY: u64 = 70;
const SPIKE_FIRST: u64 = 30;

/// What is really the case: the ground truth that verdicts are held against.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actual {
    /// Sound, at trained settings. Single spikes are still healthy: no drift, no fault.
    Healthy,
    /// Sound, at settings that were never trained.
    Outside,
    /// A slow change inside the trained settings has begun.
    Drift,
    /// A fault of the machine.
    Fault,
    /// Stopped.
    Standstill,
}

/// A value that goes linearly from one to another at the beginning of a phase and then stays.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Ramp {
    pub from: f64,
    pub to: f64,
    /// Length of the change; 0: at once.
    pub seconds: f64,
}

impl Ramp {
    pub const NONE: Self = Self::constant(0.0);

    pub const fn constant(value: f64) -> Self {
        Self { from: value, to: value, seconds: 0.0 }
    }

    /// The value so many seconds into the phase.
    pub fn at(&self, seconds: f64) -> f64 {
        if seconds >= self.seconds { self.to } else { self.from + (self.to - self.from) * (seconds / self.seconds).max(0.0) }
    }
}

/// A part of the story in which one thing is shown.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Phase {
    pub name: &'static str,
    /// One sentence for the operator: what is done, and what driftgate should say.
    pub text: &'static str,
    /// Length in story time.
    pub seconds: u32,
    pub actual: Actual,
    pub running: bool,
    /// Set stator voltage, V.
    pub voltage: f64,
    /// Lost gain of the flux sensor.
    pub sensor_ageing: Ramp,
    /// 0..1
    pub friction: Ramp,
    /// 0..1
    pub inter_turn: Ramp,
    /// A single wrong row every seven seconds.
    pub spikes: bool,
}

impl Phase {
    /// A sound motor, running at 164 V.
    const fn healthy(name: &'static str, seconds: u32, text: &'static str) -> Self {
        Self {
            name,
            text,
            seconds,
            actual: Actual::Healthy,
            running: true,
            voltage: 164.0,
            sensor_ageing: Ramp::NONE,
            friction: Ramp::NONE,
            inter_turn: Ramp::NONE,
            spikes: false,
        }
    }

    fn cycles(&self) -> u64 {
        (f64::from(self.seconds) * CYCLES_PER_SECOND) as u64
    }

    fn condition(&self, cycle: u64) -> Condition {
        let seconds = cycle as f64 / CYCLES_PER_SECOND;
        let spike = self.spikes && cycle % SPIKE_EVERY == SPIKE_FIRST;
        Condition {
            running: self.running,
            voltage: self.voltage,
            load: LOAD,
            sensor_ageing: self.sensor_ageing.at(seconds),
            friction: self.friction.at(seconds),
            inter_turn: self.inter_turn.at(seconds),
            spike: spike.then(|| Spike::ALL[(cycle / SPIKE_EVERY) as usize % Spike::ALL.len()]),
        }
    }
}

/// Set load throughout, %.
const LOAD: f64 = 50.0;

/// The story of `driftgate demo`.
const PHASES: &[Phase] = &[
    Phase::healthy("Learning", 160, "The motor runs at 164 V; driftgate learns references and model from the first 1,500 rows."),
    Phase::healthy("Normal", 120, "Nothing changes: no drift, no fault."),
    Phase {
        actual: Actual::Outside,
        voltage: 289.0,
        ..Phase::healthy("Setting 289 V", 120, "The voltage is set to 289 V, which was never trained: no verdict, and that is not drift.")
    },
    Phase::healthy("Back to 164 V", 120, "The trained setting again: the verdicts are back, no drift."),
    Phase {
        spikes: true,
        ..Phase::healthy("Spikes", 120, "A single wrong row every seven seconds: an anomaly at most, no drift and no fault.")
    },
    Phase {
        actual: Actual::Drift,
        sensor_ageing: Ramp { from: 0.0, to: 0.06, seconds: 200.0 },
        friction: Ramp { from: 0.0, to: 1.0, seconds: 200.0 },
        ..Phase::healthy(
            "Slow change",
            300,
            "The flux sensor ages and a bearing wears at unchanged settings: drift, and data for retraining is collected.",
        )
    },
    Phase {
        actual: Actual::Standstill,
        running: false,
        ..Phase::healthy("Standstill", 10, "The motor is stopped and repaired: standstill is not drift.")
    },
    Phase::healthy("Repaired", 140, "Sensor and bearing are new: the drift goes away."),
    Phase {
        actual: Actual::Fault,
        inter_turn: Ramp::constant(1.0),
        ..Phase::healthy("Inter-turn fault", 60, "A short between turns of the winding: the model reports a fault, which is not drift.")
    },
    Phase {
        actual: Actual::Standstill,
        running: false,
        ..Phase::healthy("Standstill", 10, "The motor is stopped and gets a new winding.")
    },
    Phase::healthy("Repaired", 240, "The motor runs soundly again; the story goes on from its normal state."),
];

/// The phase that a told story, or one told before, goes on with.
const GOES_ON_AT: usize = 1;

/// The story at one time.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct StoryPoint {
    /// Story time from the very start, s; grows without end.
    pub seconds: f64,
    /// Index into [`Story::phases`].
    pub phase: usize,
    pub name: &'static str,
    pub text: &'static str,
    /// Story time since the phase began, s.
    pub phase_seconds: f64,
    pub condition: Condition,
    pub actual: Actual,
}

/// The story: pure, the same time gives the same point.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Story {
    phases: &'static [Phase],
}

impl Default for Story {
    fn default() -> Self {
        Self { phases: PHASES }
    }
}

impl Story {
    pub fn phases(&self) -> &'static [Phase] {
        self.phases
    }

    /// Length of the story until it repeats, s.
    pub fn seconds(&self) -> f64 {
        self.phases.iter().map(|phase| f64::from(phase.seconds)).sum()
    }

    /// Where a story goes on that has been learned from before, s.
    pub fn normal_from(&self) -> f64 {
        self.phases[..GOES_ON_AT].iter().map(|phase| f64::from(phase.seconds)).sum()
    }

    /// The point at `seconds` of story time, rounded to the nearest cycle; before the start is the start.
    pub fn at(&self, seconds: f64) -> StoryPoint {
        self.at_cycle((seconds * CYCLES_PER_SECOND).round() as u64)
    }

    /// The point at this cycle (100 ms), counted from 0.
    pub fn at_cycle(&self, cycle: u64) -> StoryPoint {
        let (index, into) = self.locate(cycle);
        let phase = &self.phases[index];
        StoryPoint {
            seconds: cycle as f64 / CYCLES_PER_SECOND,
            phase: index,
            name: phase.name,
            text: phase.text,
            phase_seconds: into as f64 / CYCLES_PER_SECOND,
            condition: phase.condition(into),
            actual: phase.actual,
        }
    }

    /// Ground truth at `seconds` of story time.
    pub fn actual(&self, seconds: f64) -> Actual {
        self.at(seconds).actual
    }

    /// The phase of a cycle, and how many cycles of it have passed.
    fn locate(&self, cycle: u64) -> (usize, u64) {
        let once: u64 = self.phases.iter().map(Phase::cycles).sum();
        let before: u64 = self.phases[..GOES_ON_AT].iter().map(Phase::cycles).sum();
        let mut rest = if cycle < once { cycle } else { before + (cycle - once) % (once - before) };
        for (index, phase) in self.phases.iter().enumerate() {
            if rest < phase.cycles() {
                return (index, rest);
            }
            rest -= phase.cycles();
        }
        unreachable!("the rest is less than the story's length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(story: &Story, from: f64, to: f64) -> Vec<&'static str> {
        let mut names: Vec<_> = (from as u32..to as u32).map(|s| story.at(f64::from(s)).name).collect();
        names.dedup();
        names
    }

    #[test]
    fn tells_everything_once_and_goes_on_from_normal() {
        let story = Story::default();
        let once = story.seconds();
        assert!((1400.0..=1500.0).contains(&once), "a demo of 90 s at speed 20 tells all: {once}");
        assert_eq!(names(&story, 0.0, once), PHASES.iter().map(|p| p.name).collect::<Vec<_>>());
        assert_eq!(names(&story, once, once + 300.0), ["Normal", "Setting 289 V", "Back to 164 V"]);
        let lap = once - story.normal_from();
        for t in [once, once + 500.0, once + 1000.0] {
            let (a, b) = (story.at(t), story.at(t + 3.0 * lap));
            assert_eq!((a.phase, a.phase_seconds, a.condition), (b.phase, b.phase_seconds, b.condition));
        }
    }

    #[test]
    fn phases_begin_on_their_cycle() {
        let story = Story::default();
        assert_eq!((story.at(159.9).name, story.at(160.0).name), ("Learning", "Normal"));
        assert_eq!(story.at(160.0).phase_seconds, 0.0);
        assert_eq!((story.at(279.9).condition.voltage, story.at(280.0).condition.voltage), (164.0, 289.0));
        assert_eq!(story.at(-5.0), story.at(0.0));
    }

    #[test]
    fn spikes_are_single_rows() {
        let story = Story::default();
        let spiky: Vec<u64> = (0..14_200).filter(|&c| story.at_cycle(c).condition.spike.is_some()).collect();
        assert_eq!(spiky.len(), 17);
        assert!(spiky.windows(2).all(|w| w[1] - w[0] == SPIKE_EVERY));
        assert!(spiky.iter().all(|&c| story.at_cycle(c).name == "Spikes" && story.at_cycle(c).actual == Actual::Healthy));
    }

    #[test]
    fn the_slow_change_ramps_then_holds() {
        let story = Story::default();
        let at = |s: f64| story.at(640.0 + s).condition;
        assert_eq!((story.at(640.0).name, at(0.0).friction), ("Slow change", 0.0));
        assert!((at(100.0).sensor_ageing - 0.03).abs() < 1e-12 && (at(100.0).friction - 0.5).abs() < 1e-12);
        assert_eq!((at(200.0).sensor_ageing, at(299.0).sensor_ageing), (0.06, 0.06));
        assert_eq!(at(0.0).voltage, story.at(0.0).condition.voltage, "inside the trained settings");
    }

    #[test]
    fn ground_truth_follows_the_conditions() {
        let story = Story::default();
        for cycle in 0..20_000 {
            let point = story.at_cycle(cycle);
            let c = point.condition;
            let expected = match point.name {
                "Slow change" => Actual::Drift,
                _ if !c.running => Actual::Standstill,
                _ if c.inter_turn > 0.0 => Actual::Fault,
                _ if c.voltage != 164.0 => Actual::Outside,
                _ => Actual::Healthy,
            };
            assert_eq!(story.actual(cycle as f64 / 10.0), expected, "cycle {cycle}");
        }
    }
}
