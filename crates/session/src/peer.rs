//! Who is on the other side.

use std::net::SocketAddr;

/// What is known of a peer when it connects.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub remote: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// The connection is encrypted.
    pub tls: bool,
    /// The name in its verified certificate.
    pub certificate_name: Option<String>,
}

impl Peer {
    /// True if it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.remote.ip().to_canonical().is_loopback()
    }
}

/// What listings show of a session.
#[derive(Clone, Debug, Default)]
pub struct PeerSummary {
    /// The protocol and its version: `AMQP 0-9-1`.
    pub protocol: &'static str,
    /// The user, once known.
    pub user: Option<String>,
    /// The namespace, once open.
    pub namespace: Option<String>,
    /// Open lanes (channels).
    pub lanes: usize,
    /// What the peer says its software is: `pika 1.3.2`.
    pub client: Option<String>,
    /// What the peer calls this connection.
    pub label: Option<String>,
    /// Where in its life it is: `handshake`, `running`, `closing`.
    pub state: &'static str,
    /// What the peer was told its connection's number is, where its protocol tells that.
    pub number: u64,
    /// What went through it, where its protocol counts that.
    pub traffic: Traffic,
}

/// What went through a session, seen from the broker.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Traffic {
    /// Messages from the peer.
    pub messages_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Messages for the peer.
    pub messages_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Its subscriptions.
    pub subscriptions: u64,
    /// Bytes that wait for it.
    pub pending: u64,
}
