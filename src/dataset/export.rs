//! One export: from the order to the file under its name.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::background::in_background;
use super::columns::{Batch, Column, Layout};
use super::csv_sink::CsvSink;
use super::labels::Labels;
use super::manifest::{self, Origin};
use super::rows::{Counts, Reader, range};
use super::sink::{Part, Sink, Written};
use super::{Export, ExportError, FOLDER, Format, Order, Progress, Rows, folder};
use crate::announce::Announcements;
use crate::config::Config;
use crate::store::Store;
use crate::types::Timestamp;

const MEGABYTE: u64 = 1_000_000;

/// Writes datasets, one batch at a time over all machines, in threads of low priority: everything else goes first.
pub struct Exporter {
    store: Arc<dyn Store>,
    dir: PathBuf,
    /// Bytes of the disk that stay free.
    reserve: u64,
    gateway: String,
    config_hash: String,
    announcements: Announcements,
    turn: Mutex<()>,
}

impl Exporter {
    /// For the folder below the data directory. What exports that were cut short have left there goes.
    pub fn new(store: Arc<dyn Store>, data_dir: &Path, config: &Config) -> Self {
        let dir = data_dir.join(FOLDER);
        remove_parts(&dir);
        Self { announcements: Announcements::new(&config.announce, data_dir), ..Self::into_folder(store, dir, config) }
    }

    /// For any folder; what else is in it stays. Nothing is announced.
    pub fn into_folder(store: Arc<dyn Store>, dir: PathBuf, config: &Config) -> Self {
        Self {
            store,
            dir,
            reserve: config.store.disk_reserve,
            gateway: config.gateway.name.clone(),
            config_hash: config.hash.clone(),
            announcements: Announcements::default(),
            turn: Mutex::default(),
        }
    }

    /// Blocking, for seconds. A file of the same rows from before is the same file.
    ///
    /// # Errors
    /// There are no rows, too little room, the disk or the store fails, or `progress` says stop. Then there is no file.
    pub fn run(&self, order: &Order, progress: &Progress) -> Result<Export, ExportError> {
        in_background(|| self.export(order, progress))
    }

    fn export(&self, order: &Order, progress: &Progress) -> Result<Export, ExportError> {
        fs::create_dir_all(&self.dir).map_err(|e| failed(&self.dir, &e))?;
        let sample = match &order.rows {
            Rows::Samples { .. } => self.store.sample_frames(order.machine, 0, range(order), 1)?,
            _ => self.store.frames(order.machine, range(order), 1)?,
        };
        let layout = Layout::new(order, sample.first().map(|(_, frame)| frame));
        self.check_room(u64::from(order.expected) * layout.columns.len() as u64 * 8)?;
        let labels = self.labels(order)?;
        let unnamed = self.dir.join(format!(".{}{}", order.config.name, Part::END));
        let (part, file) = Part::create(unnamed).map_err(|e| failed(&self.dir, &e))?;
        let mut sink = sink(order.format, file, &layout.columns, &self.dir)?;
        let counts = Reader { store: &*self.store, order, layout: &layout, labels: &labels }.read(&mut |batch, counts| {
            if progress.is_stopped() {
                return Err(ExportError::Stopped);
            }
            self.check_room(0)?;
            self.write(&mut *sink, batch)?;
            progress.set(counts.rows, order.expected);
            Ok(())
        })?;
        if counts.rows == 0 {
            return Err(ExportError::Empty { dataset: order.dataset.clone() });
        }
        let facts = manifest::facts(order, &Origin { gateway: &self.gateway, config: &self.config_hash }, &counts);
        let written = sink.finish(&manifest::key_values(&facts)).map_err(|cause| write_error(&self.dir, cause))?;
        let file = format!("{}-{}.{}", order.dataset, written.hash.get(..12).unwrap_or_default(), order.format.name());
        let last = counts.span.map_or(*order.time.end(), |(_, last)| last);
        let below = folder::folder(order.format, &self.gateway, &order.config.name, last);
        let path = if below.is_empty() { file.clone() } else { format!("{below}/{file}") };
        let manifest = manifest::manifest(facts, order, &layout, (&path, &file), &written);
        self.name(part, (&below, &file), &manifest::text(&manifest))?;
        self.announcements.push(&manifest);
        Ok(export(order, (file, path), written, &counts))
    }

    /// One batch, in turn with other exports.
    fn write(&self, sink: &mut dyn Sink, batch: &Batch) -> Result<(), ExportError> {
        let _turn = self.turn.lock();
        sink.write(batch).map_err(|cause| write_error(&self.dir, cause))
    }

    /// Labels come after the rows that they are for.
    fn labels(&self, order: &Order) -> Result<Labels, ExportError> {
        let events = self.store.events(*order.time.start()..Timestamp::from_nanos(i64::MAX), usize::MAX)?;
        Ok(Labels::of(&order.config.name, &events))
    }

    fn check_room(&self, needed: u64) -> Result<(), ExportError> {
        // Where it cannot be found out, the writing itself says so.
        match fs2::available_space(&self.dir) {
            Ok(free) if free < self.reserve.saturating_add(needed) => {
                let megabytes = |bytes: u64| bytes.div_ceil(MEGABYTE);
                Err(ExportError::DiskFull { free: free / MEGABYTE, needed: megabytes(needed), reserve: megabytes(self.reserve) })
            }
            _ => Ok(()),
        }
    }

    /// Manifest and file get their names; both are on the disk then.
    fn name(&self, part: Part, (below, file): (&str, &str), manifest: &str) -> Result<(), ExportError> {
        let named = || {
            let (beside, mut writer) = Part::create(self.dir.join(format!(".{file}.json{}", Part::END)))?;
            writer.write_all(manifest.as_bytes())?;
            writer.sync_all()?;
            beside.rename(&self.dir.join(format!("{file}.json")))?;
            let place = folder::make(&self.dir, below)?;
            part.rename(&place.join(file))?;
            folder::sync(&self.dir)?;
            folder::sync(&place)
        };
        named().map_err(|e| failed(&self.dir, &e))
    }
}

fn export(order: &Order, (file, path): (String, String), written: Written, counts: &Counts) -> Export {
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Export {
        file: file.into(),
        path: path.into(),
        rows: count(counts.rows),
        labelled: count(counts.labelled),
        hash: written.hash.into(),
        gone: count(manifest::lost(order, counts)),
    }
}

fn sink(format: Format, file: File, columns: &[Column], dir: &Path) -> Result<Box<dyn Sink>, ExportError> {
    let failed = |cause| write_error(dir, cause);
    match format {
        Format::Csv => Ok(Box::new(CsvSink::new(file, columns).map_err(failed)?)),
        #[cfg(feature = "parquet")]
        Format::Parquet => Ok(Box::new(super::parquet_sink::ParquetSink::new(file, columns).map_err(failed)?)),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => Err(ExportError::Format(format.name())),
    }
}

fn remove_parts(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(Part::END) {
            // The next export of the machine writes over it.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn write_error(dir: &Path, cause: String) -> ExportError {
    ExportError::Write { path: dir.display().to_string(), cause }
}

fn failed(dir: &Path, error: &std::io::Error) -> ExportError {
    write_error(dir, error.to_string())
}
