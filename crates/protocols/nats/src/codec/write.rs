//! Writing what clients read.

use bytes::{Bytes, BytesMut};
use polybus_session::Outbound;

use super::Info;

/// Bodies at least this long are passed by reference if they are not a small part of what they would keep in memory.
const SHARE_BYTES_MIN: usize = 4 * 1024;
/// What a reply takes that is written in place, mostly.
const REPLY_BYTES_EXPECTED: usize = 128;
/// The most digits of a number.
const DIGITS_MAX: usize = 20;

/// A message on its way to a subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The subject that it was published to.
    pub subject: &'a [u8],
    /// What the client calls the subscription.
    pub sid: &'a [u8],
    /// Where answers are to go; empty: nowhere.
    pub reply: &'a [u8],
    /// The header block; empty: none.
    pub headers: &'a [u8],
    /// The body.
    pub body: &'a [u8],
    /// What the body is a part of, if it may be passed by reference.
    pub shared: Option<&'a Bytes>,
}

impl Outgoing<'_> {
    /// Appends it as MSG, or as HMSG where it has headers.
    #[inline]
    pub fn write(&self, out: &mut Outbound) {
        self.write_replying(out, self.reply.len(), |out| {
            out.extend_from_slice(self.reply);
        });
    }

    /// Likewise, with a reply that is written where it is to stand.
    #[inline]
    pub fn write_with(&self, out: &mut Outbound, reply: impl FnOnce(&mut BytesMut)) {
        self.write_replying(out, REPLY_BYTES_EXPECTED, reply);
    }

    #[inline]
    fn write_replying(
        &self,
        out: &mut Outbound,
        reply_len: usize,
        reply: impl FnOnce(&mut BytesMut),
    ) {
        let fixed = 16 + 2 * DIGITS_MAX;
        let line = self.subject.len() + self.sid.len() + reply_len + fixed;
        let shared = self.shared_body();
        let inline = if shared.is_some() { 0 } else { self.body.len() };
        let staged = out.staged();
        staged.reserve(line + self.headers.len() + inline);
        let name: &[u8] = if self.headers.is_empty() {
            b"MSG "
        } else {
            b"HMSG "
        };
        staged.extend_from_slice(name);
        staged.extend_from_slice(self.subject);
        staged.extend_from_slice(b" ");
        staged.extend_from_slice(self.sid);
        staged.extend_from_slice(b" ");
        if reply_len > 0 {
            reply(staged);
            staged.extend_from_slice(b" ");
        }
        if !self.headers.is_empty() {
            write_number(staged, self.headers.len() as u64);
            staged.extend_from_slice(b" ");
        }
        write_number(staged, (self.headers.len() + self.body.len()) as u64);
        staged.extend_from_slice(b"\r\n");
        staged.extend_from_slice(self.headers);
        match shared {
            None => staged.extend_from_slice(self.body),
            Some(body) => out.push_shared(body),
        }
        out.staged().extend_from_slice(b"\r\n");
    }

    /// The body by reference, where that pays: a small part would keep the whole in memory until it is written.
    fn shared_body(&self) -> Option<Bytes> {
        let whole = self.shared?;
        let is_worth = self.body.len() >= SHARE_BYTES_MIN && self.body.len() >= whole.len() / 4;
        is_worth.then(|| whole.slice_ref(self.body))
    }
}

/// Appends a number in decimal digits.
#[inline]
pub fn write_number(out: &mut BytesMut, number: u64) {
    let mut digits = [0; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    let mut rest = number;
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Appends `+OK`.
pub fn write_ok(out: &mut BytesMut) {
    out.extend_from_slice(b"+OK\r\n");
}

/// Appends `PING`.
pub fn write_ping(out: &mut BytesMut) {
    out.extend_from_slice(b"PING\r\n");
}

/// Appends `PONG`.
pub fn write_pong(out: &mut BytesMut) {
    out.extend_from_slice(b"PONG\r\n");
}

/// Appends `-ERR`. What would end the line or the quotation is left out.
pub fn write_error(out: &mut BytesMut, text: &str) {
    let sound: String = text
        .chars()
        .map(|c| if c.is_control() || c == '\'' { ' ' } else { c })
        .collect();
    out.extend_from_slice(b"-ERR '");
    out.extend_from_slice(sound.as_bytes());
    out.extend_from_slice(b"'\r\n");
}

/// Appends INFO.
pub fn write_info(out: &mut BytesMut, info: &Info) {
    // A struct of texts and numbers: it cannot fail.
    let json = serde_json::to_vec(info).unwrap_or_default();
    out.extend_from_slice(b"INFO ");
    out.extend_from_slice(&json);
    out.extend_from_slice(b" \r\n");
}

/// Appends the answer to a request that nobody heard.
pub fn write_unheard(out: &mut Outbound, reply: &[u8], sid: &[u8], subject: &[u8]) {
    let headers = [b"NATS/1.0 503\r\nNats-Subject: ", subject, b"\r\n\r\n"].concat();
    Outgoing {
        subject: reply,
        sid,
        reply: b"",
        headers: &headers,
        body: b"",
        shared: None,
    }
    .write(out);
}
