//! Announcements on disk: a file each, numbered in their order.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::FOLDER;

/// Announcements that wait at most; the oldest go first.
const MOST: usize = 1000;
const END: &str = ".json";

/// A folder of announcements of one channel. Blocking.
#[derive(Debug)]
pub struct Queue {
    dir: PathBuf,
    /// Numbers are given one after the other.
    turn: Mutex<()>,
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the queue `{}`", self.dir.display())
    }
}

impl Queue {
    pub fn new(data_dir: &Path, channel: &str) -> Self {
        Self { dir: data_dir.join(FOLDER).join(channel), turn: Mutex::default() }
    }

    /// Adds an announcement; it survives a power cut when this returns. Returns how many of the oldest had to go.
    ///
    /// # Errors
    /// The disk is full or fails; then nothing was added.
    pub fn push(&self, content: &[u8]) -> io::Result<usize> {
        self.push_within(content, MOST)
    }

    fn push_within(&self, content: &[u8], most: usize) -> io::Result<usize> {
        let _turn = self.turn.lock();
        fs::create_dir_all(&self.dir)?;
        let waiting = self.numbers()?;
        let next = waiting.last().map_or(1, |last| last + 1);
        let part = self.dir.join(format!(".{next:012}.part"));
        let mut file = File::create(&part)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&part, self.path(next))?;
        if cfg!(unix) {
            self.dir.ancestors().take(3).try_for_each(|dir| File::open(dir)?.sync_all())?;
        }
        let dropped = (waiting.len() + 1).saturating_sub(most);
        waiting.iter().take(dropped).try_for_each(|number| self.remove(*number))?;
        Ok(dropped)
    }

    /// The oldest announcement with its number; `None` where none waits.
    pub fn oldest(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let Some(number) = self.numbers()?.first().copied() else { return Ok(None) };
        match fs::read(self.path(number)) {
            Ok(content) => Ok(Some((number, content))),
            // Dropped meanwhile: the next look finds the next one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes one off; one that is not there any more is no error.
    pub fn remove(&self, number: u64) -> io::Result<()> {
        match fs::remove_file(self.path(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:012}{END}"))
    }

    /// Ascending.
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.strip_suffix(END)?.parse().ok();
        let mut numbers: Vec<u64> = entries.filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_come_in_their_order_also_after_a_restart() {
        let data = tempfile::tempdir().unwrap();
        let queue = || Queue::new(data.path(), "webhook");
        assert_eq!(queue().oldest().unwrap(), None);
        for text in ["a", "b", "c"] {
            assert_eq!(queue().push(text.as_bytes()).unwrap(), 0);
        }
        // One that a power cut has left half.
        fs::write(data.path().join(FOLDER).join("webhook/.000000000004.part"), "half").unwrap();
        let (number, content) = queue().oldest().unwrap().unwrap();
        assert_eq!((number, content.as_slice()), (1, b"a".as_slice()));
        queue().remove(number).unwrap();
        queue().remove(number).unwrap();
        queue().push(b"d").unwrap();
        let mut left = Vec::new();
        while let Some((number, content)) = queue().oldest().unwrap() {
            queue().remove(number).unwrap();
            left.extend(content);
        }
        assert_eq!(left, b"bcd");
    }

    #[test]
    fn a_full_queue_drops_its_oldest() {
        let data = tempfile::tempdir().unwrap();
        let queue = Queue::new(data.path(), "mqtt");
        let dropped: Vec<usize> = (0..5).map(|k| queue.push_within(&[k], 3).unwrap()).collect();
        assert_eq!(dropped, [0, 0, 0, 1, 1]);
        assert_eq!(queue.oldest().unwrap(), Some((3, vec![2])));
    }
}
