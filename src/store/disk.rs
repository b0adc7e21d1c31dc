//! sled, used so that nothing acknowledged is lost: the rules are in one place, here.
//!
//! - Values stay below [`super::MAX_VALUE`], so that no leaf (up to 17 values) grows beyond a quarter of a segment, above which sled
//!   writes files of their own (`blobs/`) without an fsync.
//! - sled's flush is only `sync_file_range`: after it the file `db` is fsynced. Directories are fsynced after creation.
//! - Opening a damaged database may panic: everything that sled does runs under `catch_unwind`.
//! - Opening a damaged database may also succeed, with less in it or nothing. A database is made under another name and gets its real
//!   one only with its format in it, so that one without it is a damaged one; and each flush counts in the database and, once it is
//!   done, in a file beside it, so that flushed data that has gone is noticed.
//! - After an I/O error sled's flusher is gone and the database refuses everything. What was written since the last good flush is
//!   kept here, the database is opened again, and that is written once more.
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
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use sled::IVec;

use super::StoreError;

const CACHE_BYTES: u64 = 32 << 20;
/// sled's own flusher, for what nobody asks to be flushed.
const FLUSH_EVERY_MS: u64 = 500;
/// Below it nothing is stored whatever the configuration says: sled needs some segments to work in.
const LEAST_RESERVE: u64 = 8 << 20;
/// How long closing a broken database may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const CLOSE_POLL: Duration = Duration::from_millis(10);
/// Version of the whole: raised when a program of today could not read it.
const FORMAT: &[u8] = b"1";
/// Name of the file with the number of flushes.
const FLUSHED: &str = "flushed";
/// Name of the tree with `format` and `flushes`: apart from the blocks, so that counting does not rewrite any.
const META: &str = "meta";
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const NOT_CLOSED: &str = "it does not close after an error; restart the gateway";
/// Databases moved aside that are kept.
const KEPT_ASIDE: usize = 3;

/// Free bytes of the file system that holds a path; another function in tests.
pub(super) type FreeSpace = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

pub(super) fn free_space() -> FreeSpace {
    Arc::new(|path| fs2::available_space(path))
}

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

struct Live {
    db: sled::Db,
    meta: sled::Tree,
    /// sled's file, for the fsync.
    file: File,
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

/// Counts flushes that changed something.
struct Flushes {
    done: u64,
    /// Holds `done` as text; not fsynced, so at a power cut it may be behind, never ahead.
    file: File,
}

impl Disk {
    /// Opens or creates the database in `<dir>/sled`. Also tells how many flushes it has lost: 0, unless the disk has forgotten what
    /// it had confirmed.
    ///
    /// # Errors
    /// `Damaged`: it can be moved aside. `DiskFull`, `Locked`, `Io`: leave it alone.
    pub fn open(dir: &Path, reserve: u64, free_space: FreeSpace) -> Result<(Self, u64), StoreError> {
        Self::try_open(dir, reserve, Arc::clone(&free_space)).map_err(|error| match free_space(dir) {
            // A full disk looks like damage to sled.
            Ok(free) if free < LEAST_RESERVE => disk_full(dir, free, LEAST_RESERVE),
            _ => error,
        })
    }

    fn try_open(dir: &Path, reserve: u64, free_space: FreeSpace) -> Result<(Self, u64), StoreError> {
        let sled_dir = dir.join("sled");
        if !sled_dir.exists() {
            create(dir, &sled_dir)?;
        }
        let live = open_live(&sled_dir)?;
        let done = check_meta(&sled_dir, &live)?;
        let counter = dir.join(FLUSHED);
        let wanted: u64 = fs::read_to_string(&counter).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
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
        Ok((disk, wanted.saturating_sub(done)))
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
            && let Err(error) = write(&self.dir, &live.db, key, value)
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
        if let Err(error) = done {
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
            Some(live) => guarded(&self.dir, || action(&live.db)),
            None => self.accepting().and(Err(io_error(&self.dir, "it is being opened again"))),
        }
    }

    fn flush_and_sync(&self, number: u64) -> Result<(), StoreError> {
        let live = self.live.read();
        let Some(live) = &*live else { return Err(io_error(&self.dir, "it is closed")) };
        guarded(&self.dir, || {
            live.meta.insert("flushes", &number.to_be_bytes())?;
            live.db.flush()
        })?;
        live.file.sync_all().map_err(|e| of_io(&self.dir, &e))
    }

    fn fail(&self, mut error: StoreError) {
        if let StoreError::DiskFull { free, reserve, .. } = &mut error {
            *free = (self.free_space)(&self.dir).unwrap_or(0);
            *reserve = self.reserve;
        }
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
        let result = self.reopen();
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
            && !close(live)
        {
            return Err(io_error(&self.dir, NOT_CLOSED));
        }
        let live = open_live(&self.dir).map_err(|error| match error {
            StoreError::Locked { .. } => io_error(&self.dir, NOT_CLOSED),
            error => error,
        })?;
        for (key, value) in &pending.changes {
            write(&self.dir, &live.db, key.clone(), value.clone())?;
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
            live.meta.insert("format", format).and_then(|_| live.db.flush()).map(drop).unwrap_or_default();
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
            close(live);
        }
    }
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

/// Makes a database beside, and gives it its name when all of it is on disk.
fn create(dir: &Path, to: &Path) -> Result<(), StoreError> {
    let new = dir.join("new");
    if new.exists() {
        fs::remove_dir_all(&new).map_err(|e| of_io(&new, &e))?;
    }
    let live = open_live(&new)?;
    guarded(&new, || {
        live.meta.insert("format", FORMAT)?;
        live.meta.insert("flushes", &0_u64.to_be_bytes())?;
        live.db.flush()
    })?;
    live.file.sync_all().map_err(|e| of_io(&new, &e))?;
    if !close(live) {
        return Err(io_error(&new, NOT_CLOSED));
    }
    // The count of the database before, if there was one.
    let _ = fs::remove_file(dir.join(FLUSHED));
    fs::rename(&new, to).map_err(|e| of_io(to, &e))?;
    sync_directory(dir);
    Ok(())
}

/// The number of flushes. A newer program's database is left alone, not taken for damage.
fn check_meta(dir: &Path, live: &Live) -> Result<u64, StoreError> {
    let (format, flushes) = guarded(dir, || Ok((live.meta.get("format")?, live.meta.get("flushes")?)))?;
    match (format.as_deref(), flushes.and_then(|bytes| bytes.as_ref().try_into().ok())) {
        (Some(FORMAT), Some(flushes)) => Ok(u64::from_be_bytes(flushes)),
        (Some(FORMAT) | None, _) => {
            Err(StoreError::Damaged { path: dir.display().to_string(), cause: "what was in it has gone".to_string() })
        }
        (Some(other), _) => {
            let format = String::from_utf8_lossy(other);
            Err(io_error(dir, &format!("format `{format}` is of a newer driftgate; update, or use another directory")))
        }
    }
}

/// Our own lock is held: where sled's is too, a database closed before is still on its way out.
fn open_live(dir: &Path) -> Result<Live, StoreError> {
    let patience = Instant::now() + CLOSE_TIMEOUT;
    loop {
        match open_once(dir) {
            Err(StoreError::Locked { .. }) if Instant::now() < patience => thread::sleep(CLOSE_POLL),
            result => return result,
        }
    }
}

fn open_once(dir: &Path) -> Result<Live, StoreError> {
    let (db, meta) = guarded(dir, || {
        let db = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .open()?;
        let meta = db.open_tree(META)?;
        Ok((db, meta))
    })?;
    let file = File::options().write(true).open(dir.join("db")).map_err(|e| of_io(dir, &e))?;
    sync_created(dir).map_err(|e| of_io(dir, &e))?;
    Ok(Live { db, meta, file })
}

/// Drops a database; `false` where it does not end: sled waits for its flusher, which may have died.
fn close(live: Live) -> bool {
    let (done, ended) = mpsc::sync_channel(1);
    let spawned = thread::Builder::new().name("store-close".into()).spawn(move || {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(live)));
        let _ = done.send(());
    });
    match spawned {
        Ok(thread) => ended.recv_timeout(CLOSE_TIMEOUT).is_ok() && thread.join().is_ok(),
        Err(_) => false,
    }
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
fn sync_directory(dir: &Path) {
    if cfg!(unix)
        && let Ok(dir) = File::open(dir)
    {
        let _ = dir.sync_all();
    }
}

fn write(dir: &Path, db: &sled::Db, key: Vec<u8>, value: Option<IVec>) -> Result<(), StoreError> {
    guarded(dir, || match value {
        Some(value) => db.insert(key, value).map(drop),
        None => db.remove(key).map(drop),
    })
}

/// Runs something of sled's; a panic is damage.
fn guarded<T>(dir: &Path, action: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(e))) => Err(of_io(dir, &e)),
        Ok(Err(e)) => Err(StoreError::Damaged { path: dir.display().to_string(), cause: e.to_string() }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(StoreError::Damaged { path: dir.display().to_string(), cause: text.unwrap_or("the database gave up").to_string() })
        }
    }
}

fn of_io(dir: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind::{InvalidData, QuotaExceeded, StorageFull, UnexpectedEof};
    let path = dir.display().to_string();
    let cause = error.to_string();
    match error.kind() {
        StorageFull | QuotaExceeded => disk_full(dir, 0, LEAST_RESERVE),
        InvalidData | UnexpectedEof => StoreError::Damaged { path, cause },
        _ if cause.contains("could not acquire lock") => StoreError::Locked { path },
        _ => StoreError::Io { path, cause },
    }
}

fn io_error(dir: &Path, cause: &str) -> StoreError {
    StoreError::Io { path: dir.display().to_string(), cause: cause.to_string() }
}

fn disk_full(dir: &Path, free: u64, reserve: u64) -> StoreError {
    StoreError::DiskFull { path: dir.display().to_string(), free, reserve }
}
