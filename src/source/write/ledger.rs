//! Which values are due, and which were refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Outbox, WriteTag};
use crate::types::Output;

/// A refused write is tried again after this, then twice as long, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// A value that is to be written now.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Due {
    /// Number of the write.
    pub write: usize,
    pub output: Output,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    /// What the PLC took last in this connection.
    sent: Option<(Output, Instant)>,
    refused: Option<Refused>,
}

#[derive(Clone, Debug)]
struct Refused {
    reason: String,
    wait: Duration,
    again: Instant,
}

/// The state of all writes of a source.
pub struct Ledger {
    outbox: Outbox,
    entries: Vec<Entry>,
}

impl Ledger {
    pub fn new(outbox: Outbox) -> Self {
        Self { entries: vec![Entry::default(); outbox.writes.len()], outbox }
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub fn writes(&self) -> Arc<[WriteTag]> {
        self.outbox.writes.clone()
    }

    /// A new connection: everything is written anew. What was refused keeps its pause where the connection may have been lost by it.
    pub fn begin(&mut self) {
        self.entries.iter_mut().for_each(|e| e.sent = None);
    }

    /// What has changed, or was last written an interval ago; not what has to wait after a refusal.
    pub fn due(&self, now: Instant) -> Vec<Due> {
        let values = self.outbox.values.borrow();
        let due = self.entries.iter().zip(self.outbox.writes.iter()).enumerate().filter_map(|(write, (entry, tag))| {
            let output = values.get(write).copied().unwrap_or(Output::Unknown);
            let waits = entry.refused.as_ref().is_some_and(|r| now < r.again);
            let fresh = entry.sent.is_some_and(|(sent, at)| same(sent, output) && now.duration_since(at) < tag.config.interval);
            (!waits && !fresh).then_some(Due { write, output })
        });
        due.collect()
    }

    /// What the PLC holds of us: to be withdrawn at the stop. A heartbeat withdraws itself by standing still.
    pub fn to_withdraw(&self) -> Vec<Due> {
        let held = self.entries.iter().enumerate().filter(|(_, e)| e.sent.is_some_and(|(sent, _)| !matches!(sent, Output::Count(_))));
        held.map(|(write, _)| Due { write, output: Output::Unknown }).collect()
    }

    /// The PLC has taken it.
    pub fn taken(&mut self, due: Due, now: Instant) {
        self.outbox.counts.written.fetch_add(1, Ordering::Relaxed);
        let Some(entry) = self.entries.get_mut(due.write) else { return };
        entry.sent = Some((due.output, now));
        if entry.refused.take().is_some() {
            tracing::info!("`{}` is written again", self.outbox.writes[due.write].name);
        }
    }

    /// The PLC has not taken it; told once as long as the reason is the same.
    pub fn refused(&mut self, write: usize, reason: String, now: Instant) {
        self.outbox.counts.refused.fetch_add(1, Ordering::Relaxed);
        let Some((entry, tag)) = self.entries.get_mut(write).zip(self.outbox.writes.get(write)) else { return };
        let known = entry.refused.as_ref().is_some_and(|r| r.reason == reason);
        if !known {
            tracing::warn!("`{}` is not written into `{}`: {reason}", tag.name, tag.config.address);
        }
        let wait = entry.refused.as_ref().map_or(FIRST_RETRY, |r| (r.wait * 2).min(LONGEST_RETRY));
        entry.sent = None;
        entry.refused = Some(Refused { reason, wait, again: now + wait });
    }

    /// For the status: what is not written, and why.
    pub fn remarks(&self) -> Vec<String> {
        let refused = self.entries.iter().zip(self.outbox.writes.iter()).filter_map(|(e, tag)| Some((e.refused.as_ref()?, tag)));
        let mut remarks: Vec<String> =
            refused.map(|(r, tag)| format!("`{}` is not written into `{}`: {}", tag.name, tag.config.address, r.reason)).collect();
        let more = remarks.len().saturating_sub(3);
        remarks.truncate(3);
        if more > 0 {
            remarks.push(format!("and {more} more are not written"));
        }
        remarks
    }
}

/// NaN is the same as NaN.
fn same(a: Output, b: Output) -> bool {
    match (a, b) {
        (Output::Number(a), Output::Number(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::source::write::writes;

    const FILE: &str = r#"
[[sources]]
name = "P"
protocol = "modbus"
endpoint = "tcp://127.0.0.1:1"
[[machines]]
name = "M"
period = "1s"
signals = [{ name = "a", address = "holding:1" }]
writes = [{ value = "drift_index", address = "holding:100" }, { value = "heartbeat", address = "holding:101" }]
"#;

    fn ledger() -> (Ledger, tokio::sync::watch::Sender<Arc<[Output]>>) {
        let (outbox, values) = Outbox::new(writes(&Config::parse(FILE).unwrap(), 0));
        (Ledger::new(outbox), values)
    }

    fn numbers(due: &[Due]) -> Vec<usize> {
        due.iter().map(|d| d.write).collect()
    }

    #[test]
    fn written_on_change_and_at_least_each_interval() {
        let (mut ledger, values) = ledger();
        let start = Instant::now();
        let due = ledger.due(start);
        assert_eq!((numbers(&due), due[0].output), (vec![0, 1], Output::Unknown));
        due.into_iter().for_each(|d| ledger.taken(d, start));
        assert!(ledger.due(start).is_empty());
        values.send_replace(vec![Output::Number(0.5), Output::Unknown].into());
        assert_eq!(numbers(&ledger.due(start)), [0]);
        assert_eq!(numbers(&ledger.due(start + Duration::from_secs(1))), [0, 1]);
        ledger.begin();
        assert_eq!(numbers(&ledger.due(start)), [0, 1], "a new connection");
    }

    #[test]
    fn refused_writes_wait_longer_and_longer_and_are_counted() {
        let (mut ledger, _values) = ledger();
        let mut now = Instant::now();
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            ledger.refused(0, "no".into(), now);
            assert_eq!(numbers(&ledger.due(now + Duration::from_secs(wait) - Duration::from_millis(1))), [1]);
            now += Duration::from_secs(wait);
            assert_eq!(numbers(&ledger.due(now)), [0, 1]);
        }
        assert_eq!(ledger.outbox().counts.refused(), 8);
        assert_eq!(ledger.remarks(), ["`M.drift_index` is not written into `holding:100`: no"]);
        ledger.taken(Due { write: 0, output: Output::Unknown }, now);
        assert!(ledger.remarks().is_empty());
    }

    #[test]
    fn what_the_plc_holds_is_withdrawn() {
        let (mut ledger, _values) = ledger();
        let now = Instant::now();
        assert!(ledger.to_withdraw().is_empty());
        ledger.taken(Due { write: 0, output: Output::Number(1.5) }, now);
        ledger.taken(Due { write: 1, output: Output::Count(7) }, now);
        assert_eq!(ledger.to_withdraw(), [Due { write: 0, output: Output::Unknown }]);
    }
}
