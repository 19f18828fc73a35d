//! Class 10: the connection.

use super::*;

method! {
    /// The server's first word.
    ConnectionStart<'a> = (10, 10) {
        /// The protocol's version: 0.
        version_major: u8,
        /// And 9.
        version_minor: u8,
        /// What the server is and can.
        server_properties: TableRef<'a>,
        /// The SASL mechanisms it takes, spaces between.
        mechanisms: &'a [u8],
        /// The locales it has, spaces between.
        locales: &'a [u8],
    }
}
method! {
    /// The client's choice of a mechanism.
    ConnectionStartOk<'a> = (10, 11) {
        /// What the client is and can.
        client_properties: TableRef<'a>,
        /// The mechanism.
        mechanism: &'a str,
        /// The mechanism's first response.
        response: &'a [u8],
        /// The locale.
        locale: &'a str,
    }
}
method! {
    /// A further question of the mechanism.
    ConnectionSecure<'a> = (10, 20) {
        /// The question.
        challenge: &'a [u8],
    }
}
method! {
    /// The answer to it.
    ConnectionSecureOk<'a> = (10, 21) {
        /// The answer.
        response: &'a [u8],
    }
}
method! {
    /// The limits that the server proposes.
    ConnectionTune = (10, 30) {
        /// Channels; 0: no limit.
        channel_max: u16,
        /// Octets of a frame; 0: no limit.
        frame_max: u32,
        /// Seconds between heartbeats; 0: none.
        heartbeat: u16,
    }
}
method! {
    /// The limits that the client settles on.
    ConnectionTuneOk = (10, 31) {
        /// Channels; 0: no limit.
        channel_max: u16,
        /// Octets of a frame; 0: no limit.
        frame_max: u32,
        /// Seconds between heartbeats; 0: none.
        heartbeat: u16,
    }
}
method! {
    /// Opens a virtual host.
    ConnectionOpen<'a> = (10, 40) {
        /// Its name.
        virtual_host: &'a str,
    } [ShortBytes<'_>, bool]
}
method! {
    /// It is open.
    ConnectionOpenOk = (10, 41) {} [ShortBytes<'_>]
}
method! {
    /// The end of the connection, and why.
    ConnectionClose<'a> = (10, 50) {
        /// The reply code.
        reply_code: u16,
        /// The reason in words.
        reply_text: &'a str,
        /// The class of the method at fault, or 0.
        class_id: u16,
        /// The method at fault, or 0.
        method_id: u16,
    }
}
method! {
    /// The end is heard.
    ConnectionCloseOk = (10, 51) {}
}
method! {
    /// The server takes no publishes for now.
    ConnectionBlocked<'a> = (10, 60) {
        /// Why.
        reason: &'a str,
    }
}
method! {
    /// It takes them again.
    ConnectionUnblocked = (10, 61) {}
}
method! {
    /// A new secret in place of the one that runs out.
    ConnectionUpdateSecret<'a> = (10, 70) {
        /// The secret.
        new_secret: &'a [u8],
        /// Why it changes.
        reason: &'a str,
    }
}
method! {
    /// The new secret is in force.
    ConnectionUpdateSecretOk = (10, 71) {}
}
