use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::config::StoreConfig;
use crate::store::{FeatureRow, HistoryRow, MemoryStore, RingInfo, Series};
use crate::types::{End, Event, Frame, Historic, Timestamp};

/// A store in memory whose disk can be full, and which counts flushes.
struct Fragile {
    store: MemoryStore,
    full: AtomicBool,
    flushes: AtomicUsize,
    /// Values that had been applied when the last flush came.
    flushed: AtomicUsize,
}

impl Fragile {
    fn new() -> Arc<Self> {
        let config = StoreConfig {
            frame_rows: 10,
            feature_rows: 10,
            history_rows: 10,
            event_rows: 10,
            value_rows: 10,
            disk_reserve: 0,
            max_age: None,
            machine_bytes: None,
        };
        Arc::new(Self {
            store: MemoryStore::new(&config, 1),
            full: AtomicBool::new(false),
            flushes: AtomicUsize::new(0),
            flushed: AtomicUsize::new(0),
        })
    }

    fn state(&self) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::DiskFull { path: "/data".into(), free: 1, reserve: 2 });
        }
        Ok(())
    }
}

impl Store for Fragile {
    fn apply(&self, record: Record) -> Result<(), StoreError> {
        self.state()?;
        self.store.apply(record)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        self.state()?;
        self.flushed.store(self.store.keys("")?.len(), Ordering::SeqCst);
        Ok(())
    }

    fn features(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<FeatureRow>, StoreError> {
        self.store.features(machine, time, limit)
    }

    fn visit_features(&self, machine: u16, time: Range<Timestamp>, visit: &mut dyn FnMut(FeatureRow) -> bool) -> Result<(), StoreError> {
        self.store.visit_features(machine, time, visit)
    }

    fn history(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<HistoryRow>, StoreError> {
        self.store.history(machine, time, limit)
    }

    fn frames(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<(u64, Frame)>, StoreError> {
        self.store.frames(machine, time, limit)
    }

    fn visit_samples(
        &self,
        machine: u16,
        stratum: u16,
        time: Range<Timestamp>,
        visit: &mut dyn FnMut(FeatureRow) -> bool,
    ) -> Result<(), StoreError> {
        self.store.visit_samples(machine, stratum, time, visit)
    }

    fn sample_frames(&self, machine: u16, stratum: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<(u64, Frame)>, StoreError> {
        self.store.sample_frames(machine, stratum, time, limit)
    }

    fn events(&self, time: Range<Timestamp>, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.store.events(time, limit)
    }

    fn series(&self, series: &Series, time: Range<Timestamp>, limit: usize, end: End) -> Result<Vec<Historic>, StoreError> {
        self.store.series(series, time, limit, end)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key)
    }

    fn get_blob(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get_blob(key)
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.store.keys(prefix)
    }

    fn info(&self) -> Result<Vec<RingInfo>, StoreError> {
        self.store.info()
    }
}

fn put(key: &str) -> Record {
    Record::Put { key: key.into(), value: vec![1] }
}

/// A runtime that ends before its writer would take the clock away from it.
async fn stop(writer: StoreWriter) {
    drop(writer.sender);
    writer.task.await.unwrap();
}

async fn durable(writer: &StoreWriter, record: Record) -> Result<(), StoreError> {
    let (ack, answer) = oneshot::channel();
    writer.sender.send(StoreMessage::Durable(record, ack)).await.unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn durable_records_are_acknowledged_after_a_flush() {
    let store = Fragile::new();
    let writer = StoreWriter::spawn(store.clone(), 8);
    writer.sender.send(StoreMessage::Record(put("a"))).await.unwrap();
    durable(&writer, put("b")).await.unwrap();
    assert_eq!(store.flushed.load(Ordering::SeqCst), 2, "flushed, not only applied");
    stop(writer).await;
}

#[tokio::test]
async fn the_clock_flushes() {
    let store = Fragile::new();
    let mut writer = StoreWriter::spawn(store.clone(), 8);
    store.full.store(true, Ordering::SeqCst);
    // Nothing is sent: only a flush by the clock can find out.
    writer.health.changed().await.unwrap();
    assert!(writer.health.borrow().failing.as_ref().unwrap().contains("the disk is full"));
    stop(writer).await;
}

#[tokio::test]
async fn a_stop_flushes_what_is_left() {
    let store = Fragile::new();
    let StoreWriter { sender, task, .. } = StoreWriter::spawn(store.clone(), 8);
    for key in ["a", "b", "c"] {
        sender.send(StoreMessage::Record(put(key))).await.unwrap();
    }
    drop(sender);
    task.await.unwrap();
    assert_eq!(store.flushed.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_failing_store_is_told_counted_and_overcome() {
    let store = Fragile::new();
    let mut writer = StoreWriter::spawn(store.clone(), 8);
    durable(&writer, put("a")).await.unwrap();
    store.full.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        writer.sender.send(StoreMessage::Record(put("lost"))).await.unwrap();
    }
    let error = durable(&writer, put("lost")).await.unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }));
    writer.health.wait_for(|health| health.failing.is_some() && health.lost == 21).await.unwrap();
    store.full.store(false, Ordering::SeqCst);
    writer.health.wait_for(|health| health.failing.is_none()).await.unwrap();
    durable(&writer, put("b")).await.unwrap();
    assert_eq!(store.keys("").unwrap(), ["a", "b"]);
    assert_eq!(writer.health.borrow().lost, 21);
    stop(writer).await;
}

#[tokio::test]
async fn one_bad_record_is_not_a_failing_store() {
    let store = Fragile::new();
    let mut writer = StoreWriter::spawn(store.clone(), 8);
    let error = durable(&writer, put("")).await.unwrap_err();
    assert!(matches!(error, StoreError::Key { .. }));
    durable(&writer, put("a")).await.unwrap();
    let health = writer.health.wait_for(|health| health.lost == 1).await.unwrap().clone();
    assert_eq!(health, StoreHealth { failing: None, lost: 1 });
    stop(writer).await;
}
