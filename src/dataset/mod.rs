//! Datasets: the rows of a retraining buffer as a file that explains itself.
//!
//! ```text
//! Order ─▶ rows: features, frames by their number, labels ─batch─▶ sink: Parquet, CSV ─bytes, hashed─▶ .<machine>.part
//!                (block by block, never all at once)                    fsync, rename ─▶ <id>-<hash>.parquet in its partition, ....parquet.json
//! ```
//! The same rows give the same bytes: who exported them, and when, stands in the manifest alone. Blocking: for a thread of its own.

mod background;
mod columns;
mod csv_sink;
mod export;
mod folder;
mod labels;
mod manifest;
#[cfg(feature = "parquet")]
mod parquet_sink;
mod rows;
mod sink;
#[cfg(all(test, feature = "parquet"))]
mod tests;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

pub use export::Exporter;
pub use folder::find;

use crate::bundle::Bundle;
use crate::config::MachineConfig;
use crate::store::{FeatureRow, StoreError};
use crate::types::{BufferReason, Timestamp};

/// Where datasets lie, below the data directory.
pub const FOLDER: &str = "datasets";

/// What kind of file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Compressed with zstd.
    Parquet,
    /// Comma, header, UTF-8; empty where there is no value.
    Csv,
}

impl Format {
    pub const ALL: [Self; 2] = [Self::Parquet, Self::Csv];

    /// As it is written in parameters and arguments; also the end of the file's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        }
    }

    /// `None` for what is no format, or none that this program was built with.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().filter(|f| *f != Self::Parquet || cfg!(feature = "parquet")).find(|f| f.name().eq_ignore_ascii_case(name))
    }
}

/// Which rows are to be exported, and what is known of them.
#[derive(Clone, Debug)]
pub struct Order {
    /// Index of the machine in the store.
    pub machine: u16,
    pub config: Arc<MachineConfig>,
    /// Id of the data set: the beginning of the file's name.
    pub dataset: Arc<str>,
    pub reason: BufferReason,
    pub rows: Rows,
    /// Times of the first and last row.
    pub time: RangeInclusive<Timestamp>,
    /// Rows that the buffer has counted; of the ring, those that are there.
    pub expected: u32,
    /// Whether all of a buffer is meant.
    pub whole: bool,
    pub format: Format,
    /// Scores beyond which a model says fault; one a model.
    pub thresholds: Vec<f64>,
    /// SHA-256 of the active bundle, hex.
    pub bundle: Arc<str>,
    /// The active bundle: models and references.
    pub trained: Option<Arc<Bundle>>,
    /// The regime's reference in force; empty where the rows are of several.
    pub reference: String,
    /// Who asked, and when.
    pub user: Arc<str>,
    pub asked: Timestamp,
}

/// Which rows of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// As a buffer counts them: of one regime, judged. Slot 0 is R01.
    Regime { slot: u16, key: Arc<str> },
    /// As a buffer outside the envelope counts them: first and last numbers of the stretches that were collected.
    Outside { key: Arc<str>, stretches: Vec<(u64, u64)> },
    /// Of samples: key of the regime and time of the first row, a stratum each.
    Samples { strata: Vec<(Arc<str>, Timestamp)> },
    /// Of all regimes, whose keys are given by slot.
    All {
        keys: Vec<Arc<str>>,
        /// Also those that were not judged: outside the envelope, in a transient, not producing, while learning.
        unjudged: bool,
    },
}

impl Rows {
    fn wants(&self, row: &FeatureRow) -> bool {
        match self {
            Self::Regime { slot, .. } => row.flags.judged && row.regime == Some(*slot),
            Self::Outside { stretches, .. } => {
                let before = stretches.partition_point(|(first, _)| *first <= row.row);
                row.flags.outside && before.checked_sub(1).is_some_and(|k| row.row <= stretches[k].1)
            }
            Self::Samples { .. } => true,
            Self::All { unjudged, .. } => row.flags.judged || *unjudged,
        }
    }

    /// The key of a row's regime; `None` where it is in none.
    fn key(&self, row: &FeatureRow) -> Option<&Arc<str>> {
        match self {
            Self::Regime { key, .. } | Self::Outside { key, .. } => Some(key),
            // Its stratum says it.
            Self::Samples { .. } => None,
            Self::All { keys, .. } => keys.get(usize::from(row.regime?)),
        }
    }
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name; [`find`] says where it lies.
    pub file: Arc<str>,
    /// Where it lies in [`FOLDER`], with its name; with `/`.
    pub path: Arc<str>,
    pub rows: u32,
    /// Rows of which somebody has said the truth.
    pub labelled: u32,
    /// SHA-256 of the file, hex.
    pub hash: Arc<str>,
    /// Rows that the buffer has counted and the store has not any more.
    pub gone: u32,
}

/// How far an export is; and a way to end it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Thousandths.
    done: AtomicU32,
    stop: AtomicBool,
}

impl Progress {
    /// 0 to 100 %.
    pub fn percent(&self) -> f64 {
        f64::from(self.done.load(Ordering::Relaxed)) / 10.0
    }

    /// The export ends soon, without a file.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// All rows are 99 %: the rest is for the disk.
    fn set(&self, rows: u64, expected: u32) {
        let share = (990 * rows).checked_div(u64::from(expected)).map_or(0, |share| share.min(990));
        self.done.store(share as u32, Ordering::Relaxed);
    }
}

/// Why there is no file. Nothing of the buffer is lost by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    #[error("no row of the data set `{dataset}` is stored for this span; give another span, or collect anew")]
    Empty { dataset: Arc<str> },
    #[error(
        "the disk is nearly full: {free} MB free, the export may need {needed} MB beside the reserve of {reserve} MB; free some space, then export again"
    )]
    DiskFull { free: u64, needed: u64, reserve: u64 },
    #[error("the gateway is stopping; export again after its start")]
    Stopped,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("`{path}` cannot be written: {cause}")]
    Write { path: String, cause: String },
    #[error("the format `{0}` is not part of this build")]
    Format(&'static str),
}
