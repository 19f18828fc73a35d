//! The wire of Kafka: bytes to requests and record batches, and responses to bytes.
//!
//! ```text
//! bytes -> split_frame -> RequestHeader -> messages: a struct to each request     (tables of fields and versions)
//!                                         batch, records: what a produce request carries
//! bytes <- write_response              <- messages: a struct to each response
//! ```
//! No state, no input or output. Every byte is hostile until parsed: nothing here panics, recurses on input, or allocates by
//! a count that a peer wrote.

mod api;
mod batch;
mod compression;
mod error;
mod frame;
pub mod messages;
mod primitives;
mod records;

pub use api::Api;
pub use batch::{BATCH_HEADER_BYTES, BatchError, BatchHeader, Batches, Marker, SentBatch};
pub use compression::Compression;
pub use error::CodecError;
pub use frame::{
    FRAME_BYTES_MAX, RequestHeader, read_response_header, split_frame, write_request,
    write_request_header, write_response, write_response_header,
};
pub use messages::Message;
pub use primitives::{ALLOWANCE_BYTES, Reader, Uuid, Writer};
pub use records::{BatchBuilder, Record, RecordHeader, RecordHeaders, Records, read_records};

#[cfg(test)]
mod tests;
