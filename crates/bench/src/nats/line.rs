//! What a server says: lines, and messages behind their lines, read in place.

use crate::error::BenchError;

/// Longer lines are taken for nonsense.
const LINE_BYTES_MAX: usize = 64 << 10;

/// One thing that a server says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said<'a> {
    /// A message.
    Message(Message<'a>),
    /// It wants a PONG.
    Ping,
    /// It answers a PING.
    Pong,
    /// All else that needs no answer.
    Other,
}

/// A message, as it lies in the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) subject: &'a [u8],
    /// Empty if no reply is wanted.
    pub(crate) reply: &'a [u8],
    pub(crate) headers: &'a [u8],
    pub(crate) body: &'a [u8],
}

/// The first thing in these bytes, if all of it is there, and how long it is.
pub(crate) fn next(bytes: &[u8]) -> Result<Option<(Said<'_>, usize)>, BenchError> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        if bytes.len() > LINE_BYTES_MAX {
            return Err(BenchError::Protocol("a line without an end".into()));
        }
        return Ok(None);
    };
    let line = bytes.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let plain = |said| Ok(Some((said, end + 1)));
    match line.first() {
        Some(b'M' | b'H') => message(bytes, line, end + 1),
        Some(b'P') if line == b"PING" => plain(Said::Ping),
        Some(b'P') if line == b"PONG" => plain(Said::Pong),
        Some(b'+' | b'I') => plain(Said::Other),
        _ => Err(BenchError::Protocol(format!(
            "it said {}",
            String::from_utf8_lossy(line)
        ))),
    }
}

fn message<'a>(
    bytes: &'a [u8],
    line: &'a [u8],
    begin: usize,
) -> Result<Option<(Said<'a>, usize)>, BenchError> {
    let wrong = || BenchError::Protocol(format!("it said {}", String::from_utf8_lossy(line)));
    let mut words = line.split(|byte| *byte == b' ');
    let has_headers = words.next() == Some(b"HMSG");
    let (subject, _) = words.next().zip(words.next()).ok_or_else(wrong)?;
    let rest = [words.next(), words.next(), words.next()];
    let (reply, head_bytes, all_bytes): (&[u8], _, _) = match (has_headers, rest) {
        (false, [Some(all), None, None]) => (&[], Some(0), number(all)),
        (false, [Some(reply), Some(all), None]) => (reply, Some(0), number(all)),
        (true, [Some(head), Some(all), None]) => (&[], number(head), number(all)),
        (true, [Some(reply), Some(head), Some(all)]) => (reply, number(head), number(all)),
        _ => return Err(wrong()),
    };
    let (head_bytes, all_bytes) = head_bytes.zip(all_bytes).ok_or_else(wrong)?;
    let Some(content) = bytes.get(begin..begin + all_bytes) else {
        return Ok(None);
    };
    if bytes.len() < begin + all_bytes + 2 {
        return Ok(None);
    }
    let (headers, body) = content.split_at_checked(head_bytes).ok_or_else(wrong)?;
    let message = Message {
        subject,
        reply,
        headers,
        body,
    };
    Ok(Some((Said::Message(message), begin + all_bytes + 2)))
}

/// A number in decimal digits.
pub(crate) fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    digits.iter().try_fold(0_usize, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + usize::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> (Message<'_>, usize) {
        match next(bytes) {
            Ok(Some((Said::Message(message), length))) => (message, length),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_are_read_with_and_without_reply_and_headers() {
        for (bytes, reply, headers) in [
            (&b"MSG a.b 1 3\r\nabc\r\nMSG"[..], &b""[..], &b""[..]),
            (b"MSG a.b 1 r.s 3\r\nabc\r\nMSG", b"r.s", b""),
            (
                b"HMSG a.b 1 12 15\r\nNATS/1.0\r\n\r\nabc\r\nMSG",
                b"",
                b"NATS/1.0\r\n\r\n",
            ),
            (
                b"HMSG a.b 1 r.s 12 15\r\nNATS/1.0\r\n\r\nabc\r\nMSG",
                b"r.s",
                b"NATS/1.0\r\n\r\n",
            ),
        ] {
            let (found, length) = message(bytes);
            assert_eq!((found.subject, found.body), (&b"a.b"[..], &b"abc"[..]));
            assert_eq!((found.reply, found.headers), (reply, headers));
            assert_eq!(length, bytes.len() - 3);
            for short in 0..bytes.len() - 3 {
                assert!(matches!(next(&bytes[..short]), Ok(None)), "{short}");
            }
        }
    }

    #[test]
    fn what_it_complains_of_is_an_error() {
        assert!(next(b"-ERR 'Slow Consumer'\r\n").is_err());
        assert!(next(b"MSG a 1 x\r\n").is_err());
        assert!(matches!(next(b"PING\r\nx"), Ok(Some((Said::Ping, 6)))));
        assert!(matches!(next(b"+OK\r\n"), Ok(Some((Said::Other, 5)))));
    }
}
