//! What is kept: ring buffers, tuned parameters, states and bundles, behind one narrow interface.
//!
//! The rest of the gateway sees [`Store`]; [`SledStore`] keeps its promise on disk, [`MemoryStore`] in tests and for a directory-less
//! run. [`StoreWriter`] is the one blocking thread that a live gateway's records go through.
//!
//! ```text
//! driver ─StoreMessage─▶ StoreWriter ─apply, flush─▶ SledStore ─▶ Ring ─blocks─▶ codec ─▶ Disk ─▶ sled
//!         (bounded)       every 300 ms                (Store)     Blobs ────────────────┘ flush, reopen, free space
//! ```
//!
//! What is lost at a power cut or kill: at most what was applied since the last [`Store::flush`] that returned.

mod archive;
mod blob;
mod codec;
mod disk;
mod live;
mod memory;
mod ring;
mod series;
mod sled_store;
mod writer;

pub use archive::{ArchiveError, Backup, Verified, backup, restore, verify};
pub use memory::MemoryStore;
pub use series::{Series, ValueRow};
pub use sled_store::{MachineLayout, OpenReport, SledStore};
pub use writer::{FLUSH_EVERY, StoreHealth, StoreMessage, StoreWriter};

use std::ops::Range;
use std::sync::Arc;

use crate::types::{End, Event, Frame, Historic, Timestamp};

/// One row of features with what was said of it. Position in a vector = order of the machine's features or models.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FeatureRow {
    /// 1-based row of the machine.
    pub row: u64,
    pub time: Timestamp,
    /// Regime slot; `None` outside, in a transient, not producing.
    pub regime: Option<u16>,
    pub flags: RowFlags,
    /// As monitors see them: without what continuous settings explain (frames have the raw values). NaN where there is no good value.
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
    /// The scalar channels of a frame. Waveforms leave only their features: they come back without a value, with their quality.
    /// Texts are kept up to 255 bytes.
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
    /// A row that a sample keeps, once more, with its frame; in a ring for its stratum alone. Nothing where the machine has no such
    /// stratum.
    Sample {
        machine: u16,
        stratum: u16,
        row: FeatureRow,
        frame: Arc<Frame>,
    },
    /// Texts that come from outside (notes, parameter values) are kept up to 900 bytes.
    Event(Event),
    /// A change of a variable with history. Texts are kept up to 255 bytes.
    Value(ValueRow),
    /// A small value under a key (tuned parameters, states): at most [`MAX_VALUE`] bytes, replaces the one before.
    Put {
        key: String,
        value: Vec<u8>,
    },
    /// Removes the value and the large value under a key; no error where there is none.
    Remove {
        key: String,
    },
    /// A large value under a key, at most [`MAX_BLOB`] bytes, in pieces: after a power cut either the old or the new one is there,
    /// whole. Independent of a small value under the same key.
    PutBlob {
        key: String,
        value: Arc<[u8]>,
    },
}

/// Largest value under one key: above it sled would write files that are never fsynced.
pub const MAX_VALUE: usize = 7_000;
/// Longest key in bytes.
pub const MAX_KEY: usize = 200;
/// Largest value in pieces: 256 MiB.
pub const MAX_BLOB: usize = 256 << 20;

/// Which ring.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Ring {
    Frames(u16),
    Features(u16),
    History(u16),
    /// All samples of a machine together.
    Samples(u16),
    Events,
    Values,
}

/// Extent of one ring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RingInfo {
    pub ring: Ring,
    /// Rows that can be read; at most `capacity`.
    pub rows: u64,
    pub capacity: u64,
    /// Earliest and latest time of the rows; `None` when empty.
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
    /// Bytes of its compressed blocks (in memory: of its rows, roughly).
    pub bytes: u64,
}

/// Rings and values that survive a power cut once [`Store::flush`] has returned.
///
/// Not `async`: the live gateway runs it on one blocking thread ([`Record`]s through a bounded channel).
pub trait Store: Send + Sync {
    /// Appends to a ring (the oldest rows go when it is full) or sets a value. Durable after the next [`Store::flush`] that returns
    /// `Ok`; readable at once. On an error nothing has changed.
    fn apply(&self, record: Record) -> Result<(), StoreError>;

    /// Makes everything applied so far durable. Also looks at the free space and, after a failure, tries to go on: call it
    /// regularly, with or without new records. Without any it tells whether records are taken.
    fn flush(&self) -> Result<(), StoreError>;

    /// Rows of a machine, oldest first (in the order in which they were appended), with `time` in the range; the newest `limit` of
    /// them. Blocks that are damaged are left out, counted and logged.
    fn features(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<FeatureRow>, StoreError>;
    /// Calls `visit` with each of these rows, oldest first, until it says `false`. Reads block by block: memory does not grow with the
    /// range. Rows that leave the ring meanwhile are left out.
    fn visit_features(&self, machine: u16, time: Range<Timestamp>, visit: &mut dyn FnMut(FeatureRow) -> bool) -> Result<(), StoreError>;
    fn history(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<HistoryRow>, StoreError>;
    fn frames(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<(u64, Frame)>, StoreError>;
    /// As [`Self::visit_features`], of one stratum of a machine's samples; none where there is no such stratum.
    fn visit_samples(
        &self,
        machine: u16,
        stratum: u16,
        time: Range<Timestamp>,
        visit: &mut dyn FnMut(FeatureRow) -> bool,
    ) -> Result<(), StoreError>;
    /// As [`Self::frames`], of one stratum of a machine's samples.
    fn sample_frames(&self, machine: u16, stratum: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<(u64, Frame)>, StoreError>;
    fn events(&self, time: Range<Timestamp>, limit: usize) -> Result<Vec<Event>, StoreError>;

    /// What one variable was in a time range: the `limit` values at one end of it, oldest first. Values of the same time stay in the
    /// order in which they were appended, and come in the same order each time.
    fn series(&self, series: &Series, time: Range<Timestamp>, limit: usize, end: End) -> Result<Vec<Historic>, StoreError>;

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    fn get_blob(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keys that start with `prefix`, of small and large values, ascending.
    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// The extent of every ring: frames, features, history and samples (where they are taken) of each machine, then events and values.
    fn info(&self) -> Result<Vec<RingInfo>, StoreError>;
}

/// What can go wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    #[error("the key `{key}` has {size} bytes; at most {max}, at least 1")]
    Key { key: String, size: usize, max: usize },
    #[error("there is no machine number `{machine}`; the store was opened for {machines}")]
    NoSuchMachine { machine: u16, machines: usize },
}

/// The limits of keys and values are the same in every store.
fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() || key.len() > MAX_KEY {
        let start = &key[..key.floor_char_boundary(MAX_KEY)];
        return Err(StoreError::Key { key: start.into(), size: key.len(), max: MAX_KEY });
    }
    Ok(())
}

fn check_value(key: &str, size: usize, max: usize) -> Result<(), StoreError> {
    check_key(key)?;
    if size > max { Err(StoreError::TooLarge { key: key.into(), size, max }) } else { Ok(()) }
}
