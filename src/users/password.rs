use std::fmt;
use std::sync::LazyLock;

use argon2::password_hash::rand_core::{OsRng, RngCore};
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

/// Characters that a password has at least.
pub const MIN_PASSWORD: usize = 8;
/// Bytes that a password has at most: hashing more would only cost time.
pub const MAX_PASSWORD: usize = 256;

/// Why a password is not taken.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("the password is too short: it has {0} characters, {MIN_PASSWORD} are needed")]
    TooShort(usize),
    #[error("the password is too long: it has {0} bytes, at most {MAX_PASSWORD} are taken")]
    TooLong(usize),
    #[error("the password holds control characters; was a file with several lines given?")]
    Control,
    #[error("the password cannot be hashed: the computer has no source of random numbers or too little memory")]
    Hash,
}

/// Whether a new password is good enough.
pub fn check(password: &str) -> Result<(), PasswordError> {
    let characters = password.chars().count();
    if characters < MIN_PASSWORD {
        return Err(PasswordError::TooShort(characters));
    }
    if password.len() > MAX_PASSWORD {
        return Err(PasswordError::TooLong(password.len()));
    }
    if password.chars().any(char::is_control) { Err(PasswordError::Control) } else { Ok(()) }
}

/// An Argon2id hash with its parameters and salt (PHC format). Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What an unknown user's password is compared with, so that it takes as long as a known one's.
static NOBODY: LazyLock<Option<Secret>> = LazyLock::new(|| Secret::hash_with("nobody has this password", Params::default()).ok());

impl Secret {
    /// Hashes with 19 MiB and two passes (OWASP's recommendation): some 30 ms of a core.
    pub fn new(password: &str) -> Result<Self, PasswordError> {
        check(password)?;
        Self::hash_with(password, Params::default())
    }

    /// A cheap hash of a password that is no secret: the demo's.
    pub fn public(password: &str) -> Result<Self, PasswordError> {
        let params = Params::new(Params::MIN_M_COST, 1, 1, None).map_err(|_| PasswordError::Hash)?;
        Self::hash_with(password, params)
    }

    fn hash_with(password: &str, params: Params) -> Result<Self, PasswordError> {
        let mut salt = [0u8; 16];
        OsRng.try_fill_bytes(&mut salt).map_err(|_| PasswordError::Hash)?;
        let salt = SaltString::encode_b64(&salt).map_err(|_| PasswordError::Hash)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon.hash_password(password.as_bytes(), &salt).map(|hash| Self(hash.to_string())).map_err(|_| PasswordError::Hash)
    }

    /// Whether it is this password's. Takes the CPU for as long as hashing: not on an async thread.
    pub fn verify(&self, password: &str) -> bool {
        let Ok(hash) = PasswordHash::new(&self.0) else { return false };
        password.len() <= MAX_PASSWORD && Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
    }

    /// As [`Self::verify`] of a user that does not exist.
    pub fn verify_nobody(password: &str) -> bool {
        if let Some(nobody) = &*NOBODY {
            std::hint::black_box(nobody.verify(password));
        }
        false
    }

    /// Whether it can be read.
    pub(super) fn is_valid(&self) -> bool {
        PasswordHash::new(&self.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_only() {
        let secret = Secret::new("correct horse").unwrap();
        assert!(secret.verify("correct horse"));
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert!(!secret.verify(wrong), "{wrong}");
        }
        assert_ne!(secret, Secret::new("correct horse").unwrap(), "each has its own salt");
        assert!(!format!("{secret:?}").contains("argon"));
        assert!(secret.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", secret.0);
        assert!(!Secret::verify_nobody("nobody has this password"));
    }

    #[test]
    fn weak_and_strange_passwords_are_refused() {
        assert_eq!(check("1234567"), Err(PasswordError::TooShort(7)));
        assert_eq!(check("ääääääää"), Ok(()), "characters count, not bytes");
        assert_eq!(check(&"x".repeat(257)), Err(PasswordError::TooLong(257)));
        assert_eq!(check("12345678\nx"), Err(PasswordError::Control));
    }
}
