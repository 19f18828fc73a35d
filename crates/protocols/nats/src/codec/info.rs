//! INFO: what the server says of itself.

use serde::Serialize;

/// What the server says of itself. Clients read the names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Info {
    /// The server's id, in the form of a public key.
    pub server_id: String,
    /// Its name.
    pub server_name: String,
    /// The version of NATS whose features clients may count on.
    pub version: String,
    /// The protocol: 1 sends INFO at any time.
    pub proto: u8,
    /// Clients that are written in Go read it.
    pub go: &'static str,
    /// Where it listens.
    pub host: String,
    /// At which port.
    pub port: u16,
    /// It takes headers.
    pub headers: bool,
    /// Clients have to say who they are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auth_required: bool,
    /// Clients have to speak TLS from here on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_required: bool,
    /// and show a certificate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_verify: bool,
    /// Clients may speak TLS from here on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_available: bool,
    /// The greatest payload.
    pub max_payload: usize,
    /// There is JetStream.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub jetstream: bool,
    /// The connection's number.
    pub client_id: u64,
    /// The client's address, as it is seen here.
    pub client_ip: String,
    /// What a client signs to prove that a key is its own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// The server goes away soon: clients are to go elsewhere.
    #[serde(rename = "ldm", skip_serializing_if = "std::ops::Not::not")]
    pub is_leaving: bool,
}
