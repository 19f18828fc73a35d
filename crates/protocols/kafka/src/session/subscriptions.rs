//! What consumers say to each other when they share the work out by themselves: what they read and hold, and what each is to have. To
//! the groups these are bytes; they are read so that a group can move to letting the broker share the work out.
//!
//! ```text
//! subscription: version  topics  user data  [1.. topics with partitions in hand]  [2.. generation  3.. rack]
//! assignment:   version  topics with partitions  user data
//! ```

use bytes::{Bytes, BytesMut};
use polybus_model::{Name, PartitionName};

use super::core::wire_index;
use crate::codec::messages::join_group::JoinGroupRequestProtocol;
use crate::codec::{CodecError, Reader, Writer};

/// From this version on a subscription says what is in hand.
const OWNED_FROM: i16 = 1;
/// The least that a topic with partitions takes.
const TOPIC_BYTES_MIN: usize = 6;

/// What a consumer reads, and what it has in its hands.
#[derive(PartialEq, Eq, Default, Debug)]
pub(super) struct Subscription {
    pub(super) reads: Vec<Name>,
    pub(super) owned: Vec<PartitionName>,
}

/// Reads what a consumer says to the assignor that it likes best; none if that is not how consumers speak.
pub(super) fn subscription(protocols: &[JoinGroupRequestProtocol]) -> Option<Subscription> {
    let mut reader = Reader::new(&protocols.first()?.metadata);
    let version = reader.i16().ok()?;
    let count = reader.count(false, 2, size_of::<Name>()).ok()??;
    let reads = (0..count).map(|_| Name::new(reader.str(false).ok()?).ok());
    let reads = reads.collect::<Option<Vec<_>>>()?;
    // What comes behind is of no use to older consumers, and left out by some.
    let owned = match version {
        OWNED_FROM.. => owned(&mut reader).unwrap_or_default(),
        _ => Vec::new(),
    };
    Some(Subscription { reads, owned })
}

fn owned(reader: &mut Reader<'_>) -> Result<Vec<PartitionName>, CodecError> {
    reader.bytes_or_null(false)?;
    partitions(reader)
}

/// Reads what a consumer is to have; nothing if that is not how consumers speak.
pub(super) fn share(assignment: &Bytes) -> Vec<PartitionName> {
    let mut reader = Reader::new(assignment);
    let read = reader.i16().and_then(|_| partitions(&mut reader));
    read.unwrap_or_default()
}

fn partitions(reader: &mut Reader<'_>) -> Result<Vec<PartitionName>, CodecError> {
    let topics = reader.count(false, TOPIC_BYTES_MIN, size_of::<PartitionName>())?;
    let mut all = Vec::new();
    for _ in 0..topics.unwrap_or(0) {
        let log = Name::new(reader.str(false)?);
        let count = reader.count(false, 4, size_of::<PartitionName>())?;
        for _ in 0..count.unwrap_or(0) {
            let index = reader.i32()?;
            if let (Ok(log), Ok(partition)) = (&log, u32::try_from(index)) {
                let log = log.clone();
                all.push(PartitionName { log, partition });
            }
        }
    }
    Ok(all)
}

/// Says what a consumer is to have: partitions in the order of their logs' names.
pub(super) fn assignment(share: &[PartitionName]) -> Bytes {
    let mut out = BytesMut::new();
    let mut writer = Writer::new(&mut out);
    let topics = || share.chunk_by(|one, next| one.log == next.log);
    writer.i16(0);
    writer.len(Some(topics().count()), false);
    for topic in topics() {
        let name = topic.first().map(|one| one.log.as_str());
        writer.str(Some(name.unwrap_or_default()), false);
        writer.len(Some(topic.len()), false);
        topic
            .iter()
            .for_each(|one| writer.i32(wire_index(one.partition)));
    }
    writer.bytes(None, false);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(log: &str, partition: u32) -> PartitionName {
        PartitionName {
            log: Name::new(log).unwrap(),
            partition,
        }
    }

    fn said(metadata: &'static [u8]) -> Option<Subscription> {
        subscription(&[JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: Bytes::from_static(metadata),
        }])
    }

    #[test]
    fn subscriptions_of_all_versions_are_read() {
        let reads = || vec![Name::new("t").unwrap()];
        let old = said(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff").unwrap();
        assert_eq!(
            old,
            Subscription {
                reads: reads(),
                owned: Vec::new()
            }
        );
        let new = b"\0\x03\0\0\0\x01\0\x01t\0\0\0\x02ud\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\x07\xff\xff";
        let owned = vec![at("t", 0), at("t", 2)];
        assert_eq!(
            said(new).unwrap(),
            Subscription {
                reads: reads(),
                owned
            }
        );
        let cut = said(b"\0\x01\0\0\0\x01\0\x01t").unwrap();
        assert_eq!(cut.reads, reads());
        assert_eq!(said(b"\0\x01\x7f\xff\xff\xff"), None);
        assert_eq!(said(b""), None);
    }

    #[test]
    fn assignments_are_read_as_they_are_written() {
        let all = vec![at("a", 0), at("a", 3), at("b", 1)];
        assert_eq!(share(&assignment(&all)), all);
        let bytes = assignment(&[at("t", 2)]);
        assert_eq!(
            bytes,
            b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x02\xff\xff\xff\xff"[..]
        );
        assert_eq!(share(&Bytes::from_static(b"\0\0\x7f\xff\xff\xff\0")), []);
        assert_eq!(share(&Bytes::from_static(b"other")), []);
    }
}
