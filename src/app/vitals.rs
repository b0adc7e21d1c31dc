//! What the gateway tells of the disk that its store lies on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Size of a directory and free space of its disk, in MB; looked at now and then, on another thread: a disk may be slow.
pub(super) struct Disk {
    dir: PathBuf,
    at: Option<Instant>,
    shown: Arc<Mutex<(f64, f64)>>,
}

impl Disk {
    const EVERY: Duration = Duration::from_secs(10);

    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, at: None, shown: Arc::new(Mutex::new((f64::NAN, f64::NAN))) }
    }

    /// NaN as long as it is not known.
    pub(super) fn sample(&mut self) -> (f64, f64) {
        if self.at.is_none_or(|at| at.elapsed() >= Self::EVERY) {
            self.at = Some(Instant::now());
            let (dir, shown) = (self.dir.clone(), Arc::clone(&self.shown));
            tokio::task::spawn_blocking(move || {
                let megabytes = |bytes: u64| (bytes as f64 / 1e5).round() / 10.0;
                let free = fs2::available_space(&dir).map_or(f64::NAN, megabytes);
                *shown.lock() = (megabytes(size_of_dir(&dir)), free);
            });
        }
        *self.shown.lock()
    }
}

/// Bytes of all files below; what cannot be read counts nothing.
fn size_of_dir(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of_dir(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
