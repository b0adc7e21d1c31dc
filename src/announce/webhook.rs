//! HTTP POST of an announcement.

use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::sync::oneshot;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{secret, tls};
use crate::config::WebhookConfig;

pub(super) struct Webhook {
    config: WebhookConfig,
}

impl Webhook {
    pub(super) const fn new(config: WebhookConfig) -> Self {
        Self { config }
    }

    /// Delivered where the answer is 2xx. On a thread of its own: it may hang until the timeout, and a stop does not wait for it.
    pub(super) async fn deliver(self: Arc<Self>, content: Vec<u8>) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        let post = move || {
            // Nobody waits any more where the gateway stops.
            let _ = done.send(self.post(&content));
        };
        std::thread::Builder::new().name("webhook".into()).spawn(post).map_err(|e| e.to_string())?;
        answer.await.unwrap_or_else(|_| Err("the request has ended badly".into()))
    }

    fn post(&self, content: &[u8]) -> Result<(), String> {
        let WebhookConfig { url, token, secret: key, ca_file, timeout } = &self.config;
        let mut config = ureq::Agent::config_builder().timeout_global(Some(*timeout)).max_redirects(0).http_status_as_error(false);
        if url.starts_with("https:") {
            let roots = tls::roots(ca_file.as_deref())?;
            let roots: Vec<Certificate<'static>> = roots.iter().map(|c| Certificate::from_der(c).to_owned()).collect();
            let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(tls::provider());
            config = config.tls_config(builder.root_certs(RootCerts::Specific(Arc::new(roots))).build());
        }
        let mut request = config.build().new_agent().post(url).content_type("application/json");
        request = request.header("User-Agent", concat!("driftgate/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {}", secret(token)?));
        }
        if let Some(key) = key {
            request = request.header("X-Driftgate-Signature", format!("sha256={}", signature(&secret(key)?, content)));
        }
        let status = request.send(content).map_err(|e| format!("`{url}`: {e}; check address, network and certificate"))?.status();
        match status.as_u16() {
            200..=299 => Ok(()),
            401 | 403 => Err(format!("`{url}` answers {status}; check token and secret")),
            300..=399 => Err(format!("`{url}` answers {status}; give the address that it redirects to")),
            _ => Err(format!("`{url}` answers {status}; see its log")),
        }
    }
}

/// HMAC-SHA256 of the body, hex.
fn signature(key: &str, content: &[u8]) -> String {
    // Keys of any length are taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(content);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    /// RFC 4231, test case 2.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(super::signature("Jefe", b"what do ya want for nothing?"), expected);
    }
}
