//! The store: 10 rings of 10,000 rows of 33 values. `cargo bench --bench store`
//!
//! Beside criterion's figures it prints once: rows a second over everything, the 99th percentile of appending 100 rows, bytes a row and
//! on disk.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use driftgate::config::StoreConfig;
use driftgate::store::{FeatureRow, MachineLayout, Record, Ring, SledStore, Store};
use driftgate::types::Timestamp;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

const RINGS: u16 = 10;
const ROWS: u64 = 10_000;
const VALUES: usize = 33;
const BATCH: u64 = 100;
/// As the writer of a live gateway.
const FLUSH_EVERY: Duration = Duration::from_millis(300);

fn open(dir: &TempDir) -> SledStore {
    let rows = ROWS as u32;
    let config = StoreConfig {
        frame_rows: rows,
        feature_rows: rows,
        history_rows: rows,
        event_rows: rows,
        value_rows: rows,
        disk_reserve: 0,
        max_age: None,
        machine_bytes: None,
    };
    let machines: Vec<_> =
        (0..RINGS).map(|i| MachineLayout { name: format!("M{i}").into(), frames: 0, features: 0, samples: (0, 0) }).collect();
    SledStore::open(dir.path(), &config, &machines).expect("a new store").0
}

/// Slow waves with noise, as a 16-bit converter gives them.
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

fn batch(n: u64, random: &mut ChaCha8Rng) -> Vec<FeatureRow> {
    (n..n + BATCH).map(|n| row(n, random)).collect()
}

fn append(store: &SledStore, machine: u16, rows: Vec<FeatureRow>) {
    for row in rows {
        store.apply(Record::Features { machine, row }).expect("room");
    }
}

/// Fills all rings one and a half times; prints the figures.
fn fill(store: &SledStore) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut times, mut flushes) = (Vec::new(), Vec::new());
    let mut last_flush = Instant::now();
    for n in (0..ROWS * 3 / 2).step_by(BATCH as usize) {
        for machine in 0..RINGS {
            let rows = batch(n, &mut random);
            let start = Instant::now();
            append(store, machine, rows);
            times.push(start.elapsed());
            if last_flush.elapsed() > FLUSH_EVERY {
                let start = Instant::now();
                store.flush().expect("a good disk");
                flushes.push(start.elapsed());
                last_flush = Instant::now();
            }
        }
    }
    store.flush().expect("a good disk");
    let total: Duration = times.iter().chain(&flushes).sum();
    let rate = (times.len() as u64 * BATCH) as f64 / total.as_secs_f64();
    times.sort_unstable();
    flushes.sort_unstable();
    let features: Vec<_> = store.info().expect("info").into_iter().filter(|i| matches!(i.ring, Ring::Features(_))).collect();
    let (rows, bytes) = features.iter().fold((0, 0), |(rows, bytes), i| (rows + i.rows, bytes + i.bytes));
    println!(
        "append: {rate:.0} rows/s with flushes; 100 rows: p99 {:?}, worst {:?}",
        times[times.len() * 99 / 100],
        times[times.len() - 1]
    );
    println!("flush: median {:?}, worst {:?} of {}", flushes.get(flushes.len() / 2), flushes.last(), flushes.len());
    println!("{:.1} bytes a row of {VALUES} values; {} MB on disk", bytes as f64 / rows as f64, store.size_on_disk().unwrap_or(0) >> 20);
}

fn store(c: &mut Criterion) {
    let dir = TempDir::new().expect("a directory");
    let store = open(&dir);
    fill(&store);
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut n = ROWS * 2;

    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("append 100 rows", |b| {
        b.iter_batched(
            || {
                n += BATCH;
                ((n / BATCH % u64::from(RINGS)) as u16, batch(n, &mut random))
            },
            |(machine, rows)| append(&store, machine, rows),
            BatchSize::PerIteration,
        );
    });
    store.flush().expect("a good disk");
    let all = || Timestamp::MIN..Timestamp::from_nanos(i64::MAX);
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("scan 10,000 rows", |b| b.iter(|| black_box(store.features(3, all(), usize::MAX)).expect("rows").len()));
    group.throughput(Throughput::Elements(200));
    group.bench_function("newest 200 rows", |b| b.iter(|| black_box(store.features(3, all(), 200)).expect("rows").len()));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(3));
    targets = store
}
criterion_main!(benches);
