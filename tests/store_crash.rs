//! `kill -9` at any moment: nothing that was acknowledged after a flush is lost, and nothing else is wrong.
//!
//! The test runs itself as a child process that appends, flushes and says so; it is killed after a random time, and what it leaves is
//! read. Ten rounds on one directory. `tests/powercut` uses the child and the checker for power cuts, and for more rounds.
#![cfg(feature = "gateway")]

use std::io::{BufRead, BufReader, Write};
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use driftgate::config::StoreConfig;
use driftgate::store::{FeatureRow, MachineLayout, OpenReport, Record, SledStore, Store};
use driftgate::types::{Event, EventKind, Timestamp};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DIRECTORY: &str = "DRIFTGATE_STORE_CRASH_DIRECTORY";
const CHECK: &str = "DRIFTGATE_STORE_CRASH_CHECK";
/// Acknowledged rows, as `1-20 21-55`.
const EXPECT: &str = "DRIFTGATE_STORE_CRASH_EXPECT";
const ROUNDS: u64 = 10;
const WIDTH: u64 = 33;
/// Small, so that slots are used again many times.
const CAPACITY: u32 = 1_500;
const BEGINS: &str = "begins after ";
const ACKNOWLEDGED: &str = "acknowledged ";
const PROBLEM: &str = "problem ";
const WHOLE: &str = "whole";

fn open(dir: &Path) -> (SledStore, OpenReport) {
    let config = StoreConfig {
        frame_rows: 10,
        feature_rows: CAPACITY,
        history_rows: 10,
        event_rows: CAPACITY,
        value_rows: 10,
        disk_reserve: 0,
        max_age: None,
        machine_bytes: None,
    };
    let machines = ["A", "B"].map(|name| MachineLayout { name: name.into(), frames: 0, features: 0, samples: (0, 0) });
    SledStore::open(dir, &config, &machines).expect("the store opens")
}

fn time(n: u64) -> Timestamp {
    Timestamp::from_nanos(n as i64 * 1_000_000)
}

fn row(n: u64) -> FeatureRow {
    let features = (0..WIDTH).map(|i| ((n * 7 + i * 13) % 1_000) as f64 / 8.0 + (n as f64).sin()).collect();
    FeatureRow { row: n, time: time(n), features, ..FeatureRow::default() }
}

fn event(n: u64) -> Event {
    Event { unit: "A".into(), row: n, time: time(n), kind: EventKind::Note { text: format!("event {n}") } }
}

/// All of one size and of one byte, so that a mixture would be seen.
fn blob(n: u64) -> Arc<[u8]> {
    vec![n as u8; 60_000].into()
}

fn all() -> std::ops::Range<Timestamp> {
    Timestamp::MIN..Timestamp::from_nanos(i64::MAX)
}

/// Does nothing unless it is the child.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let (store, _) = open(Path::new(&dir));
    // The rings may differ in what was written without having been acknowledged.
    let newest = |machine| store.features(machine, all(), 1).unwrap().last().map_or(0, |row| row.row);
    let event_row = store.events(all(), 1).unwrap().last().map_or(0, |event| event.row);
    let mut n = newest(0).max(newest(1)).max(event_row);
    println!("\n{BEGINS}{n}");
    let mut random = ChaCha8Rng::seed_from_u64(n);
    loop {
        for _ in 0..random.gen_range(1..60) {
            n += 1;
            store.apply(Record::Features { machine: 0, row: row(n) }).unwrap();
            store.apply(Record::Features { machine: 1, row: row(n) }).unwrap();
            store.apply(Record::Event(event(n))).unwrap();
        }
        store.apply(Record::Put { key: "counter".into(), value: n.to_le_bytes().to_vec() }).unwrap();
        if random.gen_bool(0.3) {
            store.apply(Record::PutBlob { key: "blob".into(), value: blob(n) }).unwrap();
        }
        store.flush().unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{ACKNOWLEDGED}{n}").unwrap();
        out.flush().unwrap();
    }
}

/// Does nothing unless it is asked to: for what was killed, or lost its power, elsewhere.
#[test]
fn checker() {
    let Some(dir) = std::env::var_os(CHECK) else { return };
    let acknowledged: Vec<_> = std::env::var(EXPECT)
        .expect("what was acknowledged")
        .split_whitespace()
        .map(|range| range.split_once('-').expect("`first-last`"))
        .map(|(first, last)| first.parse().expect("a number")..=last.parse().expect("a number"))
        .collect();
    check(Path::new(&dir), &acknowledged);
    println!("\n{WHOLE}");
}

/// Starts the child, kills it, and gives the rows that it acknowledged.
fn run_and_kill(dir: &Path, after: Duration) -> RangeInclusive<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    // Read meanwhile, or the child would wait for room in the pipe.
    let (first, started) = std::sync::mpsc::channel();
    let reader = thread::spawn(move || {
        let (mut begin, mut last) = (0, 0);
        for line in out.lines().map_while(Result::ok) {
            if let Some(n) = line.strip_prefix(BEGINS) {
                begin = n.parse().unwrap();
            } else if let Some(n) = line.strip_prefix(ACKNOWLEDGED) {
                last = n.parse().unwrap();
                let _ = first.send(());
            }
        }
        begin + 1..=last
    });
    // The moment of the kill is the point of the test, not a guess at when something is done.
    started.recv_timeout(Duration::from_secs(60)).expect("the child acknowledges something");
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Each row once and in order, right in every bit, and every acknowledged one that the ring has not dropped for newer ones.
fn check_rows<R: PartialEq>(
    what: &str,
    rows: &[R],
    number: impl Fn(&R) -> u64,
    expected: impl Fn(u64) -> R,
    acknowledged: &[RangeInclusive<u64>],
) {
    let numbers: Vec<u64> = rows.iter().map(number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{what}: in order, each once");
    assert!(rows.iter().zip(&numbers).all(|(row, n)| *row == expected(*n)), "{what}: right in every bit");
    let oldest = if rows.len() < CAPACITY as usize { 0 } else { numbers[0] };
    for n in acknowledged.iter().cloned().flatten().filter(|n| *n >= oldest) {
        assert!(numbers.binary_search(&n).is_ok(), "{what}: row {n} was acknowledged and is lost");
    }
}

fn check(dir: &Path, acknowledged: &[RangeInclusive<u64>]) {
    let (store, report) = open(dir);
    report.problems().iter().for_each(|problem| println!("\n{PROBLEM}{problem}"));
    assert_eq!(report.problems(), [] as [&str; 0]);
    for machine in [0, 1] {
        let rows = store.features(machine, all(), usize::MAX).unwrap();
        check_rows(&format!("machine {machine}"), &rows, |row| row.row, row, acknowledged);
    }
    check_rows("events", &store.events(all(), usize::MAX).unwrap(), |event| event.row, event, acknowledged);
    let last = acknowledged.last().map_or(0, |range| *range.end());
    let counter = store.get("counter").unwrap().map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    assert!(counter >= last, "the counter was acknowledged as {last} and is {counter}");
    if let Some(blob) = store.get_blob("blob").unwrap() {
        assert!(blob.len() == 60_000 && blob.iter().all(|byte| *byte == blob[0]), "old or new, whole");
    }
}

#[test]
fn nothing_acknowledged_is_lost_at_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut acknowledged = Vec::new();
    for _ in 0..ROUNDS {
        let rows = run_and_kill(dir.path(), Duration::from_millis(random.gen_range(0..400)));
        assert!(!rows.is_empty());
        acknowledged.push(rows);
        check(dir.path(), &acknowledged);
    }
    eprintln!("acknowledged: {acknowledged:?}");
}
