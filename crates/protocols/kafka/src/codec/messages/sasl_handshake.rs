//! SaslHandshake: choose a SASL mechanism.

use super::*;

message! {
    /// Chooses a SASL mechanism.
    struct SaslHandshakeRequest: SaslHandshake {
        mechanism: String [0..];
    }

    /// The mechanisms there are.
    struct SaslHandshakeResponse: SaslHandshake {
        error_code: i16 [0..];
        mechanisms: Vec<String> [0..];
    }
}
