use std::collections::HashMap;
use std::fs;
use std::sync::atomic::AtomicU64;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::store::{MAX_KEY, MemoryStore, RowFlags};
use crate::types::{Channel, EventKind, Quality, Value};

mod damage;

const ALL: Range<Timestamp> = Timestamp::MIN..Timestamp::from_nanos(i64::MAX);

fn config(rows: u32) -> StoreConfig {
    StoreConfig {
        frame_rows: rows,
        feature_rows: rows,
        history_rows: rows,
        event_rows: rows,
        value_rows: rows,
        disk_reserve: 0,
        max_age: None,
        machine_bytes: None,
    }
}

fn layout(name: &str) -> MachineLayout {
    MachineLayout { name: name.into(), frames: 1, features: 2, samples: (2, 3) }
}

fn open_all(dir: &Path, rows: u32, names: &[&str]) -> (SledStore, OpenReport) {
    let layouts: Vec<_> = names.iter().map(|name| layout(name)).collect();
    SledStore::open(dir, &config(rows), &layouts).unwrap()
}

fn open(dir: &Path, rows: u32) -> SledStore {
    open_all(dir, rows, &["A", "B"]).0
}

/// Deterministic noise: does not compress.
fn noise(seed: u64) -> f64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0;
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 32;
    f64::from_bits(x & 0x3fff_ffff_ffff_ffff)
}

fn row(n: u64, width: usize) -> FeatureRow {
    FeatureRow {
        row: n,
        time: Timestamp::from_nanos(n as i64 * 1_000),
        regime: Some(3),
        flags: RowFlags { judged: true, ..RowFlags::default() },
        features: (0..width as u64).map(|i| noise(n * 1_000 + i)).collect(),
        scores: vec![n as f64],
    }
}

fn append(store: &dyn Store, machine: u16, rows: Range<u64>, width: usize) {
    for n in rows {
        store.apply(Record::Features { machine, row: row(n, width) }).unwrap();
    }
}

fn numbers(store: &dyn Store, machine: u16) -> Vec<u64> {
    store.features(machine, ALL, usize::MAX).unwrap().iter().map(|r| r.row).collect()
}

fn block_keys(store: &SledStore, name: &str) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let prefix = ring::prefix(name);
    store
        .disk
        .scan(&prefix, &prefix, |key, value| {
            assert!(value.len() <= MAX_VALUE, "{} bytes", value.len());
            keys.push(key.to_vec());
            true
        })
        .unwrap();
    keys
}

#[test]
fn rows_come_back_in_order() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 1_000);
    append(&store, 0, 1..351, 5);
    append(&store, 1, 7..9, 5);
    assert_eq!(store.features(0, ALL, usize::MAX).unwrap(), (1..351).map(|n| row(n, 5)).collect::<Vec<_>>());
    assert_eq!(numbers(&store, 1), [7, 8]);
    assert_eq!(store.features(9, ALL, 1), Err(StoreError::NoSuchMachine { machine: 9, machines: 2 }));

    let info = store.info().unwrap();
    let features = info.iter().find(|i| i.ring == Ring::Features(0)).unwrap();
    assert_eq!((features.rows, features.capacity), (350, 1_000));
    assert_eq!(features.oldest, Some(Timestamp::from_nanos(1_000)));
    assert_eq!(features.newest, Some(Timestamp::from_nanos(350_000)));
    assert_eq!(info.len(), 10);
}

#[test]
fn a_common_stratum_of_samples_pushes_no_rare_one_out() {
    let dir = TempDir::new().unwrap();
    let sample = |store: &dyn Store, stratum, n| {
        let frame = Arc::new(Frame { time: row(n, 2).time, channels: vec![Channel::good(Value::Real(n as f64), row(n, 2).time)] });
        store.apply(Record::Sample { machine: 1, stratum, row: row(n, 2), frame })
    };
    let rows = |store: &dyn Store, stratum| {
        let mut rows = Vec::new();
        store
            .visit_samples(1, stratum, ALL, &mut |row| {
                rows.push(row.row);
                true
            })
            .unwrap();
        let frames: Vec<u64> = store.sample_frames(1, stratum, ALL, 10).unwrap().iter().map(|(n, _)| *n).collect();
        assert_eq!(frames, rows);
        rows
    };
    let store = open(dir.path(), 1_000);
    sample(&store, 1, 1).unwrap();
    (2..40).for_each(|n| sample(&store, 0, n).unwrap());
    // There are two strata.
    sample(&store, 2, 40).unwrap();
    store.flush().unwrap();
    drop(store);
    let store = open(dir.path(), 1_000);
    assert_eq!([0, 1, 2].map(|stratum| rows(&store, stratum)), [vec![37, 38, 39], vec![1], vec![]]);
    let info = store.info().unwrap().into_iter().find(|i| i.ring == Ring::Samples(1)).unwrap();
    assert_eq!((info.rows, info.capacity, info.oldest), (4, 6, Some(Timestamp::from_nanos(1_000))));
    assert!(numbers(&store, 1).is_empty(), "a ring of its own");
    sample(&store, 1, 41).unwrap();
    assert_eq!(rows(&store, 1), [1, 41]);
    let memory = MemoryStore::new(&config(3), 2);
    (2..40).for_each(|n| sample(&memory, 0, n).unwrap());
    assert_eq!(rows(&memory, 0), [37, 38, 39]);
}

#[test]
fn the_oldest_rows_of_a_machine_go_where_it_has_too_many_bytes() {
    let dir = TempDir::new().unwrap();
    let bounded = StoreConfig { machine_bytes: Some(100_000), ..config(100_000) };
    let layouts = [layout("A"), layout("B")];
    let open = || SledStore::open(dir.path(), &bounded, &layouts).unwrap().0;
    let store = open();
    for n in 0..100 {
        append(&store, 0, n * 50..(n + 1) * 50, 10);
        store.flush().unwrap();
    }
    append(&store, 1, 0..100, 10);
    store.flush().unwrap();
    let size = |store: &SledStore| store.info().unwrap().iter().find(|i| i.ring == Ring::Features(0)).unwrap().bytes;
    assert!((80_000..=100_000).contains(&size(&store)), "{}", size(&store));
    let kept = numbers(&store, 0);
    assert_eq!(kept.last(), Some(&4_999));
    assert_eq!(kept, (kept[0]..5_000).collect::<Vec<_>>(), "the newest ones, without a gap");
    assert_eq!(numbers(&store, 1).len(), 100, "another machine's are its own");
    drop(store);
    assert_eq!(numbers(&open(), 0), kept);
}

#[test]
fn rows_go_by_their_age_whichever_clock_is_wrong() {
    let hours = |n: u64| Duration::from_secs(3_600 * n);
    let aged = StoreConfig { max_age: Some(hours(100)), ..config(100_000) };
    // The gateway's clock is right, or years ahead of the rows.
    for start in [wall_clock().minus(hours(500)), Timestamp::EPOCH.plus(hours(450_000))] {
        let dir = TempDir::new().unwrap();
        let store = SledStore::open(dir.path(), &aged, &[layout("A")]).unwrap().0;
        let append = |n: u64, time| store.apply(Record::Features { machine: 0, row: FeatureRow { time, ..row(n, 40) } }).unwrap();
        (0..500).for_each(|n| append(n, start.plus(hours(n))));
        store.flush().unwrap();
        let kept = numbers(&store, 0);
        assert!(kept[0] <= 399 && kept[0] > 300, "to within a block: {}", kept[0]);
        assert_eq!(kept.last(), Some(&499));
        if start > Timestamp::EPOCH.plus(hours(450_000)) {
            // A PLC's clock is years ahead.
            append(500, wall_clock().plus(hours(90_000)));
            store.flush().unwrap();
            assert_eq!(numbers(&store, 0), [kept, vec![500]].concat());
            // It is mended, and what it has left does not keep the rest from going.
            (501..700).for_each(|n| append(n, start.plus(hours(n))));
            store.flush().unwrap();
            drop_old(&store.machines[0].features, &store.disk, start.plus(hours(800)), hours(100));
            assert!(numbers(&store, 0)[0] > 500);
        }
    }
}

#[test]
fn the_newest_within_a_range_are_given() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 1_000);
    append(&store, 0, 1..701, 3);
    let select = |from: i64, to: i64, limit| {
        let time = Timestamp::from_nanos(from * 1_000)..Timestamp::from_nanos(to * 1_000);
        store.features(0, time, limit).unwrap().iter().map(|r| r.row).collect::<Vec<_>>()
    };
    assert_eq!(select(0, 10_000, 3), [698, 699, 700]);
    assert_eq!(select(150, 460, 1_000), (150..460).collect::<Vec<_>>());
    assert_eq!(select(150, 460, 250), (210..460).collect::<Vec<_>>());
    assert_eq!(select(150, 151, 10), [150]);
    assert_eq!(select(150, 150, 10), [] as [u64; 0]);
    assert_eq!(select(0, 10_000, 0), [] as [u64; 0]);
    assert_eq!(select(9_000, 10_000, 5), [] as [u64; 0]);
}

#[test]
fn few_blocks_are_read_for_few_rows() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 1_000);
    append(&store, 0, 1..951, 1);
    let plan = |limit| store.machines[0].features.lock().plan(&ALL, limit).blocks.len();
    assert_eq!((plan(10), plan(50), plan(51), plan(500)), (0, 0, 1, 5));
}

#[test]
fn a_full_ring_keeps_the_newest() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 250);
    for round in 0..40 {
        append(&store, 0, round * 100 + 1..round * 100 + 101, 4);
        store.flush().unwrap();
    }
    assert_eq!(numbers(&store, 0), (3_751..4_001).collect::<Vec<_>>());
    assert!(block_keys(&store, "features/A").len() <= 4, "slots are used again");
    drop(store);
    assert_eq!(numbers(&open(dir.path(), 250), 0), (3_751..4_001).collect::<Vec<_>>());
}

#[test]
fn wide_rows_are_split_into_blocks_that_fit() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 2_000);
    let mut wanted = Vec::new();
    // Flushed now and then: what has been flushed must never move.
    for n in 1..400 {
        append(&store, 0, n..n + 1, 60);
        wanted.push(row(n, 60));
        if n % 7 == 0 {
            store.flush().unwrap();
        }
    }
    assert_eq!(store.features(0, ALL, usize::MAX).unwrap(), wanted);
    store.flush().unwrap();
    assert!(block_keys(&store, "features/A").len() > 30);

    append(&store, 1, 1..4, 800);
    let error = store.apply(Record::Features { machine: 1, row: row(4, 1_000) }).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { max: MAX_VALUE, .. }), "{error}");
    store.flush().unwrap();
    assert_eq!(numbers(&store, 1), [1, 2, 3]);
    assert_eq!(store.disk.blob_files(), 0);
}

#[test]
fn a_restart_keeps_what_was_flushed() {
    let dir = TempDir::new().unwrap();
    for start in 0..5 {
        let (store, report) = open_all(dir.path(), 1_000, &["A", "B"]);
        assert_eq!(report, OpenReport { rows: start * 33, ..OpenReport::default() });
        append(&store, 0, start * 33 + 1..start * 33 + 34, 4);
        store.flush().unwrap();
    }
    let store = open(dir.path(), 1_000);
    assert_eq!(numbers(&store, 0), (1..166).collect::<Vec<_>>());
    assert_eq!(block_keys(&store, "features/A").len(), 2, "short blocks are continued");
}

#[test]
fn capacities_may_change() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 1_000);
    append(&store, 0, 1..801, 2);
    store.flush().unwrap();
    drop(store);
    let store = open(dir.path(), 130);
    assert_eq!(numbers(&store, 0), (671..801).collect::<Vec<_>>());
    assert_eq!(block_keys(&store, "features/A").len(), 2);
    drop(store);
    let store = open(dir.path(), 500);
    append(&store, 0, 801..1_201, 2);
    assert_eq!(numbers(&store, 0), (701..1_201).collect::<Vec<_>>());
}

#[test]
fn rings_belong_to_names() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open_all(dir.path(), 100, &["A", "AB"]);
    append(&store, 0, 1..3, 2);
    append(&store, 1, 5..6, 2);
    store.flush().unwrap();
    drop(store);
    let (store, report) = open_all(dir.path(), 100, &["New", "A"]);
    assert_eq!((numbers(&store, 0), numbers(&store, 1)), (vec![], vec![1, 2]));
    assert_eq!(report.unknown_rings, ["features/AB"]);
    assert_eq!(report.problems(), [] as [&str; 0]);
}

#[test]
fn rows_of_other_signals_are_not_given_out() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 300);
    append(&store, 0, 1..201, 2);
    store.flush().unwrap();
    drop(store);
    let other = [MachineLayout { features: 77, ..layout("A") }];
    let (store, report) = SledStore::open(dir.path(), &config(300), &other).unwrap();
    assert_eq!((report.other_layout_rows, report.rows), (200, 0));
    append(&store, 0, 201..351, 3);
    assert_eq!(numbers(&store, 0), (201..351).collect::<Vec<_>>());
    store.flush().unwrap();
    drop(store);
    assert_eq!(numbers(&open(dir.path(), 300), 0), (51..201).collect::<Vec<_>>(), "still there when the names are back");
}

#[test]
fn the_layout_is_that_of_the_names() {
    let names = |names: &[&str]| fingerprint(names.iter().map(|n| Arc::from(*n)).collect::<Vec<_>>().iter());
    assert_eq!(names(&["a", "b"]), names(&["a", "b"]));
    assert_ne!(names(&["a", "b"]), names(&["b", "a"]));
    assert_ne!(names(&["a", "b"]), names(&["ab"]));
}

#[test]
fn frames_history_and_events_are_kept_too() {
    let dir = TempDir::new().unwrap();
    let frame = |n: u64| {
        let at = Timestamp::from_nanos(n as i64);
        let block = Value::Block(vec![0.5; 4].into());
        Arc::new(Frame { time: at, channels: vec![Channel::good(Value::Real(n as f64), at), Channel::good(block, at)] })
    };
    let history = |n: u64| HistoryRow {
        row: n,
        time: Timestamp::from_nanos(n as i64),
        monitor: "DataDrift".into(),
        regime: None,
        status: 2,
        index: 0.25,
        tests: vec![(0.1, 0.2)],
    };
    let event = |n: u64| Event {
        unit: "A".into(),
        row: n,
        time: Timestamp::from_nanos(n as i64),
        kind: EventKind::Note { text: "x".repeat(100_000) },
    };
    let store = open(dir.path(), 150);
    for n in 1..301 {
        store.apply(Record::Frame { machine: 1, row: n, frame: frame(n) }).unwrap();
        store.apply(Record::History { machine: 1, row: history(n) }).unwrap();
        store.apply(Record::Event(event(n))).unwrap();
    }
    store.flush().unwrap();
    drop(store);
    let store = open(dir.path(), 150);
    let frames = store.frames(1, ALL, usize::MAX).unwrap();
    assert_eq!(frames.len(), 150);
    assert_eq!(frames[0].0, 151);
    assert_eq!(frames[149].1.channels[0], frame(300).channels[0]);
    assert_eq!((frames[149].1.channels[1].value.clone(), frames[149].1.channels[1].quality), (None, Quality::Good));
    assert_eq!(store.history(1, ALL, usize::MAX).unwrap(), (151..301).map(history).collect::<Vec<_>>());
    let events = store.events(ALL, usize::MAX).unwrap();
    assert_eq!(events, (151..301).map(|n| storable_event(event(n))).collect::<Vec<_>>());
}

#[test]
fn values_are_replaced_and_removed() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 10);
    let put = |key: &str, size: usize| store.apply(Record::Put { key: key.into(), value: vec![size as u8; size] });
    put("param/b", 3).unwrap();
    put("param/a", 1).unwrap();
    put("param/a", MAX_VALUE).unwrap();
    put("other", 0).unwrap();
    store.apply(Record::PutBlob { key: "param/c".into(), value: vec![1; 10].into() }).unwrap();
    assert_eq!(put("big", MAX_VALUE + 1), Err(StoreError::TooLarge { key: "big".into(), size: MAX_VALUE + 1, max: MAX_VALUE }));
    assert!(matches!(put("", 1), Err(StoreError::Key { .. })));
    assert!(matches!(put(&"k".repeat(MAX_KEY + 1), 1), Err(StoreError::Key { .. })));
    put(&"k".repeat(MAX_KEY), 1).unwrap();
    assert_eq!(store.keys("param/").unwrap(), ["param/a", "param/b", "param/c"]);
    store.apply(Record::Remove { key: "param/b".into() }).unwrap();
    store.apply(Record::Remove { key: "nothing".into() }).unwrap();
    store.flush().unwrap();
    drop(store);
    let store = open(dir.path(), 10);
    assert_eq!(store.keys("param/").unwrap(), ["param/a", "param/c"]);
    assert_eq!(store.get("param/a").unwrap().unwrap().len(), MAX_VALUE);
    assert_eq!(store.get("other").unwrap(), Some(vec![]));
    assert_eq!(store.get("param/b").unwrap(), None);
}

/// Largest keys and values, in numbers: no leaf may grow beyond what sled keeps in its log.
#[test]
fn large_values_stay_out_of_files_of_their_own() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 10);
    for i in 0..300_u64 {
        let value = (0..MAX_VALUE as u64).map(|n| noise(i * 10_000 + n).to_bits() as u8).collect();
        store.apply(Record::Put { key: format!("{i:0>200}"), value }).unwrap();
    }
    store.flush().unwrap();
    assert_eq!(store.disk.blob_files(), 0);
}

#[test]
fn large_values_come_back_whole() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 10);
    let value = |seed: usize, size: usize| (0..size).map(|i| (i * 31 + seed) as u8).collect::<Arc<[u8]>>();
    let put = |key: &str, value: &Arc<[u8]>| store.apply(Record::PutBlob { key: key.into(), value: Arc::clone(value) }).unwrap();
    let (small, large) = (value(1, 100_000), value(2, 6_000_000));
    put("model", &large);
    put("empty", &value(0, 0));
    store.flush().unwrap();
    put("model", &small);
    put("models", &value(3, 7_001));
    assert_eq!(store.get_blob("model").unwrap().as_deref(), Some(&small[..]));
    store.flush().unwrap();
    store.flush().unwrap();
    let pieces = |store: &SledStore| {
        let mut count = 0;
        store
            .disk
            .scan(b"p", b"p", |_, _| {
                count += 1;
                true
            })
            .unwrap();
        count
    };
    assert_eq!(pieces(&store), 15 + 2, "old pieces are removed");
    // As after a crash in the middle of writing.
    store.disk.change([b"p\x05model".as_slice(), &9_u64.to_be_bytes(), &0_u32.to_be_bytes()].concat(), Some(vec![1]));
    store.flush().unwrap();
    drop(store);
    let store = open(dir.path(), 10);
    assert_eq!(pieces(&store), 15 + 2);
    assert_eq!(store.get_blob("model").unwrap().as_deref(), Some(&small[..]));
    assert_eq!(store.get_blob("empty").unwrap(), Some(vec![]));
    assert_eq!(store.get_blob("none").unwrap(), None);

    store.disk.change([b"p\x05model".as_slice(), &2_u64.to_be_bytes(), &3_u32.to_be_bytes()].concat(), Some(vec![1; 7_000]));
    assert!(matches!(store.get_blob("model"), Err(StoreError::Damaged { .. })));
    store.apply(Record::Remove { key: "model".into() }).unwrap();
    assert_eq!(store.get_blob("model").unwrap(), None);
}

/// One step of a random run.
#[derive(Clone, Debug)]
enum Step {
    Append(u64, usize),
    Flush,
    Restart,
    Put(u8, usize),
    Blob(u8, usize),
    Remove(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..150_u64, prop_oneof![Just(2_usize), Just(40), Just(300)]).prop_map(|(n, width)| Step::Append(n, width)),
        3 => Just(Step::Flush),
        1 => Just(Step::Restart),
        1 => (0..4_u8, 0..100_usize).prop_map(|(key, size)| Step::Put(key, size)),
        1 => (0..4_u8, 0..30_000_usize).prop_map(|(key, size)| Step::Blob(key, size)),
        1 => (0..4_u8).prop_map(Step::Remove),
    ]
}

proptest! {
    // Seeded: the run of the tests does not depend on chance; PROPTEST_CASES asks for more.
    #![proptest_config(ProptestConfig { cases: 12, rng_seed: proptest::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order, the disk tells what the memory tells.
    #[test]
    fn the_disk_equals_the_memory(steps in prop::collection::vec(any_step(), 1..40), capacity in 1..600_u32) {
        let dir = TempDir::new().unwrap();
        let memory = MemoryStore::new(&config(capacity), 1);
        let mut disk = Some(open_all(dir.path(), capacity, &["A"]).0);
        let mut next = 1;
        for step in steps {
            let store = disk.as_ref().unwrap();
            let both = |record: Record| {
                store.apply(record.clone()).unwrap();
                memory.apply(record).unwrap();
            };
            match step {
                Step::Append(count, width) => {
                    for n in next..next + count {
                        both(Record::Features { machine: 0, row: row(n, width) });
                    }
                    next += count;
                }
                Step::Flush => store.flush().unwrap(),
                Step::Restart => {
                    store.flush().unwrap();
                    drop(disk.take());
                    disk = Some(open_all(dir.path(), capacity, &["A"]).0);
                }
                Step::Put(key, size) => both(Record::Put { key: format!("k{key}"), value: vec![key; size] }),
                Step::Blob(key, size) => both(Record::PutBlob { key: format!("k{key}"), value: vec![key; size].into() }),
                Step::Remove(key) => both(Record::Remove { key: format!("k{key}") }),
            }
        }
        let store = disk.unwrap();
        prop_assert_eq!(store.features(0, ALL, usize::MAX), memory.features(0, ALL, usize::MAX));
        let part = Timestamp::from_nanos(next as i64 * 300)..Timestamp::from_nanos(next as i64 * 900);
        prop_assert_eq!(store.features(0, part.clone(), 70), memory.features(0, part, 70));
        prop_assert_eq!(store.keys("k"), memory.keys("k"));
        for key in ["k0", "k1", "k2", "k3"] {
            prop_assert_eq!(store.get(key), memory.get(key));
            prop_assert_eq!(store.get_blob(key), memory.get_blob(key));
        }
        // Strata come into being in memory as they are needed.
        let shown = |store: &dyn Store| store.info().unwrap().into_iter().filter(|i| !matches!(i.ring, Ring::Samples(_)));
        let rows = |store: &dyn Store| shown(store).map(|i| (i.ring, (i.rows, i.capacity))).collect::<HashMap<_, _>>();
        prop_assert_eq!(rows(&store), rows(&memory));
    }
}
