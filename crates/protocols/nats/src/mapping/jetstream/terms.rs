//! What a publisher demands in headers, and what it is told of its message.

use bytes::Bytes;
use polybus_model::{
    Addition, BadTerm, BatchCommit, BatchPart, LastOfKey, LogError, Name, RecordTtl, RollUp,
    StoredMore, StoredRecord, Tally, Terms,
};
use serde_json::{Map, Value, json};

use super::ApiError;
use super::schedule::Asked;
use crate::codec::{Headers, is_literal, is_valid};
use crate::session::filter;

/// What all names of such headers begin with.
const PREFIX: &[u8] = b"Nats-";

/// What the header block of a message to a subject demands of a stream; none if it demands nothing.
pub(crate) fn terms(subject: &[u8], block: &[u8]) -> Option<Terms> {
    memchr::memmem::find(block, PREFIX)?;
    let mut terms = Terms::default();
    let mut last_of = None;
    let mut last_of_subject = None;
    let mut asked = Asked::default();
    for (name, value) in Headers::new(block) {
        let owned = || Bytes::copy_from_slice(value);
        match name {
            b"Nats-Msg-Id" => terms.id = Some(owned()).filter(|id| !id.is_empty()),
            b"Nats-Expected-Stream" => terms.log = Some(owned()).filter(|log| !log.is_empty()),
            // What is no number is no sequence that there is.
            b"Nats-Expected-Last-Sequence" => {
                terms.offset = Some(number(value).unwrap_or(u64::MAX))
            }
            b"Nats-Expected-Last-Subject-Sequence" => {
                last_of = Some(number(value).unwrap_or(u64::MAX));
            }
            b"Nats-Expected-Last-Subject-Sequence-Subject" => {
                last_of_subject = Some(filter(value));
            }
            b"Nats-Expected-Last-Msg-Id" => {
                terms.last_id = Some(owned()).filter(|id| !id.is_empty())
            }
            b"Nats-Rollup" if !value.is_empty() => terms.roll_up = Some(roll_up(subject, value)),
            b"Nats-Stream-Source" => terms.bad = Some(BadTerm::Origin),
            b"Nats-TTL" => terms.ttl = Some(ttl(value)),
            b"Nats-Marker-Reason" => terms.ends_key = true,
            b"KV-Operation" => terms.ends_key |= value == b"PURGE",
            b"Nats-Incr" => {
                let added = Tally::parse(value).map_or(Addition::Unreadable, Addition::Of);
                terms.adds = Some(added);
            }
            b"Nats-Batch-Id" if !value.is_empty() => part_of(&mut terms).id = owned(),
            b"Nats-Batch-Sequence" => part_of(&mut terms).number = number(value),
            b"Nats-Batch-Commit" => part_of(&mut terms).commit = Some(commit(value)),
            _ => asked.note(name, value),
        }
    }
    asked.enter(&mut terms);
    if last_of.is_none() && last_of_subject.is_some() {
        terms.bad = Some(BadTerm::LastOfKey);
    }
    terms.last_of_key = last_of.map(|sequence| LastOfKey {
        key: last_of_subject,
        offset: sequence.checked_sub(1),
    });
    // Without a name it is a message like any.
    terms.batch = terms.batch.filter(|part| !part.id.is_empty());
    (terms != Terms::default()).then_some(terms)
}

/// The place in a batch that a message has.
fn part_of(terms: &mut Terms) -> &mut BatchPart {
    terms.batch.get_or_insert(BatchPart {
        id: Bytes::new(),
        number: None,
        commit: None,
    })
}

fn commit(value: &[u8]) -> BatchCommit {
    match value {
        b"1" => BatchCommit::Here,
        b"eob" => BatchCommit::Before,
        _ => BatchCommit::Unreadable,
    }
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What a message to a subject takes the place of; wildcards in it stand for subjects there, too.
fn roll_up(subject: &[u8], value: &[u8]) -> RollUp {
    match &value.to_ascii_lowercase()[..] {
        b"all" => RollUp::All,
        b"sub" if is_literal(subject) || !is_valid(subject) => RollUp::Key,
        b"sub" => RollUp::Keys(filter(subject)),
        other => RollUp::Unreadable(Bytes::copy_from_slice(other)),
    }
}

/// A time to live: `never`, seconds, or a duration such as `1h30m`. What is none of these stands for no time at all, which no
/// stream takes.
pub(super) fn ttl(value: &[u8]) -> RecordTtl {
    if value.eq_ignore_ascii_case(b"never") {
        return RecordTtl::Never;
    }
    let seconds = number(value).map(|seconds| seconds.saturating_mul(1_000));
    let text = std::str::from_utf8(value).unwrap_or_default();
    let ms = seconds.or_else(|| duration_ms(text)).unwrap_or(0);
    // Less than a second is none.
    RecordTtl::For(if ms < 1_000 { 0 } else { ms })
}

/// A duration as Go writes it, in milliseconds.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let units = [
            ("ms", 1.0),
            ("us", 0.001),
            ("ns", 0.000_001),
            ("h", 3_600_000.0),
            ("m", 60_000.0),
            ("s", 1_000.0),
        ];
        let (unit, ms) = units
            .into_iter()
            .find(|(unit, _)| behind.starts_with(unit))?;
        total += number.parse::<f64>().ok()? * ms;
        rest = behind.get(unit.len()..)?;
    }
    Some(total as u64)
}

/// What a publisher is told of its message, which it may have made part of a batch.
pub(crate) fn pub_ack(
    stream: &Name,
    stored: &Result<StoredRecord, LogError>,
    batch: Option<&BatchPart>,
) -> Vec<u8> {
    let more = stored.as_ref().ok().and_then(|one| one.more.as_deref());
    let says: Value = match stored {
        Ok(_) if more == Some(&StoredMore::Held) => return Vec::new(),
        Ok(stored) if more.is_some() => {
            let more = more.unwrap_or(&StoredMore::Held);
            ack_with(stream, stored.offset + 1, more, batch)
        }
        Ok(stored) if stored.duplicate => {
            json!({ "stream": stream.as_str(), "seq": stored.offset + 1, "duplicate": true })
        }
        Ok(stored) => return plain_ack(stream, stored.offset + 1),
        Err(error) => {
            json!({ "error": ApiError::from(error).value(), "stream": stream.as_str(), "seq": 0 })
        }
    };
    says.to_string().into_bytes()
}

/// The ack of a message of which there is more to say.
fn ack_with(stream: &Name, sequence: u64, more: &StoredMore, batch: Option<&BatchPart>) -> Value {
    let mut says = Map::new();
    says.insert("stream".into(), stream.as_str().into());
    says.insert("seq".into(), sequence.into());
    let sum = match more {
        StoredMore::Sum(sum) => Some(sum),
        StoredMore::Batch { messages, sum } => {
            let id = batch.map_or(&b""[..], |part| &part.id);
            says.insert("batch".into(), String::from_utf8_lossy(id).into());
            says.insert("count".into(), (*messages).into());
            sum.as_ref()
        }
        StoredMore::Held => None,
    };
    if let Some(sum) = sum {
        says.insert("val".into(), sum.to_string().into());
    }
    Value::Object(says)
}

/// The ack of a message that was stored: the one that there are most of. A name has nothing to escape but quotes and
/// backslashes, which no stream's name has that a client made; another's is written with care.
fn plain_ack(stream: &Name, sequence: u64) -> Vec<u8> {
    let name = stream.as_str();
    if name
        .bytes()
        .any(|byte| matches!(byte, b'"' | b'\\') || byte < b' ')
    {
        return json!({ "stream": name, "seq": sequence })
            .to_string()
            .into_bytes();
    }
    format!("{{\"stream\":\"{name}\",\"seq\":{sequence}}}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_terms() {
        let block = b"NATS/1.0\r\nNats-Msg-Id: a1\r\nNats-Expected-Last-Subject-Sequence: 0\r\nNats-Rollup: sub\r\nNats-TTL: 1m30s\r\n\r\n";
        let terms = terms(b"a.b", block).unwrap();
        assert_eq!(terms.id.as_deref(), Some(&b"a1"[..]));
        let last = terms.last_of_key.unwrap();
        assert_eq!((last.key, last.offset), (None, None));
        assert_eq!(terms.roll_up, Some(RollUp::Key));
        assert_eq!(terms.ttl, Some(RecordTtl::For(90_000)));
        assert!(super::terms(b"a.b", b"NATS/1.0\r\nA: b\r\n\r\n").is_none());
        let block = b"NATS/1.0\r\nNats-Batch-Sequence: 2\r\nNats-Batch-Id: b\r\nNats-Batch-Commit: eob\r\nNats-Incr: -7\r\n\r\n";
        let terms = super::terms(b"a.*", block).unwrap();
        let part = BatchPart {
            id: Bytes::from_static(b"b"),
            number: Some(2),
            commit: Some(BatchCommit::Before),
        };
        assert_eq!(terms.batch, Some(part));
        assert_eq!(terms.adds, Tally::parse(b"-7").map(Addition::Of));
        assert!(super::terms(b"a.b", b"NATS/1.0\r\nNats-Batch-Sequence: 2\r\n\r\n").is_none());
        let block = b"NATS/1.0\r\nNats-Rollup: SUB\r\n\r\n";
        let terms = super::terms(b"a.*", block).unwrap();
        assert_eq!(terms.roll_up, Some(RollUp::Keys(filter(b"a.*"))));
        assert_eq!(ttl(b"never"), RecordTtl::Never);
        assert_eq!(ttl(b"5"), RecordTtl::For(5_000));
        for bad in [&b"0"[..], b"x", b"10ms", b""] {
            assert_eq!(ttl(bad), RecordTtl::For(0), "{bad:?}");
        }
    }

    #[test]
    fn acks_are_json() {
        let name = Name::new("S").unwrap();
        let stored = StoredRecord {
            log: name.clone(),
            offset: 4,
            duplicate: false,
            more: None,
        };
        assert_eq!(
            pub_ack(&name, &Ok(stored.clone()), None),
            br#"{"stream":"S","seq":5}"#
        );
        let again = StoredRecord {
            duplicate: true,
            ..stored
        };
        let told = pub_ack(&name, &Ok(again), None);
        assert_eq!(told, br#"{"stream":"S","seq":5,"duplicate":true}"#);
        let told = pub_ack(
            &name,
            &Err(polybus_model::KeyedError::Offset(7).into()),
            None,
        );
        let expected = br#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 7"},"stream":"S","seq":0}"#;
        assert_eq!(told, expected);
    }
}
