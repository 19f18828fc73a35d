//! The wire of Kafka: bytes to requests and record batches, and responses to bytes.
//!
//! ```text
//! bytes -> split_frame -> RequestHeader -> messages: a struct to each request     (tables of fields and versions)
//! bytes <- write_response              <- messages: a struct to each response
//! ```
//! No state, no input or output. Every byte is hostile until parsed: nothing here panics, recurses on input, or allocates by
//! a count that a peer wrote.

mod api;
mod error;
mod frame;
pub mod messages;
mod primitives;

pub use api::Api;
pub use error::CodecError;
pub use frame::{
    FRAME_BYTES_MAX, RequestHeader, read_response_header, split_frame, write_request,
    write_request_header, write_response, write_response_header,
};
pub use messages::Message;
pub use primitives::{ALLOWANCE_BYTES, Reader, Uuid, Writer};

#[cfg(test)]
mod tests;
