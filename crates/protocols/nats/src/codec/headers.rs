//! A header block: a first line with the version and, from servers, a status; then `name: value` lines; then an empty one.

/// The first line of a header block.
pub const HEADER_LINE: &[u8] = b"NATS/1.0";

/// The fields of a header block, in order. What is no field is passed over; nothing is copied.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// The fields of this block; none if it does not start as one.
    #[must_use]
    pub fn new(block: &'a [u8]) -> Self {
        let rest = match block.strip_prefix(HEADER_LINE) {
            Some(after) => split_line(after).1,
            None => &[],
        };
        Self { rest }
    }

    /// The first value of a field of this name, in any case.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<&'a [u8]> {
        self.clone()
            .find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (line, rest) = split_line(self.rest);
            self.rest = rest;
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                continue;
            };
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default();
            if !name.is_empty() {
                return Some((name, value.trim_ascii()));
            }
        }
        None
    }
}

/// A line without its end, and what comes after.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at(end);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    (line, rest.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order_and_what_is_none_is_passed_over() {
        let block = b"NATS/1.0 503 none\r\nA: 1\r\nb:2 \r\n: x\r\nno field\r\nA:\tthree: 3\r\n\r\n";
        let fields: Vec<_> = Headers::new(block).collect();
        let expected: [(&[u8], &[u8]); 3] = [(b"A", b"1"), (b"b", b"2"), (b"A", b"three: 3")];
        assert_eq!(fields, expected);
        let headers = Headers::new(block);
        assert_eq!(headers.lookup("a"), Some(&b"1"[..]));
        assert_eq!(headers.lookup("B"), Some(&b"2"[..]));
        assert_eq!(headers.lookup("c"), None);
        for none in [
            &b""[..],
            b"NATS/1.0",
            b"NATS/1.0\r\n\r\n",
            b"HTTP\r\na: 1\r\n",
            b"a: 1",
        ] {
            assert_eq!(Headers::new(none).count(), 0, "{none:?}");
        }
    }
}
