//! Open files: who holds them, where they stand. Bounded, and gone with their session.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::{Duration, Instant};

use opcua::sync::Mutex;
use opcua::types::StatusCode;

/// Open files of one session, and of all.
const OF_SESSION: usize = 8;
const OF_ALL: usize = 100;
/// Bytes of an upload, and how many there may be at a time.
pub(super) const MAX_UPLOAD: usize = 64 << 20;
const UPLOADS: usize = 4;
/// An upload that is left alone for so long is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of one read.
pub(super) const MAX_READ: usize = 4_000_000;

/// What an open file gives or takes.
pub(super) enum Content {
    Memory(Arc<[u8]>),
    Disk(Arc<Mutex<File>>, u64),
    Upload(Vec<u8>),
}

impl Content {
    fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Disk(_, size) => *size,
            Self::Upload(bytes) => bytes.len() as u64,
        }
    }
}

/// Who opens: a session, and whether it still exists.
pub(super) struct Holder {
    pub(super) session: u32,
    pub(super) alive: Box<dyn Fn() -> bool + Send>,
}

struct Open {
    file: Arc<str>,
    holder: Holder,
    content: Content,
    position: u64,
    used: Instant,
}

#[derive(Default)]
struct Table {
    last: u32,
    open: HashMap<u32, Open>,
}

#[derive(Default)]
pub(super) struct Handles {
    table: Mutex<Table>,
}

/// A part of a file, to be read outside the lock.
pub(super) enum Part {
    Bytes(Vec<u8>),
    Disk { file: Arc<Mutex<File>>, from: u64, length: usize },
}

impl Part {
    /// May take as long as the disk does.
    pub(super) fn read(self) -> Result<Vec<u8>, StatusCode> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Disk { file, from, length } => {
                let mut file = file.lock();
                let mut bytes = vec![0; length];
                file.seek(SeekFrom::Start(from)).and_then(|_| file.read_exact(&mut bytes)).map_err(|_| StatusCode::BadUnexpectedError)?;
                Ok(bytes)
            }
        }
    }
}

impl Handles {
    pub(super) fn open(&self, file: &Arc<str>, holder: Holder, content: Content) -> Result<u32, StatusCode> {
        let mut table = self.table.lock();
        let of_session = table.open.values().filter(|open| open.holder.session == holder.session).count();
        if of_session >= OF_SESSION || table.open.len() >= OF_ALL {
            return Err(StatusCode::BadResourceUnavailable);
        }
        if matches!(content, Content::Upload(_)) {
            let uploads = || table.open.values().filter(|open| matches!(open.content, Content::Upload(_)));
            if uploads().count() >= UPLOADS || uploads().any(|open| open.file == *file) {
                return Err(StatusCode::BadResourceUnavailable);
            }
        }
        // 0 is no handle.
        let taken = |handle: u32, table: &Table| handle == 0 || table.open.contains_key(&handle);
        let mut handle = table.last.wrapping_add(1);
        while taken(handle, &table) {
            handle = handle.wrapping_add(1);
        }
        table.last = handle;
        table.open.insert(handle, Open { file: Arc::clone(file), holder, content, position: 0, used: Instant::now() });
        Ok(handle)
    }

    /// A handle is good for its file and its session only.
    fn with<T>(
        &self,
        file: &str,
        session: u32,
        handle: u32,
        action: impl FnOnce(&mut Open) -> Result<T, StatusCode>,
    ) -> Result<T, StatusCode> {
        let mut table = self.table.lock();
        match table.open.get_mut(&handle) {
            Some(open) if *open.file == *file && open.holder.session == session => {
                open.used = Instant::now();
                action(open)
            }
            _ => Err(StatusCode::BadInvalidArgument),
        }
    }

    /// The content goes, with the handle.
    pub(super) fn close(&self, file: &str, session: u32, handle: u32) -> Result<Content, StatusCode> {
        self.with(file, session, handle, |_| Ok(()))?;
        self.table.lock().open.remove(&handle).map(|open| open.content).ok_or(StatusCode::BadInvalidArgument)
    }

    /// At most `length` bytes from where the file stands; the position goes on.
    pub(super) fn read(&self, file: &str, session: u32, handle: u32, length: usize) -> Result<Part, StatusCode> {
        self.with(file, session, handle, |open| {
            let from = open.position.min(open.content.size());
            let length = (open.content.size() - from).min(length.min(MAX_READ) as u64) as usize;
            let part = match &open.content {
                Content::Memory(bytes) => Part::Bytes(bytes[from as usize..][..length].to_vec()),
                Content::Disk(file, _) => Part::Disk { file: Arc::clone(file), from, length },
                Content::Upload(_) => return Err(StatusCode::BadInvalidState),
            };
            open.position = from + length as u64;
            Ok(part)
        })
    }

    /// Writes where the file stands.
    pub(super) fn write(&self, file: &str, session: u32, handle: u32, bytes: &[u8]) -> Result<(), StatusCode> {
        self.with(file, session, handle, |open| {
            let Content::Upload(content) = &mut open.content else { return Err(StatusCode::BadInvalidState) };
            let from = open.position as usize;
            let end = from + bytes.len();
            if end > MAX_UPLOAD {
                return Err(StatusCode::BadOutOfMemory);
            }
            content.resize(content.len().max(end), 0);
            content[from..end].copy_from_slice(bytes);
            open.position = end as u64;
            Ok(())
        })
    }

    pub(super) fn position(&self, file: &str, session: u32, handle: u32) -> Result<u64, StatusCode> {
        self.with(file, session, handle, |open| Ok(open.position))
    }

    /// Beyond the end is the end.
    pub(super) fn seek(&self, file: &str, session: u32, handle: u32, position: u64) -> Result<(), StatusCode> {
        self.with(file, session, handle, |open| {
            open.position = position.min(open.content.size());
            Ok(())
        })
    }

    pub(super) fn count(&self, file: &str) -> u16 {
        u16::try_from(self.table.lock().open.values().filter(|open| *open.file == *file).count()).unwrap_or(u16::MAX)
    }

    /// Closes what belongs to sessions that have ended, and uploads that were left alone; says which files these were.
    pub(super) fn sweep(&self, now: Instant) -> Vec<Arc<str>> {
        let mut closed = Vec::new();
        self.table.lock().open.retain(|_, open| {
            let left = matches!(open.content, Content::Upload(_)) && now.saturating_duration_since(open.used) > PATIENCE;
            let keep = (open.holder.alive)() && !left;
            if !keep {
                closed.push(Arc::clone(&open.file));
            }
            keep
        });
        closed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn of(session: u32) -> Holder {
        Holder { session, alive: Box::new(|| true) }
    }

    fn text(text: &str) -> Content {
        Content::Memory(text.as_bytes().into())
    }

    fn read(handles: &Handles, handle: u32, length: usize) -> Vec<u8> {
        handles.read("f", 1, handle, length).unwrap().read().unwrap()
    }

    #[test]
    fn reading_goes_on_and_ends() {
        let (handles, file) = (Handles::default(), Arc::from("f"));
        let handle = handles.open(&file, of(1), text("hello")).unwrap();
        assert_eq!(read(&handles, handle, 2), b"he");
        assert_eq!(read(&handles, handle, 100), b"llo");
        assert_eq!(read(&handles, handle, 100), b"");
        handles.seek("f", 1, handle, 1).unwrap();
        assert_eq!((handles.position("f", 1, handle), read(&handles, handle, 1)), (Ok(1), b"e".to_vec()));
        handles.seek("f", 1, handle, u64::MAX).unwrap();
        assert_eq!(handles.position("f", 1, handle), Ok(5));
        assert_eq!(handles.write("f", 1, handle, b"x"), Err(StatusCode::BadInvalidState));
    }

    #[test]
    fn a_file_on_disk_reads_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"hello").unwrap();
        let (handles, file) = (Handles::default(), Arc::from("f"));
        let content = Content::Disk(Arc::new(Mutex::new(File::open(&path).unwrap())), 5);
        let handle = handles.open(&file, of(1), content).unwrap();
        assert_eq!(read(&handles, handle, 3), b"hel");
        assert_eq!(read(&handles, handle, 3), b"lo");
    }

    #[test]
    fn a_handle_is_of_one_session_and_one_file() {
        let (handles, file) = (Handles::default(), Arc::from("f"));
        let handle = handles.open(&file, of(1), text("a")).unwrap();
        for (file, session, handle) in [("f", 2, handle), ("g", 1, handle), ("f", 1, handle + 1)] {
            assert_eq!(handles.close(file, session, handle).err(), Some(StatusCode::BadInvalidArgument));
        }
        assert!(handles.close("f", 1, handle).is_ok());
        assert_eq!(handles.position("f", 1, handle), Err(StatusCode::BadInvalidArgument));
    }

    #[test]
    fn there_are_bounds() {
        let (handles, file) = (Handles::default(), Arc::from("f"));
        for _ in 0..OF_SESSION {
            handles.open(&file, of(1), text("a")).unwrap();
        }
        assert_eq!(handles.open(&file, of(1), text("a")), Err(StatusCode::BadResourceUnavailable));
        assert_eq!(handles.count("f"), OF_SESSION as u16);
        // One upload a file; not more bytes than fit.
        let upload = Arc::from("u");
        let handle = handles.open(&upload, of(2), Content::Upload(Vec::new())).unwrap();
        assert_eq!(handles.open(&upload, of(3), Content::Upload(Vec::new())), Err(StatusCode::BadResourceUnavailable));
        handles.write("u", 2, handle, &vec![1; MAX_UPLOAD]).unwrap();
        assert_eq!(handles.write("u", 2, handle, &[1]), Err(StatusCode::BadOutOfMemory));
    }

    #[test]
    fn what_is_left_behind_is_closed() {
        let (handles, file) = (Handles::default(), Arc::from("f"));
        let alive = Arc::new(AtomicBool::new(true));
        let seen = Arc::clone(&alive);
        handles.open(&file, Holder { session: 1, alive: Box::new(move || seen.load(Ordering::Relaxed)) }, text("a")).unwrap();
        let upload = Arc::from("u");
        handles.open(&upload, of(2), Content::Upload(Vec::new())).unwrap();
        assert!(handles.sweep(Instant::now()).is_empty());
        alive.store(false, Ordering::Relaxed);
        assert_eq!(handles.sweep(Instant::now()), [file]);
        assert_eq!(handles.sweep(Instant::now() + 2 * PATIENCE), [upload]);
    }
}
