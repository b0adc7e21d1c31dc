//! Damage, a full disk, and what is not ours.

use super::*;

#[test]
fn a_second_store_is_refused() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 10);
    let second = SledStore::open(dir.path(), &config(10), &[]);
    assert!(matches!(second, Err(StoreError::Locked { .. })));
    drop(store);
    assert!(SledStore::open(dir.path(), &config(10), &[]).is_ok());
}

#[test]
fn a_newer_format_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 10);
    store.disk.set_format_for_test("2");
    drop(store);
    let error = SledStore::open(dir.path(), &config(10), &[]).err().unwrap();
    assert!(error.to_string().contains("newer driftgate"), "{error}");
    assert!(!dir.path().join("damaged-1").exists());
}

#[test]
fn a_damaged_block_costs_its_rows_only() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 1_000);
    append(&store, 0, 1..501, 2);
    let keys = block_keys(&store, "features/A");
    let damage = |store: &SledStore, key: &[u8]| {
        let mut block = store.disk.get(key).unwrap().unwrap().to_vec();
        let middle = block.len() / 2;
        block[middle] ^= 1;
        store.disk.change(key.to_vec(), Some(block));
    };
    damage(&store, &keys[1]);
    let left: Vec<u64> = (1..101).chain(201..501).collect();
    assert_eq!(numbers(&store, 0), left);
    assert_eq!(numbers(&store, 0), left);
    assert_eq!(store.damaged_blocks(), 1, "counted once");
    damage(&store, &keys[3]);
    store.flush().unwrap();
    drop(store);
    let (store, report) = open_all(dir.path(), 1_000, &["A"]);
    assert_eq!((report.damaged_blocks, report.rows), (2, 300));
    assert_eq!(report.problems().len(), 1);
    append(&store, 0, 501..701, 2);
    assert_eq!(numbers(&store, 0), (1..101).chain(201..301).chain(401..701).collect::<Vec<_>>());
}

/// A database of some megabytes, closed.
fn filled(dir: &Path) -> PathBuf {
    let store = open(dir, 20_000);
    for round in 0..10 {
        append(&store, 0, round * 500 + 1..round * 500 + 501, 40);
        store.flush().unwrap();
    }
    dir.join("sled").join("db")
}

#[test]
fn a_database_overwritten_in_the_middle_is_moved_aside() {
    let dir = TempDir::new().unwrap();
    let file = filled(dir.path());
    let mut bytes = fs::read(&file).unwrap();
    let (from, to) = (bytes.len() / 4, bytes.len() / 4 * 3);
    bytes[from..to].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 7) as u8);
    fs::write(&file, &bytes).unwrap();

    let (store, report) = open_all(dir.path(), 20_000, &["A", "B"]);
    let (aside, _) = report.moved_aside.clone().expect("reported");
    assert_eq!(aside, dir.path().join("damaged-1"));
    assert_eq!(fs::read(aside.join("db")).unwrap().len(), bytes.len());
    assert_eq!(report.problems().len(), 1);
    assert_eq!(numbers(&store, 0), [] as [u64; 0]);
    append(&store, 0, 1..11, 3);
    store.flush().unwrap();
    drop(store);
    assert_eq!(numbers(&open(dir.path(), 20_000), 0), (1..11).collect::<Vec<_>>());
}

#[test]
fn garbage_in_place_of_a_database_is_moved_aside() {
    let dir = TempDir::new().unwrap();
    let file = filled(dir.path());
    for n in 1..6_u64 {
        fs::write(&file, vec![n as u8; 3 << 20]).unwrap();
        fs::write(file.with_file_name("conf"), "nonsense").unwrap();
        let (store, report) = open_all(dir.path(), 100, &["A"]);
        assert_eq!(report.moved_aside.as_ref().map(|(path, _)| path.clone()), Some(dir.path().join(format!("damaged-{n}"))));
        append(&store, 0, 1..3, 2);
        store.flush().unwrap();
    }
    let kept: Vec<bool> = (1..6).map(|n| dir.path().join(format!("damaged-{n}")).exists()).collect();
    assert_eq!(kept, [false, false, true, true, true], "bounded on disk");
}

/// Cut anywhere: the loss is told, and what is there is right.
#[test]
fn a_truncated_database_is_noticed() {
    for part in [0.1, 0.5, 0.9, 0.95] {
        let dir = TempDir::new().unwrap();
        let path = filled(dir.path());
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len((fs::metadata(&path).unwrap().len() as f64 * part) as u64).unwrap();
        let (store, report) = open_all(dir.path(), 20_000, &["A", "B"]);
        let rows = store.features(0, ALL, usize::MAX).unwrap();
        assert!(rows.iter().all(|r| *r == row(r.row, 40)));
        let whole = rows.len() == 5_000;
        assert_eq!(whole, report.problems().is_empty(), "cut to {part}: {} rows, {report:?}", rows.len());
        append(&store, 0, 6_000..6_010, 40);
        store.flush().unwrap();
        drop(store);
        let (store, report) = open_all(dir.path(), 20_000, &["A", "B"]);
        assert_eq!(report.problems(), [] as [&str; 0], "told once");
        assert_eq!(store.features(0, ALL, 10).unwrap(), (6_000..6_010).map(|n| row(n, 40)).collect::<Vec<_>>());
    }
}

/// The disk gives back an older state of itself.
#[test]
fn an_older_copy_is_noticed() {
    let dir = TempDir::new().unwrap();
    filled(dir.path());
    let (old, now) = (dir.path().join("copy"), dir.path().join("sled"));
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to.join("blobs")).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|e| e.file_type().unwrap().is_file()) {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    copy(&now, &old);
    let store = open(dir.path(), 20_000);
    for n in 6_000..6_003 {
        append(&store, 0, n..n + 1, 40);
        store.flush().unwrap();
    }
    drop(store);
    fs::remove_dir_all(&now).unwrap();
    copy(&old, &now);
    let (store, report) = open_all(dir.path(), 20_000, &["A", "B"]);
    assert_eq!((report.lost_flushes, report.rows), (3, 5_000));
    assert_eq!(store.features(0, ALL, 1).unwrap()[0].row, 5_000);
}

/// A crash while the database is made.
#[test]
fn a_half_made_database_is_made_anew() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("new")).unwrap();
    fs::write(dir.path().join("new").join("db"), vec![3; 100_000]).unwrap();
    let (_, report) = open_all(dir.path(), 20_000, &["A"]);
    assert_eq!(report, OpenReport::default());
}

#[test]
fn nothing_is_stored_below_the_reserve() {
    let dir = TempDir::new().unwrap();
    let free = Arc::new(AtomicU64::new(500 << 20));
    let free_space: FreeSpace = {
        let free = Arc::clone(&free);
        Arc::new(move |_| Ok(free.load(Ordering::Relaxed)))
    };
    let config = StoreConfig { disk_reserve: 200 << 20, ..config(1_000) };
    let (store, _) = SledStore::open_with(dir.path(), &config, &[layout("A")], &free_space).unwrap();
    append(&store, 0, 1..11, 2);
    free.store(100 << 20, Ordering::Relaxed);
    store.flush().expect("what was accepted is flushed");
    let path = dir.path().join("sled").display().to_string();
    let full = Err(StoreError::DiskFull { path, free: 100 << 20, reserve: 200 << 20 });
    assert_eq!(store.apply(Record::Features { machine: 0, row: row(11, 2) }), full);
    assert_eq!(store.flush(), full);
    free.store(201 << 20, Ordering::Relaxed);
    assert!(store.flush().is_err(), "not right at the reserve");
    assert_eq!(numbers(&store, 0), (1..11).collect::<Vec<_>>());
    free.store(220 << 20, Ordering::Relaxed);
    store.flush().unwrap();
    append(&store, 0, 12..14, 2);
    store.flush().unwrap();
    assert_eq!(numbers(&store, 0), (1..11).chain(12..14).collect::<Vec<_>>());
}

/// As after an I/O error: opened again, and what had been accepted since the last flush is written once more.
#[test]
fn a_failed_database_is_opened_again() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), 1_000);
    append(&store, 0, 1..151, 2);
    store.flush().unwrap();
    append(&store, 0, 151..290, 2);
    store.apply(Record::Put { key: "k".into(), value: vec![1] }).unwrap();
    store.settle_all();
    store.disk.fail_for_test();
    assert!(store.apply(Record::Features { machine: 0, row: row(900, 2) }).is_err());
    assert_eq!(store.get("k").unwrap(), Some(vec![1]));
    assert!(store.flush().is_err(), "not at once");
    store.disk.retry_now_for_test();
    store.flush().unwrap();
    append(&store, 0, 290..300, 2);
    store.flush().unwrap();
    drop(store);
    let store = open(dir.path(), 1_000);
    assert_eq!(numbers(&store, 0), (1..300).collect::<Vec<_>>());
    assert_eq!(store.get("k").unwrap(), Some(vec![1]));
}

/// On a file system that is really full. Needs an empty one of about 40 MB: `mount -t tmpfs -o size=40m none DIR`, which needs root.
#[test]
fn a_full_file_system_is_survived() {
    const VARIABLE: &str = "DRIFTGATE_TEST_SMALL_FILE_SYSTEM";
    let Some(dir) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        eprintln!("left out: {VARIABLE} names no small file system");
        return;
    };
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![1; 20 << 20]).unwrap();
    // Told that there is room: only the write itself finds out.
    let free_space: FreeSpace = Arc::new(|_| Ok(u64::MAX));
    let (store, _) = SledStore::open_with(&dir, &config(100_000), &[layout("A")], &free_space).unwrap();
    let (mut next, mut flushed) = (1, 0);
    let error = loop {
        let applied = store.apply(Record::Features { machine: 0, row: row(next, 40) });
        next += u64::from(applied.is_ok());
        if applied.is_err() || next % 100 == 0 {
            match store.flush() {
                Ok(()) => flushed = next - 1,
                Err(error) => break error,
            }
        }
        assert!(next < 1_000_000, "it is never full");
    };
    eprintln!("after {flushed} rows: {error}");
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(store.apply(Record::Features { machine: 0, row: row(next, 40) }).is_err());
    store.disk.retry_now_for_test();
    eprintln!("still full: {:?}", store.flush());

    fs::remove_file(&ballast).unwrap();
    store.disk.retry_now_for_test();
    store.flush().expect("storing goes on by itself");
    append(&store, 0, next..next + 100, 40);
    store.flush().unwrap();
    drop(store);
    let (store, report) = SledStore::open_with(&dir, &config(100_000), &[layout("A")], &free_space).unwrap();
    assert_eq!(report.problems(), [] as [&str; 0]);
    assert_eq!(store.features(0, ALL, usize::MAX).unwrap(), (1..next + 100).map(|n| row(n, 40)).collect::<Vec<_>>());
}
