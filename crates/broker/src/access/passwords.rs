//! Password hashes by argon2id, and a memory of the passwords that were right, so that a thousand reconnecting clients do
//! not cost a thousand slow hashes. The memory holds keyed hashes under a key that lives as long as the process.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use blake2::digest::{FixedOutput, KeyInit, Update};
use blake2::{Blake2bMac, digest::consts::U32};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// Users whose right password is remembered; past it the memory is emptied.
const REMEMBERED_MAX: usize = 10_000;
/// Longer passwords are refused before they are hashed.
const PASSWORD_LEN_MAX: usize = 1024;

/// Why a password could not be hashed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PasswordError {
    /// It is longer than [`PASSWORD_LEN_MAX`] bytes.
    TooLong,
    /// The system gave no randomness, or the hash failed.
    Hash(String),
}

impl std::fmt::Display for PasswordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong => write!(f, "the password is longer than {PASSWORD_LEN_MAX} bytes"),
            Self::Hash(reason) => write!(f, "the password could not be hashed: {reason}"),
        }
    }
}

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    key: [u8; 32],
    /// Hash text to the keyed hash of the password that was right for it.
    remembered: Mutex<FxHashMap<String, [u8; 32]>>,
}

impl Passwords {
    /// With a key of its own.
    pub(crate) fn new() -> Result<Self, PasswordError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| PasswordError::Hash(error.to_string()))?;
        Ok(Self {
            key,
            remembered: Mutex::new(FxHashMap::default()),
        })
    }

    /// The hash to keep of a password, as a PHC string.
    pub(crate) fn hash(password: &str) -> Result<String, PasswordError> {
        if password.len() > PASSWORD_LEN_MAX {
            return Err(PasswordError::TooLong);
        }
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|error| PasswordError::Hash(error.to_string()))?;
        let salt = SaltString::encode_b64(&salt)
            .map_err(|error| PasswordError::Hash(error.to_string()))?;
        hasher()
            .hash_password(password.as_bytes(), &salt)
            .map(|hash| hash.to_string())
            .map_err(|error| PasswordError::Hash(error.to_string()))
    }

    /// Whether the password is the one that was hashed. Slow the first time.
    pub(crate) fn is_right(&self, password: &str, hash: &str) -> bool {
        if password.len() > PASSWORD_LEN_MAX {
            return false;
        }
        let Some(quick) = self.quick_hash(password) else {
            return false;
        };
        if self.remembered.lock().get(hash) == Some(&quick) {
            return true;
        }
        let right = PasswordHash::new(hash).is_ok_and(|parsed| {
            hasher()
                .verify_password(password.as_bytes(), &parsed)
                .is_ok()
        });
        if right {
            let mut remembered = self.remembered.lock();
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(hash.to_owned(), quick);
        }
        right
    }

    fn quick_hash(&self, password: &str) -> Option<[u8; 32]> {
        let mut mac = Blake2bMac::<U32>::new_from_slice(&self.key).ok()?;
        mac.update(password.as_bytes());
        Some(mac.finalize_fixed().into())
    }
}

/// Argon2id with the OWASP minimum (19 MiB, two passes): a login costs tens of milliseconds and bounded memory.
fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_is_right() {
        let passwords = Passwords::new().unwrap();
        let hash = Passwords::hash("s3cret").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(!passwords.is_right("wrong", &hash));
        assert!(passwords.is_right("s3cret", &hash));
        assert!(passwords.is_right("s3cret", &hash));
        assert!(!passwords.is_right("wrong", &hash));
        assert!(!passwords.is_right("s3cret", "no hash at all"));
    }
}
