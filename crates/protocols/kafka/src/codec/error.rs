//! What is wrong with a peer's bytes.

use std::fmt;

/// What is wrong with a peer's bytes. Where a frame cannot be read its connection ends; a batch that cannot be read is
/// refused alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodecError {
    /// A field goes past the end of what holds it.
    Truncated,
    /// Bytes are left behind the last field.
    TrailingBytes(usize),
    /// A frame's size is negative or over the limit.
    FrameSize {
        /// The size it tells.
        size_bytes: i32,
        /// The greatest size that is taken.
        limit_bytes: u32,
    },
    /// A count or length cannot be: negative where there is no null, or more than the bytes that are left can hold.
    Count(i64),
    /// A variable-length integer is longer than its type.
    Varint,
    /// A string is not UTF-8.
    Text,
    /// A field is null in a version where it cannot be.
    Null,
    /// The arrays of one frame, or the decompressed records of one batch, would take more memory than they may.
    TooMuch,
    /// Compressed records cannot be decompressed.
    Compressed,
    /// The codec has no such API, or not in this version.
    UnknownVersion {
        /// The API's number.
        api: i16,
        /// The version asked for.
        version: i16,
    },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "a field goes past the end of its frame"),
            Self::TrailingBytes(count) => write!(f, "{count} bytes are left behind the last field"),
            Self::FrameSize {
                size_bytes,
                limit_bytes,
            } => write!(
                f,
                "a frame of {size_bytes} bytes; the limit is {limit_bytes}"
            ),
            Self::Count(count) => write!(f, "a count of {count} cannot be"),
            Self::Varint => write!(f, "a variable-length integer is too long"),
            Self::Text => write!(f, "a string is not UTF-8"),
            Self::Null => write!(f, "a field is null that cannot be"),
            Self::TooMuch => write!(f, "arrays or decompressed records take too much memory"),
            Self::Compressed => write!(f, "records cannot be decompressed"),
            Self::UnknownVersion { api, version } => {
                write!(f, "API {api} has no version {version} here")
            }
        }
    }
}

impl std::error::Error for CodecError {}
