//! NATS and JetStream, from bytes to records: three connections on one engine. Whatever they say is answered in lines that a
//! client can read, time and restarts pass, and what an engine wrote is read back by the next one.
//!
//! The input is text, a line a step:
//! ```text
//! subject|Header: value|... body   publishes, with the connection's own inbox to answer to
//! =line                            the line as it is
//! @2                               another connection speaks from here on
//! +1000                            so many milliseconds pass
//! !                                the broker is killed and comes back
//! ```
#![no_main]

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use polybus_engine::{
    Effects, Engine, HeaderReaders, Options, Place, Recovery, ReplayOrigin, Shared, Store, Stored,
    decode_run, record,
};
use polybus_model::{
    Batch, Event, Lane, Millis, Name, Reply, Request, SessionId, Table, TopicKind, TopicSettings,
};
use polybus_nats::{Nats, Settings, TOPIC};
use polybus_session::{Peer, Protocol, Session};

const SESSIONS: u64 = 3;
const STEPS_MAX: usize = 200;
const RECORDS_MAX: usize = 5_000;
/// Events and requests go to and fro so often for one step at most.
const ROUNDS_MAX: usize = 10_000;
const DAY_MS: Millis = 86_400_000;

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    for line in data.split(|byte| *byte == b'\n').take(STEPS_MAX) {
        if world.shelf.records.len() > RECORDS_MAX {
            break;
        }
        world.step(line);
    }
    world.restart();
});

/// Keeps all records and counts the references to them.
#[derive(Default)]
struct Shelf {
    records: Vec<(u8, Bytes)>,
    references: BTreeMap<u64, i64>,
}

impl Shelf {
    fn read(&self, place: Place) -> &Bytes {
        &self.records[place.0.get() as usize - 1].1
    }
}

impl Store for Shelf {
    fn append(
        &mut self,
        kind: u8,
        _: u64,
        _: u64,
        parts: &[&[u8]],
        shared: Option<Shared<'_>>,
        references: u32,
    ) -> Stored {
        let mut payload = parts.concat();
        payload.extend_from_slice(shared.map_or(&[], |shared| shared.bytes));
        let len = payload.len() as u32;
        self.records.push((kind, payload.into()));
        let place = place(self.records.len());
        if references > 0 {
            self.references.insert(place.0.get(), references.into());
        }
        Stored { place, len }
    }

    fn adopt(&mut self, place: Place, len: u32) {
        assert_eq!(self.read(place).len(), len as usize);
        *self.references.entry(place.0.get()).or_default() += 1;
    }

    fn release(&mut self, place: Place, len: u32) {
        assert_eq!(self.read(place).len(), len as usize);
        let count = self.references.entry(place.0.get()).or_default();
        *count -= 1;
        assert!(*count >= 0, "released too often");
    }
}

fn place(number: usize) -> Place {
    Place(NonZeroU64::new(number as u64).unwrap_or(NonZeroU64::MIN))
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|_| Name::empty())
}

fn options() -> Options {
    Options {
        log_resident_bytes_max: 4_096,
        live_pending_max: 1 << 20,
        header_readers: HeaderReaders::new().with(
            polybus_nats::ORIGIN,
            polybus_nats::read_headers,
            polybus_nats::read_property,
        ),
        ..Options::default()
    }
}

struct Client {
    session: Box<dyn Session>,
    input: BytesMut,
}

struct World {
    engine: Engine,
    shelf: Shelf,
    nats: Nats,
    clients: Vec<Client>,
    now: Millis,
    /// Who speaks.
    at: usize,
    /// What sessions are to be told.
    events: Vec<(SessionId, Event)>,
}

impl World {
    fn new() -> Self {
        let random = AtomicU64::new(0);
        let mut settings = Settings::new(
            7,
            Arc::new(move || {
                random
                    .fetch_add(1, Ordering::Relaxed)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            }),
        );
        settings.payload_bytes_max = 8_192;
        let mut world = Self {
            engine: Engine::new(options()),
            shelf: Shelf::default(),
            nats: Nats::new(settings),
            clients: Vec::new(),
            now: 1_700_000_000_000,
            at: 0,
            events: Vec::new(),
        };
        world.declare();
        world.connect();
        world
    }

    fn declare(&mut self) {
        let settings = TopicSettings {
            kind: TopicKind::Pattern,
            delayed: false,
            durable: true,
            auto_delete: false,
            internal: false,
            alternate: None,
            arguments: Table::new(),
        };
        let request = Request::DeclareTopic {
            name: name(TOPIC),
            settings: Some(Box::new(settings)),
        };
        let id = SessionId(100);
        let _ = self.engine.attach(id, &name("/"));
        let mut batch = Batch {
            requests: vec![(Lane::default(), request)],
        };
        self.turn(|engine, shelf, now, out| engine.handle(id, &mut batch, now, shelf, out));
        self.events.clear();
    }

    fn connect(&mut self) {
        let address = ([127, 0, 0, 1], 4222).into();
        self.clients.clear();
        for _ in 0..SESSIONS {
            let peer = Peer {
                remote: address,
                local: address,
                tls: false,
                certificate_name: None,
            };
            self.clients.push(Client {
                session: self.nats.accept(peer, self.now),
                input: BytesMut::new(),
            });
        }
        for at in 0..self.clients.len() {
            self.at = at;
            let hello = format!(
                "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true,\"lang\":\"x\"}}\r\nSUB _INBOX.{at}.> 9\r\n"
            );
            self.say(hello.as_bytes());
        }
        self.at = 0;
    }

    fn step(&mut self, line: &[u8]) {
        match line.split_first() {
            None => {}
            Some((b'@', rest)) => {
                self.at = rest.first().map_or(0, |byte| usize::from(*byte)) % self.clients.len();
            }
            Some((b'+', rest)) => {
                let text = std::str::from_utf8(rest).unwrap_or_default();
                self.pass(text.trim().parse().unwrap_or(1_000).min(DAY_MS));
            }
            Some((b'!', _)) => self.restart(),
            Some((b'=', rest)) => self.say(&[rest, b"\r\n"].concat()),
            Some(_) => self.publish(line),
        }
    }

    fn publish(&mut self, line: &[u8]) {
        let cut = line.iter().position(|byte| *byte == b' ');
        let (head, body) = line.split_at(cut.unwrap_or(line.len()));
        let body = body.strip_prefix(b" ").unwrap_or(body);
        let mut parts = head.split(|byte| *byte == b'|');
        let subject = parts.next().unwrap_or_default();
        let mut headers = Vec::new();
        for field in parts {
            // A blank ends the headers here, so they have none.
            let field = String::from_utf8_lossy(field).replace(':', ": ");
            headers.extend_from_slice(field.as_bytes());
            headers.extend_from_slice(b"\r\n");
        }
        let mut said = Vec::new();
        if headers.is_empty() {
            said.extend_from_slice(b"PUB ");
        } else {
            headers = [b"NATS/1.0\r\n", &headers[..], b"\r\n"].concat();
            said.extend_from_slice(b"HPUB ");
        }
        said.extend_from_slice(subject);
        said.extend_from_slice(format!(" _INBOX.{}.a ", self.at).as_bytes());
        if !headers.is_empty() {
            said.extend_from_slice(format!("{} ", headers.len()).as_bytes());
        }
        said.extend_from_slice(format!("{}\r\n", headers.len() + body.len()).as_bytes());
        said.extend_from_slice(&headers);
        said.extend_from_slice(body);
        said.extend_from_slice(b"\r\n");
        self.say(&said);
    }

    fn say(&mut self, bytes: &[u8]) {
        if let Some(client) = self.clients.get_mut(self.at) {
            client.input.extend_from_slice(bytes);
        }
        self.go_on();
    }

    /// Until nobody has anything left to say.
    fn go_on(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut is_quiet = true;
            for at in 0..self.clients.len() {
                is_quiet &= !self.listen(at);
            }
            for (session, event) in std::mem::take(&mut self.events) {
                is_quiet = false;
                let client = (session.0 as usize).checked_sub(1);
                if let Some(client) = client.and_then(|at| self.clients.get_mut(at)) {
                    client.session.handle_event(event, self.now);
                }
            }
            if is_quiet {
                return;
            }
        }
        panic!("it goes on for ever");
    }

    /// Lets a session read, ask and write. True if it did.
    fn listen(&mut self, at: usize) -> bool {
        let id = SessionId(at as u64 + 1);
        let now = self.now;
        let Some(client) = self.clients.get_mut(at) else {
            return false;
        };
        let before = client.input.len();
        if before > 0 && !client.session.is_waiting() && !client.session.is_done() {
            client.session.handle_input(&mut client.input, now);
        }
        let mut batch = Batch::default();
        client.session.poll_requests(&mut batch);
        let drained = write(client.session.as_mut());
        let has_done = client.input.len() != before || !batch.requests.is_empty() || drained > 0;
        if drained > 0 {
            let drained = Request::Drained { bytes: drained };
            batch.requests.push((Lane::default(), drained));
        }
        let mut mine = Batch::default();
        for (lane, request) in batch.requests {
            match request {
                Request::Authenticate(_) => self.reply(id, lane),
                Request::Open { .. } => {
                    let _ = self.engine.attach(id, &name("/"));
                    self.reply(id, lane);
                }
                other => mine.requests.push((lane, other)),
            }
        }
        if !mine.requests.is_empty() {
            self.turn(|engine, shelf, now, out| engine.handle(id, &mut mine, now, shelf, out));
        }
        has_done
    }

    fn reply(&mut self, session: SessionId, lane: Lane) {
        let result = Ok(Reply::Done);
        self.events.push((session, Event::Reply { lane, result }));
    }

    /// One turn of the engine, with all that follows from it.
    fn turn(&mut self, act: impl FnOnce(&mut Engine, &mut Shelf, Millis, &mut Effects)) {
        let mut out = Effects::default();
        act(&mut self.engine, &mut self.shelf, self.now, &mut out);
        let mut follows = vec![out];
        while let Some(out) = follows.pop() {
            self.events.extend(out.events);
            let gated = out.gated.into_iter().map(|one| (one.session, one.event));
            self.events.extend(gated);
            let (engine, shelf, now) = (&mut self.engine, &mut self.shelf, self.now);
            for load in out.loads {
                let read = |(sequence, place, _): &(u64, Place, u32)| {
                    let message = record::decode_message(shelf.read(*place));
                    (*sequence, message.expect("a message"))
                };
                let messages = load.items.iter().map(read).collect();
                let mut out = Effects::default();
                engine.handle_loaded(load.queue, messages, now, shelf, &mut out);
                follows.push(out);
            }
            for load in out.log_loads {
                let read =
                    |(place, _): &(Place, u32)| decode_run(shelf.read(*place)).expect("a run");
                let runs = load.items.iter().map(read).collect();
                let mut out = Effects::default();
                engine.handle_log_loaded(load.number, runs, now, shelf, &mut out);
                follows.push(out);
            }
            for load in out.compactions {
                let read =
                    |(place, _): &(Place, u32)| decode_run(shelf.read(*place)).expect("a run");
                let done = load.work.carry_out(load.items.iter().map(read).collect());
                let mut out = Effects::default();
                engine.handle_compacted(load.number, done, now, shelf, &mut out);
                follows.push(out);
            }
            if let Some(mark) = out.durable {
                let mut out = Effects::default();
                engine.handle_durable(mark, shelf, &mut out);
                follows.push(out);
            }
        }
    }

    /// Lets time pass; what is due on the way is done, but not for ever.
    fn pass(&mut self, ms: Millis) {
        let until = self.now + ms;
        for _ in 0..64 {
            let of_sessions = self.clients.iter().filter(|one| !one.session.is_done());
            let due = of_sessions
                .filter_map(|one| one.session.poll_timeout())
                .chain(self.engine.poll_timeout())
                .min();
            let Some(due) = due.filter(|due| *due <= until) else {
                break;
            };
            // As in the server, two never come within one millisecond.
            self.now = (self.now + 1).max(due);
            self.turn(|engine, shelf, now, out| engine.handle_timeout(now, shelf, out));
            for client in &mut self.clients {
                let due = client.session.poll_timeout();
                if !client.session.is_done() && due.is_some_and(|due| due <= self.now) {
                    client.session.handle_timeout(self.now);
                }
            }
            self.go_on();
        }
        self.now = self.now.max(until);
    }

    /// The broker is killed. The next one reads what was written, with and without a snapshot.
    fn restart(&mut self) {
        let mut snapshot = Vec::new();
        self.engine.snapshot(&mut snapshot);
        let (from_all, _) = self.recover(None);
        let (from_snapshot, references) = self.recover(Some(&snapshot));
        // (A snapshot knows more of what was under way.)
        let names = |engine: &Engine| engine.log_names(&name("/"));
        assert_eq!(
            names(&from_all),
            names(&from_snapshot),
            "records and snapshot differ"
        );
        self.engine = from_snapshot;
        self.shelf.references = references;
        self.events.clear();
        self.connect();
    }

    fn recover(&self, snapshot: Option<&[u8]>) -> (Engine, BTreeMap<u64, i64>) {
        let mut recovery = match snapshot {
            Some(bytes) => Engine::restore(options(), bytes).expect("its own snapshot"),
            None => Recovery::empty(options()),
        };
        let origin = match snapshot {
            Some(_) => ReplayOrigin::BeforeSnapshot,
            None => ReplayOrigin::AfterSnapshot,
        };
        for (at, (kind, payload)) in (1..).zip(&self.shelf.records) {
            let read = recovery.replay(origin, *kind, place(at), payload);
            read.expect("its own records");
        }
        let mut shelf = Shelf {
            records: self.shelf.records.clone(),
            references: BTreeMap::new(),
        };
        let engine = recovery.finish(self.now, false, &mut shelf);
        (engine.expect("what was written"), shelf.references)
    }
}

/// Reads all that a session says, as a client; how many bytes.
fn write(session: &mut dyn Session) -> usize {
    let out = session.outbound();
    let mut bytes = Vec::new();
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = out.slices(&mut slices);
        let part: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
        assert!(!part.is_empty(), "something to write, and nothing there");
        out.advance(part.len());
        bytes.extend_from_slice(&part);
    }
    hear(&bytes);
    bytes.len()
}

/// Everything is whole: lines that end, payloads as long as they say.
fn hear(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let end = bytes.windows(2).position(|two| two == b"\r\n");
        let end = end.expect("a line without an end");
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 2..];
        let words: Vec<_> = line.split(' ').collect();
        match words[0] {
            "MSG" | "HMSG" => {
                let len: usize = words[words.len() - 1].parse().expect("a length");
                assert_eq!(&bytes[len..len + 2], b"\r\n", "{line}");
                if words[0] == "HMSG" {
                    assert!(bytes.starts_with(b"NATS/1.0"), "{line}");
                    let head: usize = words[words.len() - 2].parse().expect("a length");
                    assert!(bytes[..head].ends_with(b"\r\n\r\n"), "{line}");
                }
                bytes = &bytes[len + 2..];
            }
            "INFO" | "PING" | "PONG" | "+OK" | "-ERR" => {}
            _ => panic!("no word of a server: {line}"),
        }
    }
}
