//! The configuration file on disk. The only place of this room that touches the file system.

use std::path::{Path, PathBuf};

use super::{Config, ConfigErrors};

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read the configuration: `{}`: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Invalid(#[from] ConfigErrors),
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| LoadError::Read { path: path.into(), source })?;
        Self::parse(&text).map_err(|mut errors| {
            errors.file = Some(path.display().to_string());
            LoadError::Invalid(errors)
        })
    }
}
