//! Where the files of datasets lie, so that readers take a fleet's folder for one table.
//!
//! ```text
//! datasets/table/gateway=Press7/unit=Motor1/date=2026-11-24/<id>-<hash>.parquet     nothing else lies below table/
//! datasets/<id>-<hash>.parquet.json, datasets/<id>-<hash>.csv
//! ```
//! The names of the partitions are no columns of the files: readers that take columns from both refuse a name that is in both.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{FOLDER, Format};
use crate::types::Timestamp;

/// Below [`FOLDER`].
const TABLE: &str = "table";
const GATEWAY: &str = "gateway";
const UNIT: &str = "unit";
const DATE: &str = "date";

/// What readers make columns of.
pub(super) const PARTITIONS: [&str; 3] = [GATEWAY, UNIT, DATE];

/// Folder of a file, below [`FOLDER`]; with `/`. The day is that of the last row: what comes later never lies in an earlier day.
pub(super) fn folder(format: Format, gateway: &str, machine: &str, last: Timestamp) -> String {
    let time = last.to_string();
    let day = time.get(..10).unwrap_or(&time);
    match format {
        Format::Parquet => format!("{TABLE}/{GATEWAY}={gateway}/{UNIT}={machine}/{DATE}={day}"),
        Format::Csv => String::new(),
    }
}

/// The file of this name, wherever it lies in the datasets of a machine. A name that leads elsewhere is none. Blocking.
pub fn find(data_dir: &Path, machine: &str, name: &str) -> Option<PathBuf> {
    if Path::new(name).file_name().is_none_or(|file| file != name) {
        return None;
    }
    let dir = data_dir.join(FOLDER);
    let flat = dir.join(name);
    if flat.is_file() {
        return Some(flat);
    }
    let (unit, file) = (format!("{UNIT}={machine}"), |day: &PathBuf| Some(day.join(name)).filter(|path| path.is_file()));
    // Newest first.
    entries(&dir.join(TABLE)).into_iter().find_map(|gateway| entries(&gateway.join(&unit)).iter().rev().find_map(file))
}

/// By name; none where there is no such folder.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Makes the folders of a path below `dir`; they survive a power cut when this returns.
pub(super) fn make(dir: &Path, below: &str) -> io::Result<PathBuf> {
    let made = dir.join(below);
    if !made.is_dir() {
        fs::create_dir_all(&made)?;
        made.ancestors().take_while(|path| path.starts_with(dir)).try_for_each(sync)?;
    }
    Ok(made)
}

/// Names in a folder are on the disk when this returns, where the system can do so.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_name_and_nothing_else_is() {
        let data = tempfile::tempdir().unwrap();
        let last = Timestamp::from_nanos(1_700_000_000_000_000_000);
        let below = folder(Format::Parquet, "Press7", "Motor1", last);
        assert_eq!(below, "table/gateway=Press7/unit=Motor1/date=2023-11-14");
        let dir = data.path().join(FOLDER);
        let made = make(&dir, &below).unwrap();
        fs::write(made.join("a.parquet"), "a").unwrap();
        fs::write(dir.join("b.csv"), "b").unwrap();
        fs::write(data.path().join("secret"), "c").unwrap();
        assert_eq!(find(data.path(), "Motor1", "a.parquet"), Some(made.join("a.parquet")));
        assert_eq!(find(data.path(), "Motor2", "a.parquet"), None, "of another machine");
        assert_eq!(find(data.path(), "Motor2", "b.csv"), Some(dir.join("b.csv")));
        for name in ["../secret", "..", "", "table", "gone.parquet"] {
            assert_eq!(find(data.path(), "Motor1", name), None, "{name}");
        }
    }
}
