//! Writes what variables with a history become into the store, as their subscribers see it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opcua::sync::Mutex;
use tokio::sync::mpsc;

use super::super::NodeUpdate;
use crate::store::{Record, Ring, Store, StoreMessage, ValueRow};
use crate::types::{Quality, Scalar, Timestamp};

/// Numbers are kept at most that often: between, the last one waits. Everything else is kept at each change.
const NUMBERS_EVERY: Duration = Duration::from_secs(1);

/// Never waits, never fails: a full channel costs the change.
pub(in super::super) struct Recorder {
    inner: Mutex<Inner>,
}

struct Inner {
    /// `None` after the end.
    sender: Option<mpsc::Sender<StoreMessage>>,
    last: HashMap<Arc<str>, Last>,
}

struct Last {
    /// Of the last one that was kept.
    time: Timestamp,
    quality: Quality,
    /// A later one that is not kept yet.
    waiting: Option<ValueRow>,
}

impl Recorder {
    /// Marks in the store that nothing is known since its last row.
    pub(in super::super) fn new(store: &dyn Store, sender: mpsc::Sender<StoreMessage>) -> Self {
        let newest = store.info().ok().and_then(|info| info.into_iter().find(|i| i.ring == Ring::Values)?.newest);
        if let Some(newest) = newest {
            let mark = ValueRow::mark(newest.plus(Duration::from_nanos(100)));
            let _ = sender.try_send(StoreMessage::Record(Record::Value(mark)));
        }
        Self { inner: Mutex::new(Inner { sender: Some(sender), last: HashMap::new() }) }
    }

    pub(in super::super) fn record(&self, update: &NodeUpdate) {
        let row = ValueRow { path: Arc::clone(&update.path), time: update.time, value: value(update), quality: quality(update) };
        let mut inner = self.inner.lock();
        match inner.last.get_mut(&row.path) {
            Some(last)
                if is_number(&row)
                    && last.quality == row.quality
                    // Also where a clock was set back.
                    && row.time >= last.time
                    && row.time.since(last.time) < NUMBERS_EVERY =>
            {
                last.waiting = Some(row);
            }
            Some(last) => {
                // The moment before a jump belongs to it.
                let waiting = last.waiting.take();
                (last.time, last.quality) = (row.time, row.quality);
                inner.send(waiting);
                inner.send(Some(row));
            }
            None => {
                inner.last.insert(Arc::clone(&row.path), Last { time: row.time, quality: row.quality, waiting: None });
                inner.send(Some(row));
            }
        }
    }

    /// Keeps what has waited long enough.
    pub(in super::super) fn settle(&self, now: Timestamp) {
        let mut inner = self.inner.lock();
        let mut due = Vec::new();
        for last in inner.last.values_mut().filter(|last| now.since(last.time) >= NUMBERS_EVERY) {
            if let Some(row) = last.waiting.take() {
                last.time = row.time;
                due.push(row);
            }
        }
        due.into_iter().for_each(|row| inner.send(Some(row)));
    }

    /// Keeps what waits, and lets the store go.
    pub(in super::super) fn close(&self) {
        let mut inner = self.inner.lock();
        let waiting: Vec<_> = inner.last.values_mut().filter_map(|last| last.waiting.take()).collect();
        waiting.into_iter().for_each(|row| inner.send(Some(row)));
        inner.sender = None;
    }
}

impl Inner {
    fn send(&self, row: Option<ValueRow>) {
        if let (Some(row), Some(sender)) = (row, &self.sender)
            && sender.try_send(StoreMessage::Record(Record::Value(row))).is_err()
        {
            tracing::debug!("the store's channel is full: a change is lost");
        }
    }
}

fn is_number(row: &ValueRow) -> bool {
    matches!(row.value, Some(Scalar::F64(_)))
}

/// NaN and infinity are no values; nor is what is Bad.
fn value(update: &NodeUpdate) -> Option<Scalar> {
    update.value.clone().filter(|v| update.quality.is_usable() && !matches!(v, Scalar::F64(x) if !x.is_finite()))
}

fn quality(update: &NodeUpdate) -> Quality {
    let missing = value(update).is_none() && update.quality.is_usable();
    if missing { Quality::default() } else { update.quality }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn update(path: &str, ms: i64, value: Option<Scalar>) -> NodeUpdate {
        let time = Timestamp::from_nanos(ms * 1_000_000);
        NodeUpdate { path: path.into(), value, quality: Quality::Good, time }
    }

    /// Path, milliseconds and value of all that was sent.
    fn sent(receiver: &mut mpsc::Receiver<StoreMessage>) -> Vec<(String, i64, Option<Scalar>)> {
        let mut out = Vec::new();
        while let Ok(StoreMessage::Record(Record::Value(row))) = receiver.try_recv() {
            out.push((row.path.to_string(), row.time.as_nanos() / 1_000_000, row.value));
        }
        out
    }

    fn recorder() -> (Recorder, mpsc::Receiver<StoreMessage>) {
        let (sender, receiver) = mpsc::channel(100);
        let store = MemoryStore::new(&super::super::super::fixture::config().store, 1);
        (Recorder::new(&store, sender), receiver)
    }

    #[test]
    fn numbers_are_kept_each_second_and_the_last_one_always() {
        let (recorder, mut receiver) = recorder();
        for (ms, x) in [(0, 1.0), (300, 2.0), (600, 3.0), (1_200, 4.0), (1_500, 5.0)] {
            recorder.record(&update("a", ms, Some(Scalar::F64(x))));
        }
        let row = |ms, x| ("a".to_string(), ms, Some(Scalar::F64(x)));
        assert_eq!(sent(&mut receiver), [row(0, 1.0), row(600, 3.0), row(1_200, 4.0)]);
        recorder.settle(Timestamp::from_nanos(2_000_000_000));
        assert_eq!(sent(&mut receiver), []);
        recorder.settle(Timestamp::from_nanos(2_200_000_000));
        assert_eq!(sent(&mut receiver), [row(1_500, 5.0)]);
    }

    #[test]
    fn codes_and_losses_are_kept_at_once() {
        let (recorder, mut receiver) = recorder();
        recorder.record(&update("a", 0, Some(Scalar::U16(1))));
        recorder.record(&update("a", 1, Some(Scalar::U16(2))));
        recorder.record(&update("b", 0, Some(Scalar::F64(1.0))));
        recorder.record(&update("b", 1, Some(Scalar::F64(f64::NAN))));
        let expected = [("a", 0, Some(Scalar::U16(1))), ("a", 1, Some(Scalar::U16(2))), ("b", 0, Some(Scalar::F64(1.0))), ("b", 1, None)];
        assert_eq!(sent(&mut receiver), expected.map(|(path, ms, value)| (path.to_string(), ms, value)));
    }

    #[test]
    fn the_end_keeps_what_waits_and_lets_go() {
        let (recorder, mut receiver) = recorder();
        recorder.record(&update("a", 0, Some(Scalar::F64(1.0))));
        recorder.record(&update("a", 1, Some(Scalar::F64(2.0))));
        recorder.close();
        assert_eq!(sent(&mut receiver).len(), 2);
        assert!(receiver.is_closed());
    }

    #[test]
    fn a_new_start_marks_the_time_between() {
        let store = MemoryStore::new(&super::super::super::fixture::config().store, 1);
        let (sender, mut receiver) = mpsc::channel(100);
        let row = ValueRow { path: "a".into(), time: Timestamp::from_nanos(5_000), value: Some(Scalar::U16(1)), quality: Quality::Good };
        store.apply(Record::Value(row)).unwrap();
        Recorder::new(&store, sender);
        let Some(StoreMessage::Record(Record::Value(mark))) = receiver.try_recv().ok() else { panic!("no mark") };
        assert_eq!(mark, ValueRow::mark(Timestamp::from_nanos(5_100)));
    }
}
