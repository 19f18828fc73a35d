//! Where the server listens, and what happens to whoever comes.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use polybus_broker::Broker;
use polybus_model::Millis;
use polybus_session::{Outbound, Peer, Protocol, Session};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout_at;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use crate::clock::{Clock, millis};
use crate::config::{Listen, Place};
use crate::connection::{Driver, End, sniff};
use crate::protocols::{Encryption, Spoken};
use crate::stop::{Connections, Slot};
use crate::tls::common_name;
use crate::websocket;

/// How many may wait to be accepted.
const BACKLOG: i32 = 4096;
/// What a TLS handshake starts with.
const TLS_HANDSHAKE: u8 = 0x16;
/// How long to wait after the system refused to accept (no descriptors, no memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address that is taken for the server, and not listened at yet.
#[derive(Debug)]
pub(crate) struct Bound {
    socket: Socket,
    /// The address, its port known.
    pub(crate) address: SocketAddr,
}

/// Takes every address of a setting.
///
/// # Errors
/// A text that names the setting and how to move it.
pub(crate) fn bind(setting: &str, listen: &Listen) -> Result<Vec<Bound>, String> {
    let Listen::At(places) = listen else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for place in places {
        bind_place(place, &mut all).map_err(|error| explain(setting, place, &error))?;
    }
    Ok(all)
}

fn bind_place(place: &Place, all: &mut Vec<Bound>) -> io::Result<()> {
    let Some(host) = &place.host else {
        // One socket for IPv4 and IPv6; IPv4 alone where the machine has no IPv6.
        let every = SocketAddr::from((Ipv6Addr::UNSPECIFIED, place.port));
        let bound = match bind_address(every) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                bind_address(SocketAddr::from((Ipv4Addr::UNSPECIFIED, place.port)))
            }
            other => other,
        };
        all.push(bound?);
        return Ok(());
    };
    for address in (host.as_str(), place.port).to_socket_addrs()? {
        all.push(bind_address(address)?);
    }
    Ok(())
}

fn bind_address(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let address = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok(Bound { socket, address })
}

fn explain(setting: &str, place: &Place, error: &io::Error) -> String {
    let flag = setting.replace('.', "-");
    let moved = format!("move it with --{flag} HOST:PORT, or switch it off with --{flag} off");
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{setting}: port {} is taken by another program ({place}); stop that program, {moved}",
            place.port
        ),
        io::ErrorKind::PermissionDenied => {
            format!("{setting}: this user may not listen at {place}: {error}; {moved}")
        }
        _ => format!("{setting}: cannot listen at {place}: {error}; {moved}"),
    }
}

impl Bound {
    /// Starts to listen.
    ///
    /// # Errors
    /// Someone else listens there by now, or the system refuses.
    pub(crate) fn listen(self, setting: &str) -> Result<TcpListener, String> {
        let place = Place {
            host: Some(self.address.ip().to_string()),
            port: self.address.port(),
        };
        self.socket
            .listen(BACKLOG)
            .and_then(|()| TcpListener::from_std(self.socket.into()))
            .map_err(|error| explain(setting, &place, &error))
    }
}

/// What every connection needs.
pub(crate) struct Server {
    /// The broker.
    pub(crate) broker: Broker,
    /// The clock.
    pub(crate) clock: Clock,
    /// Who is connected.
    pub(crate) connections: Connections,
    /// How many may be.
    pub(crate) connections_max: u64,
}

/// Accepts for ever.
pub(crate) async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    encryption: Encryption,
    spoken: Arc<Spoken>,
    server: Arc<Server>,
) {
    loop {
        let (socket, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                warn!(%error, "cannot accept connections for now; is the limit of open files too low?");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(slot) = server.connections.enter(server.connections_max) else {
            warn!(%remote, limit = server.connections_max, "turned away: as many connections are open as limits.connections allows");
            continue;
        };
        let visitor = Visitor {
            server: Arc::clone(&server),
            spoken: Arc::clone(&spoken),
            slot,
            until: server.clock.now() + millis(spoken.handshake_timeout),
        };
        // Two sorts of tasks, so that a plain connection is not as large as an encrypted one.
        match tls.clone() {
            None => drop(tokio::spawn(visitor.plain(socket, remote))),
            Some(acceptor) if encryption == Encryption::Upgrade => {
                drop(tokio::spawn(visitor.upgradable(socket, remote, acceptor)));
            }
            Some(acceptor) => drop(tokio::spawn(visitor.encrypted(socket, remote, acceptor))),
        }
    }
}

/// Errors of accept that concern the one connection only.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// A connection that was just accepted.
struct Visitor {
    server: Arc<Server>,
    spoken: Arc<Spoken>,
    slot: Slot,
    /// When its handshake must be over.
    until: Millis,
}

impl Visitor {
    async fn plain(self, socket: TcpStream, remote: SocketAddr) {
        match peer(&socket, remote) {
            Ok(peer) => self.talk(socket, peer).await,
            Err(error) => debug!(%remote, %error, "gone at once"),
        }
    }

    async fn encrypted(self, socket: TcpStream, remote: SocketAddr, acceptor: TlsAcceptor) {
        let Ok(mut peer) = peer(&socket, remote) else {
            return;
        };
        let Some(stream) = self.encrypt(socket, &mut peer, acceptor).await else {
            return;
        };
        self.talk(stream, peer).await;
    }

    /// Makes a connection an encrypted one.
    async fn encrypt(
        &self,
        socket: TcpStream,
        peer: &mut Peer,
        acceptor: TlsAcceptor,
    ) -> Option<TlsStream<TcpStream>> {
        let remote = peer.remote;
        let until = self.server.clock.instant(self.until);
        let stream = match timeout_at(until, acceptor.accept(socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                info!(%remote, %error, "the TLS handshake failed");
                return None;
            }
            Err(_) => {
                info!(%remote, "the TLS handshake took too long");
                return None;
            }
        };
        peer.tls = true;
        let certificates = stream.get_ref().1.peer_certificates();
        peer.certificate_name = certificates.and_then(|chain| common_name(chain.first()?));
        Some(stream)
    }

    /// The session speaks first, in plain text; the peer's first byte decides whether the rest is encrypted.
    async fn upgradable(
        mut self,
        mut socket: TcpStream,
        remote: SocketAddr,
        acceptor: TlsAcceptor,
    ) {
        let Ok(mut peer) = peer(&socket, remote) else {
            return;
        };
        let Some(protocol) = self.spoken.protocols.first().cloned() else {
            return;
        };
        let mut session = protocol.accept(peer.clone(), self.server.clock.now());
        let until = self.server.clock.instant(self.until);
        let told = tokio::select! {
            told = timeout_at(until, greet(&mut socket, session.outbound())) => told,
            () = self.slot.stopping() => return,
        };
        match told {
            Ok(Ok(true)) => {
                let Some(stream) = self.encrypt(socket, &mut peer, acceptor).await else {
                    return;
                };
                session.handle_secured(peer.certificate_name.clone());
                self.drive(stream, &peer, protocol, session, BytesMut::new())
                    .await;
            }
            // Who is silent is the session's business.
            Ok(Ok(false)) | Err(_) => {
                self.drive(socket, &peer, protocol, session, BytesMut::new())
                    .await;
            }
            Ok(Err(error)) => debug!(%remote, %error, "lost before its first word"),
        }
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(self, socket: S, peer: Peer) {
        let Some(bytes_max) = self.spoken.websocket else {
            return self.listen(socket, peer).await;
        };
        let remote = peer.remote;
        let until = self.server.clock.instant(self.until);
        match timeout_at(until, websocket::accept(socket, bytes_max)).await {
            Ok(Ok(socket)) => self.listen(socket, peer).await,
            Ok(Err(error)) => debug!(%remote, %error, "asked for no WebSocket"),
            Err(_) => info!(%remote, "asked for no WebSocket in time"),
        }
    }

    /// Finds out what the peer speaks.
    async fn listen<S: AsyncRead + AsyncWrite + Unpin>(mut self, mut socket: S, peer: Peer) {
        let remote = peer.remote;
        let setting = self.spoken.handshake_setting;
        let until = self.server.clock.instant(self.until);
        let sniffed = tokio::select! {
            sniffed = timeout_at(until, sniff(&mut socket, &self.spoken.protocols)) => sniffed,
            () = self.slot.stopping() => return,
        };
        let (protocol, first) = match sniffed {
            Ok(Ok(Some(found))) => found,
            Ok(Ok(None)) => return debug!(%remote, "left without a word"),
            Ok(Err(error)) => return debug!(%remote, %error, "lost before its first word"),
            Err(_) => return info!(%remote, "said nothing before {setting}"),
        };
        let session = protocol.accept(peer.clone(), self.server.clock.now());
        self.drive(socket, &peer, protocol, session, first).await;
    }

    /// Drives a session to its end.
    async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        socket: S,
        peer: &Peer,
        protocol: Arc<dyn Protocol>,
        session: Box<dyn Session>,
        first: BytesMut,
    ) {
        let remote = peer.remote;
        let server = self.server;
        let setting = self.spoken.handshake_setting;
        let link = match server.broker.connect(protocol.name(), peer) {
            Ok(link) => link,
            Err(error) => return warn!(%remote, %error, "turned away"),
        };
        drop((protocol, self.spoken));
        let driver = Driver::new(
            socket,
            session,
            link,
            self.slot,
            server.clock,
            first,
            self.until,
        );
        drop(server);
        match driver.run().await {
            End::Done => debug!(%remote, "closed"),
            End::Fault(reason) => warn!(%remote, "closed: {reason}"),
            End::HandshakeTimeout => {
                info!(%remote, "did not finish its handshake before {setting}")
            }
            End::ClosingTimeout => info!(%remote, "did not read its last bytes in time"),
            End::Lost(error) => debug!(%remote, %error, "lost"),
        }
    }
}

/// Writes what the session has to say first; whether the peer answers with a TLS handshake.
async fn greet(socket: &mut TcpStream, outbound: &mut Outbound) -> io::Result<bool> {
    while !outbound.is_empty() {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = outbound.slices(&mut slices);
        let written = socket
            .write_vectored(slices.get(..filled).unwrap_or_default())
            .await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        outbound.advance(written);
    }
    let mut first = [0];
    let peeked = socket.peek(&mut first).await?;
    Ok(peeked > 0 && first == [TLS_HANDSHAKE])
}

fn peer(socket: &TcpStream, remote: SocketAddr) -> io::Result<Peer> {
    socket.set_nodelay(true)?;
    Ok(Peer {
        remote: canonical(remote),
        local: canonical(socket.local_addr()?),
        tls: false,
        certificate_name: None,
    })
}

/// An IPv4 peer of an IPv6 socket is an IPv4 peer.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: Option<&str>, port: u16) -> Listen {
        Listen::At(vec![Place {
            host: host.map(str::to_owned),
            port,
        }])
    }

    #[tokio::test]
    async fn a_taken_port_names_the_setting_and_the_way_out() {
        let first = bind("amqp.listen", &at(Some("127.0.0.1"), 0))
            .unwrap()
            .remove(0);
        let port = first.address.port();
        let _listening = first.listen("amqp.listen").unwrap();
        let error = bind("amqp.listen", &at(Some("127.0.0.1"), port)).unwrap_err();
        assert_eq!(
            error,
            format!(
                "amqp.listen: port {port} is taken by another program (127.0.0.1:{port}); stop that program, \
                 move it with --amqp-listen HOST:PORT, or switch it off with --amqp-listen off"
            )
        );
    }

    #[tokio::test]
    async fn every_address_is_ipv4_too() {
        let bound = bind("amqp.listen", &at(None, 0)).unwrap().remove(0);
        let port = bound.address.port();
        let listener = bound.listen("amqp.listen").unwrap();
        let (client, accepted) =
            tokio::join!(TcpStream::connect(("127.0.0.1", port)), listener.accept());
        let (socket, remote) = accepted.unwrap();
        assert!(peer(&socket, remote).unwrap().remote.is_ipv4());
        drop(client);
    }

    #[test]
    fn off_is_nowhere_and_an_unknown_host_is_named() {
        assert!(bind("amqp.listen", &Listen::Off).unwrap().is_empty());
        let error = bind("amqp.listen", &at(Some("no-such-host.invalid"), 1)).unwrap_err();
        assert!(
            error.starts_with("amqp.listen: cannot listen at no-such-host.invalid:1: "),
            "{error}"
        );
    }
}
