//! Reading what clients send, in place.

use std::ops::Range;

use memchr::memchr;

use super::CodecError;

/// The longest operation's name and the blank behind it; the bound of a line is for its arguments.
const NAME_BYTES_MAX: usize = 8;
/// A size or count of more digits is none.
const DIGITS_MAX: usize = 9;
/// No operation has more arguments; one more is counted, so that it is seen.
const ARGUMENTS_MAX: usize = 5;
const LINE_END: &[u8; 2] = b"\r\n";

/// What a peer may send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a line's arguments.
    pub line_bytes_max: usize,
    /// Bytes of a payload, its headers counted.
    pub payload_bytes_max: usize,
}

/// A publish, as ranges of the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    /// The subject.
    pub subject: Range<u32>,
    /// Where answers are to go; empty: nowhere.
    pub reply: Range<u32>,
    /// The payload without the headers.
    pub body: Range<u32>,
    /// Bytes of the header block before it; 0: none.
    pub headers_len: u32,
    /// Where the rest of the line begins that subscribers get as it came (`[reply] [header-size] size CRLF`); where the body
    /// does, if the line is not written as they expect it.
    pub rest: u32,
}

/// One operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation<'a> {
    /// PUB or HPUB. The flag says which: only a client that has said so may send headers.
    Publish(Publication, bool),
    /// SUB.
    Subscribe {
        /// The subject, which may have wildcards.
        subject: &'a [u8],
        /// The queue group.
        queue: Option<&'a [u8]>,
        /// What the client calls the subscription.
        sid: &'a [u8],
    },
    /// UNSUB.
    Unsubscribe {
        /// What the client calls the subscription.
        sid: &'a [u8],
        /// After so many messages.
        max: Option<u64>,
    },
    /// CONNECT, with its JSON.
    Connect(&'a [u8]),
    /// PING.
    Ping,
    /// PONG.
    Pong,
    /// +OK or INFO: nothing to do.
    Nothing,
    /// -ERR: the client gives up.
    Error(&'a [u8]),
}

/// The operations in the bytes that have come so far.
#[derive(Debug)]
pub struct Operations<'a> {
    input: &'a [u8],
    at: usize,
    limits: Limits,
}

/// Which operation a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Pub,
    Hpub,
    Sub,
    Unsub,
    Connect,
    Ping,
    Pong,
    Ok,
    Err,
    Info,
}

/// Every operation, as clients may write it (in any case), and whether it takes arguments.
const NAMES: [(&[u8], Name, bool); 10] = [
    (b"PUB", Name::Pub, true),
    (b"HPUB", Name::Hpub, true),
    (b"SUB", Name::Sub, true),
    (b"UNSUB", Name::Unsub, true),
    (b"CONNECT", Name::Connect, true),
    (b"PING", Name::Ping, false),
    (b"PONG", Name::Pong, false),
    (b"+OK", Name::Ok, false),
    (b"-ERR", Name::Err, true),
    (b"INFO", Name::Info, true),
];

impl<'a> Operations<'a> {
    /// Reads from the beginning of `input`.
    #[must_use]
    pub fn new(input: &'a [u8], limits: Limits) -> Self {
        Self {
            input,
            at: 0,
            limits,
        }
    }

    /// How many bytes were read.
    #[must_use]
    pub fn consumed(&self) -> usize {
        self.at
    }

    /// The first byte of what comes next.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    /// What is left when nothing more can be read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// Reads one operation; none if it is not whole yet.
    ///
    /// # Errors
    /// The bytes are not an operation, or beyond a limit.
    #[inline]
    pub fn next_operation(&mut self) -> Result<Option<Operation<'a>>, CodecError> {
        let rest = self.rest();
        let (name, arguments_at) = match rest {
            [b'P' | b'p', b'U' | b'u', b'B' | b'b', b' ' | b'\t', ..] => (Name::Pub, 4),
            [] => return Ok(None),
            _ => match name_of(rest)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let Some(line) = self.line(rest, arguments_at)? else {
            return Ok(None);
        };
        let (arguments, line_len) = line;
        let next = self.at + line_len;
        let operation = match name {
            Name::Pub | Name::Hpub => {
                return self.publication(arguments, next, name == Name::Hpub);
            }
            Name::Sub => subscribe(arguments)?,
            Name::Unsub => unsubscribe(arguments)?,
            Name::Connect => Operation::Connect(arguments.trim_ascii()),
            Name::Ping => Operation::Ping,
            Name::Pong => Operation::Pong,
            Name::Ok | Name::Info => Operation::Nothing,
            Name::Err => Operation::Error(arguments.trim_ascii()),
        };
        self.at = next;
        Ok(Some(operation))
    }

    /// The arguments of the line that `rest` starts with, and how long the whole line is; none if its end has not come.
    #[inline]
    fn line(
        &self,
        rest: &'a [u8],
        arguments_at: usize,
    ) -> Result<Option<(&'a [u8], usize)>, CodecError> {
        let max = self.limits.line_bytes_max;
        // As much as a line may have: the arguments, the carriage return, the line feed.
        let window = arguments_at
            .saturating_add(max)
            .saturating_add(LINE_END.len());
        let seen = rest.get(..window).unwrap_or(rest);
        let arguments = seen.get(arguments_at..).unwrap_or_default();
        let Some(len) = memchr(b'\n', arguments) else {
            let is_open = arguments.len() <= max
                || (arguments.len() == max + 1 && arguments.last() == Some(&b'\r'));
            return if is_open {
                Ok(None)
            } else {
                Err(CodecError::LineTooLong)
            };
        };
        let line = arguments.get(..len).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > max {
            return Err(CodecError::LineTooLong);
        }
        Ok(Some((line, arguments_at + len + 1)))
    }

    #[inline]
    fn publication(
        &mut self,
        arguments: &'a [u8],
        payload_at: usize,
        has_headers: bool,
    ) -> Result<Option<Operation<'a>>, CodecError> {
        let words = Words::split(arguments)?;
        let (subject, reply, header_len, len) = match (has_headers, words.all()) {
            (false, &[subject, size]) => (subject, None, 0, number(size)?),
            (false, &[subject, reply, size]) => (subject, Some(reply), 0, number(size)?),
            (true, &[subject, headers, size]) => (subject, None, number(headers)?, number(size)?),
            (true, &[subject, reply, headers, size]) => {
                (subject, Some(reply), number(headers)?, number(size)?)
            }
            _ => return Err(CodecError::UnknownOperation),
        };
        if header_len > len {
            return Err(CodecError::UnknownOperation);
        }
        if len > self.limits.payload_bytes_max {
            return Err(CodecError::PayloadTooLarge);
        }
        let end = payload_at + len;
        match self.input.get(end..).unwrap_or_default() {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Ok(None),
            _ => return Err(CodecError::UnknownOperation),
        }
        let base = self.input.as_ptr().addr();
        let span = |part: &[u8]| {
            let start = part.as_ptr().addr() - base;
            short(start)..short(start + part.len())
        };
        // One blank between words, a carriage return, no more digits than there have to be.
        let line_start = subject.as_ptr().addr() - base;
        let is_plain = payload_at - line_start == words.plain_len() + LINE_END.len()
            && words.all().last().is_some_and(|size| is_plain_number(size));
        let body_at = payload_at + header_len;
        let rest = if is_plain {
            line_start + subject.len() + 1
        } else {
            body_at
        };
        let publication = Publication {
            subject: span(subject),
            reply: reply.map(span).unwrap_or_default(),
            body: short(body_at)..short(end),
            headers_len: short(header_len),
            rest: short(rest),
        };
        self.at = end + LINE_END.len();
        Ok(Some(Operation::Publish(publication, has_headers)))
    }
}

/// An offset. The input is what one read held or an unfinished payload, both bounded far below 4 GiB.
#[inline]
fn short(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// Whether a number is written as servers write it.
#[inline]
fn is_plain_number(digits: &[u8]) -> bool {
    digits.first() != Some(&b'0') || digits.len() == 1
}

/// The operation that these bytes start with and where its arguments start; none if too few have come to tell.
fn name_of(rest: &[u8]) -> Result<Option<(Name, usize)>, CodecError> {
    for (text, name, takes_arguments) in NAMES {
        let seen = rest.get(..text.len()).unwrap_or(rest);
        let is_same = text
            .get(..seen.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(seen));
        if !is_same {
            continue;
        }
        return match rest.get(text.len()) {
            None => Ok(None),
            Some(b' ' | b'\t') => Ok(Some((name, text.len() + 1))),
            Some(_) if !takes_arguments => Ok(Some((name, text.len()))),
            Some(_) => Err(CodecError::UnknownOperation),
        };
    }
    debug_assert!(NAMES.iter().all(|(text, ..)| text.len() < NAME_BYTES_MAX));
    Err(CodecError::UnknownOperation)
}

/// The words of a line.
struct Words<'a> {
    words: [&'a [u8]; ARGUMENTS_MAX],
    count: usize,
}

impl<'a> Words<'a> {
    /// Splits at blanks and tabs. A carriage return within a line would end it for whoever the words are sent to.
    #[inline]
    fn split(line: &'a [u8]) -> Result<Self, CodecError> {
        let mut split = Self {
            words: [&[]; ARGUMENTS_MAX],
            count: 0,
        };
        let mut start = 0;
        for (at, &byte) in line.iter().enumerate() {
            if byte > b' ' {
                continue;
            }
            match byte {
                b' ' | b'\t' => {
                    split.push(line, start, at)?;
                    start = at + 1;
                }
                b'\r' => return Err(CodecError::UnknownOperation),
                _ => {}
            }
        }
        split.push(line, start, line.len())?;
        Ok(split)
    }

    #[inline]
    fn push(&mut self, line: &'a [u8], start: usize, end: usize) -> Result<(), CodecError> {
        if start == end {
            return Ok(());
        }
        let slot = self
            .words
            .get_mut(self.count)
            .ok_or(CodecError::UnknownOperation)?;
        *slot = line.get(start..end).unwrap_or_default();
        self.count += 1;
        Ok(())
    }

    /// Their length with one byte between each.
    #[inline]
    fn plain_len(&self) -> usize {
        let bytes: usize = self.all().iter().map(|word| word.len()).sum();
        bytes + self.count.saturating_sub(1)
    }

    #[inline]
    fn all(&self) -> &[&'a [u8]] {
        self.words.get(..self.count).unwrap_or_default()
    }
}

#[inline]
fn number(digits: &[u8]) -> Result<usize, CodecError> {
    if digits.len() > DIGITS_MAX {
        return Err(CodecError::UnknownOperation);
    }
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(CodecError::UnknownOperation);
        }
        number = number * 10 + usize::from(digit - b'0');
    }
    Ok(number)
}

fn subscribe(arguments: &[u8]) -> Result<Operation<'_>, CodecError> {
    match *Words::split(arguments)?.all() {
        [subject, sid] => Ok(Operation::Subscribe {
            subject,
            queue: None,
            sid,
        }),
        [subject, queue, sid] => Ok(Operation::Subscribe {
            subject,
            queue: Some(queue),
            sid,
        }),
        _ => Err(CodecError::UnknownOperation),
    }
}

fn unsubscribe(arguments: &[u8]) -> Result<Operation<'_>, CodecError> {
    match *Words::split(arguments)?.all() {
        [sid] => Ok(Operation::Unsubscribe { sid, max: None }),
        [sid, max] => Ok(Operation::Unsubscribe {
            sid,
            max: Some(number(max)? as u64),
        }),
        _ => Err(CodecError::UnknownOperation),
    }
}
