//! The store in memory: for tests, and for a run without a directory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::codec::{BlockRow, FrameRow, storable_event, storable_frame};
use super::series::{Best, storable_value};
use super::{
    FeatureRow, HistoryRow, MAX_BLOB, MAX_VALUE, Record, Ring, RingInfo, Series, Store, StoreError, ValueRow, check_key, check_value,
};
use crate::config::StoreConfig;
use crate::types::{End, Event, Frame, Historic, Timestamp};

/// [`Store`] that ends with the process. Rings are bounded as on disk.
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

struct Inner {
    machines: Vec<Machine>,
    events: Rows<Event>,
    history: Rows<ValueRow>,
    values: BTreeMap<String, Vec<u8>>,
    blobs: BTreeMap<String, Arc<[u8]>>,
}

struct Machine {
    frames: Rows<FrameRow>,
    features: Rows<FeatureRow>,
    history: Rows<HistoryRow>,
    samples: BTreeMap<u16, Sampled>,
    sample_rows: u32,
}

struct Sampled {
    features: Rows<FeatureRow>,
    frames: Rows<FrameRow>,
}

struct Rows<R> {
    capacity: usize,
    rows: VecDeque<R>,
}

impl<R: BlockRow> Rows<R> {
    fn new(capacity: u32) -> Self {
        Self { capacity: capacity.max(1) as usize, rows: VecDeque::new() }
    }

    fn push(&mut self, row: R) {
        if self.rows.len() >= self.capacity {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
    }

    fn select(&self, time: &Range<Timestamp>, limit: usize) -> Vec<R> {
        let mut rows: Vec<R> = self.rows.iter().rev().filter(|row| time.contains(&row.time())).take(limit).cloned().collect();
        rows.reverse();
        rows
    }

    fn info(&self, ring: Ring) -> RingInfo {
        let times = || self.rows.iter().map(BlockRow::time);
        let bytes = self.rows.iter().map(|row| Some(row.width()).filter(|w| *w < usize::MAX).unwrap_or(size_of::<R>())).sum::<usize>();
        RingInfo {
            ring,
            rows: self.rows.len() as u64,
            capacity: self.capacity as u64,
            oldest: times().min(),
            newest: times().max(),
            bytes: bytes as u64,
        }
    }
}

impl MemoryStore {
    /// Empty, for machines with the indexes below `machines`.
    pub fn new(config: &StoreConfig, machines: usize) -> Self {
        let machine = || Machine {
            frames: Rows::new(config.frame_rows),
            features: Rows::new(config.feature_rows),
            history: Rows::new(config.history_rows),
            samples: BTreeMap::new(),
            sample_rows: config.feature_rows,
        };
        let inner = Inner {
            machines: std::iter::repeat_with(machine).take(machines).collect(),
            events: Rows::new(config.event_rows),
            history: Rows::new(config.value_rows),
            values: BTreeMap::new(),
            blobs: BTreeMap::new(),
        };
        Self { inner: Mutex::new(inner) }
    }
}

impl Inner {
    fn machine(&mut self, machine: u16) -> Result<&mut Machine, StoreError> {
        let machines = self.machines.len();
        self.machines.get_mut(usize::from(machine)).ok_or(StoreError::NoSuchMachine { machine, machines })
    }
}

impl Store for MemoryStore {
    fn apply(&self, record: Record) -> Result<(), StoreError> {
        let mut inner = self.inner.lock();
        match record {
            Record::Frame { machine, row, frame } => {
                inner.machine(machine)?.frames.push(FrameRow { row, frame: storable_frame(frame) });
            }
            Record::Features { machine, row } => inner.machine(machine)?.features.push(row),
            Record::History { machine, row } => inner.machine(machine)?.history.push(row),
            Record::Sample { machine, stratum, row, frame } => {
                let machine = inner.machine(machine)?;
                let rows = machine.sample_rows;
                let new = || Sampled { features: Rows::new(rows), frames: Rows::new(rows) };
                let sampled = machine.samples.entry(stratum).or_insert_with(new);
                sampled.frames.push(FrameRow { row: row.row, frame: storable_frame(frame) });
                sampled.features.push(row);
            }
            Record::Event(event) => inner.events.push(storable_event(event)),
            Record::Value(row) => inner.history.push(storable_value(row)),
            Record::Put { key, value } => {
                check_value(&key, value.len(), MAX_VALUE)?;
                inner.values.insert(key, value);
            }
            Record::Remove { key } => {
                check_key(&key)?;
                inner.values.remove(&key);
                inner.blobs.remove(&key);
            }
            Record::PutBlob { key, value } => {
                check_value(&key, value.len(), MAX_BLOB)?;
                inner.blobs.insert(key, value);
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn features(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<FeatureRow>, StoreError> {
        Ok(self.inner.lock().machine(machine)?.features.select(&time, limit))
    }

    fn visit_features(&self, machine: u16, time: Range<Timestamp>, visit: &mut dyn FnMut(FeatureRow) -> bool) -> Result<(), StoreError> {
        self.features(machine, time, usize::MAX)?.into_iter().all(visit);
        Ok(())
    }

    fn history(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<HistoryRow>, StoreError> {
        Ok(self.inner.lock().machine(machine)?.history.select(&time, limit))
    }

    fn frames(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<(u64, Frame)>, StoreError> {
        let rows = self.inner.lock().machine(machine)?.frames.select(&time, limit);
        Ok(rows.into_iter().map(|row| (row.row, Arc::unwrap_or_clone(row.frame))).collect())
    }

    fn visit_samples(
        &self,
        machine: u16,
        stratum: u16,
        time: Range<Timestamp>,
        visit: &mut dyn FnMut(FeatureRow) -> bool,
    ) -> Result<(), StoreError> {
        let rows = self.inner.lock().machine(machine)?.samples.get(&stratum).map(|s| s.features.select(&time, usize::MAX));
        rows.into_iter().flatten().all(visit);
        Ok(())
    }

    fn sample_frames(&self, machine: u16, stratum: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<(u64, Frame)>, StoreError> {
        let rows = self.inner.lock().machine(machine)?.samples.get(&stratum).map(|s| s.frames.select(&time, limit));
        Ok(rows.into_iter().flatten().map(|row| (row.row, Arc::unwrap_or_clone(row.frame))).collect())
    }

    fn events(&self, time: Range<Timestamp>, limit: usize) -> Result<Vec<Event>, StoreError> {
        Ok(self.inner.lock().events.select(&time, limit))
    }

    fn series(&self, series: &Series, time: Range<Timestamp>, limit: usize, end: End) -> Result<Vec<Historic>, StoreError> {
        let mut inner = self.inner.lock();
        let mut best = Best::new(time, limit, end);
        match series {
            Series::Channel { machine, channel } => {
                best.offer(0, inner.machine(*machine)?.frames.rows.iter().filter_map(|r| r.at(*channel)))
            }
            Series::Score { machine, model } => {
                best.offer(0, inner.machine(*machine)?.features.rows.iter().filter_map(|r| r.score_at(*model)))
            }
            Series::Variable(path) => best.offer(0, inner.history.rows.iter().filter_map(|r| r.of(path))),
        }
        Ok(best.finish())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        check_key(key)?;
        Ok(self.inner.lock().values.get(key).cloned())
    }

    fn get_blob(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        check_key(key)?;
        Ok(self.inner.lock().blobs.get(key).map(|value| value.to_vec()))
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let inner = self.inner.lock();
        let keys: BTreeSet<&String> = inner.values.keys().chain(inner.blobs.keys()).filter(|key| key.starts_with(prefix)).collect();
        Ok(keys.into_iter().cloned().collect())
    }

    fn info(&self) -> Result<Vec<RingInfo>, StoreError> {
        let inner = self.inner.lock();
        let mut out = Vec::with_capacity(3 * inner.machines.len() + 1);
        for (machine, i) in inner.machines.iter().zip(0..) {
            out.push(machine.frames.info(Ring::Frames(i)));
            out.push(machine.features.info(Ring::Features(i)));
            out.push(machine.history.info(Ring::History(i)));
        }
        out.push(inner.events.info(Ring::Events));
        out.push(inner.history.info(Ring::Values));
        Ok(out)
    }
}
