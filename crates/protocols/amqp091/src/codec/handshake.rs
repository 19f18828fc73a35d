//! The eight octets that open a connection, before there are frames.

/// What a client of AMQP 0-9-1 sends first, and what a server answers to another version before it closes.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// What a connection's first octets say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// AMQP 0-9-1.
    Amqp091,
    /// AMQP 1.0; the octet says what comes next: 0 plain AMQP, 2 TLS, 3 SASL.
    Amqp10(u8),
    /// Another version of AMQP.
    OtherVersion,
    /// Not AMQP.
    Other,
    /// Too few octets to tell.
    NeedMore,
}

impl Opening {
    /// Octets of a protocol header.
    pub const LEN: usize = PROTOCOL_HEADER.len();

    /// Reads a connection's first octets.
    #[must_use]
    pub fn detect(first: &[u8]) -> Self {
        let name = first.get(..4).unwrap_or(first);
        if !b"AMQP".starts_with(name) {
            return Self::Other;
        }
        match first {
            [_, _, _, _, 0, 0, 9, 1, ..] => Self::Amqp091,
            [_, _, _, _, id @ (0 | 2 | 3), 1, 0, 0, ..] => Self::Amqp10(*id),
            [_, _, _, _, _, _, _, _, ..] => Self::OtherVersion,
            _ => Self::NeedMore,
        }
    }
}
