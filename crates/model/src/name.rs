//! Names of namespaces, topics and queues.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A name of at most 255 bytes of UTF-8, cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// The error of a name longer than [`Name::MAX`] bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameTooLong;

impl Name {
    /// The greatest length, in bytes.
    pub const MAX: usize = 255;

    /// Makes a name.
    ///
    /// # Errors
    /// [`NameTooLong`] above [`Name::MAX`] bytes.
    pub fn new(text: &str) -> Result<Self, NameTooLong> {
        if text.len() > Self::MAX {
            Err(NameTooLong)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// The empty name (the default topic's).
    #[must_use]
    pub fn empty() -> Self {
        Self("".into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for the empty name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for NameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name is longer than {} bytes", Name::MAX)
    }
}

impl std::error::Error for NameTooLong {}
