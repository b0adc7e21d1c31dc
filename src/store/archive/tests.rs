use std::ops::Range;

use tempfile::TempDir;

use super::*;
use crate::config::StoreConfig;
use crate::store::{FeatureRow, MachineLayout, Record, SledStore, Store};

const ALL: Range<Timestamp> = Timestamp::MIN..Timestamp::from_nanos(i64::MAX);
const MADE: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

fn open(dir: &Path) -> SledStore {
    let config = StoreConfig {
        frame_rows: 9,
        feature_rows: 1_000,
        history_rows: 9,
        event_rows: 9,
        value_rows: 9,
        disk_reserve: 0,
        max_age: None,
        machine_bytes: None,
    };
    SledStore::open(dir, &config, &[MachineLayout { name: "A".into(), frames: 1, features: 2, samples: (2, 3) }]).unwrap().0
}

/// 500 rows, a tuned parameter, a large value that was replaced once.
fn filled() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store");
    let store = open(&path);
    for n in 1..501 {
        let time = Timestamp::from_nanos(n * 1_000);
        let row = FeatureRow { row: n as u64, time, features: vec![n as f64, 1.0 / n as f64], ..FeatureRow::default() };
        store.apply(Record::Features { machine: 0, row }).unwrap();
    }
    store.apply(Record::Put { key: "param|A.Hop".into(), value: b"20".to_vec() }).unwrap();
    for byte in [1, 2] {
        store.apply(Record::PutBlob { key: "bundle".into(), value: vec![byte; 30_000].into() }).unwrap();
        store.flush().unwrap();
    }
    drop(store);
    (dir, path)
}

fn is_as_filled(path: &Path) {
    let store = open(path);
    let rows = store.features(0, ALL, usize::MAX).unwrap();
    assert_eq!(rows.iter().map(|r| r.row).collect::<Vec<_>>(), (1..501).collect::<Vec<_>>());
    assert_eq!(rows[6].features, [7.0, 1.0 / 7.0]);
    assert_eq!(store.get("param|A.Hop").unwrap().unwrap(), b"20");
    assert_eq!(store.get_blob("bundle").unwrap().unwrap(), vec![2; 30_000]);
    assert_eq!(store.info().unwrap()[1].rows, 500);
}

/// Changes the entry of that number, in order of their keys, whose key passes.
fn change(path: &Path, wanted: impl Fn(&[u8]) -> bool, how: impl Fn(&mut Vec<u8>)) {
    let live = Live::open(&path.join("sled")).unwrap();
    let (key, value) = live.db().iter().map(Result::unwrap).find(|(key, _)| wanted(key)).unwrap();
    let mut value = value.to_vec();
    how(&mut value);
    live.db().insert(key, value).unwrap();
    live.db().flush().unwrap();
    assert!(live.close());
}

#[test]
fn a_store_comes_back_as_it_was() {
    let (dir, path) = filled();
    let to = dir.path().join("b");
    let mut steps = Vec::new();
    let (backup, verified) = backup(&path, &to, MADE, &mut |entries| steps.push(entries)).unwrap();
    assert_eq!((backup.made, backup.bytes), (MADE, fs::metadata(&to).unwrap().len()));
    assert_eq!(steps.last(), Some(&backup.entries));
    assert!(verified.is_whole(), "{verified:?}");
    assert_eq!((verified.rows, verified.values, verified.large_values, verified.entries), (500, 1, 1, backup.entries));
    let new = dir.path().join("other").join("store");
    assert_eq!(restore(&to, &new, &mut |_| ()).unwrap(), backup);
    is_as_filled(&new);
    is_as_filled(&path);
    assert!(verify(&new, &mut |_| ()).unwrap().is_whole());
}

#[test]
fn nothing_is_overwritten() {
    let (dir, path) = filled();
    let to = dir.path().join("b");
    backup(&path, &to, MADE, &mut |_| ()).unwrap();
    assert!(matches!(backup(&path, &to, MADE, &mut |_| ()), Err(ArchiveError::Exists(_))));
    assert!(matches!(restore(&to, &path, &mut |_| ()), Err(ArchiveError::InTheWay(_))));
    is_as_filled(&path);
}

#[test]
fn a_store_in_use_or_none_is_named() {
    let (dir, path) = filled();
    let store = open(&path);
    assert!(matches!(verify(&path, &mut |_| ()), Err(ArchiveError::Store(StoreError::Locked { .. }))));
    drop(store);
    assert!(matches!(verify(dir.path(), &mut |_| ()), Err(ArchiveError::NoStore(_))));
    assert!(!dir.path().join("sled").exists(), "looking makes none");
}

/// Every byte of a backup counts, and so does its length.
#[test]
fn a_damaged_backup_writes_nothing() {
    let (dir, path) = filled();
    let to = dir.path().join("b");
    backup(&path, &to, MADE, &mut |_| ()).unwrap();
    let good = fs::read(&to).unwrap();
    let new = dir.path().join("new");
    let refused = |bytes: &[u8], what: String| {
        fs::write(&to, bytes).unwrap();
        let error = restore(&to, &new, &mut |_| ()).expect_err(&what);
        assert!(!new.exists() && !dir.path().join("new.restoring").exists(), "{what}: {error}");
    };
    for at in (0..good.len()).step_by(997).chain(good.len() - 60..good.len()).chain(0..40) {
        let mut bad = good.clone();
        bad[at] ^= 4;
        refused(&bad, format!("byte {at}"));
    }
    for length in (0..good.len()).step_by(4_999).chain(good.len() - 50..good.len()) {
        refused(&good[..length], format!("{length} bytes"));
    }
    refused(&[&good[..], b"x"].concat(), "one byte more".into());
    fs::write(&to, &good).unwrap();
    // What an interrupted attempt has left is no hindrance.
    fs::create_dir(dir.path().join("new.restoring")).unwrap();
    restore(&to, &new, &mut |_| ()).unwrap();
    is_as_filled(&new);
}

#[test]
fn damage_is_found_and_left_as_it_is() {
    let (dir, path) = filled();
    change(&path, |key| key.starts_with(b"rfeatures/A"), |block| *block.last_mut().unwrap() ^= 1);
    change(&path, |key| key.starts_with(b"p"), |piece| piece[0] ^= 1);
    for _ in 0..2 {
        let found = verify(&path, &mut |_| ()).unwrap();
        assert!(!found.is_whole());
        assert_eq!((found.damaged, found.rows, found.large_values), (2, 400, 0), "{found:?}");
        assert!(found.faults[0].contains("features/A") && found.faults[0].contains("checksum"), "{found:?}");
        assert!(found.faults[1].contains("`bundle`"), "{found:?}");
    }
    let (backup, verified) = backup(&path, &dir.path().join("b"), MADE, &mut |_| ()).unwrap();
    assert_eq!((verified.damaged, verified.entries), (2, backup.entries), "copied, and told");
}

#[test]
fn what_the_disk_has_forgotten_is_told() {
    let (_dir, path) = filled();
    fs::write(path.join("flushed"), "00000000000000000099\n").unwrap();
    let found = verify(&path, &mut |_| ()).unwrap();
    assert!(found.lost_flushes > 90 && !found.is_whole(), "{found:?}");
    assert_eq!(verify(&path, &mut |_| ()).unwrap(), found, "looking does not change it");
}
