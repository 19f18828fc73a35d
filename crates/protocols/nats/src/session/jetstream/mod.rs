//! JetStream's side of a connection: requests to `$JS.API.>` become requests of logs, their replies JSON for whoever waits.
//!
//! ```text
//! PUB $JS.API.x reply -> handle_api -> Request::Log, the step that follows kept by its number (steps)
//!                                   <- Event::Log -> the step: asks on, or answers -> Answers -> Request::PublishLive
//! PUB subject reply   -> a block; what streams made of its messages <- Event::Stored -> acks in Answers
//! ```
//! What always holds: a request is answered once, if it says where to; answers go the way of every publish, in blocks, so that
//! whoever listens there hears them, this connection's own subscriptions among them.

mod answers;
mod auditing;
mod backup;
mod batch_get;
mod consumers;
mod messages;
mod pulling;
mod restore;
mod streams;
mod subjects;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use polybus_model::{
    Declaring, Lane, LiveBlock, LogReply, LogRequest, LogSettings, LogSummary, Millis, Name,
    PartitionName, Request, Stored,
};
use serde_json::{Value, json};

use super::Connection;
use crate::ApiCounts;
use crate::codec::Publication;
use crate::mapping::jetstream::{ACK, ApiError, FLOW, StreamConfig, pub_ack, response};
use crate::watch::Watched;
use answers::Answers;

/// What the subjects of the API begin with.
pub(super) const API: &[u8] = b"$JS.API.";
/// Requests of one connection that wait for the broker; more are not heard.
const PENDING_MAX: usize = 16 * 1024;

/// Where to, and what with, once the broker has replied.
#[derive(Debug)]
struct Pending {
    reply: Vec<u8>,
    step: Step,
    /// The request, if it is to be told.
    asked: Option<Box<auditing::Asked>>,
}

/// What follows a reply of the broker.
#[derive(Debug)]
enum Step {
    /// What a stream is like that another is to be made of, and those that are still to be looked at.
    LookAtOrigin(Box<StreamConfig>, Vec<String>),
    /// The log is declared, or was there.
    Create(Box<StreamConfig>),
    /// There is a log of that name: is it the same stream?
    Compare(Box<StreamConfig>),
    /// What the stream to be changed is like.
    LookBefore(Box<StreamConfig>),
    /// Do the consumers that there are keep to the limits that the stream is to have?
    UpdateLimits(Box<StreamConfig>, Box<LogSummary>),
    /// It is changed.
    Update,
    /// Its state is told with its subjects, once these are listed.
    TellSubjects(Box<subjects::SubjectList>),
    /// More of them.
    Subjects(Box<subjects::SubjectList>),
    /// Its state is told, as the answer of that type.
    Tell(&'static str, Value),
    Delete,
    Purge,
    Names(streams::Page),
    List(streams::Page),
    /// The states of the listed, one by one.
    ListOn(Box<streams::Listing>),
    Account,
    /// What else the account uses is put together already.
    AccountReaders(Box<Value>),
    MessageGet,
    MessageDelete(u64),
    DirectGet(Name),
    /// Which messages a batch of gets gives.
    BatchPick(Box<batch_get::BatchGet>),
    /// The messages of a batch of gets.
    BatchFill(Box<batch_get::BatchGet>),
    /// What the stream holds of which an archive is wanted.
    Snapshot(backup::SnapshotRequest),
    /// A slice for an archive.
    BackupRead(u64),
    /// The log that an archive is restored to is declared.
    RestoreBegin(Name, Box<LogSettings>),
    /// Messages of an archive are there; the last ones?
    RestoreOn(u64, bool),
    /// What was restored is a stream.
    RestoreEnd(Name),
    /// The stream of a consumer that is to be made.
    ConsumerStream(Box<consumers::Making>),
    ConsumerCreate(Declaring),
    ConsumerInfo,
    ConsumerDelete,
    ConsumerPause,
    ConsumerUnpin,
    /// A consumer begins anew, at that sequence or where it is.
    ConsumerReset(Option<u64>),
    /// Consumers are listed, as the answer of that type, from that one on.
    ConsumerList(&'static str, usize),
    /// An acknowledgement is confirmed.
    Acked,
}

/// A connection's JetStream.
#[derive(Debug, Default)]
pub(super) struct JetStream {
    next: u64,
    pending: HashMap<u64, Pending>,
    answers: Answers,
    backups: Vec<backup::Backup>,
    restores: Vec<restore::Restore>,
    page_end: Option<subjects::PageEnd>,
    /// The request that is being dealt with, if it is to be told.
    asked: Option<Box<auditing::Asked>>,
    api: Arc<ApiCounts>,
}

impl JetStream {
    pub(super) fn new(api: Arc<ApiCounts>) -> Self {
        Self {
            api,
            ..Self::default()
        }
    }
}

impl JetStream {
    /// Who listens to requests, and to what the broker tells.
    pub(super) fn watched(&self) -> &Arc<Watched> {
        &self.api.watched
    }
}

impl Connection {
    /// Whether what is published to a subject is for the broker itself.
    pub(super) fn is_for_broker(&self, subject: &[u8]) -> bool {
        let is_own = |prefix: &str| subject.starts_with(prefix.as_bytes());
        is_own(ACK)
            || is_own(FLOW)
            || is_own(backup::ACK)
            || is_own(restore::CHUNKS)
            || subject.strip_prefix(API).is_some_and(is_known)
    }

    /// Takes a publish that is for the broker itself.
    pub(super) fn handle_asked(&mut self, input: &[u8], publication: &Publication, now: Millis) {
        let part = |span: &std::ops::Range<u32>| {
            let part = input.get(span.start as usize..span.end as usize);
            part.unwrap_or_default().to_vec()
        };
        let (subject, reply) = (part(&publication.subject), part(&publication.reply));
        let span = &publication.body;
        let headers = part(&(span.start.saturating_sub(publication.headers_len)..span.start));
        let body = part(span);
        self.traffic.messages_in += 1;
        self.traffic.bytes_in += body.len() as u64;
        if !self.may_publish(&subject) {
            return;
        }
        self.confirm();
        let watched = self.jetstream.watched();
        let is_heard = (watched.requests() && subject.starts_with(API))
            || (watched.acks() && subject.starts_with(ACK.as_bytes()));
        if is_heard {
            self.jetstream
                .answers
                .add_aside(&subject, &reply, &headers, &body);
        }
        if subject.starts_with(API) {
            self.note_asked(&subject, &body, now);
        }
        self.handle_api(&subject, &reply, &body, now);
        self.jetstream.asked = None;
    }

    /// Takes a request of the API; false if it is none that is known.
    pub(super) fn handle_api(
        &mut self,
        subject: &[u8],
        reply: &[u8],
        body: &[u8],
        now: Millis,
    ) -> bool {
        let after = |prefix: &str| {
            let rest = subject.strip_prefix(prefix.as_bytes())?;
            std::str::from_utf8(rest).ok()
        };
        if let Some(asked) = after(ACK) {
            self.handle_ack(asked, reply, body);
            return true;
        }
        if let Some(asked) = after(FLOW) {
            self.handle_flow(asked);
            return true;
        }
        if let Some(asked) = after(backup::ACK) {
            self.handle_backup_ack(asked);
            return true;
        }
        if let Some(asked) = after(restore::CHUNKS) {
            self.handle_restore_chunk(asked, reply, body);
            return true;
        }
        let Some(asked) = subject.strip_prefix(API) else {
            return false;
        };
        let Ok(asked) = std::str::from_utf8(asked) else {
            return false;
        };
        self.jetstream.api.all.fetch_add(1, Ordering::Relaxed);
        if self.jetstream.pending.len() >= PENDING_MAX {
            return true;
        }
        if asked == "INFO" {
            self.ask_log(
                reply,
                Step::Account,
                LogRequest::Sizes(polybus_model::WhichLogs::All),
            );
            return true;
        }
        if let Some(rest) = asked.strip_prefix("DIRECT.GET.") {
            self.direct_get(rest, reply, body);
            return true;
        }
        if let Some(asked) = asked.strip_prefix("CONSUMER.") {
            return self.handle_consumer_api(asked, reply, body);
        }
        match asked.strip_prefix("STREAM.") {
            Some(asked) => self.handle_stream_api(asked, reply, body, now),
            None => false,
        }
    }

    fn handle_stream_api(&mut self, asked: &str, reply: &[u8], body: &[u8], now: Millis) -> bool {
        match asked {
            "NAMES" => self.stream_names(reply, body),
            "LIST" => self.stream_list(reply, body),
            _ => {
                let (verb, name) = match asked.strip_prefix("MSG.") {
                    Some(rest) => match rest.split_once('.') {
                        Some(("GET", name)) => ("MSG.GET", name),
                        Some(("DELETE", name)) => ("MSG.DELETE", name),
                        _ => return false,
                    },
                    None => match asked.split_once('.') {
                        Some(split) => split,
                        None => return false,
                    },
                };
                let Ok(log) = Name::new(name) else {
                    let error = match verb {
                        "CREATE" | "UPDATE" => ApiError::long_name(),
                        _ => ApiError::stream_not_found(),
                    };
                    self.answer_error(reply, kind_of(verb), &error);
                    return true;
                };
                match verb {
                    "CREATE" => self.stream_create(&log, reply, body, now),
                    "UPDATE" => self.stream_update(&log, reply, body),
                    "INFO" => self.stream_info(&log, reply, body),
                    "DELETE" => self.stream_delete(log, reply),
                    "PURGE" => self.stream_purge(log, reply, body),
                    "SNAPSHOT" => self.stream_snapshot(&log, reply, body),
                    "RESTORE" => self.stream_restore(&log, reply, body, now),
                    "MSG.GET" => self.message_get(&log, reply, body),
                    "MSG.DELETE" => self.message_delete(log, reply, body),
                    _ => return false,
                }
            }
        }
        true
    }

    /// Asks the broker, and notes what follows.
    fn ask_log(&mut self, reply: &[u8], step: Step, request: LogRequest) {
        let number = self.jetstream.next;
        self.jetstream.next += 1;
        self.pend(number, reply, step);
        let request = Box::new(request);
        self.requests
            .push((Lane::default(), Request::Log { number, request }));
    }

    /// Notes what follows the reply to a request of that number.
    fn pend(&mut self, number: u64, reply: &[u8], step: Step) {
        let pending = Pending {
            reply: reply.to_vec(),
            step,
            asked: self.jetstream.asked.take(),
        };
        self.jetstream.pending.insert(number, pending);
    }

    /// Takes what follows a reply, if anything does.
    fn pended(&mut self, number: u64) -> Option<(Vec<u8>, Step)> {
        let Pending { reply, step, asked } = self.jetstream.pending.remove(&number)?;
        self.jetstream.asked = asked;
        Some((reply, step))
    }

    /// The broker has replied.
    pub(super) fn handle_log_reply(&mut self, number: u64, reply: LogReply, now: Millis) {
        let Some((to, step)) = self.pended(number) else {
            return;
        };
        match step {
            Step::LookAtOrigin(config, left) => {
                self.origin_looked_at(&to, config, left, reply, now);
            }
            Step::Create(config) => self.stream_declared(&to, config, reply),
            Step::Compare(config) => self.stream_compared(&to, &config, reply, now),
            Step::LookBefore(config) => self.stream_looked_at(&to, config, reply),
            Step::Update => self.stream_updated(&to, reply),
            Step::Tell(kind, more) => self.tell_stream(&to, kind, more, reply, now),
            Step::TellSubjects(list) => self.subjects_of(&to, list, reply, now),
            Step::Subjects(list) => self.subjects_listed(&to, list, reply),
            Step::Delete => self.stream_deleted(&to, reply),
            Step::Purge => self.stream_purged(&to, reply),
            Step::Names(page) => self.streams_named(&to, &page, reply),
            Step::List(page) => self.streams_listed(&to, &page, reply),
            Step::ListOn(listing) => self.list_on(&to, listing, reply, now),
            Step::Account => self.tell_account(&to, reply),
            Step::MessageGet => self.message_found(&to, reply),
            Step::MessageDelete(sequence) => self.message_deleted(&to, sequence, reply),
            Step::DirectGet(stream) => self.direct_found(&to, &stream, reply),
            Step::BatchPick(batch) => self.batch_picked(&to, batch, reply),
            Step::BatchFill(batch) => self.batch_filled(&to, batch, reply),
            Step::Snapshot(asked) => self.snapshot_begun(&to, &asked, reply, now),
            Step::BackupRead(number) => self.backup_read(number, reply),
            Step::RestoreBegin(stream, settings) => {
                self.restore_begun(&to, stream, *settings, reply);
            }
            Step::RestoreOn(number, is_last) => self.restored_on(&to, number, is_last, reply),
            Step::RestoreEnd(stream) => self.restore_ended(&to, stream, reply),
            Step::ConsumerStream(making) => self.consumer_looked_at(&to, *making, reply),
            Step::ConsumerCreate(_)
            | Step::ConsumerInfo
            | Step::ConsumerDelete
            | Step::ConsumerPause
            | Step::ConsumerUnpin
            | Step::ConsumerReset(_)
            | Step::UpdateLimits(..)
            | Step::AccountReaders(_)
            | Step::ConsumerList(..)
            | Step::Acked => {}
        }
    }

    /// Answers a request.
    fn answer(&mut self, reply: &[u8], kind: &str, says: Value) {
        let action = self.action_of(kind, &says);
        let told = response(kind, says);
        self.jetstream.answers.add(reply, b"", &told);
        self.tell_asked(action, &told);
    }

    fn answer_error(&mut self, reply: &[u8], kind: &str, error: &ApiError) {
        self.jetstream.api.failed.fetch_add(1, Ordering::Relaxed);
        self.answer(reply, kind, json!({ "error": error.value() }));
    }

    /// Streams have taken messages of a block, or not: their publishers are told.
    pub(super) fn tell_stored(&mut self, block: &LiveBlock, stored: &[Stored]) {
        for one in stored {
            let Some(item) = block.item(one.item) else {
                continue;
            };
            let batch = block.terms(one.item).and_then(|terms| terms.batch.as_ref());
            let ack = pub_ack(&one.log, &one.result, batch);
            self.jetstream.answers.add(block.reply(item), b"", &ack);
        }
    }

    /// What is to be said by now goes to the broker.
    pub(super) fn flush_answers(&mut self) {
        if let Some(block) = self.jetstream.answers.take(&self.topic) {
            self.requests
                .push((Lane::default(), Request::PublishLive(block)));
        }
    }
}

/// Whether a request of the API is one that streams answer; others are publishes like any.
fn is_known(asked: &[u8]) -> bool {
    const VERBS: [&[u8]; 20] = [
        b"CONSUMER.CREATE.",
        b"CONSUMER.DURABLE.CREATE.",
        b"CONSUMER.INFO.",
        b"CONSUMER.DELETE.",
        b"CONSUMER.NAMES.",
        b"CONSUMER.LIST.",
        b"CONSUMER.PAUSE.",
        b"CONSUMER.RESET.",
        b"CONSUMER.UNPIN.",
        b"CONSUMER.MSG.NEXT.",
        b"STREAM.CREATE.",
        b"STREAM.UPDATE.",
        b"STREAM.INFO.",
        b"STREAM.DELETE.",
        b"STREAM.PURGE.",
        b"STREAM.SNAPSHOT.",
        b"STREAM.RESTORE.",
        b"STREAM.MSG.GET.",
        b"STREAM.MSG.DELETE.",
        b"DIRECT.GET.",
    ];
    matches!(asked, b"INFO" | b"STREAM.NAMES" | b"STREAM.LIST")
        || VERBS.iter().any(|verb| asked.starts_with(verb))
}

/// The one partition of a stream.
fn partition(log: &Name) -> PartitionName {
    PartitionName {
        log: log.clone(),
        partition: 0,
    }
}

/// The type of a verb's answer.
fn kind_of(verb: &str) -> &'static str {
    match verb {
        "CREATE" => "stream_create",
        "UPDATE" => "stream_update",
        "DELETE" => "stream_delete",
        "PURGE" => "stream_purge",
        "SNAPSHOT" => "stream_snapshot",
        "RESTORE" => "stream_restore",
        "MSG.GET" => "stream_msg_get",
        "MSG.DELETE" => "stream_msg_delete",
        _ => "stream_info",
    }
}
