//! How a session reads what messages of other protocols carry, without knowing those protocols.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use polybus_model::{Message, Table};

type Headers = Arc<dyn Fn(&Message) -> Table + Send + Sync>;
type Property = Arc<dyn Fn(&Message, &str) -> Option<Bytes> + Send + Sync>;

/// Reads the headers and a few named properties of a message, whichever protocol it is of. The names: `reply_to`,
/// `message_id`, `correlation_id`, `content_type`.
#[derive(Clone)]
pub struct Readers {
    headers: Headers,
    property: Property,
}

impl Readers {
    /// Readers that these functions are.
    pub fn new(
        headers: impl Fn(&Message) -> Table + Send + Sync + 'static,
        property: impl Fn(&Message, &str) -> Option<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self {
            headers: Arc::new(headers),
            property: Arc::new(property),
        }
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self, message: &Message) -> Table {
        (self.headers)(message)
    }

    /// One of the properties, as text.
    #[must_use]
    pub fn property(&self, message: &Message, name: &str) -> Option<Bytes> {
        (self.property)(message, name)
    }
}

impl Default for Readers {
    /// Readers that see nothing.
    fn default() -> Self {
        Self::new(|_| Table::new(), |_, _| None)
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readers")
    }
}
