//! Certificates that the gateway has met: those of the server's clients, and those of the PLCs that it is a client of.
//!
//! Trust is a file: exactly this certificate lies in `trusted/`. What is unknown is put into `rejected/` by the stack, and refused as
//! long as it lies there; so trusting is moving it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use opcua::crypto::CertificateStore;

use crate::wire::application_uri;

/// Larger files are no certificates.
const MAX_FILE: u64 = 64 * 1024;
/// Rejected certificates kept at most: everybody can send one.
const MAX_REJECTED: usize = 200;
/// Letters of a thumbprint that are needed at least.
const MIN_PREFIX: usize = 4;

/// Whose certificates.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Party {
    /// Clients of our server.
    Client,
    /// Servers that sources connect to.
    Source,
}

impl Party {
    pub const ALL: [Self; 2] = [Self::Client, Self::Source];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Source => "source",
        }
    }

    fn dir(self, data_dir: &Path) -> PathBuf {
        match self {
            Self::Client => data_dir.join("pki"),
            Self::Source => data_dir.join("pki").join("sources"),
        }
    }
}

/// A certificate on disk.
#[derive(Clone, Debug)]
pub struct Known {
    pub party: Party,
    pub trusted: bool,
    /// SHA-1 of the certificate, hex.
    pub thumbprint: String,
    pub subject: String,
    /// `None`: it names none.
    pub application_uri: Option<String>,
    /// RFC 3339.
    pub not_after: Option<String>,
    /// Outside its time of validity now.
    pub expired: bool,
    file: PathBuf,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("`{path}` cannot be read or written: {cause}")]
    Io { path: String, cause: io::Error },
    #[error("no certificate's thumbprint begins with `{0}`; `driftgate cert list` shows those there are")]
    Unknown(String),
    #[error("several certificates' thumbprints begin with `{0}`; give more of it")]
    Ambiguous(String),
    #[error("`{0}` is no beginning of a thumbprint: at least {MIN_PREFIX} hexadecimal digits")]
    Prefix(String),
}

/// All certificates of a data directory. Files that are none are left out.
pub fn list(data_dir: &Path) -> Result<Vec<Known>, TrustError> {
    let mut found = Vec::new();
    for party in Party::ALL {
        for trusted in [true, false] {
            let dir = folder(data_dir, party, trusted);
            let mut files = match fs::read_dir(&dir) {
                Ok(entries) => entries.filter_map(|e| Some(e.ok()?.path())).collect::<Vec<_>>(),
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(cause) => return Err(TrustError::Io { path: dir.display().to_string(), cause }),
            };
            files.sort();
            found.extend(files.into_iter().filter_map(|file| known(party, trusted, file)));
        }
    }
    Ok(found)
}

/// Moves a certificate to `trusted/` or to `rejected/`; `thumbprint` may be its beginning. What is there already stays.
pub fn set_trusted(data_dir: &Path, thumbprint: &str, trusted: bool) -> Result<Known, TrustError> {
    let prefix: String = thumbprint.chars().filter(|c| *c != ':' && *c != ' ').collect::<String>().to_ascii_lowercase();
    if prefix.len() < MIN_PREFIX || !prefix.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(TrustError::Prefix(thumbprint.into()));
    }
    let fitting: Vec<_> = list(data_dir)?.into_iter().filter(|k| k.thumbprint.starts_with(&prefix)).collect();
    let first = fitting.first().cloned().ok_or_else(|| TrustError::Unknown(thumbprint.into()))?;
    if fitting.iter().any(|k| (&k.thumbprint, k.party) != (&first.thumbprint, first.party)) {
        return Err(TrustError::Ambiguous(thumbprint.into()));
    }
    let to = folder(data_dir, first.party, trusted);
    fs::create_dir_all(&to).map_err(|cause| TrustError::Io { path: to.display().to_string(), cause })?;
    // One that lies in both is refused by the stack: all copies go to one place.
    for copy in fitting.iter().filter(|k| k.trusted != trusted) {
        let name = copy.file.file_name().unwrap_or_default();
        fs::rename(&copy.file, to.join(name)).map_err(|cause| TrustError::Io { path: copy.file.display().to_string(), cause })?;
    }
    Ok(Known { trusted, ..first })
}

/// Removes the oldest rejected certificates of clients above a number: strangers must not fill the disk.
pub(super) fn sweep(pki_dir: &Path) {
    let Ok(entries) = fs::read_dir(pki_dir.join("rejected")) else { return };
    let mut files: Vec<_> = entries.filter_map(|e| e.ok()).filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path()))).collect();
    files.sort();
    let surplus = files.len().saturating_sub(MAX_REJECTED);
    for (_, file) in files.iter().take(surplus) {
        let _ = fs::remove_file(file);
    }
}

fn folder(data_dir: &Path, party: Party, trusted: bool) -> PathBuf {
    party.dir(data_dir).join(if trusted { "trusted" } else { "rejected" })
}

fn known(party: Party, trusted: bool, file: PathBuf) -> Option<Known> {
    if fs::metadata(&file).ok()?.len() > MAX_FILE {
        return None;
    }
    let certificate = CertificateStore::read_cert(&file).ok()?;
    Some(Known {
        party,
        trusted,
        thumbprint: certificate.thumbprint().as_hex_string().to_ascii_lowercase(),
        subject: certificate.subject_name(),
        // Printed to a terminal, and from somebody not trusted yet.
        application_uri: application_uri::of(&certificate).into_iter().find(|uri| uri.chars().all(|c| c.is_ascii_graphic())),
        not_after: certificate.not_after().ok().map(|t| t.to_rfc3339()),
        expired: certificate.is_time_valid(&chrono::Utc::now()).is_err(),
        file,
    })
}

#[cfg(test)]
mod tests {
    use super::super::certificate;
    use super::*;

    #[test]
    fn trust_is_given_and_taken_by_a_thumbprint() {
        let dir = tempfile::tempdir().unwrap();
        let pki = dir.path().join("pki");
        certificate::ensure(&pki, "urn:some:client").unwrap();
        let (rejected, trusted) = (pki.join("rejected"), pki.join("trusted"));
        assert!(list(dir.path()).unwrap().is_empty());
        fs::create_dir_all(&rejected).unwrap();
        fs::copy(pki.join(certificate::CERTIFICATE), rejected.join("a.der")).unwrap();
        fs::write(rejected.join("b.der"), "no certificate").unwrap();

        let found = list(dir.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].party, found[0].trusted, found[0].expired), (Party::Client, false, false));
        assert_eq!(found[0].application_uri.as_deref(), Some("urn:some:client"));
        let thumbprint = &found[0].thumbprint;
        assert_eq!(thumbprint.len(), 40);

        assert!(matches!(set_trusted(dir.path(), "abc", true), Err(TrustError::Prefix(_))));
        assert!(matches!(set_trusted(dir.path(), "zzzz", true), Err(TrustError::Prefix(_))));
        let other = if thumbprint.starts_with("0000") { "ffff" } else { "0000" };
        assert!(matches!(set_trusted(dir.path(), other, true), Err(TrustError::Unknown(_))));
        assert!(set_trusted(dir.path(), &thumbprint[..8].to_uppercase(), true).unwrap().trusted);
        assert!(trusted.join("a.der").exists() && !rejected.join("a.der").exists());
        set_trusted(dir.path(), thumbprint, true).unwrap();
        assert!(trusted.join("a.der").exists(), "again changes nothing");
        set_trusted(dir.path(), thumbprint, false).unwrap();
        assert!(!trusted.join("a.der").exists() && rejected.join("a.der").exists());
    }

    #[test]
    fn strangers_do_not_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let rejected = dir.path().join("rejected");
        fs::create_dir_all(&rejected).unwrap();
        (0..MAX_REJECTED + 7).for_each(|k| fs::write(rejected.join(format!("{k}.der")), "x").unwrap());
        sweep(dir.path());
        assert_eq!(fs::read_dir(&rejected).unwrap().count(), MAX_REJECTED);
    }
}
