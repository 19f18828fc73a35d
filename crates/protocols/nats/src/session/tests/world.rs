//! Clients, their sessions and a broker, in one place and one thread, with a clock that is set by hand.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use polybus_model::{
    Batch, Credentials, Error, Event, Kind, Lane, LiveBlock, LiveFilter, LiveItem, LogRequest,
    Message, Millis, Name, Reply, Request, Resource, SubscriberId,
};
use polybus_session::{Peer, Protocol, Session};

use crate::{Nats, Settings};

/// The subject that nobody may publish or subscribe to.
const FORBIDDEN: &[u8] = b"secret";

struct Listener {
    client: usize,
    id: SubscriberId,
    filter: LiveFilter,
    echo: bool,
    had: u64,
    most: Option<u64>,
}

pub(super) struct Client {
    pub(super) session: Box<dyn Session>,
    input: BytesMut,
    got: BytesMut,
}

pub(super) struct World {
    nats: Nats,
    pub(super) clients: Vec<Client>,
    listeners: Vec<Listener>,
    /// What was asked of logs, with its number, and blocks of publishes.
    pub(super) asked: Vec<(u64, LogRequest)>,
    pub(super) blocks: Vec<Arc<LiveBlock>>,
    pub(super) logins: Vec<String>,
    pub(super) now: Millis,
    pub(super) tls: bool,
}

pub(super) fn settings() -> Settings {
    let random = AtomicU64::new(1);
    let random = move || {
        random
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    Settings::new(0xabcd, Arc::new(random))
}

pub(super) fn error(kind: Kind) -> Box<Error> {
    Box::new(Error {
        kind,
        resource: Resource::Topic,
        name: Name::empty(),
        namespace: Name::empty(),
    })
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: Settings) -> Self {
        Self {
            nats: Nats::new(settings),
            clients: Vec::new(),
            listeners: Vec::new(),
            asked: Vec::new(),
            blocks: Vec::new(),
            logins: Vec::new(),
            now: 0,
            tls: false,
        }
    }

    /// A client that has said nothing yet; gives its number.
    pub(super) fn meet(&mut self) -> usize {
        let peer = Peer {
            remote: ([127, 0, 0, 1], 40_000).into(),
            local: ([127, 0, 0, 1], 4222).into(),
            tls: self.tls,
            certificate_name: None,
        };
        self.clients.push(Client {
            session: self.nats.accept(peer, self.now),
            input: BytesMut::new(),
            got: BytesMut::new(),
        });
        self.clients.len() - 1
    }

    /// A client as libraries are; what it was told until now is taken off.
    pub(super) fn join(&mut self) -> usize {
        self.join_saying("")
    }

    /// The same, with more in its CONNECT.
    pub(super) fn join_saying(&mut self, more: &str) -> usize {
        let headers = "\"headers\":true,\"no_responders\":true";
        self.join_with(&format!("{headers}{more}"))
    }

    /// A client that knows no headers.
    pub(super) fn join_plainly(&mut self) -> usize {
        self.join_with("\"headers\":false")
    }

    fn join_with(&mut self, wishes: &str) -> usize {
        let client = self.meet();
        let connect = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"protocol\":1,{wishes}}}\r\nPING\r\n"
        );
        self.send(client, &connect);
        let told = self.hear(client);
        assert!(
            told.starts_with("INFO {") && told.ends_with("PONG\r\n"),
            "{told}"
        );
        client
    }

    pub(super) fn send(&mut self, client: usize, text: &str) {
        self.send_bytes(client, text.as_bytes());
    }

    pub(super) fn send_bytes(&mut self, client: usize, bytes: &[u8]) {
        self.clients[client].input.extend_from_slice(bytes);
        self.turn(client);
    }

    /// What a client was told since it was last asked.
    pub(super) fn hear(&mut self, client: usize) -> String {
        self.turn(client);
        let got = self.clients[client].got.split();
        String::from_utf8_lossy(&got).into_owned()
    }

    pub(super) fn tell(&mut self, client: usize, event: Event) {
        let now = self.now;
        self.clients[client]
            .session
            .handle_events(&mut vec![event], now);
    }

    pub(super) fn tell_message(
        &mut self,
        client: usize,
        subscriber: SubscriberId,
        message: Message,
    ) {
        self.tell(
            client,
            Event::LiveMessage {
                subscriber,
                message,
                note: None,
            },
        );
    }

    /// Time passes.
    pub(super) fn wait(&mut self, ms: Millis) {
        let until = self.now + ms;
        loop {
            let due = |client: &Client| {
                client
                    .session
                    .poll_timeout()
                    .filter(|_| !client.session.is_done())
            };
            let next = self.clients.iter().filter_map(due).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.now = next.max(self.now);
            for client in 0..self.clients.len() {
                if self.clients[client]
                    .session
                    .poll_timeout()
                    .is_some_and(|at| at <= self.now)
                {
                    let now = self.now;
                    self.clients[client].session.handle_timeout(now);
                    self.turn(client);
                }
            }
            self.now += 1;
        }
        self.now = until;
    }

    fn turn(&mut self, at: usize) {
        loop {
            let now = self.now;
            let client = &mut self.clients[at];
            let before = client.input.len();
            if !client.session.is_waiting() && !client.session.is_done() && before > 0 {
                client.session.handle_input(&mut client.input, now);
            }
            let mut batch = Batch::default();
            client.session.poll_requests(&mut batch);
            let is_still = batch.requests.is_empty() && client.input.len() == before;
            for (_, request) in batch.requests {
                self.handle(at, request);
            }
            self.write(at);
            if is_still {
                return;
            }
        }
    }

    fn write(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let out = client.session.outbound();
        while !out.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); 8];
            let filled = out.slices(&mut slices);
            let bytes: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
            out.advance(bytes.len());
            client.got.extend_from_slice(&bytes);
        }
    }

    fn handle(&mut self, at: usize, request: Request) {
        match request {
            Request::Authenticate(credentials) => {
                let is_right = match &credentials {
                    Credentials::Password { user, password } => user == password,
                    _ => true,
                };
                self.logins.push(format!("{credentials:?}"));
                let result = if is_right {
                    Ok(Reply::Done)
                } else {
                    Err(error(Kind::BadCredentials))
                };
                self.tell(
                    at,
                    Event::Reply {
                        lane: Lane(0),
                        result,
                    },
                );
            }
            Request::Open { .. } => {
                let result = Ok(Reply::Done);
                self.tell(
                    at,
                    Event::Reply {
                        lane: Lane(0),
                        result,
                    },
                );
            }
            Request::SubscribeLive(wanted) => {
                if wanted.filter.fits(FORBIDDEN) && wanted.filter.as_key().is_some() {
                    let (subscriber, error) =
                        (wanted.subscriber, error(Kind::AccessRefused(String::new())));
                    return self.tell(at, Event::LiveNotSubscribed { subscriber, error });
                }
                self.listeners.push(Listener {
                    client: at,
                    id: wanted.subscriber,
                    filter: wanted.filter,
                    echo: wanted.echo,
                    had: 0,
                    most: None,
                });
            }
            Request::UnsubscribeLive { subscriber, after } => {
                for listener in self
                    .listeners
                    .iter_mut()
                    .filter(|l| l.client == at && l.id == subscriber)
                {
                    listener.most = Some(after.unwrap_or(0));
                }
                self.retire();
            }
            Request::PublishLive(block) => {
                self.publish(at, &block);
                self.blocks.push(block);
            }
            Request::Log { number, request } => self.asked.push((number, *request)),
            other => panic!("{other:?}"),
        }
    }

    fn retire(&mut self) {
        self.listeners
            .retain(|listener| listener.most.is_none_or(|most| listener.had < most));
    }

    fn publish(&mut self, from: usize, block: &Arc<LiveBlock>) {
        let mut targets: HashMap<usize, Vec<(u32, SubscriberId)>> = HashMap::new();
        let (mut unheard, mut refused, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for (number, item) in (0..).zip(block.items()) {
            let key = block.key(item);
            if key == FORBIDDEN {
                refused.push(number);
                continue;
            }
            let mut is_heard = false;
            for listener in &mut self.listeners {
                if listener.filter.fits(key)
                    && (listener.echo || listener.client != from || item.wants(LiveItem::OF_BROKER))
                {
                    is_heard = true;
                    listener.had += 1;
                    targets
                        .entry(listener.client)
                        .or_default()
                        .push((number, listener.id));
                    if listener.most == Some(listener.had) {
                        ended.push((listener.client, listener.id));
                    }
                }
            }
            if !is_heard && item.wants(LiveItem::WANTS_UNHEARD) {
                unheard.push(number);
            }
            self.retire();
        }
        for (client, targets) in targets {
            let block = Arc::clone(block);
            self.tell(
                client,
                Event::Live {
                    block,
                    targets,
                    bytes: 0,
                },
            );
        }
        for (client, subscriber) in ended {
            self.tell(
                client,
                Event::SubscriptionEnded {
                    lane: Lane(0),
                    subscriber,
                },
            );
        }
        if !unheard.is_empty() {
            let block = Arc::clone(block);
            self.tell(
                from,
                Event::Unheard {
                    block,
                    items: unheard,
                },
            );
        }
        if !refused.is_empty() {
            let (block, error) = (Arc::clone(block), error(Kind::AccessRefused(String::new())));
            self.tell(
                from,
                Event::LiveRefused {
                    block,
                    items: refused,
                    error,
                },
            );
        }
    }
}
