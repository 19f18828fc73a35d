//! The records that an engine journals.

use std::fmt;

use polybus_model::Message;

/// A record or snapshot that cannot be what an engine wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Corrupt(pub String);

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Corrupt {}

/// The message in a record that [`crate::Load`] names.
///
/// # Errors
/// The payload is no such record.
pub fn decode_message(payload: &[u8]) -> Result<Message, Corrupt> {
    let _ = payload;
    Err(Corrupt("empty".to_owned()))
}
