//! Which cycles are due at a time: a fixed grid on the wall clock, without drift and without a burst after a long pause.

use std::ops::Range;
use std::time::Duration;

use crate::sim::CYCLE_SECONDS;
use crate::types::Timestamp;

/// Fastest story: a cycle of 1 ms.
pub(super) const MAX_SPEED: f64 = 100.0;
/// Slowest story.
pub(super) const MIN_SPEED: f64 = 0.1;
/// Time between two looks at the clock at least: at high speed a look finds several cycles due.
const SHORTEST_TICK: Duration = Duration::from_millis(10);
/// More than this behind (a suspended computer), the grid starts anew instead of catching up.
const LONGEST_LAG: Duration = Duration::from_secs(2);

/// A grid of cycles: cycle `n` is at `origin + n · period`.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    period: Duration,
    /// Wall clock and running time of cycle 0.
    origin: (Timestamp, Duration),
    next: u64,
}

impl Pace {
    /// `speed` times real time, beginning at the wall clock `now`.
    pub fn new(speed: f64, now: Timestamp) -> Self {
        let period = Duration::from_secs_f64(CYCLE_SECONDS / speed.clamp(MIN_SPEED, MAX_SPEED));
        Self { period, origin: (now, Duration::ZERO), next: 0 }
    }

    /// How often to ask for due cycles.
    pub fn tick(&self) -> Duration {
        self.period.max(SHORTEST_TICK)
    }

    /// Cycles that became due since the last call, `running` after the start; `now` is the wall clock.
    pub fn due(&mut self, running: Duration, now: Timestamp) -> Range<u64> {
        let since = running.saturating_sub(self.origin.1);
        if since > self.at(self.next) + LONGEST_LAG {
            self.origin = (now.minus(self.at(self.next)), running.saturating_sub(self.at(self.next)));
        }
        let since = running.saturating_sub(self.origin.1);
        let end = (since.as_nanos() / self.period.as_nanos()) as u64 + 1;
        let due = self.next..end.max(self.next);
        self.next = due.end;
        due
    }

    /// Wall clock of a cycle.
    pub fn stamp(&self, cycle: u64) -> Timestamp {
        self.origin.0.plus(self.at(cycle))
    }

    /// Time of a cycle after the origin.
    fn at(&self, cycle: u64) -> Duration {
        Duration::from_nanos((self.period.as_nanos() as u64).saturating_mul(cycle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_nanos(1_000_000_000_000);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn each_cycle_is_due_once_and_stamped_on_the_grid() {
        let mut pace = Pace::new(20.0, NOW);
        assert_eq!(pace.tick(), ms(10));
        assert_eq!(pace.due(ms(0), NOW), 0..1);
        assert_eq!(pace.due(ms(12), NOW.plus(ms(12))), 1..3);
        assert_eq!(pace.due(ms(14), NOW.plus(ms(14))), 3..3);
        assert_eq!(pace.due(ms(31), NOW.plus(ms(31))), 3..7);
        assert_eq!((pace.stamp(2), pace.stamp(6)), (NOW.plus(ms(10)), NOW.plus(ms(30))));
    }

    #[test]
    fn a_long_pause_is_not_made_up_for() {
        let mut pace = Pace::new(1.0, NOW);
        assert_eq!(pace.due(ms(950), NOW.plus(ms(950))), 0..10);
        let later = NOW.plus(ms(60_000));
        assert_eq!(pace.due(ms(60_000), later), 10..11);
        assert_eq!(pace.stamp(10), later);
        assert_eq!(pace.due(ms(60_100), later.plus(ms(100))), 11..12);
    }

    #[test]
    fn speeds_are_kept_in_bounds() {
        assert_eq!(Pace::new(1e9, NOW).period, ms(1));
        assert_eq!(Pace::new(0.0, NOW).period, ms(1000));
    }
}
