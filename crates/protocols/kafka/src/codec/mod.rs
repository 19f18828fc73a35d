//! The wire of Kafka: bytes to requests and record batches, and responses to bytes.
//!
//! ```text
//! bytes -> split_frame -> RequestHeader -> messages: a struct to each request     (tables of fields and versions)
//!                                      -> ProduceReader, batch, records: the hot ones, without allocating
//! bytes <- write_response              <- messages: a struct to each response
//!       <- FetchWriter, share_fetch    <- batches, by reference
//! ```
//! No state, no input or output. Every byte is hostile until parsed: nothing here panics, recurses on input, or allocates by
//! a count that a peer wrote.

mod api;
mod batch;
mod compression;
mod error;
mod fetch;
mod frame;
pub mod messages;
mod primitives;
mod produce;
mod records;
mod rewrite;
mod share_fetch;
mod woven;

pub use api::Api;
pub use batch::{BATCH_HEADER_BYTES, BatchError, BatchHeader, Batches, Marker, SentBatch};
pub use compression::Compression;
pub use error::CodecError;
pub use fetch::{FetchHead, FetchWriter, FetchedPartition};
pub(crate) use frame::frame_bytes;
pub use frame::{
    FRAME_BYTES_MAX, RequestHeader, read_response_header, split_frame, write_request,
    write_request_header, write_response, write_response_header,
};
pub use messages::Message;
pub use primitives::{ALLOWANCE_BYTES, Reader, Uuid, Writer};
pub use produce::{PRODUCE_BY_ID_FROM, ProduceReader, TopicRef};
pub use records::{BatchBuilder, Record, RecordHeader, RecordHeaders, Records, read_records};
pub use rewrite::{Rewritten, rewrite};
pub use share_fetch::write_share_fetch;

#[cfg(test)]
mod tests;
