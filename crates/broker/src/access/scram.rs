//! Salted keys: what is kept of a password so that a client can prove that it knows it without saying it (RFC 5802). Whoever
//! reads the keys can pretend to be the broker, but not the client.
//!
//! ```text
//! salted = PBKDF2(password, salt, iterations)     client = HMAC(salted, "Client Key")
//! stored = H(client)                              server = HMAC(salted, "Server Key")
//! proof  = client ^ HMAC(stored, said)            signature = HMAC(server, said)
//! ```
//! As text: `SCRAM-SHA-256$4096:salt$stored:server`, in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use polybus_model::{ScramHash, ScramProof};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

/// How often a password is hashed where nobody says otherwise, and at least.
pub(crate) const ITERATIONS_MIN: u32 = 4096;
/// At most: it is the client's work.
pub(crate) const ITERATIONS_MAX: u32 = 16_384;
/// Bytes of a new salt.
const SALT_BYTES: usize = 16;
/// Bytes of a salt that someone brings, at most.
const SALT_BYTES_MAX: usize = 256;

/// What is kept of one password for one hash function.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ScramKeys {
    pub(crate) hash: ScramHash,
    pub(crate) iterations: u32,
    pub(crate) salt: Vec<u8>,
    stored: Vec<u8>,
    server: Vec<u8>,
}

impl ScramKeys {
    /// Of a password, one for each hash function.
    pub(crate) fn of_password(password: &str) -> Result<Vec<Self>, String> {
        let each = ScramHash::ALL.map(|hash| {
            let mut salt = [0; SALT_BYTES];
            getrandom::fill(&mut salt).map_err(|error| error.to_string())?;
            let salted = salted(hash, password.as_bytes(), &salt, ITERATIONS_MIN);
            Self::of_salted(hash, ITERATIONS_MIN, &salt, &salted)
        });
        each.into_iter().collect()
    }

    /// Of a password that was salted elsewhere.
    pub(crate) fn of_salted(
        hash: ScramHash,
        iterations: u32,
        salt: &[u8],
        salted: &[u8],
    ) -> Result<Self, String> {
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(format!(
                "a password is hashed {ITERATIONS_MIN} to {ITERATIONS_MAX} times, not {iterations}"
            ));
        }
        if !(1..=SALT_BYTES_MAX).contains(&salt.len()) {
            return Err(format!("a salt has 1 to {SALT_BYTES_MAX} bytes"));
        }
        if salted.len() != hash.bytes() {
            let (name, len) = (hash.name(), hash.bytes());
            return Err(format!("a password salted for {name} has {len} bytes"));
        }
        Ok(Self {
            hash,
            iterations,
            salt: salt.to_vec(),
            stored: digest(hash, &mac(hash, salted, b"Client Key")),
            server: mac(hash, salted, b"Server Key"),
        })
    }

    /// Whether they are those of a password.
    #[cfg(test)]
    pub(crate) fn is_of(&self, password: &str) -> bool {
        let salted = salted(self.hash, password.as_bytes(), &self.salt, self.iterations);
        Self::of_salted(self.hash, self.iterations, &self.salt, &salted).as_ref() == Ok(self)
    }

    /// Keys that no password fits, with a salt that is the same whenever this user is asked for: nobody learns that there is
    /// no such user.
    pub(crate) fn of_nobody(hash: ScramHash, secret: &[u8], user: &str) -> Self {
        let named = [hash.name().as_bytes(), b"\0", user.as_bytes()].concat();
        let mut salt = mac(ScramHash::Sha256, secret, &named);
        salt.truncate(SALT_BYTES);
        Self {
            hash,
            iterations: ITERATIONS_MIN,
            salt,
            stored: vec![0; hash.bytes()],
            server: vec![0; hash.bytes()],
        }
    }

    /// The broker's signature, if the proof is right.
    pub(crate) fn verify(&self, proof: &ScramProof) -> Option<Vec<u8>> {
        let mask = mac(self.hash, &self.stored, &proof.said);
        let client: Vec<u8> = mask.iter().zip(&proof.proof).map(|(a, b)| a ^ b).collect();
        let claimed = digest(self.hash, &client);
        let differing = claimed
            .iter()
            .zip(&self.stored)
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        let is_right = std::hint::black_box(differing) == 0
            && proof.proof.len() == self.hash.bytes()
            && self.stored.len() == claimed.len();
        is_right.then(|| mac(self.hash, &self.server, &proof.said))
    }
}

fn salted(hash: ScramHash, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    match hash {
        ScramHash::Sha256 => {
            pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec()
        }
        ScramHash::Sha512 => {
            pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations).to_vec()
        }
    }
}

fn digest(hash: ScramHash, bytes: &[u8]) -> Vec<u8> {
    match hash {
        ScramHash::Sha256 => Sha256::digest(bytes).to_vec(),
        ScramHash::Sha512 => Sha512::digest(bytes).to_vec(),
    }
}

fn mac(hash: ScramHash, key: &[u8], bytes: &[u8]) -> Vec<u8> {
    fn with<M: Mac + hmac::digest::KeyInit>(key: &[u8], bytes: &[u8]) -> Vec<u8> {
        // A key may have any length; none at all signs nothing.
        let Ok(mut mac) = <M as Mac>::new_from_slice(key) else {
            return Vec::new();
        };
        mac.update(bytes);
        mac.finalize().into_bytes().to_vec()
    }
    match hash {
        ScramHash::Sha256 => with::<Hmac<Sha256>>(key, bytes),
        ScramHash::Sha512 => with::<Hmac<Sha512>>(key, bytes),
    }
}

impl From<ScramKeys> for String {
    fn from(keys: ScramKeys) -> Self {
        format!(
            "{}${}:{}${}:{}",
            keys.hash.name(),
            keys.iterations,
            STANDARD.encode(&keys.salt),
            STANDARD.encode(&keys.stored),
            STANDARD.encode(&keys.server)
        )
    }
}

impl TryFrom<String> for ScramKeys {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let (name, rest) = text.split_once('$')?;
            let hash = ScramHash::ALL
                .into_iter()
                .find(|hash| hash.name() == name)?;
            let (salting, keys) = rest.split_once('$')?;
            let (iterations, salt) = salting.split_once(':')?;
            let (stored, server) = keys.split_once(':')?;
            let bytes = |text| STANDARD.decode(text).ok();
            Some(Self {
                hash,
                iterations: iterations.parse().ok()?,
                salt: bytes(salt)?,
                stored: bytes(stored)?,
                server: bytes(server)?,
            })
        };
        read().ok_or_else(|| "a user's salted keys could not be read".to_owned())
    }
}

/// Keys are secret: only what they are of is shown.
impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScramKeys({}, {})", self.hash.name(), self.iterations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn a_proof_is_right_or_wrong_as_the_standard_says() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted(ScramHash::Sha256, b"pencil", &salt, 4096);
        let keys = ScramKeys::of_salted(ScramHash::Sha256, 4096, &salt, &salted).unwrap();
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let said = format!(
            "n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
        );
        let proof = STANDARD
            .decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
            .unwrap();
        let mut proof = ScramProof {
            user: "user".into(),
            hash: ScramHash::Sha256,
            said: said.into(),
            proof: proof.into(),
        };
        let signature = STANDARD.encode(keys.verify(&proof).unwrap());
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let nobody = ScramKeys::of_nobody(ScramHash::Sha256, b"secret", "user");
        assert_eq!(nobody.verify(&proof), None);
        proof.proof = vec![1; 32].into();
        assert_eq!(keys.verify(&proof), None);
        proof.proof = bytes::Bytes::new();
        assert_eq!(keys.verify(&proof), None);
    }

    #[test]
    fn keys_are_kept_as_text() {
        let all = ScramKeys::of_password("s3cret").unwrap();
        let text = serde_json::to_string(&all).unwrap();
        assert!(text.starts_with("[\"SCRAM-SHA-256$4096:"));
        assert_eq!(serde_json::from_str::<Vec<ScramKeys>>(&text).unwrap(), all);
        assert!(serde_json::from_str::<ScramKeys>("\"SCRAM-SHA-256$x:\"").is_err());
        let hash = ScramHash::Sha512;
        assert!(ScramKeys::of_salted(hash, 4095, b"s", &[0; 64]).is_err());
        assert!(ScramKeys::of_salted(hash, 4096, b"s", &[0; 32]).is_err());
        assert!(ScramKeys::of_salted(hash, 4096, b"", &[0; 64]).is_err());
    }

    #[test]
    fn who_is_not_there_has_one_salt() {
        let salt = |user| ScramKeys::of_nobody(ScramHash::Sha256, b"secret", user).salt;
        assert_eq!(salt("a"), salt("a"));
        assert_ne!(salt("a"), salt("b"));
    }
}
