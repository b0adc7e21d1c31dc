//! The load, the same for each, in a process of its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use driftgate::store::{FLUSH_EVERY, FeatureRow};
use driftgate::types::Timestamp;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::engines::{self, Engine, RAW_ROW};

pub const RINGS: u16 = 10;
/// Of each ring.
pub const ROWS: u64 = 10_000;
pub const VALUES: usize = 33;
const BATCH: u64 = 100;
const WRAPS: u64 = 10;
/// Rows of a ring between two flushes at ten rows a second.
const CALM_ROWS: u64 = 3;
const CALM_FLUSHES: u64 = 500;

/// Figures of one engine under load.
#[derive(Serialize, Deserialize, Debug, Default)]
pub struct Figures {
    pub rows_per_second: f64,
    /// 100 rows, without the flush.
    pub append_p99_us: f64,
    pub append_worst_ms: f64,
    pub flush_median_ms: f64,
    pub flush_worst_ms: f64,
    /// On disk, rings filled once.
    pub filled_bytes: u64,
    /// On disk, after all wraps.
    pub wrapped_bytes: u64,
    /// Bytes written to the disk by those of the rows, at full speed.
    pub amplification: f64,
    /// With a flush every 30 rows.
    pub calm_amplification: f64,
    pub calm_flush_p99_ms: f64,
    pub packed_bytes: u64,
    pub peak_memory_kb: u64,
}

/// What is seen after a kill.
#[derive(Serialize, Deserialize, Debug, Default)]
pub struct Recovery {
    /// Until rows can be read.
    pub open_ms: f64,
    pub scan_ms: f64,
    pub rows: usize,
}

/// Slow waves with noise, as a 16-bit converter gives them: the rows of `benches/store.rs`.
fn row(n: u64, random: &mut ChaCha8Rng) -> FeatureRow {
    let value = |i: usize| {
        let x = 100.0 * i as f64 + 20.0 * (n as f64 / 300.0 + i as f64).sin() + random.gen_range(-0.5..0.5);
        (x * 16.0).round() / 16.0
    };
    FeatureRow {
        row: n,
        time: Timestamp::from_nanos(1_700_000_000_000_000_000 + n as i64 * 10_000_000),
        features: (0..VALUES).map(value).collect(),
        ..FeatureRow::default()
    }
}

/// Appends to all rings, from row `n` on.
struct Load {
    engine: Box<dyn Engine>,
    random: ChaCha8Rng,
    n: u64,
    last_flush: Instant,
    appends: Vec<Duration>,
    flushes: Vec<Duration>,
}

impl Load {
    fn append(&mut self, count: u64, flush_by_clock: bool) -> anyhow::Result<()> {
        for ring in 0..RINGS {
            let rows = (self.n..self.n + count).map(|n| row(n, &mut self.random)).collect();
            let start = Instant::now();
            self.engine.append(ring, rows)?;
            self.appends.push(start.elapsed());
            if flush_by_clock && self.last_flush.elapsed() > FLUSH_EVERY {
                self.flush()?;
            }
        }
        self.n += count;
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        self.engine.flush()?;
        self.flushes.push(start.elapsed());
        self.last_flush = Instant::now();
        Ok(())
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        for _ in 0..ROWS / BATCH {
            self.append(BATCH, true)?;
        }
        Ok(())
    }
}

/// Prints the figures, then goes on until it is killed.
pub fn run(name: &str, dir: &Path) -> anyhow::Result<()> {
    let engine = engines::open(name, dir)?;
    let mut load =
        Load { engine, random: ChaCha8Rng::seed_from_u64(1), n: 1, last_flush: Instant::now(), appends: vec![], flushes: vec![] };
    let written = written_bytes()?;
    load.fill()?;
    load.flush()?;
    let filled_bytes = size(dir)?;
    for _ in 0..WRAPS {
        load.fill()?;
    }
    load.flush()?;
    let payload = |rows: u64| (rows * u64::from(RINGS) * RAW_ROW) as f64;
    let busy: Duration = load.appends.iter().chain(&load.flushes).sum();
    let (mut appends, mut flushes) = (std::mem::take(&mut load.appends), std::mem::take(&mut load.flushes));
    let (append, flush) = (sorted(&mut appends), sorted(&mut flushes));
    let mut figures = Figures {
        rows_per_second: ((WRAPS + 1) * ROWS * u64::from(RINGS)) as f64 / busy.as_secs_f64(),
        append_p99_us: append[append.len() * 99 / 100].as_secs_f64() * 1e6,
        append_worst_ms: append[append.len() - 1].as_secs_f64() * 1e3,
        flush_median_ms: flush[flush.len() / 2].as_secs_f64() * 1e3,
        flush_worst_ms: flush[flush.len() - 1].as_secs_f64() * 1e3,
        filled_bytes,
        wrapped_bytes: size(dir)?,
        amplification: (written_bytes()? - written) as f64 / payload((WRAPS + 1) * ROWS),
        packed_bytes: load.engine.packed_bytes(),
        ..Figures::default()
    };
    let written = written_bytes()?;
    for _ in 0..CALM_FLUSHES {
        load.append(CALM_ROWS, false)?;
        load.flush()?;
    }
    figures.calm_amplification = (written_bytes()? - written) as f64 / payload(CALM_FLUSHES * CALM_ROWS);
    let flush = sorted(&mut load.flushes);
    figures.calm_flush_p99_ms = flush[flush.len() * 99 / 100].as_secs_f64() * 1e3;
    figures.peak_memory_kb = peak_memory()?;
    println!("{}", serde_json::to_string(&figures)?);
    loop {
        load.append(BATCH, true)?;
        load.appends.clear();
    }
}

/// After a kill.
pub fn recover(name: &str, dir: &Path) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut engine = engines::open(name, dir)?;
    let open = start.elapsed();
    let start = Instant::now();
    let mut rows = 0;
    for ring in 0..RINGS {
        rows += engine.scan(ring)?;
    }
    let scan = start.elapsed();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!("{}", serde_json::to_string(&Recovery { open_ms: milliseconds(open), scan_ms: milliseconds(scan), rows })?);
    Ok(())
}

fn sorted(times: &mut [Duration]) -> &[Duration] {
    times.sort_unstable();
    times
}

/// What this process has caused to be written to disks: pages, not what they were written for.
fn written_bytes() -> anyhow::Result<u64> {
    field("/proc/self/io", "write_bytes:")
}

fn peak_memory() -> anyhow::Result<u64> {
    field("/proc/self/status", "VmHWM:")
}

fn field(path: &str, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| anyhow::anyhow!("`{path}` has no `{name}`"))
}

/// Bytes that the files take on the disk.
fn size(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let data = entry.metadata()?;
        bytes += if data.is_dir() { size(&entry.path())? } else { data.blocks() * 512 };
    }
    Ok(bytes)
}
