//! The store on disk.
//!
//! ```text
//! <dir>/lock          held while a gateway runs
//! <dir>/flushed       number of flushes
//! <dir>/sled/         the database; `new` while it is made
//! <dir>/damaged-<n>/  databases that could not be read, the newest three
//! ```
//! Keys: `r<ring>\0<slot>` blocks ([`super::ring`]), `v<key>` values, `h<key>` and `p...` large values
//! ([`super::blob`]). Rings carry the machine's name, so that the order of the configuration does not matter; rings of machines that
//! are no longer configured stay as they are.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::blob::{self, Blobs};
use super::codec::{BlockRow, FrameRow, decode, storable_event, storable_frame};
use super::disk::{Disk, FreeSpace, Lost, free_space};
use super::live::{DirectoryLock, move_aside};
use super::ring::{self, Found, Plan, Ring as RingOf, Step};
use super::series::{Best, storable_value};
use super::{
    FeatureRow, HistoryRow, MAX_BLOB, MAX_VALUE, Record, Ring, RingInfo, Series, Store, StoreError, ValueRow, check_key, check_value,
};
use crate::config::{MachineConfig, StoreConfig};
use crate::types::{End, Event, Frame, Historic, Timestamp};

const VALUE: u8 = b'v';
const EVENTS: &str = "events";
const VALUES: &str = "values";
/// An `apply` that makes more pending than this flushes by itself: bounds what is kept in memory.
const MOST_PENDING: usize = 8 << 20;

/// Which rings a machine has, and what their columns are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineLayout {
    /// Part of the keys.
    pub name: Arc<str>,
    /// Fingerprint of the channels' names in their order: rows of frames with another one are kept, but not given out.
    pub frames: u32,
    /// The same for features and models.
    pub features: u32,
    /// Strata of its samples, and rows of each that are kept; no strata where none are taken.
    pub samples: (u16, u32),
}

impl MachineLayout {
    pub fn of(machine: &MachineConfig) -> Self {
        let signals = machine.signals.iter().map(|s| &s.name);
        let features = machine.features.iter().map(|f| &f.name);
        Self {
            name: Arc::clone(&machine.name),
            frames: fingerprint(signals.chain(machine.settings.iter().map(|s| &s.name)).chain(machine.labels().map(|l| &l.name))),
            features: fingerprint(features.chain(machine.models.iter().map(|m| &m.name))),
            samples: machine.buffers.samples.as_ref().map_or((0, 0), |s| (machine.regime_slots, s.rows)),
        }
    }
}

/// CRC-32 of the names, each with its end.
fn fingerprint<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    names.for_each(|name| {
        crc.update(name.as_bytes());
        crc.update(&[0]);
    });
    crc.finalize()
}

/// What was found at opening; [`OpenReport::problems`] says what of it deserves an alarm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Rows that can be read, all rings together.
    pub rows: u64,
    /// The database could not be read: where it is now, and why. The store is empty.
    pub moved_aside: Option<(PathBuf, String)>,
    /// Flushes that the disk had confirmed and has forgotten: the newest data is gone, what is there is right.
    pub lost_flushes: u64,
    /// Keys that the disk has lost: blocks (about 100 rows each), values, pieces of large values.
    pub lost_entries: u64,
    /// Blocks (about 100 rows each) that were damaged, and removed.
    pub damaged_blocks: u64,
    /// Rows from before the names of a machine's signals or features changed: kept until too old, not given out.
    pub other_layout_rows: u64,
    /// Rings of machines that are not in the configuration.
    pub unknown_rings: Vec<String>,
    /// Files that the database does not make safe against a power cut; always 0, unless something is wrong.
    pub blob_files: usize,
}

impl OpenReport {
    /// One sentence a problem, for the log and an alarm.
    pub fn problems(&self) -> Vec<String> {
        let mut out = Vec::new();
        if let Some((path, cause)) = &self.moved_aside {
            let path = path.display();
            out.push(format!(
                "the store was damaged and is empty now; the old one is in `{path}` ({cause}); check parameters that were tuned"
            ));
        }
        if self.lost_flushes > 0 {
            out.push(format!(
                "the disk has forgotten the newest data of the store ({} flushes, about 0.3 s each); check the disk and its cache",
                self.lost_flushes
            ));
        }
        if self.lost_entries > 0 {
            out.push(format!(
                "the disk has lost {} entries of the store (blocks of about 100 rows, or values); check the disk, and parameters that were \
                 tuned",
                self.lost_entries
            ));
        }
        if self.damaged_blocks > 0 {
            out.push(format!("{} damaged blocks of about 100 rows were removed; check the disk", self.damaged_blocks));
        }
        if self.blob_files > 0 {
            out.push(format!("{} files in `blobs` are not safe against a power cut; report it", self.blob_files));
        }
        out
    }
}

impl fmt::Display for OpenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.rows)?;
        if self.other_layout_rows > 0 {
            write!(f, ", {} more with other signals or features than now", self.other_layout_rows)?;
        }
        if !self.unknown_rings.is_empty() {
            write!(f, ", rings of machines that are not configured: `{}`", self.unknown_rings.join("`, `"))?;
        }
        Ok(())
    }
}

/// Rings of one machine.
struct Machine {
    frames: Mutex<RingOf<FrameRow>>,
    features: Mutex<RingOf<FeatureRow>>,
    history: Mutex<RingOf<HistoryRow>>,
    /// By stratum.
    samples: Vec<Sampled>,
}

impl Machine {
    /// Removes blocks, those with the oldest rows first, until the rest is small enough; samples are not counted.
    fn drop_beyond(&self, disk: &Disk, most: u64) {
        let (mut frames, mut features, mut history) = (self.frames.lock(), self.features.lock(), self.history.lock());
        let mut bytes = [frames.bytes(), features.bytes(), history.bytes()];
        while bytes.iter().sum::<u64>() > most {
            let oldest = [frames.oldest_block(), features.oldest_block(), history.oldest_block()];
            // Only open blocks are left: the newest rows stay.
            let Some(k) = (0..3).filter(|k| oldest[*k].is_some()).min_by_key(|k| oldest[*k]) else { return };
            bytes[k] = match k {
                0 => dropped(&mut frames, disk),
                1 => dropped(&mut features, disk),
                _ => dropped(&mut history, disk),
            };
        }
    }
}

fn dropped<R: BlockRow>(ring: &mut RingOf<R>, disk: &Disk) -> u64 {
    ring.drop_oldest(disk);
    ring.bytes()
}

/// Rows of an age above it go, a block at a time. By the earlier of both clocks, so that neither a wrong one here nor one in a PLC throws
/// away what is there.
fn drop_old<R: BlockRow>(ring: &Mutex<RingOf<R>>, disk: &Disk, now: Timestamp, age: Duration) {
    let mut ring = ring.lock();
    if let Some(newest) = ring.newest() {
        ring.drop_before(disk, newest.min(now).minus(age), now);
    }
}

fn wall_clock() -> Timestamp {
    Timestamp::EPOCH.plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Bounds of rings beside their rows.
#[derive(Copy, Clone)]
struct Bounds {
    max_age: Option<Duration>,
    machine_bytes: Option<u64>,
}

impl Bounds {
    fn of(config: &StoreConfig) -> Self {
        Self { max_age: config.max_age, machine_bytes: config.machine_bytes }
    }
}

/// Rings of one stratum of samples.
struct Sampled {
    features: Mutex<RingOf<FeatureRow>>,
    frames: Mutex<RingOf<FrameRow>>,
}

/// [`Store`] in a directory, by sled.
pub struct SledStore {
    machines: Vec<Machine>,
    events: Mutex<RingOf<Event>>,
    values: Mutex<RingOf<ValueRow>>,
    blobs: Blobs,
    bounds: Bounds,
    damaged_blocks: AtomicU64,
    disk: Disk,
    /// Dropped last.
    _lock: DirectoryLock,
}

impl SledStore {
    /// Opens or creates the store in `dir`. A machine's index is its place in `machines`.
    ///
    /// A database that cannot be read is moved aside, and the store begins empty: the report says so. After a change of the
    /// capacities the newest rows that fit are there.
    ///
    /// # Errors
    /// `Locked` where another gateway uses the directory; `DiskFull`; `Io` where it cannot be read or written, or was written by a
    /// newer version.
    pub fn open(dir: &Path, config: &StoreConfig, machines: &[MachineLayout]) -> Result<(Self, OpenReport), StoreError> {
        Self::open_with(dir, config, machines, &free_space())
    }

    pub(super) fn open_with(
        dir: &Path,
        config: &StoreConfig,
        machines: &[MachineLayout],
        free_space: &FreeSpace,
    ) -> Result<(Self, OpenReport), StoreError> {
        let lock = DirectoryLock::take(dir)?;
        let attempt = || {
            let (disk, lost) = Disk::open(dir, config.disk_reserve, Arc::clone(free_space))?;
            Contents::load(disk, lost, config, machines)
        };
        let (contents, moved_aside) = match attempt() {
            Err(StoreError::Damaged { cause, .. }) => {
                let path = move_aside(dir)?;
                (attempt()?, Some((path, cause)))
            }
            contents => (contents?, None),
        };
        let Contents { disk, machines, events, values, blobs, report } = contents;
        let bounds = Bounds::of(config);
        let store =
            Self { machines, events, values, blobs, bounds, damaged_blocks: AtomicU64::new(report.damaged_blocks), disk, _lock: lock };
        Ok((store, OpenReport { moved_aside, ..report }))
    }

    /// Blocks found damaged since opening, and at it.
    pub fn damaged_blocks(&self) -> u64 {
        self.damaged_blocks.load(Ordering::Relaxed)
    }

    /// Bytes of the database on disk: three to five times the live rows.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.disk.size()
    }

    fn machine(&self, machine: u16) -> Result<&Machine, StoreError> {
        self.machines.get(usize::from(machine)).ok_or(StoreError::NoSuchMachine { machine, machines: self.machines.len() })
    }

    fn rows<R: BlockRow>(&self, ring: &Mutex<RingOf<R>>, time: &Range<Timestamp>, limit: usize) -> Result<Vec<R>, StoreError> {
        let plan = ring.lock().plan(time, limit);
        let mut found = plan.open.len();
        let mut parts = vec![plan.open];
        for step in plan.blocks {
            if found >= limit {
                break;
            }
            let rows = self.block(ring, &step)?;
            let rows: Vec<R> = rows.into_iter().filter(|row| time.contains(&row.time())).collect();
            found += rows.len();
            parts.push(rows);
        }
        Ok(parts.into_iter().rev().flatten().skip(found.saturating_sub(limit)).collect())
    }

    fn visit<R: BlockRow>(
        &self,
        ring: &Mutex<RingOf<R>>,
        time: &Range<Timestamp>,
        visit: &mut dyn FnMut(R) -> bool,
    ) -> Result<(), StoreError> {
        let Plan { blocks, open } = ring.lock().plan(time, usize::MAX);
        for step in blocks.iter().rev() {
            let rows = self.block(ring, step)?;
            if !rows.into_iter().filter(|row| time.contains(&row.time())).all(&mut *visit) {
                return Ok(());
            }
        }
        open.into_iter().all(visit);
        Ok(())
    }

    /// Rows of one block; none where they have left the ring, or are damaged.
    fn block<R: BlockRow>(&self, ring: &Mutex<RingOf<R>>, step: &Step) -> Result<Vec<R>, StoreError> {
        let Some(block) = self.disk.get(&step.key)? else { return Ok(Vec::new()) };
        match decode::<R>(&block) {
            Ok((header, mut rows)) if header.number == step.number => {
                rows.drain(..step.skip.min(rows.len()));
                Ok(rows)
            }
            // Its slot was used again meanwhile.
            Ok(_) => Ok(Vec::new()),
            Err(cause) => {
                self.leave_out(ring, step.number, &cause);
                Ok(Vec::new())
            }
        }
    }

    /// What one variable was, block by block from the wanted end on. No lock is held while blocks are read.
    fn pick<R: BlockRow>(
        &self,
        ring: &Mutex<RingOf<R>>,
        mut best: Best,
        value: impl Fn(&R) -> Option<Historic>,
    ) -> Result<Vec<Historic>, StoreError> {
        let Plan { mut blocks, open } = ring.lock().plan(best.time(), usize::MAX);
        best.sort(&mut blocks);
        // The open rows are few and in memory: first, although they are the newest.
        best.offer(u64::MAX, open.iter().filter_map(&value));
        for step in &blocks {
            if best.is_settled(step) {
                break;
            }
            best.offer(step.number, self.block(ring, step)?.iter().filter_map(&value));
        }
        Ok(best.finish())
    }

    fn leave_out<R: BlockRow>(&self, ring: &Mutex<RingOf<R>>, number: u64, cause: &dyn fmt::Display) {
        let mut ring = ring.lock();
        if ring.forget(number) {
            self.damaged_blocks.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("a block of the ring `{}` is damaged and left out: {cause}; check the disk", ring.name());
        }
    }

    fn settle_all(&self) {
        for machine in &self.machines {
            machine.frames.lock().settle(&self.disk);
            machine.features.lock().settle(&self.disk);
            machine.history.lock().settle(&self.disk);
            for sampled in &machine.samples {
                sampled.features.lock().settle(&self.disk);
                sampled.frames.lock().settle(&self.disk);
            }
        }
        self.events.lock().settle(&self.disk);
        self.values.lock().settle(&self.disk);
    }

    fn sampled(&self, machine: u16, stratum: u16) -> Result<Option<&Sampled>, StoreError> {
        Ok(self.machine(machine)?.samples.get(usize::from(stratum)))
    }

    fn sample(&self, machine: u16, stratum: u16, row: FeatureRow, frame: Arc<Frame>) -> Result<(), StoreError> {
        let Some(sampled) = self.sampled(machine, stratum)? else { return Ok(()) };
        // The frame first: a row of features without one is known, the other way round it would be nobody's.
        sampled.frames.lock().push(&self.disk, FrameRow { row: row.row, frame: storable_frame(frame) })?;
        sampled.features.lock().push(&self.disk, row)
    }

    /// What is too old or too much goes.
    fn drop_oldest(&self) {
        let Bounds { max_age, machine_bytes } = self.bounds;
        if let Some(age) = max_age {
            let now = wall_clock();
            for machine in &self.machines {
                drop_old(&machine.frames, &self.disk, now, age);
                drop_old(&machine.features, &self.disk, now, age);
                drop_old(&machine.history, &self.disk, now, age);
                for sampled in &machine.samples {
                    drop_old(&sampled.features, &self.disk, now, age);
                    drop_old(&sampled.frames, &self.disk, now, age);
                }
            }
            drop_old(&self.events, &self.disk, now, age);
            drop_old(&self.values, &self.disk, now, age);
        }
        if let Some(most) = machine_bytes {
            self.machines.iter().for_each(|machine| machine.drop_beyond(&self.disk, most));
        }
    }

    fn put(&self, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
        check_value(key, value.len(), MAX_VALUE)?;
        self.disk.change(value_key(key), Some(value));
        Ok(())
    }

    fn put_blob(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        check_value(key, value.len(), MAX_BLOB)?;
        self.blobs.put(&self.disk, key, value)
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        self.disk.change(value_key(key), None);
        self.blobs.remove(&self.disk, key)
    }
}

impl Store for SledStore {
    fn apply(&self, record: Record) -> Result<(), StoreError> {
        self.disk.accepting()?;
        match record {
            Record::Frame { machine, row, frame } => {
                let row = FrameRow { row, frame: storable_frame(frame) };
                self.machine(machine)?.frames.lock().push(&self.disk, row)
            }
            Record::Features { machine, row } => self.machine(machine)?.features.lock().push(&self.disk, row),
            Record::History { machine, row } => self.machine(machine)?.history.lock().push(&self.disk, row),
            Record::Sample { machine, stratum, row, frame } => self.sample(machine, stratum, row, frame),
            Record::Event(event) => self.events.lock().push(&self.disk, storable_event(event)),
            Record::Value(row) => self.values.lock().push(&self.disk, storable_value(row)),
            Record::Put { key, value } => self.put(&key, value),
            Record::Remove { key } => self.remove(&key),
            Record::PutBlob { key, value } => self.put_blob(&key, &value),
        }?;
        if self.disk.pending_bytes() > MOST_PENDING {
            // The record has been taken. A failure stays, and the caller's next flush tells it.
            let _ = self.disk.flush();
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.settle_all();
        self.drop_oldest();
        let trash = self.blobs.take_trash();
        let done = self.disk.flush();
        match done {
            Ok(()) => trash.into_iter().for_each(|key| self.disk.change(key, None)),
            Err(_) => self.blobs.put_back(trash),
        }
        done
    }

    fn features(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<FeatureRow>, StoreError> {
        self.rows(&self.machine(machine)?.features, &time, limit)
    }

    fn visit_features(&self, machine: u16, time: Range<Timestamp>, visit: &mut dyn FnMut(FeatureRow) -> bool) -> Result<(), StoreError> {
        self.visit(&self.machine(machine)?.features, &time, visit)
    }

    fn history(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<HistoryRow>, StoreError> {
        self.rows(&self.machine(machine)?.history, &time, limit)
    }

    fn frames(&self, machine: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<(u64, Frame)>, StoreError> {
        let rows = self.rows(&self.machine(machine)?.frames, &time, limit)?;
        Ok(rows.into_iter().map(|row| (row.row, Arc::unwrap_or_clone(row.frame))).collect())
    }

    fn visit_samples(
        &self,
        machine: u16,
        stratum: u16,
        time: Range<Timestamp>,
        visit: &mut dyn FnMut(FeatureRow) -> bool,
    ) -> Result<(), StoreError> {
        let Some(sampled) = self.sampled(machine, stratum)? else { return Ok(()) };
        self.visit(&sampled.features, &time, visit)
    }

    fn sample_frames(&self, machine: u16, stratum: u16, time: Range<Timestamp>, limit: usize) -> Result<Vec<(u64, Frame)>, StoreError> {
        let Some(sampled) = self.sampled(machine, stratum)? else { return Ok(Vec::new()) };
        let rows = self.rows(&sampled.frames, &time, limit)?;
        Ok(rows.into_iter().map(|row| (row.row, Arc::unwrap_or_clone(row.frame))).collect())
    }

    fn events(&self, time: Range<Timestamp>, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.rows(&self.events, &time, limit)
    }

    fn series(&self, series: &Series, time: Range<Timestamp>, limit: usize, end: End) -> Result<Vec<Historic>, StoreError> {
        let best = Best::new(time, limit, end);
        match series {
            Series::Channel { machine, channel } => self.pick(&self.machine(*machine)?.frames, best, |row| row.at(*channel)),
            Series::Score { machine, model } => self.pick(&self.machine(*machine)?.features, best, |row| row.score_at(*model)),
            Series::Variable(path) => self.pick(&self.values, best, |row| row.of(path)),
        }
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        check_key(key)?;
        Ok(self.disk.get(&value_key(key))?.map(|value| value.to_vec()))
    }

    fn get_blob(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        check_key(key)?;
        self.blobs.get(&self.disk, key)
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut names = BTreeSet::new();
        for tag in [VALUE, blob::HEAD] {
            let prefix = [&[tag], prefix.as_bytes()].concat();
            self.disk.scan(&prefix, &prefix, |key, _| {
                names.insert(String::from_utf8_lossy(&key[1..]).into_owned());
                true
            })?;
        }
        Ok(names.into_iter().collect())
    }

    fn info(&self) -> Result<Vec<RingInfo>, StoreError> {
        let mut out = Vec::with_capacity(3 * self.machines.len() + 1);
        for (machine, i) in self.machines.iter().zip(0..) {
            out.push(info(Ring::Frames(i), &machine.frames));
            out.push(info(Ring::Features(i), &machine.features));
            out.push(info(Ring::History(i), &machine.history));
            out.extend(all_samples(i, &machine.samples));
        }
        out.push(info(Ring::Events, &self.events));
        out.push(info(Ring::Values, &self.values));
        Ok(out)
    }
}

fn info<R: BlockRow>(ring: Ring, of: &Mutex<RingOf<R>>) -> RingInfo {
    let of = of.lock();
    let extent = of.extent();
    RingInfo { ring, rows: extent.rows, capacity: of.capacity(), oldest: extent.oldest, newest: extent.newest, bytes: extent.bytes }
}

/// All strata together; `None` where there are none. The bytes are of features and frames.
fn all_samples(machine: u16, samples: &[Sampled]) -> Option<RingInfo> {
    let ring = Ring::Samples(machine);
    let strata = samples.iter().map(|s| (info(ring, &s.features), info(ring, &s.frames).bytes));
    strata.map(|(features, frames)| RingInfo { bytes: features.bytes + frames, ..features }).reduce(|all, one| RingInfo {
        ring,
        rows: all.rows + one.rows,
        capacity: all.capacity + one.capacity,
        oldest: all.oldest.into_iter().chain(one.oldest).min(),
        newest: all.newest.into_iter().chain(one.newest).max(),
        bytes: all.bytes + one.bytes,
    })
}

fn value_key(key: &str) -> Vec<u8> {
    [&[VALUE], key.as_bytes()].concat()
}

/// What is read at opening.
struct Contents {
    machines: Vec<Machine>,
    events: Mutex<RingOf<Event>>,
    values: Mutex<RingOf<ValueRow>>,
    blobs: Blobs,
    report: OpenReport,
    disk: Disk,
}

impl Contents {
    fn load(disk: Disk, lost: Lost, config: &StoreConfig, layouts: &[MachineLayout]) -> Result<Self, StoreError> {
        let mut report =
            OpenReport { blob_files: disk.blob_files(), lost_flushes: lost.flushes, lost_entries: lost.entries, ..OpenReport::default() };
        let mut known = BTreeSet::from([EVENTS.to_string(), VALUES.to_string()]);
        let mut machines = Vec::with_capacity(layouts.len());
        for layout in layouts {
            let [frames, features, history] = ["frames", "features", "history"].map(|kind| format!("{kind}/{}", layout.name));
            let (strata, rows) = layout.samples;
            let mut samples = Vec::with_capacity(usize::from(strata));
            for stratum in 0..strata {
                let [of_features, of_frames] = ["samples", "sample-frames"].map(|kind| format!("{kind}/{}/{stratum}", layout.name));
                samples.push(Sampled {
                    features: load_ring(&disk, &of_features, layout.features, rows, &mut report)?,
                    frames: load_ring(&disk, &of_frames, layout.frames, rows, &mut report)?,
                });
                known.extend([of_features, of_frames]);
            }
            machines.push(Machine {
                samples,
                frames: load_ring(&disk, &frames, layout.frames, config.frame_rows, &mut report)?,
                features: load_ring(&disk, &features, layout.features, config.feature_rows, &mut report)?,
                history: load_ring(&disk, &history, 0, config.history_rows, &mut report)?,
            });
            known.extend([frames, features, history]);
        }
        let events = load_ring(&disk, EVENTS, 0, config.event_rows, &mut report)?;
        let values = load_ring(&disk, VALUES, 0, config.value_rows, &mut report)?;
        report.unknown_rings = ring_names(&disk)?.into_iter().filter(|name| !known.contains(name)).collect();
        let blobs = Blobs::open(&disk)?;
        Ok(Self { machines, events, values, blobs, report, disk })
    }
}

fn load_ring<R: BlockRow>(
    disk: &Disk,
    name: &str,
    layout: u32,
    capacity: u32,
    report: &mut OpenReport,
) -> Result<Mutex<RingOf<R>>, StoreError> {
    let (ring, Found { rows, damaged_blocks, other_layout_rows }) = RingOf::open(disk, name, layout, capacity)?;
    report.rows += rows;
    report.damaged_blocks += damaged_blocks;
    report.other_layout_rows += other_layout_rows;
    Ok(Mutex::new(ring))
}

/// Names of all rings, without reading all their blocks: from each name straight to the next.
fn ring_names(disk: &Disk) -> Result<Vec<String>, StoreError> {
    let mut names: Vec<String> = Vec::new();
    let mut from = b"r".to_vec();
    loop {
        let mut next = None;
        disk.scan(b"r", &from, |key, _| {
            next = key[1..].split(|byte| *byte == 0).next().map(|name| String::from_utf8_lossy(name).into_owned());
            false
        })?;
        let Some(name) = next else { return Ok(names) };
        from = ring::prefix(&name);
        // The byte after the `\0` that ends the name.
        *from.last_mut().unwrap_or(&mut 0) = 1;
        names.push(name);
    }
}

#[cfg(test)]
mod tests;
