//! The status of one source, kept for those who watch it.

use std::sync::Arc;

use tokio::sync::watch;

use super::emit::Emitter;
use super::{SourceState, SourceStatus, WriteCounts};

/// Publishes a [`SourceStatus`] at every change and logs changes of state and text.
pub(super) struct Reporter {
    name: Arc<str>,
    status: watch::Sender<SourceStatus>,
    emitter: Arc<Emitter>,
    writes: Arc<WriteCounts>,
}

impl Reporter {
    pub fn new(name: Arc<str>, status: watch::Sender<SourceStatus>, emitter: Arc<Emitter>, writes: Arc<WriteCounts>) -> Self {
        Self { name, status, emitter, writes }
    }

    /// A new state and why; what panels cannot show is replaced.
    pub fn set(&self, state: SourceState, text: &str) {
        let text: String = text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
        let before = self.status.borrow().clone();
        if before.state != state || before.text != text {
            match state {
                SourceState::Connected | SourceState::Connecting => tracing::info!(source = %self.name, %state, "{text}"),
                _ => tracing::warn!(source = %self.name, %state, "{text}"),
            }
        }
        self.publish(|status| (status.state, status.text) = (state, text));
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
