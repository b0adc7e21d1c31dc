//! Where batches go: a file in the making.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::columns::Batch;

/// A file format.
pub(super) trait Sink {
    fn write(&mut self, batch: &Batch) -> Result<(), String>;

    /// The end; `facts` go into the file where the format has a place for them.
    fn finish(self: Box<Self>, facts: &[(String, String)]) -> Result<Written, String>;
}

/// A finished file, safe on disk under its name for the making.
pub(super) struct Written {
    pub(super) hash: String,
    pub(super) bytes: u64,
}

/// A file, and the SHA-256 of what was written to it.
pub(super) struct Hashed {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Hashed {
    pub(super) fn new(file: File) -> Self {
        Self { file: BufWriter::with_capacity(1 << 16, file), hash: Sha256::new(), bytes: 0 }
    }

    /// What was written is on the disk when this returns.
    pub(super) fn finish(self) -> io::Result<Written> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(Written { hash: format!("{:x}", self.hash.finalize()), bytes: self.bytes })
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file that is removed unless it gets its name.
pub(super) struct Part {
    path: PathBuf,
    named: bool,
}

impl Part {
    /// End of the names of files in the making.
    pub(super) const END: &'static str = ".part";

    /// One of the same name from before is written over.
    pub(super) fn create(path: PathBuf) -> io::Result<(Self, File)> {
        let file = File::create(&path)?;
        Ok((Self { path, named: false }, file))
    }

    pub(super) fn rename(mut self, name: &Path) -> io::Result<()> {
        fs::rename(&self.path, name)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.named {
            // It may not be there.
            let _ = fs::remove_file(&self.path);
        }
    }
}
