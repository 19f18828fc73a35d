//! Who may come in and what they may do, as sessions ask for it and change it: users' salted keys.

use std::fmt;

use bytes::Bytes;

/// The hash function of a login by challenge and proof (SCRAM, RFC 5802).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ScramHash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl ScramHash {
    /// All that there are.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The mechanism's name, as SASL has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Bytes of one hash.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// What a client says to prove that it knows a password. Never printed.
#[derive(Clone)]
pub struct ScramProof {
    /// The user.
    pub user: String,
    /// The hash function.
    pub hash: ScramHash,
    /// All that was said before, as both sides sign it.
    pub said: Bytes,
    /// The client's proof.
    pub proof: Bytes,
}

impl fmt::Debug for ScramProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramProof({:?}, {}, ..)", self.user, self.hash.name())
    }
}

/// A change of a user's keys.
#[derive(Clone)]
pub enum KeyChange {
    /// They are made of this salted password; a user that is not there yet is made, and may do nothing.
    Put {
        /// The user.
        user: String,
        /// The hash function.
        hash: ScramHash,
        /// How often it was hashed.
        iterations: u32,
        /// With what.
        salt: Bytes,
        /// What came of it.
        salted_password: Bytes,
    },
    /// They go.
    Delete {
        /// The user.
        user: String,
        /// The hash function.
        hash: ScramHash,
    },
}

impl KeyChange {
    /// Whose keys.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Put { user, .. } | Self::Delete { user, .. } => user,
        }
    }

    /// Of which hash function.
    #[must_use]
    pub fn hash(&self) -> ScramHash {
        match self {
            Self::Put { hash, .. } | Self::Delete { hash, .. } => *hash,
        }
    }
}

impl fmt::Debug for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "KeyChange({:?}, {}, ..)",
            self.user(),
            self.hash().name()
        )
    }
}

/// What a session asks about access.
#[derive(Clone, Debug)]
pub enum AccessRequest {
    /// Who has keys: these users, or all that have any. Answers [`AccessReply::Keys`].
    Keys(Option<Vec<String>>),
    /// Change keys, user by user. Answers [`AccessReply::Changed`] when durable.
    ChangeKeys(Vec<KeyChange>),
}

/// A user, and the hash functions that it has keys of, with how often its password was hashed.
pub type UserKeys = (String, Result<Vec<(ScramHash, u32)>, AccessError>);

/// What a session is told about access.
#[derive(Clone, Debug)]
pub enum AccessReply {
    /// For each user, in order.
    Keys(Vec<UserKeys>),
    /// For each change, in order.
    Changed(Vec<Result<(), AccessError>>),
    /// Nothing of it may be asked, or done.
    Refused(AccessError),
}

/// Why something about access could not be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessError {
    /// The session may not.
    Forbidden,
    /// There is no such user, or it has none of what was asked for.
    NotFound,
    /// It makes no sense; the text says why.
    Invalid(String),
    /// The broker cannot do it now; the text says why.
    Unavailable(String),
}
