//! SaslAuthenticate: carry SASL's bytes.

use bytes::Bytes;

use super::*;

message! {
    /// The client's SASL bytes.
    struct SaslAuthenticateRequest: SaslAuthenticate {
        auth_bytes: Bytes [0..];
    }

    /// The server's SASL bytes.
    struct SaslAuthenticateResponse: SaslAuthenticate {
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
        auth_bytes: Bytes [0..];
        session_lifetime_ms: i64 [1..];
    }
}
