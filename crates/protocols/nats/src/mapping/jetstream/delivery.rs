//! What a reader says of the messages that it sends, in JetStream's words: the subject to acknowledge by, and statuses.

use bytes::BytesMut;
use polybus_model::{CopyNote, HandedRecord, Misplaced, Name, Notice, RecordBlock};

use super::write_time;
use crate::codec::write_number;

/// What acknowledgements are published to,
pub(crate) const ACK: &str = "$JS.ACK.";
/// and the answers of those who are asked how far they are.
pub(crate) const FLOW: &str = "$JS.FC.";

/// What the subjects begin with that settle the records of a block.
pub(crate) fn ack_prefix(block: &RecordBlock) -> Vec<u8> {
    let (log, reader) = (block.log.as_str().as_bytes(), block.reader.as_bytes());
    [ACK.as_bytes(), log, b".", reader, b"."].concat()
}

/// How long the subject that settles one of the first records is, in bytes. Clients count it with what they pull.
pub(crate) fn ack_bytes(log: &Name, reader: &str) -> u32 {
    let rest = ".1.1.1.1700000000000000000.1".len();
    let len = ACK.len() + log.as_str().len() + 1 + reader.len() + rest;
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Appends the subject that settles a record.
pub(crate) fn write_ack(out: &mut BytesMut, prefix: &[u8], record: &HandedRecord) {
    out.extend_from_slice(prefix);
    write_number(out, record.attempts.into());
    out.extend_from_slice(b".");
    write_number(out, record.offset.saturating_add(1));
    out.extend_from_slice(b".");
    write_number(out, record.sequence);
    out.extend_from_slice(b".");
    write_number(out, record.time);
    // In nanoseconds.
    out.extend_from_slice(b"000000.");
    write_number(out, record.pending);
}

/// A header block without its end.
fn begun(own: &[u8]) -> Vec<u8> {
    match own.strip_suffix(b"\r\n") {
        Some(own) if !own.is_empty() => own.to_vec(),
        _ => b"NATS/1.0\r\n".to_vec(),
    }
}

/// The headers of a copy of a record: its own, and where the record stands.
pub(crate) fn copy_headers(own: &[u8], note: &CopyNote, body_len: usize) -> Vec<u8> {
    let mut headers = begun(own);
    let mut more = format!(
        "Nats-Stream: {}\r\nNats-Subject: {}\r\nNats-Sequence: {}\r\nNats-Time-Stamp: {}\r\nNats-Last-Sequence: {}\r\n",
        note.log,
        String::from_utf8_lossy(&note.key),
        note.offset.saturating_add(1),
        write_time(note.time),
        note.before.map_or(0, |before| before.saturating_add(1)),
    );
    if note.headers_only {
        more.push_str(&format!("Nats-Msg-Size: {body_len}\r\n"));
    }
    headers.extend_from_slice(more.as_bytes());
    headers.extend_from_slice(b"\r\n");
    headers
}

/// The headers of a record of which only they are shown: its own, and how large its body is.
pub(crate) fn headers_alone(own: &[u8], body_len: usize) -> Vec<u8> {
    let mut headers = begun(own);
    headers.extend_from_slice(format!("Nats-Msg-Size: {body_len}\r\n\r\n").as_bytes());
    headers
}

/// The headers of a record for a client that gets all: its own, and by what the client is known.
pub(crate) fn pinned_headers(own: &[u8], pin: &str) -> Vec<u8> {
    let mut headers = begun(own);
    headers.extend_from_slice(format!("Nats-Pin-Id: {pin}\r\n\r\n").as_bytes());
    headers
}

/// The subject to answer to, for a notice that wants an answer.
pub(crate) fn reply_of(notice: &Notice) -> String {
    match notice {
        Notice::FlowControl { log, reader } => format!("{FLOW}{log}.{reader}.0"),
        _ => String::new(),
    }
}

/// A notice as the headers of a message without a body.
pub(crate) fn status_of(notice: &Notice) -> Vec<u8> {
    let left = |text: &str, records: u32, bytes: u64| {
        format!("{text}\r\nNats-Pending-Messages: {records}\r\nNats-Pending-Bytes: {bytes}")
    };
    let status = match notice {
        Notice::Empty => "404 No Messages".to_owned(),
        Notice::Expired { records, bytes } => left("408 Request Timeout", *records, *bytes),
        Notice::BytesOver { records, bytes } => {
            left("409 Message Size Exceeds MaxBytes", *records, *bytes)
        }
        Notice::Pending => "408 Requests Pending".to_owned(),
        Notice::TooManyPulls => "409 Exceeded MaxWaiting".to_owned(),
        Notice::RecordsExceeded(most) => format!("409 Exceeded MaxRequestBatch of {most}"),
        Notice::BytesExceeded(most) => format!("409 Exceeded MaxRequestMaxBytes of {most}"),
        Notice::WaitExceeded(ms) => format!("409 Exceeded MaxRequestExpires of {ms}ms"),
        Notice::BadPull(text) => format!("400 Bad Request - {}", one_line(text)),
        Notice::Misplaced(why) => misplaced(*why).to_owned(),
        Notice::OtherPin { records, bytes } => left("423 Nats-Wrong-Pin-Id", *records, *bytes),
        Notice::Pushes => "409 Consumer is push based".to_owned(),
        Notice::Deleted => "409 Consumer Deleted".to_owned(),
        // Nobody listens to such a request, says nats-server.
        Notice::NoReader => "503".to_owned(),
        Notice::Heartbeat {
            sequence, offset, ..
        } => format!(
            "100 Idle Heartbeat\r\nNats-Last-Consumer: {sequence}\r\nNats-Last-Stream: {offset}"
        ),
        Notice::FlowControl { .. } => "100 FlowControl Request".to_owned(),
    };
    format!("NATS/1.0 {status}\r\n\r\n").into_bytes()
}

/// Why a pull does not wait where it asks to.
fn misplaced(why: Misplaced) -> &'static str {
    match why {
        Misplaced::NoOverflow => "400 Bad Request - Not a Overflow Priority consumer",
        Misplaced::NoPins => "400 Bad Request - Not a Pinned Client Priority consumer",
        Misplaced::Rank => "400 Bad Request - Priority must be between 0 and 9",
        Misplaced::NoGroup => "400 Bad Request - Priority Group missing",
        Misplaced::UnknownGroup => "400 Bad Request - Invalid Priority Group",
        Misplaced::OtherPin => "423 Nats-Pin-Id mismatch",
    }
}

/// A header's value has no line ends.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}
