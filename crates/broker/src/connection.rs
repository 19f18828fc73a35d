//! A session's handle to the broker: it submits batches and takes events. Whoever drives a socket owns one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use polybus_model::{
    Batch, Credentials, Error, Event, Kind, Lane, LogError, LogId, LogReply, LogRequest, Name,
    Reply, Request, Resource, SessionId,
};
use polybus_session::{Peer, PeerSummary};

use crate::access::{
    Asker, Grants, KeptKeyRules, Logs, Patterns, Permissions, answer, live_refused,
    refuse_forbidden, refuse_live, refuse_parts, refuse_whole, show,
};
use crate::broker::Inner;
use crate::mailbox::Mailbox;

/// One session's place in the broker; dropping it ends the session.
pub struct Connection {
    broker: Arc<Inner>,
    entry: Arc<Entry>,
    /// Where it is, once open.
    open: Option<OpenNamespace>,
}

/// A connection as the broker's registry holds it.
pub(crate) struct Entry {
    pub(crate) id: SessionId,
    pub(crate) protocol: &'static str,
    pub(crate) peer: Peer,
    pub(crate) connected_at: u64,
    /// When its summary was last told.
    pub(crate) active_at: AtomicU64,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) summary: Mutex<PeerSummary>,
    /// Who it is, once that is proven.
    pub(crate) user: Mutex<Option<String>>,
}

struct OpenNamespace {
    /// None: the administrator's own session.
    user: Option<String>,
    name: Name,
    grants: Arc<Grants>,
    /// The catalog's generation when the grants were looked up.
    generation: u64,
}

impl Connection {
    pub(crate) fn new(broker: Arc<Inner>, entry: Arc<Entry>) -> Self {
        Self {
            broker,
            entry,
            open: None,
        }
    }

    /// The broker's number for it.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.entry.id
    }

    /// Carries out a batch and empties it; what it brings about comes as events.
    pub fn submit(&mut self, batch: &mut Batch) {
        if batch.requests.is_empty() {
            return;
        }
        if self.open.is_none() {
            for (lane, request) in batch.requests.drain(..) {
                self.handle_unopened(lane, request);
            }
            return;
        }
        self.refresh_grants();
        if batch
            .requests
            .iter()
            .any(|(_, request)| is_about_access(request))
        {
            self.answer_about_access(batch);
        }
        if let Some(open) = &self.open {
            refuse_forbidden(batch, &open.grants, &open.name);
            for event in refuse_live(batch, &open.grants, &open.name) {
                self.entry.mailbox.push(event);
            }
            show(batch, &open.grants, open.generation);
            if !open.grants.allows_all() {
                self.refuse_logs(batch, open);
            }
            if self.broker.is_out_of_room() {
                refuse_publishes(batch, &open.name, &self.entry.mailbox);
            }
        }
        self.broker
            .shard
            .handle(self.entry.id, batch, self.broker.clock.now());
        batch.requests.clear();
    }

    /// Moves the events to the end of `into`.
    pub fn take_events(&mut self, into: &mut Vec<Event>) {
        self.entry.mailbox.take(into);
    }

    /// Ready when there are events to take, or [`Connection::may_read`] may have changed.
    pub fn poll_events(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.entry.mailbox.poll(context)
    }

    /// Blocks the thread until there are events.
    pub(crate) fn wait_for_events(&mut self) {
        self.entry.mailbox.wait();
    }

    /// Enters a namespace with all permissions, without a login: the administrator's own.
    pub(crate) fn enter_freely(&mut self, namespace: &Name) -> Result<(), Error> {
        let permissions = Permissions::new(&Patterns::all()).map_err(|reason| {
            failure(
                Kind::InvalidSetting(reason),
                Resource::Namespace,
                namespace.clone(),
            )
        })?;
        let id = self.entry.id;
        self.broker
            .shard
            .turn(|engine, _, _, _| engine.attach(id, namespace))?;
        self.open = Some(OpenNamespace {
            user: None,
            name: namespace.clone(),
            grants: Arc::new(Grants::all(permissions)),
            generation: self.broker.catalog_generation(),
        });
        Ok(())
    }

    /// Whether to read from the peer: false while too much waits to be written to disk, or for those whom it publishes to.
    #[must_use]
    pub fn may_read(&self) -> bool {
        !self.broker.shard.has_pressure() && !self.entry.mailbox.is_held()
    }

    /// What listings are to show.
    pub fn update_summary(&self, summary: PeerSummary) {
        *self.entry.summary.lock() = summary;
        let now = self.broker.clock.now();
        self.entry.active_at.store(now, Ordering::Relaxed);
    }

    /// What a session may ask before it is in a namespace: who it is, and to enter one.
    fn handle_unopened(&mut self, lane: Lane, request: Request) {
        let answers = request.answers();
        let result = match request {
            Request::Authenticate(credentials) => {
                self.broker
                    .authenticate(Arc::clone(&self.entry), lane, credentials);
                return;
            }
            Request::LookUpSalt { user, hash } => {
                let keys = self.broker.shard.look().catalog.keys(&user, hash);
                let salt = Reply::Salt {
                    salt: keys.salt.into(),
                    iterations: keys.iterations,
                };
                let result = Ok(salt);
                self.entry.mailbox.push(Event::Reply { lane, result });
                return;
            }
            Request::Open { namespace } => self.open(namespace).map(|rules| {
                let rules = rules.map(|rules| Reply::Entered(Arc::new(rules.rules())));
                rules.unwrap_or(Reply::Done)
            }),
            _ => Err(failure(
                Kind::NotAllowed("the session is in no namespace yet".into()),
                Resource::Namespace,
                Name::empty(),
            )),
        };
        if answers {
            self.entry.mailbox.push(Event::Reply {
                lane,
                result: result.map_err(Box::new),
            });
        }
    }

    /// Enters a namespace; gives the rules about keys that hold there for its user, if there are any.
    fn open(&mut self, namespace: Name) -> Result<Option<KeptKeyRules>, Error> {
        let refused = |kind| failure(kind, Resource::Namespace, namespace.clone());
        let user = self
            .entry
            .user
            .lock()
            .clone()
            .ok_or_else(|| refused(Kind::BadCredentials))?;
        let shard = &self.broker.shard;
        let (grants, generation, rules) = {
            let state = shard.look();
            if !state.has_namespace(&namespace) {
                return Err(refused(Kind::NotFound));
            }
            let known = state.catalog.user(&user);
            (
                state.catalog.grants(&user, &namespace, &self.host()),
                state.catalog.generation(),
                known.and_then(|user| user.key_rules.get(namespace.as_str()).cloned()),
            )
        };
        let grants = grants.ok_or_else(|| {
            refused(Kind::AccessRefused(format!(
                "the user '{user}' may not enter it"
            )))
        })?;
        shard.turn(|engine, _, _, _| engine.attach(self.entry.id, &namespace))?;
        if self.broker.is_blocked() {
            self.entry.mailbox.push(Event::Blocked {
                reason: self.broker.block_reason(),
            });
        }
        self.open = Some(OpenNamespace {
            user: Some(user),
            name: namespace,
            grants,
            generation,
        });
        Ok(rules)
    }

    /// Takes what is asked about access out of a batch, and answers it.
    fn answer_about_access(&self, batch: &mut Batch) {
        let Some(open) = &self.open else { return };
        let asker = Asker {
            session: self.entry.id,
            mailbox: &self.entry.mailbox,
            namespace: open.name.as_str(),
            grants: &open.grants,
        };
        let (asked, rest) = std::mem::take(&mut batch.requests)
            .into_iter()
            .partition(|(_, request)| is_about_access(request));
        batch.requests = rest;
        for (_, request) in asked {
            if let Request::Access { number, request } = request {
                answer(&self.broker, &asker, number, *request);
            }
        }
    }

    /// Looks the grants up again if the catalog has changed.
    fn refresh_grants(&mut self) {
        let Some(open) = &mut self.open else { return };
        let Some(user) = &open.user else { return };
        if open.generation == self.broker.catalog_generation() {
            return;
        }
        let host = self.entry.peer.remote.ip().to_canonical().to_string();
        let state = self.broker.shard.look();
        open.generation = state.catalog.generation();
        let grants = state.catalog.grants(user, &open.name, &host);
        open.grants = grants.unwrap_or_else(|| Arc::new(Grants::none()));
    }

    /// The address that the peer comes from, as rules name it.
    fn host(&self) -> String {
        self.entry.peer.remote.ip().to_canonical().to_string()
    }

    /// Answers the requests about logs that the session may not make, and marks what of the others it may not.
    fn refuse_logs(&self, batch: &mut Batch, open: &OpenNamespace) {
        let known = KnownLogs {
            broker: &self.broker,
            namespace: &open.name,
        };
        batch.requests.retain_mut(|(_, request)| {
            let Request::Log { number, request } = request else {
                return true;
            };
            if let Some(reply) = refuse_whole(request, &open.grants) {
                let (number, reply) = (*number, Box::new(reply));
                self.entry.mailbox.push(Event::Log { number, reply });
                return false;
            }
            refuse_parts(request, &open.grants, &known);
            true
        });
    }
}

/// The logs of a namespace, looked at under the lock for as short as can be.
struct KnownLogs<'a> {
    broker: &'a Inner,
    namespace: &'a Name,
}

impl Logs for KnownLogs<'_> {
    fn names(&self) -> Vec<Name> {
        self.broker.shard.look().engine.log_names(self.namespace)
    }

    fn named(&self, ids: &[LogId]) -> Vec<Option<Name>> {
        let state = self.broker.shard.look();
        let name = |id: &LogId| state.engine.log_name_of(self.namespace, *id);
        ids.iter().map(name).collect()
    }

    fn partitions(&self, name: &Name) -> Option<u32> {
        let state = self.broker.shard.look();
        state.engine.log_partitions(self.namespace, name)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.broker.forget(self.entry.id);
    }
}

fn is_about_access(request: &Request) -> bool {
    matches!(request, Request::Access { .. })
}

/// Proves who a peer is, and what to tell it; slow. Run on the thread for it.
pub(crate) fn verify(
    broker: &Inner,
    entry: &Entry,
    credentials: &Credentials,
) -> Result<Reply, Error> {
    let refused = |kind| failure(kind, Resource::Namespace, Name::empty());
    let name = credentials.user();
    let known = broker.shard.look().catalog.user(name).cloned();
    let reply = match (known, credentials) {
        (Some(user), Credentials::Password { password, .. }) => {
            let hash = user
                .hash
                .filter(|hash| broker.passwords.is_right(password, hash));
            hash.map(|_| Reply::Done)
        }
        (known, Credentials::Scram(proof)) => {
            if known.is_some_and(|user| user.hash.is_some() && user.keys.is_empty()) {
                return Err(refused(Kind::AccessRefused(format!(
                    "its password was set before there was SCRAM; set it again with `polybus users passwd {name}`"
                ))));
            }
            let keys = broker.shard.look().catalog.keys(name, proof.hash);
            let signature = keys.verify(proof);
            signature.map(|signature| Reply::Proven {
                signature: signature.into(),
            })
        }
        (
            Some(_),
            Credentials::Certificate { .. }
            | Credentials::Checked { .. }
            | Credentials::Anonymous { .. },
        ) => Some(Reply::Done),
        (None, _) => None,
    };
    let reply = reply.ok_or_else(|| refused(Kind::BadCredentials))?;
    if name == "guest" && !entry.peer.is_loopback() {
        let reason = "the user 'guest' can only connect from this machine".into();
        return Err(refused(Kind::AccessRefused(reason)));
    }
    Ok(reply)
}

/// While there is no room even for what is on its way, confirmed publishes and appends are refused one by one and others fail
/// their lane.
fn refuse_publishes(batch: &mut Batch, namespace: &Name, mailbox: &Mailbox) {
    let reason = || "the broker takes no messages while its disk is nearly full".to_owned();
    let error = || {
        Box::new(failure(
            Kind::Unavailable(reason()),
            Resource::Namespace,
            namespace.clone(),
        ))
    };
    batch.requests.retain_mut(|(lane, request)| {
        match request {
            Request::Publish(publish) => {
                if let Some(number) = publish.confirm {
                    mailbox.push(Event::Refused {
                        lane: *lane,
                        number,
                    });
                    return false;
                }
                *request = Request::Refused {
                    error: error(),
                    answers: false,
                };
            }
            Request::Log { number, request } => {
                if let Some(count) = appends(request) {
                    let refused = Err(LogError::Unavailable(reason()));
                    let reply = LogReply::Appended(vec![refused; count]);
                    mailbox.push(Event::Log {
                        number: *number,
                        reply: Box::new(reply),
                    });
                    return false;
                }
            }
            Request::PublishLive(block) => {
                mailbox.push(live_refused(block, *error()));
                return false;
            }
            Request::Transaction(transaction) if !transaction.publishes.is_empty() => {
                *request = Request::Refused {
                    error: error(),
                    answers: true,
                };
            }
            _ => {}
        }
        true
    });
}

/// To how many partitions a request appends; none if it is about something else.
fn appends(request: &LogRequest) -> Option<usize> {
    let request = match request {
        LogRequest::Partly { request, .. } => request,
        request => request,
    };
    match request {
        LogRequest::Append(appends) => Some(appends.len()),
        _ => None,
    }
}

fn failure(kind: Kind, resource: Resource, name: Name) -> Error {
    Error {
        kind,
        resource,
        namespace: name.clone(),
        name,
    }
}
