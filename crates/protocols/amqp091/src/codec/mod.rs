//! The wire of AMQP 0-9-1 as RabbitMQ and its clients speak it: bytes to frames and methods, and back.
//!
//! ```text
//! bytes -> Frames -> Frame::Method(Method)            borrowing from the read buffer, nothing allocated
//!                    Frame::Header(ContentHeader) --- properties -> PropertiesRef, Routing
//!                    Frame::Body                      headers, arguments -> TableRef -> model::Table
//!          WholePublish, BasicAck                     the same in one go, where all of it is there
//! Method, properties, body -> write_* -> BytesMut or Outbound
//! ```
//! No state, no input or output. Every byte is hostile until parsed: nothing here panics, recurses on input, or allocates by
//! a count that a peer wrote.

mod delivery;
mod error;
mod field;
mod frame;
mod handshake;
mod method;
mod properties;
mod table;
mod whole;
mod write;

pub use delivery::write_delivery;
pub use error::{CodecError, ReplyCode};
pub use field::{ShortBytes, ShortText};
pub use frame::{
    CLASS_BASIC, ContentHeader, FRAME_END, FRAME_MAX_MIN, FRAME_OVERHEAD, Frame, FrameKind, Frames,
};
pub use handshake::{Opening, PROTOCOL_HEADER};
pub use method::*;
pub use properties::{Properties, PropertiesRef, Routing, rewrite_headers};
pub use table::{
    DEPTH_MAX, Entries, RawEntry, RawValue, TableError, TableRef, TableWriter, VALUES_MAX, Values,
    encode_table,
};
pub use whole::WholePublish;
pub use write::{
    Content, ContentBody, write_body, write_content, write_header, write_heartbeat, write_method,
};

#[cfg(test)]
mod tests;
