//! The wire of Kafka: bytes to requests and record batches, and responses to bytes.
//!
//! No state, no input or output. Every byte is hostile until parsed: nothing here panics, recurses on input, or allocates by
//! a count that a peer wrote.

mod error;

pub use error::CodecError;
