//! How routing reads what only the origin protocol of a message understands: its headers and a few properties.

use bytes::Bytes;
use polybus_model::{Message, Origin, Table};

/// Reads the headers out of a protocol's raw property bytes.
pub type HeaderReader = fn(&[u8]) -> Table;

/// Reads one property (`message_id`, `correlation_id`, `timestamp`) as text out of a protocol's raw property bytes.
pub type PropertyReader = fn(&[u8], &str) -> Option<Bytes>;

#[derive(Clone, Copy)]
struct Reader {
    origin: Origin,
    headers: HeaderReader,
    property: PropertyReader,
}

/// The readers of all protocols, by the origin that messages carry. Plain functions: the same bytes give the same table.
#[derive(Clone, Default)]
pub struct HeaderReaders(Vec<Reader>);

impl HeaderReaders {
    /// No readers: messages have no headers that routing sees.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds (or replaces) a protocol's readers.
    #[must_use]
    pub fn with(mut self, origin: Origin, headers: HeaderReader, property: PropertyReader) -> Self {
        self.0.retain(|reader| reader.origin != origin);
        self.0.push(Reader {
            origin,
            headers,
            property,
        });
        self
    }

    fn of(&self, message: &Message) -> Option<&Reader> {
        let origin = message.origin();
        self.0.iter().find(|reader| reader.origin == origin)
    }

    /// The message's headers.
    #[must_use]
    pub fn headers(&self, message: &Message) -> Table {
        self.of(message)
            .map_or_else(Table::new, |reader| (reader.headers)(message.properties()))
    }

    /// One of the message's properties, as text.
    #[must_use]
    pub fn property(&self, message: &Message, name: &str) -> Option<Bytes> {
        self.of(message)
            .and_then(|reader| (reader.property)(message.properties(), name))
    }
}

impl std::fmt::Debug for HeaderReaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|reader| reader.origin))
            .finish()
    }
}
