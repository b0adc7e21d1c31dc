//! The database as the rest of the store sees it: it takes changes without failing, flushes, and goes on after a failure.
//!
//! After an I/O error sled's flusher is gone and the database refuses everything. What was written since the last good flush is kept
//! here; the database is opened again, and that is written once more.
//!
//! ```text
//!            I/O error                       opened again, pending written again, flushed
//! working ─────────────▶ failed ────────────────────────────────────────────────────────▶ working
//!    │ free < reserve              (tried at a flush, after 1 s, 2 s, ... 30 s, once there is room)
//!    ▼            free >= reserve + 5 %
//!   full ──────────────────────▶ working        (what had been accepted is still flushed)
//! ```

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use sled::IVec;

use super::StoreError;
use super::live::{FLUSHED, Live, State, create, disk_full, flushes_noted, guarded, io_error, of_io};

/// Below it nothing is stored whatever the configuration says: sled needs some segments to work in.
const LEAST_RESERVE: u64 = 8 << 20;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const NOT_CLOSED: &str = "it does not close after an error; restart the gateway";

/// Free bytes of the file system that holds a path; another function in tests.
pub(super) type FreeSpace = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

pub(super) fn free_space() -> FreeSpace {
    Arc::new(|path| fs2::available_space(path))
}

/// A key and its new value; `None`: removed.
type Changes = HashMap<Vec<u8>, Option<IVec>>;

/// What has been written since the last good flush.
#[derive(Default)]
struct Pending {
    changes: Changes,
    /// Part of a flush that is under way.
    in_flush: Changes,
    bytes: usize,
}

#[derive(Default)]
struct Trouble {
    full: Option<StoreError>,
    failed: Option<Failed>,
}

struct Failed {
    error: StoreError,
    next_try: Instant,
    wait: Duration,
}

/// The database in a directory.
pub(super) struct Disk {
    dir: PathBuf,
    reserve: u64,
    free_space: FreeSpace,
    /// `None` only while it cannot be opened again.
    live: RwLock<Option<Live>>,
    pending: Mutex<Pending>,
    trouble: Mutex<Trouble>,
    /// One flush at a time.
    flushes: Mutex<Flushes>,
}

/// What a disk has forgotten although it had confirmed it: nothing, unless it is damaged.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// The newest flushes: an older state is there.
    pub flushes: u64,
    /// Keys: blocks, values, pieces of large values.
    pub entries: u64,
}

/// Counts flushes that changed something.
struct Flushes {
    done: u64,
    /// Holds `done` as text; not fsynced, so at a power cut it may be behind, never ahead.
    file: File,
}

impl Disk {
    /// Opens or creates the database in `<dir>/sled`.
    ///
    /// # Errors
    /// `Damaged`: it can be moved aside. `DiskFull`, `Locked`, `Io`: leave it alone.
    pub fn open(dir: &Path, reserve: u64, free_space: FreeSpace) -> Result<(Self, Lost), StoreError> {
        Self::try_open(dir, reserve, Arc::clone(&free_space)).map_err(|error| match free_space(dir) {
            // A full disk looks like damage to sled.
            Ok(free) if free < LEAST_RESERVE => disk_full(dir, free, LEAST_RESERVE),
            _ => error,
        })
    }

    fn try_open(dir: &Path, reserve: u64, free_space: FreeSpace) -> Result<(Self, Lost), StoreError> {
        let sled_dir = dir.join("sled");
        let counter = dir.join(FLUSHED);
        if !sled_dir.exists() {
            create(dir, &sled_dir)?;
            // The count of the database before, if there was one.
            let _ = fs::remove_file(&counter);
        }
        let live = Live::open(&sled_dir)?;
        let State { flushes: done, entries } = live.state(&sled_dir)?;
        let lost = Lost { flushes: flushes_noted(dir).saturating_sub(done), entries: entries.saturating_sub(live.entries()) };
        let file = File::options().create(true).truncate(true).write(true).open(counter).map_err(|e| of_io(dir, &e))?;
        let mut flushes = Flushes { done, file };
        flushes.note();
        let disk = Self {
            dir: sled_dir,
            reserve: reserve.max(LEAST_RESERVE),
            free_space,
            live: RwLock::new(Some(live)),
            pending: Mutex::default(),
            trouble: Mutex::default(),
            flushes: Mutex::new(flushes),
        };
        disk.look_at_space();
        Ok((disk, lost))
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Whether new records are taken.
    pub fn accepting(&self) -> Result<(), StoreError> {
        let trouble = self.trouble.lock();
        match (&trouble.failed, &trouble.full) {
            (Some(failed), _) => Err(failed.error.clone()),
            (None, Some(full)) => Err(full.clone()),
            (None, None) => Ok(()),
        }
    }

    /// Sets or removes a value. Does not fail: where the database does, the change is kept in memory for when it is opened again, and
    /// [`Disk::accepting`] and [`Disk::flush`] tell.
    pub fn change(&self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let value = value.map(IVec::from);
        let mut pending = self.pending.lock();
        pending.bytes += key.len() + value.as_ref().map_or(0, |v| v.len());
        pending.changes.insert(key.clone(), value.clone());
        if self.failed() {
            return;
        }
        if let Some(live) = &*self.live.read()
            && let Err(error) = live.write(&self.dir, key, value)
        {
            self.fail(error);
        }
    }

    /// Bytes written since the last flush.
    pub fn pending_bytes(&self) -> usize {
        self.pending.lock().bytes
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        if self.failed() {
            let pending = self.pending.lock();
            if let Some(change) = pending.changes.get(key).or_else(|| pending.in_flush.get(key)) {
                return Ok(change.clone());
            }
        }
        self.with_db(|db| db.get(key))
    }

    /// Calls `visit` with each key from `from` on that starts with `prefix`, ascending, and its value, until it says `false`.
    pub fn scan(&self, prefix: &[u8], from: &[u8], mut visit: impl FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.with_db(|db| {
            for entry in db.range(from..) {
                let (key, value) = entry?;
                if !key.starts_with(prefix) || !visit(&key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Makes all changes so far durable; see the state drawing above. With nothing to be flushed: as [`Disk::accepting`].
    pub fn flush(&self) -> Result<(), StoreError> {
        let mut flushes = self.flushes.lock();
        self.look_at_space();
        self.recover()?;
        {
            let mut pending = self.pending.lock();
            if pending.changes.is_empty() {
                drop(pending);
                return self.accepting();
            }
            pending.in_flush = std::mem::take(&mut pending.changes);
            pending.bytes = 0;
        }
        let done = self.flush_and_sync(flushes.done + 1);
        let mut pending = self.pending.lock();
        let flushed = std::mem::take(&mut pending.in_flush);
        if let Err(error) = done.map_err(|error| self.with_figures(error)) {
            for (key, value) in flushed {
                pending.changes.entry(key).or_insert(value);
            }
            drop(pending);
            self.fail(error.clone());
            return Err(error);
        }
        flushes.done += 1;
        flushes.note();
        Ok(())
    }

    /// Bytes of the database's files.
    pub fn size(&self) -> Result<u64, StoreError> {
        self.with_db(sled::Db::size_on_disk)
    }

    /// Files beside the log that sled never fsyncs; there should be none.
    pub fn blob_files(&self) -> usize {
        fs::read_dir(self.dir.join("blobs")).map_or(0, Iterator::count)
    }

    fn failed(&self) -> bool {
        self.trouble.lock().failed.is_some()
    }

    fn with_db<T>(&self, action: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, StoreError> {
        match &*self.live.read() {
            Some(live) => guarded(&self.dir, || action(live.db())),
            None => self.accepting().and(Err(io_error(&self.dir, "it is being opened again"))),
        }
    }

    fn flush_and_sync(&self, number: u64) -> Result<(), StoreError> {
        let live = self.live.read();
        let Some(live) = &*live else { return Err(io_error(&self.dir, "it is closed")) };
        live.flush(&self.dir, number)
    }

    /// Fills in what an I/O error does not tell.
    fn with_figures(&self, mut error: StoreError) -> StoreError {
        if let StoreError::DiskFull { free, reserve, .. } = &mut error {
            *free = (self.free_space)(&self.dir).unwrap_or(0);
            *reserve = self.reserve;
        }
        error
    }

    fn fail(&self, error: StoreError) {
        let error = self.with_figures(error);
        let mut trouble = self.trouble.lock();
        if trouble.failed.is_none() {
            trouble.failed = Some(Failed { error, next_try: Instant::now() + FIRST_WAIT, wait: FIRST_WAIT });
        }
    }

    /// Where the free space cannot be found out, storing goes on.
    fn look_at_space(&self) {
        let Ok(free) = (self.free_space)(&self.dir) else { return };
        let full = &mut self.trouble.lock().full;
        // A little more to start again than to stop: no flapping.
        let wanted = if full.is_some() { self.reserve.saturating_add(self.reserve / 20) } else { self.reserve };
        *full = (free < wanted).then(|| disk_full(&self.dir, free, self.reserve));
    }

    /// Opens the database again after a failure, when it is time.
    fn recover(&self) -> Result<(), StoreError> {
        {
            let trouble = self.trouble.lock();
            let Some(failed) = &trouble.failed else { return Ok(()) };
            if let Some(full) = &trouble.full {
                return Err(full.clone());
            }
            if Instant::now() < failed.next_try {
                return Err(failed.error.clone());
            }
        }
        let result = self.reopen().map_err(|error| self.with_figures(error));
        let mut trouble = self.trouble.lock();
        match result {
            Ok(()) => trouble.failed = None,
            Err(error) => {
                if let Some(failed) = &mut trouble.failed {
                    failed.wait = (failed.wait * 2).min(LONGEST_WAIT);
                    failed.next_try = Instant::now() + failed.wait;
                    failed.error = error.clone();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let pending = self.pending.lock();
        let mut slot = self.live.write();
        if let Some(live) = slot.take()
            && !live.close()
        {
            return Err(io_error(&self.dir, NOT_CLOSED));
        }
        let live = Live::open(&self.dir).map_err(|error| match error {
            StoreError::Locked { .. } => io_error(&self.dir, NOT_CLOSED),
            error => error,
        })?;
        live.state(&self.dir)?;
        for (key, value) in &pending.changes {
            live.write(&self.dir, key.clone(), value.clone())?;
        }
        *slot = Some(live);
        Ok(())
    }
}

impl Flushes {
    /// The file only serves a check at the next start: an error costs no more than that.
    fn note(&mut self) {
        let _ = self.file.seek(SeekFrom::Start(0)).and_then(|_| writeln!(self.file, "{:020}", self.done));
    }
}

/// As after an I/O error.
#[cfg(test)]
impl Disk {
    pub fn fail_for_test(&self) {
        self.fail(io_error(&self.dir, "made to fail"));
    }

    pub fn set_format_for_test(&self, format: &str) {
        if let Some(live) = &*self.live.read() {
            live.set_format_for_test(format);
        }
    }

    pub fn retry_now_for_test(&self) {
        if let Some(failed) = &mut self.trouble.lock().failed {
            failed.next_try = Instant::now();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(live) = self.live.get_mut().take() {
            live.close();
        }
    }
}
