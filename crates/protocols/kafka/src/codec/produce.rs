//! Produce requests as they are read on the hot path: a walk over the frame that allocates nothing, whose records are slices
//! of it. [`super::messages::ProduceRequest`] is the same as a struct.
//!
//! ```text
//! ProduceReader -- next_topic --> TopicRef -- next_partition --> (index, records)
//! ```

use bytes::Bytes;

use super::api::Api;
use super::error::CodecError;
use super::primitives::{Reader, Uuid};

/// The first version that names topics by their ids.
pub const PRODUCE_BY_ID_FROM: i16 = 13;

/// A topic as a request names it: by its name or, in later versions, by its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TopicRef<'a> {
    /// By its name.
    Name(&'a str),
    /// By its id.
    Id(Uuid),
}

/// What is read next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Topic,
    Partition,
    End,
}

/// Walks over the body of a produce request. Topics and partitions are asked for in turn until there are no more; then the
/// body was read to its end.
#[derive(Debug)]
pub struct ProduceReader<'a> {
    reader: Reader<'a>,
    version: i16,
    flexible: bool,
    next: Next,
    topics_left: usize,
    partitions_left: usize,
    /// The name that the producer's transactions have.
    pub transactional_id: Option<&'a str>,
    /// Whether an answer is wanted (0: none).
    pub acks: i16,
    /// How long the producer waits for it, in milliseconds.
    pub timeout_ms: i32,
}

impl<'a> ProduceReader<'a> {
    /// Reads what is before the topics.
    pub fn new(mut reader: Reader<'a>, version: i16) -> Result<Self, CodecError> {
        let flexible = Api::Produce.shape(version)?.flexible;
        let transactional_id = reader.str_or_null(flexible)?;
        let acks = reader.i16()?;
        let timeout_ms = reader.i32()?;
        let topics_left = count(&mut reader, flexible)?;
        Ok(Self {
            reader,
            version,
            flexible,
            next: Next::Topic,
            topics_left,
            partitions_left: 0,
            transactional_id,
            acks,
            timeout_ms,
        })
    }

    /// The next topic. What is left of the one before is skipped.
    pub fn next_topic(&mut self) -> Result<Option<TopicRef<'a>>, CodecError> {
        while self.next_partition()?.is_some() {}
        let Some(left) = self.topics_left.checked_sub(1) else {
            if !matches!(self.next, Next::End) {
                self.skip_tagged()?;
                self.reader.finish()?;
                self.next = Next::End;
            }
            return Ok(None);
        };
        self.topics_left = left;
        let topic = if self.version >= PRODUCE_BY_ID_FROM {
            TopicRef::Id(self.reader.array()?)
        } else {
            TopicRef::Name(self.reader.str(self.flexible)?)
        };
        self.partitions_left = count(&mut self.reader, self.flexible)?;
        self.next = Next::Partition;
        Ok(Some(topic))
    }

    /// The next partition of the topic: its number and its records, shared with the frame.
    #[inline]
    pub fn next_partition(&mut self) -> Result<Option<(i32, Option<Bytes>)>, CodecError> {
        if !matches!(self.next, Next::Partition) {
            return Ok(None);
        }
        let Some(left) = self.partitions_left.checked_sub(1) else {
            self.skip_tagged()?;
            self.next = Next::Topic;
            return Ok(None);
        };
        self.partitions_left = left;
        let index = self.reader.i32()?;
        let records = self.reader.bytes_or_null(self.flexible)?;
        self.skip_tagged()?;
        Ok(Some((index, records)))
    }

    fn skip_tagged(&mut self) -> Result<(), CodecError> {
        if self.flexible {
            self.reader.skip_tagged()?;
        }
        Ok(())
    }
}

/// Reads a count by which nothing is allocated; the walk ends where the bytes do.
fn count(reader: &mut Reader<'_>, flexible: bool) -> Result<usize, CodecError> {
    reader.count(flexible, 1, 0)?.ok_or(CodecError::Null)
}
