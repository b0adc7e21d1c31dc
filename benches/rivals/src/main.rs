//! The store of driftgate beside sled as it comes, redb and SQLite: 10 rings of 10,000 rows of 33 values, written eleven times over.
//!
//! ```text
//! cargo run --release --manifest-path benches/rivals/Cargo.toml [-- --dir DIR]
//! ```
//! All with the same durability: everything is on the disk, with an fsync, every 0.3 s. All with 32 MB of cache. Each in a process of its
//! own, which is killed in the end (kill -9) and whose database is opened again. `DIR` must be on a disk, not in memory: what is written
//! to disks is counted by the kernel. Prints a table for docs/performance.md; in brackets: so many times driftgate's figure.

mod engines;
mod load;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use self::engines::{NAMES, RAW_ROW};
use self::load::{Figures, RINGS, ROWS, Recovery};

/// From the last figure to the kill: in the midst of writing.
const BEFORE_KILL: Duration = Duration::from_millis(700);

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["load", name, dir] => load::run(name, Path::new(dir)),
        ["recover", name, dir] => load::recover(name, Path::new(dir)),
        [] => compare(&std::env::temp_dir()),
        ["--dir", dir] => compare(&PathBuf::from(dir)),
        _ => anyhow::bail!("usage: rivals [--dir DIR]"),
    }
}

fn compare(folder: &Path) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for name in NAMES {
        eprintln!("{name}");
        let dir = tempfile::tempdir_in(folder)?;
        all.push(measure(name, &dir.path().join("store")).with_context(|| name.to_string())?);
    }
    print(&all);
    Ok(())
}

fn measure(name: &str, dir: &Path) -> anyhow::Result<(Figures, Recovery)> {
    let own = std::env::current_exe()?;
    let mut child = Command::new(&own).arg("load").arg(name).arg(dir).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut line)?;
    if !line.is_empty() {
        thread::sleep(BEFORE_KILL);
        let ended = child.try_wait()?;
        ensure!(ended.is_none(), "it ended by itself: {ended:?}");
    }
    child.kill()?;
    child.wait()?;
    let figures = serde_json::from_str(&line).context("no figures")?;
    let done = Command::new(own).arg("recover").arg(name).arg(dir).stderr(Stdio::inherit()).output()?;
    ensure!(done.status.success(), "it does not open after the kill");
    let recovery: Recovery = serde_json::from_slice(&done.stdout)?;
    ensure!(recovery.rows as u64 >= ROWS * u64::from(RINGS), "only {} rows after the kill", recovery.rows);
    Ok((figures, recovery))
}

/// A line of the table: what, its figure, decimals.
type Line = (&'static str, fn(&Figures, &Recovery) -> f64, usize);

fn print(all: &[(Figures, Recovery)]) {
    fn rows() -> f64 {
        (ROWS * u64::from(RINGS)) as f64
    }
    let lines: [Line; 13] = [
        ("rows/s, flushes included", |f, _| f.rows_per_second, 0),
        ("append of 100 rows, p99, ms", |f, _| f.append_p99_us / 1e3, 2),
        ("append of 100 rows, worst, ms", |f, _| f.append_worst_ms, 1),
        ("flush at full speed, median, ms", |f, _| f.flush_median_ms, 1),
        ("flush at full speed, worst, ms", |f, _| f.flush_worst_ms, 1),
        ("flush of 30 rows, p99, ms", |f, _| f.calm_flush_p99_ms, 2),
        ("bytes on disk a row, rings filled once", |f, _| f.filled_bytes as f64 / rows(), 0),
        ("after 10 wraps", |f, _| f.wrapped_bytes as f64 / rows(), 0),
        ("disk after 10 wraps / rows unpacked", |f, _| f.wrapped_bytes as f64 / rows() / RAW_ROW as f64, 2),
        ("written / rows unpacked, at full speed", |f, _| f.amplification, 2),
        ("the same, a flush every 30 rows", |f, _| f.calm_amplification, 1),
        ("open after kill -9, ms", |_, r| r.open_ms, 1),
        ("then all rows read, ms", |_, r| r.scan_ms, 0),
    ];
    println!("| | {} |\n|---|{}", NAMES.join(" | "), "---|".repeat(NAMES.len()));
    for (what, figure, decimals) in lines {
        let own = all.first().map_or(f64::NAN, |(f, r)| figure(f, r));
        let cells = all.iter().enumerate().map(|(k, (f, r))| {
            let x = figure(f, r);
            if k == 0 { format!("{x:.decimals$}") } else { format!("{x:.decimals$} ({:.2})", x / own) }
        });
        println!("| {what} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    let memory: Vec<String> = all.iter().map(|(f, _)| format!("{}", f.peak_memory_kb / 1024)).collect();
    println!("| memory at most, MB | {} |", memory.join(" | "));
    if let Some((own, _)) = all.first().filter(|(f, _)| f.packed_bytes > 0) {
        let packed = own.packed_bytes as f64;
        println!(
            "\ndriftgate packs a row of {RAW_ROW} bytes into {:.0}; disk after 10 wraps / packed rows: {:.1}",
            packed / rows(),
            own.wrapped_bytes as f64 / packed
        );
    }
}
