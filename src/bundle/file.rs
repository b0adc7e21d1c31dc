use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Bundle, DecodeError, decode, encode};

/// A bundle that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BundleFileError {
    #[error("cannot read the bundle `{path}`: {cause}")]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("cannot write the bundle `{path}`: {cause}")]
    Write { path: PathBuf, cause: std::io::Error },
    #[error("`{path}`: {cause}")]
    Decode { path: PathBuf, cause: DecodeError },
}

/// Reads a bundle and its SHA-256 (hex).
pub fn load(path: &Path) -> Result<(Bundle, String), BundleFileError> {
    let bytes = fs::read(path).map_err(|cause| BundleFileError::Read { path: path.into(), cause })?;
    decode(&bytes).map_err(|cause| BundleFileError::Decode { path: path.into(), cause })
}

/// Writes a bundle in one piece: to a file beside it, synced, then renamed. Returns its SHA-256 (hex).
pub fn save(bundle: &Bundle, path: &Path) -> Result<String, BundleFileError> {
    let error = |cause| BundleFileError::Write { path: path.into(), cause };
    let (bytes, sha256) = encode(bundle).map_err(|e| error(e.into()))?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let write = || {
        let mut file = fs::File::create(&part)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|cause| {
        let _ = fs::remove_file(&part);
        error(cause)
    })?;
    Ok(sha256)
}
