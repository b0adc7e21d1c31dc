//! sled, used so that nothing acknowledged is lost: the rules are in one place, here.
//!
//! - Values stay below [`super::MAX_VALUE`], so that no leaf (up to 17 values) grows beyond a quarter of a segment, above which sled
//!   writes files of their own (`blobs/`) without an fsync.
//! - sled's flush is only `sync_file_range`: after it the file `db` is fsynced. Directories are fsynced after creation.
//! - Opening a damaged database may panic: everything that sled does runs under `catch_unwind`.
//! - Opening a damaged database may also succeed, with less in it, or nothing. So a database is made under another name and gets its
//!   real one when its state is in it: one without a state is damaged. And each flush notes in it how many flushes there were and how
//!   many keys there are, which is compared at the next start.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sled::IVec;

use super::StoreError;

const CACHE_BYTES: u64 = 32 << 20;
/// sled's own flusher, for what nobody asks to be flushed.
const FLUSH_EVERY_MS: u64 = 500;
/// Version of the whole: raised when a program of today could not read it.
const FORMAT: &[u8] = b"1";
const FORMAT_KEY: &str = "format";
const STATE_KEY: &str = "state";
/// Name of the tree with both: apart from the blocks, so that counting does not rewrite any.
const META: &str = "meta";
/// How long closing a database may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const CLOSE_POLL: Duration = Duration::from_millis(10);
/// Databases moved aside that are kept.
const KEPT_ASIDE: usize = 3;

/// Holds a store's directory against other processes, and against a second store in this one, until dropped.
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Creates the directory where it is missing.
    pub fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = || dir.display().to_string();
        let error = |e: io::Error| StoreError::Io { path: path(), cause: e.to_string() };
        fs::create_dir_all(dir).map_err(error)?;
        let file = File::options().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(error)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(StoreError::Locked { path: path() }),
            Err(fs::TryLockError::Error(e)) => Err(error(e)),
        }
    }
}

/// What a flush notes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub flushes: u64,
    /// So many keys are there at least: it is lowered before one is removed.
    pub entries: u64,
}

impl State {
    fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.flushes) << 64 | u128::from(self.entries)).to_be_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let both = u128::from_be_bytes(bytes.try_into().ok()?);
        Some(Self { flushes: (both >> 64) as u64, entries: both as u64 })
    }
}

/// An open database.
pub(super) struct Live {
    db: sled::Db,
    meta: sled::Tree,
    /// sled's file, for the fsync.
    file: File,
    /// Keys that are there. Changed by one thread at a time, as [`Live::write`] is.
    entries: AtomicU64,
    /// Of the last flush.
    flushes: AtomicU64,
}

impl Live {
    /// Opens or creates. Our own lock is held: where sled's is too, a database closed before is still on its way out.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let patience = Instant::now() + CLOSE_TIMEOUT;
        loop {
            match Self::open_once(dir) {
                Err(StoreError::Locked { .. }) if Instant::now() < patience => thread::sleep(CLOSE_POLL),
                result => return result,
            }
        }
    }

    fn open_once(dir: &Path) -> Result<Self, StoreError> {
        let (db, meta, entries) = guarded(dir, || {
            let db = sled::Config::new()
                .path(dir)
                .cache_capacity(CACHE_BYTES)
                .mode(sled::Mode::LowSpace)
                .flush_every_ms(Some(FLUSH_EVERY_MS))
                .open()?;
            let meta = db.open_tree(META)?;
            // Reads every leaf: what is damaged shows now.
            let entries = db.iter().try_fold(0, |count, entry| entry.map(|_| count + 1))?;
            Ok((db, meta, entries))
        })?;
        let file = File::options().write(true).open(dir.join("db")).map_err(|e| of_io(dir, &e))?;
        sync_created(dir).map_err(|e| of_io(dir, &e))?;
        Ok(Self { db, meta, file, entries: AtomicU64::new(entries), flushes: AtomicU64::new(0) })
    }

    /// What the last flush noted. A newer program's database is left alone, not taken for damage.
    pub fn state(&self, dir: &Path) -> Result<State, StoreError> {
        let (format, state) = guarded(dir, || Ok((self.meta.get(FORMAT_KEY)?, self.meta.get(STATE_KEY)?)))?;
        match (format.as_deref(), state.and_then(|bytes| State::from_bytes(&bytes))) {
            (Some(FORMAT), Some(state)) => {
                self.flushes.store(state.flushes, Ordering::Relaxed);
                Ok(state)
            }
            (Some(FORMAT) | None, _) => Err(damaged(dir, "what was in it has gone")),
            (Some(other), _) => {
                let format = String::from_utf8_lossy(other);
                Err(io_error(dir, &format!("format `{format}` is of a newer driftgate; update, or use another directory")))
            }
        }
    }

    pub fn db(&self) -> &sled::Db {
        &self.db
    }

    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Sets or removes a value. One caller at a time.
    pub fn write(&self, dir: &Path, key: Vec<u8>, value: Option<IVec>) -> Result<(), StoreError> {
        guarded(dir, || {
            let entries = self.entries();
            let entries = match value {
                Some(value) => entries + u64::from(self.db.insert(key, value)?.is_none()),
                None if self.db.contains_key(&key)? => {
                    let entries = entries.saturating_sub(1);
                    self.note(State { flushes: self.flushes.load(Ordering::Relaxed), entries })?;
                    self.db.remove(key)?;
                    entries
                }
                None => entries,
            };
            self.entries.store(entries, Ordering::Relaxed);
            Ok(())
        })
    }

    /// Makes everything durable, as flush number `flushes`.
    pub fn flush(&self, dir: &Path, flushes: u64) -> Result<(), StoreError> {
        guarded(dir, || {
            self.note(State { flushes, entries: self.entries() })?;
            self.db.flush()
        })?;
        self.flushes.store(flushes, Ordering::Relaxed);
        self.file.sync_all().map_err(|e| of_io(dir, &e))
    }

    fn note(&self, state: State) -> sled::Result<()> {
        self.meta.insert(STATE_KEY, &state.to_bytes()).map(drop)
    }

    /// Drops it; `false` where that does not end: sled waits for its flusher, which may have died.
    pub fn close(self) -> bool {
        let (done, ended) = mpsc::sync_channel(1);
        let spawned = thread::Builder::new().name("store-close".into()).spawn(move || {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(self)));
            let _ = done.send(());
        });
        match spawned {
            Ok(thread) => ended.recv_timeout(CLOSE_TIMEOUT).is_ok() && thread.join().is_ok(),
            Err(_) => false,
        }
    }

    #[cfg(test)]
    pub fn set_format_for_test(&self, format: &str) {
        self.meta.insert(FORMAT_KEY, format).and_then(|_| self.db.flush()).map(drop).unwrap_or_default();
    }
}

/// Name of the file with the number of flushes.
pub(super) const FLUSHED: &str = "flushed";

/// What that file says; 0 where it says nothing.
pub(super) fn flushes_noted(dir: &Path) -> u64 {
    fs::read_to_string(dir.join(FLUSHED)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Makes a database beside, and gives it its name when all of it is on disk.
pub(super) fn create(dir: &Path, to: &Path) -> Result<(), StoreError> {
    let new = dir.join("new");
    if new.exists() {
        fs::remove_dir_all(&new).map_err(|e| of_io(&new, &e))?;
    }
    let live = Live::open(&new)?;
    guarded(&new, || live.meta.insert(FORMAT_KEY, FORMAT))?;
    live.flush(&new, 0)?;
    if !live.close() {
        return Err(io_error(&new, "it does not close; try again"));
    }
    fs::rename(&new, to).map_err(|e| of_io(to, &e))?;
    sync_directory(dir);
    Ok(())
}

/// Moves a damaged database aside, to `<dir>/damaged-<n>`; of those the newest three are kept.
pub(super) fn move_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let error = |e: io::Error| StoreError::Io { path: dir.display().to_string(), cause: format!("moving it aside: {e}") };
    let mut numbers: Vec<u64> = fs::read_dir(dir)
        .map_err(error)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("damaged-")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let target = |n: u64| dir.join(format!("damaged-{n}"));
    let to = target(numbers.last().map_or(1, |n| n + 1));
    fs::rename(dir.join("sled"), &to).map_err(error)?;
    sync_directory(dir);
    for old in numbers.iter().rev().skip(KEPT_ASIDE - 1) {
        if let Err(e) = fs::remove_dir_all(target(*old)) {
            tracing::warn!("cannot remove `{}`: {e}; remove it by hand", target(*old).display());
        }
    }
    Ok(to)
}

/// Files and directories that opening has made.
fn sync_created(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    for made in [Some(dir.join("blobs").as_path()), Some(dir), dir.parent(), dir.parent().and_then(Path::parent)].into_iter().flatten() {
        sync_directory(made);
    }
    Ok(())
}

/// Only Unix can, and not on every file system: no error.
pub(super) fn sync_directory(dir: &Path) {
    if cfg!(unix)
        && let Ok(dir) = File::open(dir)
    {
        let _ = dir.sync_all();
    }
}

/// Runs something of sled's; a panic is damage.
pub(super) fn guarded<T>(dir: &Path, action: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(e))) => Err(of_io(dir, &e)),
        Ok(Err(e)) => Err(damaged(dir, &e.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(damaged(dir, text.unwrap_or("the database gave up")))
        }
    }
}

pub(super) fn of_io(dir: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind::{InvalidData, QuotaExceeded, StorageFull, UnexpectedEof};
    let path = dir.display().to_string();
    let cause = error.to_string();
    match error.kind() {
        StorageFull | QuotaExceeded => disk_full(dir, 0, 0),
        InvalidData | UnexpectedEof => StoreError::Damaged { path, cause },
        _ if cause.contains("could not acquire lock") => StoreError::Locked { path },
        _ => StoreError::Io { path, cause },
    }
}

pub(super) fn io_error(dir: &Path, cause: &str) -> StoreError {
    StoreError::Io { path: dir.display().to_string(), cause: cause.to_string() }
}

pub(super) fn disk_full(dir: &Path, free: u64, reserve: u64) -> StoreError {
    StoreError::DiskFull { path: dir.display().to_string(), free, reserve }
}

fn damaged(dir: &Path, cause: &str) -> StoreError {
    StoreError::Damaged { path: dir.display().to_string(), cause: cause.to_string() }
}
