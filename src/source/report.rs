//! The status of one source, kept for those who watch it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::emit::Emitter;
use super::{SourceState, SourceStatus, WriteCounts};

/// A status of which only the numbers change is logged so often.
const SAME_AGAIN: Duration = Duration::from_secs(600);

/// Publishes a [`SourceStatus`] at every change and logs changes of state and text.
pub(super) struct Reporter {
    name: Arc<str>,
    status: watch::Sender<SourceStatus>,
    emitter: Arc<Emitter>,
    writes: Arc<WriteCounts>,
    logged: Mutex<Option<Logged>>,
}

/// What was logged last.
struct Logged {
    state: SourceState,
    /// Its text without the numbers.
    words: String,
    at: Instant,
}

impl Logged {
    fn new(state: SourceState, text: &str, at: Instant) -> Self {
        Self { state, words: text.chars().filter(|c| !c.is_ascii_digit()).collect(), at }
    }

    /// Whether `next` says nothing that a reader of the log does not know.
    fn covers(&self, next: &Self) -> bool {
        self.state == next.state && self.words == next.words && next.at.saturating_duration_since(self.at) < SAME_AGAIN
    }
}

impl Reporter {
    pub fn new(name: Arc<str>, status: watch::Sender<SourceStatus>, emitter: Arc<Emitter>, writes: Arc<WriteCounts>) -> Self {
        Self { name, status, emitter, writes, logged: Mutex::new(None) }
    }

    /// A new state and why; what panels cannot show is replaced.
    pub fn set(&self, state: SourceState, text: &str) {
        let text: String = text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
        let changed = {
            let status = self.status.borrow();
            status.state != state || status.text != text
        };
        if changed {
            self.log(state, &text);
        }
        self.publish(|status| (status.state, status.text) = (state, text));
    }

    fn log(&self, state: SourceState, text: &str) {
        let next = Logged::new(state, text, Instant::now());
        let mut logged = self.logged.lock();
        if logged.as_ref().is_some_and(|last| last.covers(&next)) {
            return;
        }
        match state {
            SourceState::Connected | SourceState::Connecting => tracing::info!(source = %self.name, %state, "{text}"),
            _ => tracing::warn!(source = %self.name, %state, "{text}"),
        }
        *logged = Some(next);
    }

    /// One more connection after the first.
    pub fn reconnected(&self) {
        self.publish(|status| status.reconnects += 1);
    }

    /// Brings the counts up to date.
    pub fn refresh(&self) {
        self.publish(|_| ());
    }

    fn publish(&self, change: impl FnOnce(&mut SourceStatus)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            status.last_good = self.emitter.last_good();
            status.latency = self.emitter.latency();
            status.read_errors = self.emitter.read_errors();
            status.write_errors = self.writes.refused();
            status.dropped = self.emitter.dropped();
            *status != before
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_which_only_numbers_change_is_not_news() {
        let begin = Instant::now();
        let at = |state, text: &str, seconds| Logged::new(state, text, begin + Duration::from_secs(seconds));
        let stands = at(SourceState::Connected, "the PLC's clock is 12.3 s behind", 0);
        assert!(stands.covers(&at(SourceState::Connected, "the PLC's clock is 9.75 s behind", 1)));
        assert!(!stands.covers(&at(SourceState::Connected, "the PLC's clock is 613.0 s behind", 600)), "now and then all the same");
        assert!(!stands.covers(&at(SourceState::Stale, "the PLC's clock is 12.3 s behind", 1)));
        assert!(!stands.covers(&at(SourceState::Connected, "connected", 1)));
    }
}
