//! What is wrong with a peer's bytes, and which reply code tells it so.

use std::fmt;

use super::method::MethodId;
use super::table::TableError;

/// The reply codes that a codec needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum ReplyCode {
    /// A frame that cannot be read.
    FrameError = 501,
    /// A frame that can be read, with a value in it that cannot.
    SyntaxError = 502,
    /// A method nobody knows.
    NotImplemented = 540,
}

/// What is wrong with a peer's bytes. Each one ends the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodecError {
    /// A frame's size is over the limit.
    FrameTooLarge {
        /// The frame's type octet.
        kind: u8,
        /// The payload's size.
        size: u32,
        /// The greatest size that is taken.
        limit: u32,
    },
    /// A frame does not end as frames do.
    FrameEnd {
        /// The frame's type octet.
        kind: u8,
        /// The octet at its end.
        octet: u8,
    },
    /// No frame has such a type.
    FrameKind(u8),
    /// A frame's payload has the wrong length for its type.
    FrameShape(u8),
    /// A method's fields do not fill its frame.
    Fields(MethodId),
    /// A short string of a method is no text.
    Text(MethodId),
    /// A method's table is malformed.
    Arguments(MethodId, TableError),
    /// No method has such an id.
    UnknownMethod(MethodId),
    /// The property flags or the fields they name are malformed.
    Properties,
    /// The headers among the properties are malformed.
    Headers(TableError),
}

impl CodecError {
    /// The code that tells the peer.
    #[must_use]
    pub const fn reply_code(&self) -> ReplyCode {
        match self {
            Self::FrameTooLarge { .. }
            | Self::FrameEnd { .. }
            | Self::FrameKind(_)
            | Self::FrameShape(_)
            | Self::Fields(_)
            | Self::Text(_) => ReplyCode::FrameError,
            Self::Arguments(..) | Self::Properties | Self::Headers(_) => ReplyCode::SyntaxError,
            Self::UnknownMethod(_) => ReplyCode::NotImplemented,
        }
    }

    /// The method at fault, where it is known.
    #[must_use]
    pub const fn method_id(&self) -> Option<MethodId> {
        match self {
            Self::Fields(id)
            | Self::Text(id)
            | Self::Arguments(id, _)
            | Self::UnknownMethod(id) => Some(*id),
            _ => None,
        }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameTooLarge { kind, size, limit } => {
                write!(f, "type {kind}, frame too large: {size} over {limit}")
            }
            Self::FrameEnd { kind, octet } => {
                write!(f, "type {kind}, invalid frame end marker {octet}")
            }
            Self::FrameKind(kind) => write!(f, "type {kind}, unknown frame"),
            Self::FrameShape(kind) => write!(f, "type {kind}, wrong payload length"),
            Self::Fields(id) => write!(f, "cannot decode the fields of {id}"),
            Self::Text(id) => write!(f, "malformed UTF-8 in shortstr of {id}"),
            Self::Arguments(id, error) => write!(f, "malformed table in {id}: {error}"),
            Self::UnknownMethod(id) => write!(f, "unknown method {id}"),
            Self::Properties => write!(f, "malformed content properties"),
            Self::Headers(error) => write!(f, "malformed headers: {error}"),
        }
    }
}

impl std::error::Error for CodecError {}
