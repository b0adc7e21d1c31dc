//! A closed store as one file, and the check of every entry of it.
//!
//! ```text
//! "driftgate store backup\n" | version u16 | time of the backup i64 (ns since 1970, UTC)
//! entry, any number: key length u16 (at least 1) | value length u32 | key | value
//! end: 0 u16 | entries u64 | flushes u64 | SHA-256 of all before it (32 bytes)
//! ```
//! All little endian. Entries are those of the database, bit by bit: blocks and large values keep their own checksums. A file without its
//! end, or with another sum, is refused before anything is written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::blob::Pieces;
use super::codec;
use super::live::{self, DirectoryLock, Live, State, guarded};
use super::{MAX_KEY, StoreError};
use crate::types::Timestamp;

const MAGIC: &[u8] = b"driftgate store backup\n";
/// Version that is written; others are refused.
const VERSION: u16 = 1;
/// What a restored database holds in memory before a flush.
const FLUSH_BYTES: usize = 8 << 20;
/// No entry comes near them; a length beyond is damage, not a reason to allocate.
const MOST_KEY: usize = 4 * MAX_KEY;
const MOST_VALUE: usize = 1 << 20;
/// Faults that are told one by one.
const MOST_FAULTS: usize = 20;

/// How far it is: entries of the database so far.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

/// What a check of every entry has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub entries: u64,
    /// Blocks of rings that can be read, and their rows.
    pub blocks: u64,
    pub rows: u64,
    /// Large values that are whole.
    pub large_values: u64,
    /// Small values.
    pub values: u64,
    /// Entries that are damaged.
    pub damaged: u64,
    /// The first of them, one sentence each.
    pub faults: Vec<String>,
    /// Flushes that the disk had confirmed and has forgotten.
    pub lost_flushes: u64,
    /// Entries that the disk has lost.
    pub lost_entries: u64,
}

impl Verified {
    /// Whether nothing is damaged or lost.
    pub const fn is_whole(&self) -> bool {
        self.damaged == 0 && self.lost_flushes == 0 && self.lost_entries == 0
    }

    fn fault(&mut self, what: String) {
        self.damaged += 1;
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(what);
        }
    }
}

/// What a backup has in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    pub entries: u64,
    /// Of the file.
    pub bytes: u64,
    pub made: Timestamp,
    /// SHA-256 of the file without its last 32 bytes, which are it.
    pub sha256: [u8; 32],
}

/// Why a file is not restored, or not written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("there is no store in `{0}`; name the data directory of a gateway")]
    NoStore(PathBuf),
    #[error("there is a store in `{0}` already; move it aside first")]
    InTheWay(PathBuf),
    #[error("`{0}` is there already; choose another name")]
    Exists(PathBuf),
    #[error("`{0}` is no backup of a store")]
    NoBackup(PathBuf),
    #[error("`{path}` was written by a newer driftgate (version {version}); update first")]
    Newer { path: PathBuf, version: u16 },
    #[error("`{path}` is damaged: {cause}; take another backup")]
    Damaged { path: PathBuf, cause: &'static str },
    #[error("`{path}`: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> ArchiveError + '_ {
    |cause| ArchiveError::Io { path: path.to_path_buf(), cause }
}

/// Reads every entry of the store in `dir` and changes nothing that is in it.
///
/// # Errors
/// `NoStore`; `Locked` while a gateway uses it; `Damaged` where the database does not open at all.
pub fn verify(dir: &Path, progress: Progress<'_>) -> Result<Verified, ArchiveError> {
    let source = Source::open(dir)?;
    let mut check = Check::default();
    source.each(progress, |key, value| {
        check.entry(key, value);
        Ok(())
    })?;
    Ok(source.finish(check))
}

/// Writes the store in `dir` into a new file, whole or not at all, and checks every entry on the way: damaged ones are copied as they are,
/// and told.
///
/// # Errors
/// As [`verify`]; `Exists` where the file is there already; `Io`.
pub fn backup(dir: &Path, to: &Path, made: Timestamp, progress: Progress<'_>) -> Result<(Backup, Verified), ArchiveError> {
    if to.exists() {
        return Err(ArchiveError::Exists(to.to_path_buf()));
    }
    let source = Source::open(dir)?;
    let mut beside = to.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let mut check = Check::default();
    let written = write(&source, &beside, made, &mut check, progress).and_then(|backup| {
        fs::rename(&beside, to).map_err(io_at(to))?;
        sync_parent(to);
        Ok(backup)
    });
    if written.is_err() {
        // What is left of it is of no use; the cause is told.
        let _ = fs::remove_file(&beside);
    }
    Ok((written?, source.finish(check)))
}

fn write(source: &Source, to: &Path, made: Timestamp, check: &mut Check, progress: Progress<'_>) -> Result<Backup, ArchiveError> {
    let io = io_at(to);
    let mut out = Summed::new(BufWriter::new(File::create(to).map_err(&io)?));
    let put = |out: &mut Summed<_>, bytes: &[u8]| out.write_all(bytes).map_err(&io);
    put(&mut out, MAGIC)?;
    put(&mut out, &VERSION.to_le_bytes())?;
    put(&mut out, &made.as_nanos().to_le_bytes())?;
    let mut entries = 0_u64;
    source.each(progress, |key, value| {
        check.entry(key, value);
        entries += 1;
        write_entry(&mut out, key, value).map_err(&io)
    })?;
    put(&mut out, &0_u16.to_le_bytes())?;
    put(&mut out, &entries.to_le_bytes())?;
    put(&mut out, &source.state.flushes.to_le_bytes())?;
    let (mut file, bytes, sha256) = out.finish();
    file.write_all(&sha256).map_err(&io)?;
    file.into_inner().map_err(|e| io(e.into_error()))?.sync_all().map_err(&io)?;
    Ok(Backup { entries, bytes: bytes + sha256.len() as u64, made, sha256 })
}

fn sync_parent(path: &Path) {
    live::sync_directory(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")));
}

/// Makes a store in `dir`, which must not be there, of a file that [`backup`] has written: whole or not at all.
///
/// # Errors
/// `InTheWay`; `NoBackup`, `Newer`, `Damaged`: nothing was written; `Store` where it cannot be written.
pub fn restore(from: &Path, dir: &Path, progress: Progress<'_>) -> Result<Backup, ArchiveError> {
    if dir.exists() {
        return Err(ArchiveError::InTheWay(dir.to_path_buf()));
    }
    let (backup, _) = read(from, &mut |_, _| Ok(()))?;
    let mut new = dir.as_os_str().to_owned();
    new.push(".restoring");
    let new = PathBuf::from(new);
    if new.exists() {
        fs::remove_dir_all(&new).map_err(io_at(&new))?;
    }
    let lock = DirectoryLock::take(&new)?;
    let sled_dir = new.join("sled");
    live::create(&new, &sled_dir)?;
    let live = Live::open(&sled_dir)?;
    let (mut entries, mut pending) = (0, 0);
    let (again, flushes) = read(from, &mut |key, value| {
        live.write(&sled_dir, key.to_vec(), Some(value.into()))?;
        entries += 1;
        pending += key.len() + value.len();
        if pending > FLUSH_BYTES {
            pending = 0;
            progress(entries);
            live.flush(&sled_dir, 1)?;
        }
        Ok(())
    })?;
    if again != backup {
        return Err(ArchiveError::Damaged { path: from.to_path_buf(), cause: "it has changed meanwhile" });
    }
    live.flush(&sled_dir, flushes.max(1))?;
    progress(entries);
    if !live.close() {
        return Err(StoreError::Io { path: sled_dir.display().to_string(), cause: "it does not close; try again".into() }.into());
    }
    fs::rename(&new, dir).map_err(io_at(dir))?;
    sync_parent(dir);
    drop(lock);
    Ok(backup)
}

/// The closed store that is read.
struct Source {
    sled_dir: PathBuf,
    live: Live,
    state: State,
    /// Of the file beside the database.
    noted: u64,
    _lock: DirectoryLock,
}

impl Source {
    fn open(dir: &Path) -> Result<Self, ArchiveError> {
        let sled_dir = dir.join("sled");
        if !sled_dir.is_dir() {
            return Err(ArchiveError::NoStore(dir.to_path_buf()));
        }
        let lock = DirectoryLock::take(dir)?;
        let live = Live::open(&sled_dir)?;
        let state = live.state(&sled_dir)?;
        Ok(Self { noted: live::flushes_noted(dir), sled_dir, live, state, _lock: lock })
    }

    fn each(&self, progress: Progress<'_>, mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), ArchiveError>) -> Result<(), ArchiveError> {
        let mut entries = self.live.db().iter();
        let mut number = 0;
        // One at a time: what sled does may panic, what is done with it may fail.
        while let Some((key, value)) = guarded(&self.sled_dir, || entries.next().transpose())? {
            visit(&key, &value)?;
            number += 1;
            if number % 256 == 0 {
                progress(number);
            }
        }
        progress(number);
        Ok(())
    }

    fn finish(self, check: Check) -> Verified {
        let mut verified = check.finish();
        verified.lost_flushes = self.noted.saturating_sub(self.state.flushes);
        verified.lost_entries = self.state.entries.saturating_sub(self.live.entries());
        self.live.close();
        verified
    }
}

/// Checks entries in the order of their keys.
#[derive(Default)]
struct Check {
    found: Verified,
    large: Pieces,
    /// By ring: the slots' block numbers, each once.
    numbers: BTreeMap<Vec<u8>, Vec<u64>>,
}

impl Check {
    fn entry(&mut self, key: &[u8], value: &[u8]) {
        self.found.entries += 1;
        match key.first() {
            Some(b'r') => self.block(key, value),
            Some(b'v') => self.found.values += 1,
            Some(b'h' | b'p') => {
                if !self.large.take(key, value) {
                    self.found.fault(format!("the entry `{}` of a large value is unreadable", key.escape_ascii()));
                }
            }
            _ => self.found.fault(format!("the entry `{}` is none of ours", key.escape_ascii())),
        }
    }

    fn block(&mut self, key: &[u8], value: &[u8]) {
        let name = key[1..].split(|byte| *byte == 0).next().unwrap_or_default();
        let shown = || String::from_utf8_lossy(name).into_owned();
        match codec::check(value) {
            Ok((number, rows)) => {
                self.found.blocks += 1;
                self.found.rows += u64::from(rows);
                self.numbers.entry(name.to_vec()).or_default().push(number);
            }
            Err(cause) => self.found.fault(format!("a block of the ring `{}`: {cause}", shown())),
        }
    }

    fn finish(mut self) -> Verified {
        let (whole, torn) = self.large.finish();
        self.found.large_values = whole;
        for name in torn {
            self.found.fault(format!("the large value `{name}` is not whole"));
        }
        for (name, mut numbers) in self.numbers {
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            if numbers.len() < count {
                self.found.fault(format!("two blocks of the ring `{}` have one number", String::from_utf8_lossy(&name)));
            }
        }
        self.found
    }
}

fn write_entry(out: &mut impl Write, key: &[u8], value: &[u8]) -> io::Result<()> {
    let too_long = || io::Error::other("an entry is too long for a backup");
    let key_length = u16::try_from(key.len()).ok().filter(|n| (1..=MOST_KEY).contains(&usize::from(*n))).ok_or_else(too_long)?;
    let value_length = u32::try_from(value.len()).ok().filter(|n| *n as usize <= MOST_VALUE).ok_or_else(too_long)?;
    out.write_all(&key_length.to_le_bytes())?;
    out.write_all(&value_length.to_le_bytes())?;
    out.write_all(key)?;
    out.write_all(value)
}

type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), ArchiveError>;

/// Reads a backup to its end, checks its sum, and tells the number of flushes beside.
fn read(from: &Path, visit: Visit<'_>) -> Result<(Backup, u64), ArchiveError> {
    let damaged = |cause| ArchiveError::Damaged { path: from.to_path_buf(), cause };
    let ended = |e: io::Error| match e.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
        _ => io_at(from)(e),
    };
    let mut input = Summed::new(BufReader::new(File::open(from).map_err(io_at(from))?));
    let mut magic = [0; MAGIC.len()];
    if input.read_exact(&mut magic).is_err() || magic != *MAGIC {
        return Err(ArchiveError::NoBackup(from.to_path_buf()));
    }
    let version = u16::from_le_bytes(input.take().map_err(ended)?);
    if version != VERSION {
        return Err(ArchiveError::Newer { path: from.to_path_buf(), version });
    }
    let made = Timestamp::from_nanos(i64::from_le_bytes(input.take().map_err(ended)?));
    let mut entries = 0;
    let (mut key, mut value) = (Vec::new(), Vec::new());
    loop {
        let key_length = usize::from(u16::from_le_bytes(input.take().map_err(ended)?));
        if key_length == 0 {
            break;
        }
        let value_length = u32::from_le_bytes(input.take().map_err(ended)?) as usize;
        if key_length > MOST_KEY || value_length > MOST_VALUE {
            return Err(damaged("an entry has an impossible length"));
        }
        key.resize(key_length, 0);
        value.resize(value_length, 0);
        input.read_exact(&mut key).map_err(ended)?;
        input.read_exact(&mut value).map_err(ended)?;
        visit(&key, &value)?;
        entries += 1;
    }
    let counted = u64::from_le_bytes(input.take().map_err(ended)?);
    let flushes = u64::from_le_bytes(input.take().map_err(ended)?);
    let (mut file, bytes, sha256) = input.finish();
    let mut told = [0; 32];
    file.read_exact(&mut told).map_err(ended)?;
    if counted != entries || told != sha256 {
        return Err(damaged("its checksum is wrong"));
    }
    if file.read(&mut [0]).map_err(io_at(from))? != 0 {
        return Err(damaged("something follows its end"));
    }
    Ok((Backup { entries, bytes: bytes + told.len() as u64, made, sha256 }, flushes))
}

/// A stream whose bytes are counted and summed up.
struct Summed<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> Summed<T> {
    fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn finish(self) -> (T, u64, [u8; 32]) {
        (self.inner, self.bytes, self.hash.finalize().into())
    }
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.count(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Summed<T> {
    fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.count(bytes);
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
