//! A bundle as bytes: one line of JSON with the format's version and the SHA-256 of the rest, then the bundle as JSON.
//! Readable with any text tool; the hash names the bundle.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Bundle;

const FORMAT: &str = "driftgate-bundle";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    sha256: String,
}

/// Why bytes are no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("not a driftgate bundle: {0}")]
    NotABundle(String),
    #[error("a bundle of version `{0}`; this program reads up to {VERSION}")]
    Version(u32),
    #[error("the bundle is damaged: its SHA-256 is `{found}`, its head says `{said}`; fetch it again")]
    Hash { found: String, said: String },
}

/// The bytes of a bundle and their SHA-256 (hex).
pub fn encode(bundle: &Bundle) -> Result<(Vec<u8>, String), serde_json::Error> {
    let body = serde_json::to_vec(bundle)?;
    let sha256 = hex(&Sha256::digest(&body));
    let mut bytes = serde_json::to_vec(&Head { format: FORMAT.into(), version: VERSION, sha256: sha256.clone() })?;
    bytes.push(b'\n');
    bytes.extend(body);
    Ok((bytes, sha256))
}

/// Reads a bundle; also returns its SHA-256 (hex).
pub fn decode(bytes: &[u8]) -> Result<(Bundle, String), DecodeError> {
    let not = |e: &dyn std::fmt::Display| DecodeError::NotABundle(e.to_string());
    let newline = bytes.iter().take(1000).position(|b| *b == b'\n').ok_or_else(|| not(&"it has no head line"))?;
    let head: Head = serde_json::from_slice(&bytes[..newline]).map_err(|e| not(&e))?;
    if head.format != FORMAT {
        return Err(not(&format!("its head names the format `{}`", head.format)));
    }
    if head.version > VERSION {
        return Err(DecodeError::Version(head.version));
    }
    let body = &bytes[newline + 1..];
    let found = hex(&Sha256::digest(body));
    if found != head.sha256 {
        return Err(DecodeError::Hash { found, said: head.sha256 });
    }
    Ok((serde_json::from_slice(body).map_err(|e| not(&e))?, found))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
