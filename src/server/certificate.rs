//! The server's own certificate and key: made at the first start, kept in `own/` and `private/` of the PKI directory.

use std::path::Path;

use opcua::crypto::{CertificateStore, X509Data};

use super::ServerError;
use crate::wire::application_uri;

pub(super) const CERTIFICATE: &str = "own/cert.der";
pub(super) const PRIVATE_KEY: &str = "private/private.pem";

const KEY_BITS: u32 = 2048;
/// Ten years: a machine without network must not stop because nobody renewed a certificate.
const VALID_DAYS: u32 = 3650;

/// Makes sure that a valid key pair for `application_uri` lies in `pki_dir`.
pub(super) fn ensure(pki_dir: &Path, application_uri: &str) -> Result<(), ServerError> {
    let (certificate, key) = (pki_dir.join(CERTIFICATE), pki_dir.join(PRIVATE_KEY));
    if certificate.exists() && key.exists() {
        match unusable(&certificate, application_uri) {
            None => return Ok(()),
            Some(reason) => {
                tracing::warn!(
                    "the server certificate `{}` {reason}: a new one is made, clients must trust it anew",
                    certificate.display()
                );
            }
        }
    }
    create(&certificate, &key, application_uri)
}

/// Why an existing certificate cannot be used.
fn unusable(path: &Path, application_uri: &str) -> Option<&'static str> {
    let Ok(certificate) = CertificateStore::read_cert(path) else { return Some("cannot be read") };
    if !application_uri::belongs_to(&certificate, application_uri) {
        return Some("belongs to another application URI");
    }
    certificate.is_time_valid(&chrono::Utc::now()).is_err().then_some("is outside its time of validity")
}

fn create(certificate: &Path, key: &Path, application_uri: &str) -> Result<(), ServerError> {
    if let Some(parent) = key.parent() {
        private_directory(parent).map_err(|e| ServerError::Certificate { path: parent.display().to_string(), cause: e.to_string() })?;
    }
    let data = X509Data {
        key_size: KEY_BITS,
        common_name: "driftgate".into(),
        organization: "driftgate".into(),
        organizational_unit: "gateway".into(),
        country: "ZZ".into(),
        state: "-".into(),
        // Localhost and this computer's names. Their addresses are not looked up: that can hang without a network.
        alt_host_names: X509Data::alt_host_names(application_uri, Some(X509Data::computer_hostnames()), true, false, true),
        certificate_duration_days: VALID_DAYS,
    };
    CertificateStore::create_certificate_and_key(&data, true, certificate, key)
        .map(|_| ())
        .map_err(|cause| ServerError::Certificate { path: certificate.display().to_string(), cause })
}

/// A directory only its owner can enter, so that the key in it is never open to others.
fn private_directory(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)?;
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_pair_is_made_once_and_anew_for_another_uri() {
        let dir = tempfile::tempdir().unwrap();
        ensure(dir.path(), "urn:driftgate:a").unwrap();
        let read = || CertificateStore::read_cert(&dir.path().join(CERTIFICATE)).unwrap();
        let first = read();
        assert!(application_uri::belongs_to(&first, "urn:driftgate:a"));
        assert!(first.is_hostname_valid("localhost").is_ok() && first.is_hostname_valid("127.0.0.1").is_ok());

        ensure(dir.path(), "urn:driftgate:a").unwrap();
        assert_eq!(read().thumbprint().value(), first.thumbprint().value());
        ensure(dir.path(), "urn:driftgate:b").unwrap();
        assert_ne!(read().thumbprint().value(), first.thumbprint().value());
        CertificateStore::read_pkey(&dir.path().join(PRIVATE_KEY)).unwrap();
    }
}
