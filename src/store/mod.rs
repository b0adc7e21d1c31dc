//! What is kept: ring buffers, tuned parameters, states and bundles, behind one narrow interface.
//!
//! The rest of the gateway sees [`Store`]; `sled_store` keeps its promise on disk, `memory` in tests and for a directory-less run.

use std::ops::Range;
use std::sync::Arc;

use crate::types::{Event, Frame, Timestamp};

/// One row of features with what was said of it. Position in a vector = order of the machine's features or models.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FeatureRow {
    /// 1-based row of the machine.
    pub row: u64,
    pub time: Timestamp,
    /// Regime slot; `None` outside, in a transient, not producing.
    pub regime: Option<u16>,
    pub flags: RowFlags,
    /// NaN where there is no good value.
    pub features: Vec<f64>,
    /// One a model; NaN where there is none.
    pub scores: Vec<f64>,
}

/// What a row is good for.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct RowFlags {
    /// It entered the windows of the monitors.
    pub judged: bool,
    /// A confirmed fault of the machine was active.
    pub fault: bool,
    /// The settings were outside the trained envelope.
    pub outside: bool,
}

impl RowFlags {
    pub const fn bits(self) -> u8 {
        self.judged as u8 | (self.fault as u8) << 1 | (self.outside as u8) << 2
    }

    pub const fn from_bits(bits: u8) -> Self {
        Self { judged: bits & 1 != 0, fault: bits & 2 != 0, outside: bits & 4 != 0 }
    }
}

/// One evaluation of one monitor.
#[derive(Clone, PartialEq, Debug)]
pub struct HistoryRow {
    pub row: u64,
    pub time: Timestamp,
    /// Name of the monitor.
    pub monitor: Arc<str>,
    pub regime: Option<u16>,
    /// Code of a [`crate::types::DriftStatus`].
    pub status: u16,
    pub index: f64,
    /// Value and index of each test T1..T4.
    pub tests: Vec<(f64, f64)>,
}

/// What the driver hands to the store. One channel, one blocking thread, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    /// The scalar channels of a frame (waveforms leave only their features).
    Frame {
        machine: u16,
        row: u64,
        frame: Arc<Frame>,
    },
    Features {
        machine: u16,
        row: FeatureRow,
    },
    History {
        machine: u16,
        row: HistoryRow,
    },
    Event(Event),
    /// A small value under a key (tuned parameters, states): at most [`MAX_VALUE`] bytes, replaces the one before.
    Put {
        key: String,
        value: Vec<u8>,
    },
    Remove {
        key: String,
    },
    /// A large value under a key, in pieces.
    PutBlob {
        key: String,
        value: Arc<[u8]>,
    },
}

/// Largest value under one key: above it sled would write files that are never fsynced.
pub const MAX_VALUE: usize = 7_000;

/// Which ring.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Ring {
    Frames(u16),
    Features(u16),
    History(u16),
    Events,
}

/// Extent of one ring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RingInfo {
    pub ring: Ring,
    pub rows: u64,
    pub capacity: u64,
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
    pub bytes: u64,
}

/// Rings and values that survive a power cut once [`Store::flush`] has returned.
///
/// Not `async`: the live gateway runs it on one blocking thread ([`Record`]s through a bounded channel).
pub trait Store: Send + Sync {
    /// Appends to a ring (the oldest rows go when it is full) or sets a value. Durable after the next [`Store::flush`].
    fn apply(&self, record: Record) -> Result<(), StoreError>;

    /// Makes everything applied so far durable.
    fn flush(&self) -> Result<(), StoreError>;

    /// Rows of a machine, oldest first, with `time` in the range; the newest `limit` of them.
    fn features(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<FeatureRow>, StoreError>;
    fn history(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<HistoryRow>, StoreError>;
    fn frames(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<(u64, Frame)>, StoreError>;
    fn events(&self, time: Range<Timestamp>, limit: usize) -> Result<Vec<Event>, StoreError>;

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    fn get_blob(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keys that start with `prefix`, ascending.
    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    fn info(&self) -> Result<Vec<RingInfo>, StoreError>;
}

/// What can go wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the disk is full: `{path}` has {free} bytes free, the reserve is {reserve}; free some space, storing goes on by itself")]
    DiskFull { path: String, free: u64, reserve: u64 },
    #[error("the store in `{path}` cannot be read or written: {cause}")]
    Io { path: String, cause: String },
    #[error("the store in `{path}` is in use by another driftgate; stop it first")]
    Locked { path: String },
    #[error("a value of {size} bytes under `{key}` is too large; at most {max}")]
    TooLarge { key: String, size: usize, max: usize },
    #[error("damaged data in `{path}`: {cause}")]
    Damaged { path: String, cause: String },
}
