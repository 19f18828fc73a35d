//! What of a namespace's logs whoever asks may know of.

use std::fmt;
use std::sync::Arc;

/// Whether a log of that name may be known of.
type Shows = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The logs that a session may know of. The default: all.
#[derive(Clone, Default)]
pub struct Sight {
    version: u64,
    shows: Option<Shows>,
}

impl Sight {
    /// All logs, at this version of what sessions may do.
    #[must_use]
    pub fn all(version: u64) -> Self {
        Self {
            version,
            shows: None,
        }
    }

    /// Those that `shows` is true for, at this version of what sessions may do.
    pub fn of(version: u64, shows: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self {
            version,
            shows: Some(Arc::new(shows)),
        }
    }

    /// While this is the same, nobody may know of more or less.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether a log of that name may be known of.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        self.shows.as_ref().is_none_or(|shows| shows(name))
    }
}

/// Two are the same if they are of one version and show all, or are one's clones.
impl PartialEq for Sight {
    fn eq(&self, other: &Self) -> bool {
        let are_same = match (&self.shows, &other.shows) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        self.version == other.version && are_same
    }
}

impl Eq for Sight {}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.shows.is_some() { "some" } else { "all" };
        write!(f, "Sight({}, {what})", self.version)
    }
}
