//! The publish record of nearly every message: one target, nothing that expires, no priority, no history. All before its
//! texts has the same length then, and is written in one piece.
//!
//! What always holds: it is the record that [`super::put_publish`] would write part by part.

use polybus_model::Message;

use super::message::plain_flags;
use super::{Target, VERSION, kind};

/// kind, version, count, target (queue, sequence, flags), message (origin, flags, four lengths).
const LEN: usize = 2 + 4 + (8 + 8 + 1) + (1 + 1 + 1 + 2 + 4 + 4);

/// Writes the record up to where the message's bytes follow; false, and nothing, if it is not of that kind.
#[inline]
pub(super) fn put(out: &mut Vec<u8>, targets: &[Target], message: &Message) -> bool {
    let [target] = targets else {
        return false;
    };
    let Some(message_flags) = plain_flags(message).filter(|_| target.expiry.is_none()) else {
        return false;
    };
    let mut head = [0; LEN];
    head[0] = kind::PUBLISH;
    head[1] = VERSION;
    head[2..6].copy_from_slice(&1u32.to_le_bytes());
    head[6..14].copy_from_slice(&target.queue.to_le_bytes());
    head[14..22].copy_from_slice(&target.sequence.to_le_bytes());
    head[22] = target.flags();
    head[23] = message.origin().0;
    head[24] = message_flags;
    head[25] = message.topic().len() as u8;
    head[26..28].copy_from_slice(&(message.key().len() as u16).to_le_bytes());
    head[28..32].copy_from_slice(&(message.properties().len() as u32).to_le_bytes());
    head[32..36].copy_from_slice(&(message.body().len() as u32).to_le_bytes());
    out.clear();
    out.extend_from_slice(&head);
    true
}

#[cfg(test)]
mod tests {
    use polybus_model::{Body, Marks, MessageParts, Origin};
    use proptest::prelude::*;

    use super::*;
    use crate::record::put_publish_in_parts;

    proptest! {
        #[test]
        fn a_plain_record_is_what_it_would_be_part_by_part(
            (queue, sequence) in any::<(u64, u64)>(),
            (transient, durable, delayed, rekeyed) in any::<(bool, bool, bool, bool)>(),
            (expiry, ttl) in (prop::option::weighted(0.1, any::<u64>()), prop::option::weighted(0.1, any::<u64>())),
            (priority, origin) in (prop::option::weighted(0.1, any::<u8>()), any::<u8>()),
            (topic, key) in (prop::collection::vec(any::<u8>(), 0..256), prop::collection::vec(any::<u8>(), 0..600)),
            (properties, body) in (prop::collection::vec(any::<u8>(), 0..600), prop::collection::vec(any::<u8>(), 0..6_000)),
        ) {
            let parts = MessageParts {
                origin: Origin(origin),
                topic: &topic,
                key: &key,
                properties: &properties,
                body: Body::Copied(&body),
                durable,
                priority,
                ttl,
                deaths: None,
            };
            let message = Message::marked(parts, Marks {
                    delayed,
                    rekeyed,
                    ends_key: false,
                });
            let target = Target { queue, sequence, transient, expiry };
            let (mut out, mut expected) = (vec![7; 3], Vec::new());
            put_publish_in_parts(&mut expected, &[target], &message);
            let is_plain = expiry.is_none() && ttl.is_none() && priority.is_none();
            prop_assert_eq!(put(&mut out, &[target], &message), is_plain);
            if is_plain {
                prop_assert_eq!(out, expected);
            }
            prop_assert!(!put(&mut Vec::new(), &[target, target], &message));
        }
    }
}
