//! Waiting times between attempts to connect.

use std::time::Duration;

use rand::Rng;

/// 0.1 s, doubling to 2 s, each with up to a quarter more or less, so that several gateways do not knock in step.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub const FIRST: Duration = Duration::from_millis(100);
    pub const LONGEST: Duration = Duration::from_secs(2);

    pub fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// Called when the connection has proved itself.
    pub fn reset(&mut self) {
        self.next = Self::FIRST;
    }

    pub fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(Self::LONGEST);
        jitter(delay)
    }
}

/// `delay` with up to a quarter more or less.
pub(super) fn jitter(delay: Duration) -> Duration {
    delay.mul_f64(rand::thread_rng().gen_range(0.75..1.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_two_seconds() {
        let mut backoff = Backoff::new();
        for expected in [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0] {
            let delay = backoff.delay().as_secs_f64();
            assert!((expected * 0.75..expected * 1.25).contains(&delay), "{delay} instead of {expected}");
        }
        backoff.reset();
        assert!(backoff.delay() < Duration::from_millis(125));
    }
}
