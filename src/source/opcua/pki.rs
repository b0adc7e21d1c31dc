//! Certificates of the client: its own, and those of the PLCs that it trusts.
//!
//! ```text
//! pki_dir/own/cert.der  private/private.pem  trusted/*.der  rejected/*.der
//! ```
//! A server certificate is trusted where exactly this certificate lies in `trusted/`. Its host name is not compared (PLCs behind
//! NAT), and one that has expired is reported but used: it was trusted by hand, and production must not stop at midnight.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use opcua::crypto::{CertificateStore, X509, X509Data};
use opcua::types::ByteString;

use crate::wire::application_uri;

/// In the client's certificate and in every session.
pub(super) const APPLICATION_URI: &str = "urn:driftgate:client";

const VALID_DAYS: u32 = 20 * 365;

/// Sources start at the same time: only one makes the key.
static MAKING: Mutex<()> = Mutex::new(());

#[derive(Debug, thiserror::Error)]
pub(super) enum PkiError {
    #[error("the client's certificate cannot be made in `{dir}`: {reason}; check that the folder can be written")]
    Own { dir: PathBuf, reason: String },
    #[error("the PLC's certificate cannot be read: {0}")]
    Malformed(String),
    #[error("the PLC's certificate is not trusted: compare its thumbprint {thumbprint} with what the PLC shows, then \
             `driftgate cert trust {}` with the same data directory (or move `{file}` to `{trusted}`){beside}", .thumbprint.get(..8).unwrap_or(thumbprint))]
    Untrusted { thumbprint: String, file: PathBuf, trusted: PathBuf, beside: String },
}

/// Makes folders, key and certificate where there are none. Takes a second or two the first time.
pub(super) fn prepare(dir: &Path) -> Result<(), PkiError> {
    let failed = |reason: String| PkiError::Own { dir: dir.into(), reason };
    let _one_at_a_time = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let store = CertificateStore::new(dir);
    store.ensure_pki_path().map_err(failed)?;
    let (certificate, key) = (store.own_certificate_path(), store.own_private_key_path());
    match (certificate.exists(), key.exists()) {
        (true, true) => return Ok(()),
        (false, false) => {}
        // Never overwritten: the PLC may trust it.
        _ => return Err(failed(format!("only one of `{}` and `{}` exists", certificate.display(), key.display()))),
    }
    let folder = dir.join("private");
    private_folder(&folder).map_err(|e| failed(format!("{}: {e}", folder.display())))?;
    let (made, made_key) = (certificate.with_extension("new"), key.with_extension("new"));
    CertificateStore::create_certificate_and_key(&own_data(), true, &made, &made_key).map_err(failed)?;
    // The key first: a certificate without a key is the state that would need a person.
    std::fs::rename(&made_key, &key).and_then(|()| std::fs::rename(&made, &certificate)).map_err(|e| failed(e.to_string()))
}

fn own_data() -> X509Data {
    X509Data {
        key_size: 2048,
        common_name: "driftgate client".into(),
        organization: "driftgate".into(),
        organizational_unit: String::new(),
        country: String::new(),
        state: String::new(),
        alt_host_names: X509Data::alt_host_names(APPLICATION_URI, None, false, true, false),
        certificate_duration_days: VALID_DAYS,
    }
}

/// A folder that only the gateway's user can enter.
fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// What else is to be said of a PLC's certificate, with the next step; nothing where all is well.
fn remark(certificate: &X509, application_uri: &str) -> Option<String> {
    let now = chrono::Utc::now();
    let mut parts = Vec::new();
    if let Ok(end) = certificate.not_after()
        && end < now
    {
        parts.push(format!("the PLC's certificate has expired on {}: renew it on the PLC", end.format("%Y-%m-%d")));
    }
    if let Ok(begin) = certificate.not_before()
        && now < begin
    {
        parts.push(format!("the PLC's certificate is not valid before {}: set the clocks of PLC and gateway", begin.format("%Y-%m-%d")));
    }
    let uris = application_uri::of(certificate);
    if !application_uri.is_empty() && !uris.iter().any(|uri| uri == application_uri) {
        let named = uris.first().map_or_else(|| "none".to_string(), |uri| format!("`{uri}`"));
        parts.push(format!(
            "the PLC calls itself `{application_uri}`, the application URI in its certificate is {named}: make a new certificate on the PLC"
        ));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Decides on the PLC's certificate (DER); what is unknown is put into `rejected/`, from where a person moves it to `trusted/`.
/// With `trust_any` it is put into `trusted/` instead.
///
/// Returns what else is to be said of it. `application_uri`: as the server gives it; empty where it gives none.
pub(super) fn check_server(dir: &Path, der: &ByteString, application_uri: &str, trust_any: bool) -> Result<Option<String>, PkiError> {
    let certificate = X509::from_byte_string(der).map_err(|e| PkiError::Malformed(e.to_string()))?;
    let store = CertificateStore::new(dir);
    let name = CertificateStore::cert_file_name(&certificate);
    let (trusted, rejected) = (store.trusted_certs_dir().join(&name), store.rejected_certs_dir().join(&name));
    let own = |reason: std::io::Error| PkiError::Own { dir: dir.into(), reason: reason.to_string() };
    let known = std::fs::read(&trusted).is_ok_and(|bytes| Some(&bytes) == der.value.as_ref());
    if !known && !trust_any {
        store.store_rejected_cert(&certificate).map_err(|reason| PkiError::Own { dir: dir.into(), reason })?;
        let thumbprint = certificate.thumbprint().as_hex_string();
        let beside = remark(&certificate, application_uri).map_or_else(String::new, |text| format!("; {text}"));
        return Err(PkiError::Untrusted { thumbprint, file: rejected, trusted: store.trusted_certs_dir(), beside });
    }
    if !known {
        tracing::warn!(certificate = %name, "taken as trusted without a check: `trust_any_certificate` is set");
        std::fs::write(&trusted, der.as_ref()).map_err(own)?;
    }
    // A copy left in `rejected/` would still be refused.
    match std::fs::remove_file(&rejected) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(own(e)),
        _ => {}
    }
    Ok(remark(&certificate, application_uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_given_by_hand() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        let key = std::fs::read(dir.path().join("private/private.pem")).unwrap();
        prepare(dir.path()).unwrap();
        assert_eq!(std::fs::read(dir.path().join("private/private.pem")).unwrap(), key, "made once");

        // Any certificate does: the client's own stands for the PLC's.
        let der = ByteString::from(std::fs::read(dir.path().join("own/cert.der")).unwrap());
        let Err(PkiError::Untrusted { file, trusted, beside, .. }) = check_server(dir.path(), &der, APPLICATION_URI, false) else {
            panic!("trusted")
        };
        assert_eq!(beside, "");
        std::fs::copy(&file, trusted.join(file.file_name().unwrap())).unwrap();
        assert_eq!(check_server(dir.path(), &der, APPLICATION_URI, false).unwrap(), None);
        assert!(!file.exists(), "a copy in rejected/ would be refused later");
        let remark = check_server(dir.path(), &der, "urn:plc", false).unwrap().unwrap();
        assert!(remark.contains("`urn:plc`") && remark.contains("`urn:driftgate:client`"), "{remark}");
        assert!(check_server(dir.path(), &ByteString::from(vec![1, 2, 3]), "", true).is_err());
    }

    #[test]
    fn any_certificate_where_so_configured() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        let der = ByteString::from(std::fs::read(dir.path().join("own/cert.der")).unwrap());
        assert!(check_server(dir.path(), &der, APPLICATION_URI, false).is_err());
        assert_eq!(check_server(dir.path(), &der, APPLICATION_URI, true).unwrap(), None);
        assert_eq!(check_server(dir.path(), &der, APPLICATION_URI, false).unwrap(), None, "kept");
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_the_gateway_s_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        let mode = std::fs::metadata(dir.path().join("private")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
