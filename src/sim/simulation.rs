//! Story and motor together: an endless sequence of cycles.

use super::motor::{Cycle, Motor};
use super::story::{Story, StoryPoint};

/// The motor living through the story; an iterator without end. The same arguments give the same cycles.
#[derive(Clone, Debug)]
pub struct Simulation {
    story: Story,
    motor: Motor,
    cycle: u64,
}

impl Simulation {
    /// From `start` seconds of story time, in thermal equilibrium there.
    pub fn new(seed: u64, start: f64) -> Self {
        let story = Story::default();
        let cycle = (start * 10.0).round() as u64;
        let motor = Motor::new(seed, &story.at_cycle(cycle).condition);
        Self { story, motor, cycle }
    }

    /// Where the next cycle is in the story.
    pub fn point(&self) -> StoryPoint {
        self.story.at_cycle(self.cycle)
    }
}

impl Iterator for Simulation {
    type Item = (StoryPoint, Cycle);

    fn next(&mut self) -> Option<Self::Item> {
        let point = self.point();
        self.cycle += 1;
        Some((point, self.motor.cycle(&point.condition)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_where_told_and_repeats_itself_by_seed() {
        let rows = |seed| Simulation::new(seed, 160.0).take(50).collect::<Vec<_>>();
        assert_eq!(rows(7), rows(7));
        assert_ne!(rows(7), rows(8));
        assert_eq!(rows(7)[0].0.name, "Normal");
        assert_eq!(rows(7)[49].0.seconds, 164.9);
    }
}
