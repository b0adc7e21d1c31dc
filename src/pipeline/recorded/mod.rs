//! Recorded data as frames: CSV, CSV.gz and Parquet files, row by row, unit by unit.
//!
//! ```text
//! FILE[@COLUMN=VALUE...][@rows=FROM-TO] ─▶ rows of cells ─(unit column)─▶ frames of each unit
//! ```
//! A signal with a block size is cut from consecutive rows of its unit: one frame a full block.

mod frames;
mod input;
#[cfg(feature = "parquet")]
mod parquet_table;
mod table;

pub use frames::{FrameReader, TimeBase};
pub use input::{Input, ParseInputError};
pub use table::{Cell, Table};

use std::path::PathBuf;

/// Why recorded data cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    #[error("cannot open `{path}`: {cause}")]
    Open { path: PathBuf, cause: std::io::Error },
    #[error("`{path}`, row {row}: {cause}")]
    Read { path: PathBuf, row: u64, cause: String },
    #[error(
        "`{path}` has no column `{column}` (wanted for {wanted}); it has {has}. Name another with `column`, or give a value with --set {column}=VALUE"
    )]
    NoColumn { path: PathBuf, column: String, wanted: String, has: String },
    #[error("`{path}`, row {row}: the time `{text}` cannot be read; write RFC 3339 (2026-01-31T12:00:00Z) or seconds")]
    Time { path: PathBuf, row: u64, text: String },
    #[error("`{path}` is empty: no header")]
    NoHeader { path: PathBuf },
    #[error("`{path}` is Parquet, and this program was built without the feature `parquet`; convert it to CSV or build with it")]
    NoParquet { path: PathBuf },
    #[error("machine `{machine}`: signals with blocks of {a} and {b} samples cannot be cut from the same rows")]
    Blocks { machine: String, a: usize, b: usize },
}
