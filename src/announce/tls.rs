//! Which servers are trusted.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Certificates of a PEM file; without one those that this computer trusts.
pub(super) fn roots(ca_file: Option<&str>) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<CertificateDer<'static>> = match ca_file {
        Some(path) => {
            let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            read.map_err(|e| format!("`ca_file` `{path}` cannot be read: {e}"))?
        }
        None => rustls_native_certs::load_native_certs().certs,
    };
    match (found.is_empty(), ca_file) {
        (false, _) => Ok(found),
        (true, Some(path)) => Err(format!("`ca_file` `{path}` holds no certificate; it must be PEM")),
        (true, None) => Err("this computer has no list of certificate authorities; install ca-certificates, or give `ca_file`".into()),
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
