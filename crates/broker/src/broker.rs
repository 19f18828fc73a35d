//! The broker: shard, users, connections and the threads that do its work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use polybus_model::{Credentials, Error, Event, Kind, Lane, Name, Resource, SessionId};
use polybus_session::{Peer, Quotas};
use tracing::{error, info};

use crate::access::{Catalog, Change, Passwords};
use crate::clock::SharedClock;
use crate::connection::{Connection, Entry, verify};
use crate::mailbox::Mailbox;
use crate::open::{OpenError, Opened};
use crate::options::Options;
use crate::room::{Free, Room};
use crate::shard::Shard;
use crate::staging::Staging;
use crate::threads;

/// The journal's kind for a change of the catalog; the engine's are below 128.
pub(crate) const CATALOG_RECORD: u8 = 200;
/// The journal's kind for a start of the broker. It stands behind the snapshot of the last stop, which is not the last word
/// any more: deliveries leave no trace, and what was delivered after a start must come again as redelivered.
pub(crate) const START_RECORD: u8 = 201;

/// Logins that may wait for their password to be checked; further ones are refused.
const LOGINS_WAITING_MAX: usize = 1024;

/// An embeddable broker. Clones are handles to the same one.
#[derive(Clone)]
pub struct Broker(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    identity: u64,
    pub(crate) options: Options,
    pub(crate) clock: SharedClock,
    pub(crate) shard: Shard,
    pub(crate) passwords: Passwords,
    connections: Mutex<BTreeMap<SessionId, Arc<Entry>>>,
    next_session: AtomicU64,
    generation: AtomicU64,
    quotas: Quotas,
    blocked: AtomicBool,
    room: Room,
    /// Held while the disk is looked at, so that its states are told in their order.
    look_turn: Mutex<()>,
    failure: Mutex<Failure>,
    logins: Mutex<Option<SyncSender<Login>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A peer that waits to be let in.
pub(crate) struct Login {
    entry: Arc<Entry>,
    lane: Lane,
    credentials: Credentials,
}

#[derive(Default)]
struct Failure {
    reason: Option<String>,
    wakers: Vec<Waker>,
}

/// Why a connection was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// As many are open as may be.
    TooMany,
    /// The broker stops or has failed.
    Closed,
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooMany => "as many connections are open as limits.connections allows",
            Self::Closed => "the broker is stopping",
        })
    }
}

impl std::error::Error for ConnectError {}

impl Broker {
    /// Opens a data folder, recovers what it holds and starts the threads. Blocks until all is there.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the folder and what to do.
    pub fn open(mut options: Options) -> Result<Self, OpenError> {
        let opened = crate::open::open(&mut options)?;
        let (inner, waiting) = Inner::assemble(options, opened);
        inner.look_at_disk().map_err(OpenError::Disk)?;
        let started = threads::start(&inner, waiting).map_err(OpenError::Threads)?;
        *inner.threads.lock() = started;
        let last_lsn = inner.shard.look().last_lsn();
        inner
            .shard
            .wait_durable(last_lsn)
            .map_err(OpenError::Disk)?;
        Ok(Self(inner))
    }

    /// The data folder's own number: drawn when it was made, the same after every restart.
    #[must_use]
    pub fn identity(&self) -> u64 {
        self.0.identity
    }

    /// The quotas in force, for the protocols that hold their clients to them.
    #[must_use]
    pub fn quotas(&self) -> Quotas {
        self.0.quotas.clone()
    }

    /// Takes a connection.
    ///
    /// # Errors
    /// [`ConnectError`] when there are too many, or the broker is not running.
    pub fn connect(&self, protocol: &'static str, peer: &Peer) -> Result<Connection, ConnectError> {
        let inner = &self.0;
        if inner.failure.lock().reason.is_some() || inner.logins.lock().is_none() {
            return Err(ConnectError::Closed);
        }
        let mut connections = inner.connections.lock();
        if connections.len() >= inner.options.connections_max {
            return Err(ConnectError::TooMany);
        }
        let id = SessionId(inner.next_session.fetch_add(1, Ordering::Relaxed));
        let mailbox = Arc::new(Mailbox::default());
        let now = inner.clock.now();
        let entry = Arc::new(Entry {
            id,
            protocol,
            peer: peer.clone(),
            connected_at: now,
            active_at: AtomicU64::new(now),
            mailbox: Arc::clone(&mailbox),
            summary: Mutex::default(),
            user: Mutex::default(),
        });
        connections.insert(id, Arc::clone(&entry));
        drop(connections);
        inner.shard.join(id, mailbox);
        Ok(Connection::new(Arc::clone(inner), entry))
    }

    /// Waits until the broker fails for good (the disk refused a write or a sync); gives the reason. Nothing is confirmed
    /// any more then: the process should end.
    pub fn failure(&self) -> impl Future<Output = String> + use<> {
        let inner = Arc::clone(&self.0);
        std::future::poll_fn(move |context| inner.poll_failure(context))
    }

    /// Stops: sessions are told, everything staged is written, a last snapshot is taken. Blocks.
    ///
    /// # Errors
    /// The reason why not everything could be written.
    pub fn shutdown(&self) -> Result<(), String> {
        let inner = &self.0;
        if inner.logins.lock().take().is_none() {
            return Ok(());
        }
        inner.shard.broadcast(|| Event::Shutdown {
            reason: "the broker is stopping".into(),
        });
        inner.shard.stop();
        for thread in std::mem::take(&mut *inner.threads.lock()) {
            if thread.join().is_err() {
                error!("a thread of the broker panicked");
            }
        }
        if let Some(reason) = inner.failure.lock().reason.clone() {
            return Err(reason);
        }
        crate::upkeep::close(&inner.shard)?;
        info!("everything is on disk");
        Ok(())
    }
}

impl Inner {
    /// Puts a broker together, without threads.
    pub(crate) fn assemble(options: Options, opened: Opened) -> (Arc<Self>, Receiver<Login>) {
        let generation = opened.shard.look().catalog.generation();
        let quotas = Quotas::default();
        quotas.replace(opened.shard.look().catalog.quotas());
        let (logins, waiting) = std::sync::mpsc::sync_channel(LOGINS_WAITING_MAX);
        let inner = Self {
            identity: opened.identity,
            clock: Arc::clone(&options.clock),
            room: Room::new(options.disk_free_min_bytes),
            look_turn: Mutex::default(),
            options,
            shard: opened.shard,
            passwords: opened.passwords,
            connections: Mutex::default(),
            next_session: AtomicU64::new(1),
            generation: AtomicU64::new(generation),
            quotas,
            blocked: AtomicBool::new(false),
            failure: Mutex::default(),
            logins: Mutex::new(Some(logins)),
            threads: Mutex::default(),
        };
        (Arc::new(inner), waiting)
    }

    /// Nothing can be confirmed any more.
    pub(crate) fn fail(&self, reason: String) {
        let wakers = {
            let mut failure = self.failure.lock();
            if failure.reason.is_some() {
                return;
            }
            error!(reason, "the broker has failed");
            failure.reason = Some(reason);
            std::mem::take(&mut failure.wakers)
        };
        self.shard.fail();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn poll_failure(&self, context: &Context<'_>) -> Poll<String> {
        let mut failure = self.failure.lock();
        match &failure.reason {
            Some(reason) => Poll::Ready(reason.clone()),
            None => {
                if !failure
                    .wakers
                    .iter()
                    .any(|waker| waker.will_wake(context.waker()))
                {
                    failure.wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Starts to prove who a peer is; the reply comes to its mailbox.
    pub(crate) fn authenticate(&self, entry: Arc<Entry>, lane: Lane, credentials: Credentials) {
        let logins = self.logins.lock().clone();
        let login = Login {
            entry,
            lane,
            credentials,
        };
        let refused = match logins {
            Some(logins) => match logins.try_send(login) {
                Ok(()) => return,
                Err(TrySendError::Full(login) | TrySendError::Disconnected(login)) => login,
            },
            None => login,
        };
        let reason = "too many logins are waiting, or the broker is stopping".into();
        let error = Error {
            kind: Kind::Unavailable(reason),
            resource: Resource::Namespace,
            name: Name::empty(),
            namespace: Name::empty(),
        };
        refused.entry.mailbox.push(Event::Reply {
            lane,
            result: Err(Box::new(error)),
        });
    }

    /// Finishes what [`Inner::authenticate`] began.
    pub(crate) fn log_in(&self, login: &Login) {
        let result = verify(self, &login.entry, &login.credentials);
        if result.is_ok() {
            *login.entry.user.lock() = Some(login.credentials.user().to_owned());
        }
        login.entry.mailbox.push(Event::Reply {
            lane: login.lane,
            result: result.map_err(Box::new),
        });
    }

    /// The connection is gone.
    pub(crate) fn forget(&self, id: SessionId) {
        self.shard.leave(id, self.clock.now());
        self.connections.lock().remove(&id);
    }

    /// The open connections.
    pub(crate) fn connections(&self) -> Vec<Arc<Entry>> {
        self.connections.lock().values().cloned().collect()
    }

    /// Changes the catalog, durably in its turn's frame.
    pub(crate) fn change_catalog(&self, change: &Change) -> Result<(), String> {
        self.shard.turn(|_, staging, catalog, _| {
            self.stage_changes(staging, catalog, std::slice::from_ref(change))
        })
    }

    /// Changes the catalog as a part of a turn: all or nothing.
    pub(crate) fn stage_changes(
        &self,
        staging: &mut Staging,
        catalog: &mut Catalog,
        changes: &[Change],
    ) -> Result<(), String> {
        catalog
            .stage(staging, changes)
            .map_err(|error| error.to_string())?;
        self.generation
            .store(catalog.generation(), Ordering::Release);
        let is_quota = |change: &Change| matches!(change, Change::PutQuota { .. });
        if changes.iter().any(is_quota) {
            self.quotas.replace(catalog.quotas());
        }
        Ok(())
    }

    pub(crate) fn catalog_generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    pub(crate) fn block_reason(&self) -> &'static str {
        "low on disk"
    }

    /// Writes one frame, and looks at the disk when that may have used up its room. False if there was nothing to write.
    pub(crate) fn commit(&self) -> Result<bool, String> {
        let Some(bytes) = self.shard.commit_one()? else {
            return Ok(false);
        };
        if self.room.wrote(bytes) {
            self.look_at_disk()?;
        }
        Ok(true)
    }

    /// Looks how much room the disk has, and blocks or unblocks publishers.
    pub(crate) fn look_at_disk(&self) -> Result<Free, String> {
        let _turn = self.look_turn.lock();
        let free = self.shard.writer.free_bytes();
        let free = free.map_err(|error| error.to_string())?;
        let free = self.room.looked(free, self.is_blocked());
        self.set_blocked(free.is_low);
        Ok(free)
    }

    /// Whether publishes are refused that came though their session was told to wait: they were on their way, or there is no
    /// room even for those.
    pub(crate) fn is_out_of_room(&self) -> bool {
        self.is_blocked() && self.room.is_out()
    }

    /// Starts or ends the time in which no messages are taken.
    fn set_blocked(&self, blocked: bool) {
        if self.blocked.swap(blocked, Ordering::Relaxed) == blocked {
            return;
        }
        let reason = self.block_reason();
        if blocked {
            tracing::warn!(
                free_min = self.options.disk_free_min_bytes,
                "the disk is nearly full: no messages are taken until there is room (limits.disk-free-min)"
            );
            self.shard.broadcast(|| Event::Blocked { reason });
        } else {
            info!("there is room on the disk again: messages are taken");
            self.shard.broadcast(|| Event::Unblocked);
        }
    }
}
