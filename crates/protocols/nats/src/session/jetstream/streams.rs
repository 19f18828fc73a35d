//! Streams: made, changed, told of, listed, emptied, deleted.

use std::sync::atomic::Ordering;

use polybus_model::{
    FilterWord, LiveFilter, LogError, LogReply, LogRequest, LogSummary, Millis, Name, Purge,
    ReaderError, ReaderRequest, ReaderSummary, WhichLogs,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::subjects::SubjectList;
use super::{Connection, Step, partition};
use crate::mapping::jetstream::{
    ApiError, StreamConfig, config_of, created_of, read_json, stream_info, stream_name_of,
};
use crate::session::filter;

/// Names on one page, and streams.
const NAMES_PER_PAGE: usize = 1_024;
const STREAMS_PER_PAGE: usize = 256;
/// What of the API clients may count on: as of the version that is told them.
const API_LEVEL: u32 = 2;

/// Which part of a list is wanted.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Page {
    offset: usize,
    subject: Option<String>,
}

/// A list that is being put together.
#[derive(Debug)]
pub(super) struct Listing {
    total: usize,
    offset: usize,
    told: Vec<Value>,
    /// Names still to be asked for, the next one last.
    left: Vec<Name>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InfoRequest {
    deleted_details: bool,
    subjects_filter: String,
    offset: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PurgeRequest {
    filter: String,
    seq: u64,
    keep: u64,
}

impl Connection {
    pub(super) fn stream_create(&mut self, name: &Name, reply: &[u8], body: &[u8], now: Millis) {
        let kind = "stream_create";
        let config = StreamConfig::read(body, name.as_str());
        match config.and_then(|config| config.check_new().map(|()| config)) {
            Err(error) => self.answer_error(reply, kind, &error),
            Ok(config) => {
                let left = config.origins();
                self.declare_next(reply, Box::new(config), left, now);
            }
        }
    }

    /// Looks at the next stream that another is to be made of; if there is none left, it is made.
    fn declare_next(
        &mut self,
        reply: &[u8],
        config: Box<StreamConfig>,
        mut left: Vec<String>,
        now: Millis,
    ) {
        if let Some(Ok(origin)) = left.pop().map(|one| Name::new(&one)) {
            let look = Step::LookAtOrigin(config, left);
            return self.ask_log(reply, look, state_of(&origin));
        }
        let declare = LogRequest::Declare {
            name: Name::new(&config.name).unwrap_or_else(|_| Name::empty()),
            settings: config.settings(now),
            dry_run: false,
        };
        self.ask_log(reply, Step::Create(config), declare);
    }

    /// An origin was looked at; that it is not there, or may not be seen, is for later to be told.
    pub(super) fn origin_looked_at(
        &mut self,
        to: &[u8],
        mut config: Box<StreamConfig>,
        left: Vec<String>,
        reply: LogReply,
        now: Millis,
    ) {
        let noted = match stream_of(reply) {
            Ok((_, origin)) => config.note_origin(&origin),
            Err(_) => Ok(()),
        };
        match noted {
            Ok(()) => self.declare_next(to, config, left, now),
            Err(error) => self.answer_error(to, "stream_create", &error),
        }
    }

    pub(super) fn stream_declared(
        &mut self,
        to: &[u8],
        config: Box<StreamConfig>,
        reply: LogReply,
    ) {
        let kind = "stream_create";
        let name = Name::new(&config.name).unwrap_or_else(|_| Name::empty());
        match first_log(reply) {
            Ok(_) => {
                let made = json!({ "did_create": true });
                self.ask_log(to, Step::Tell(kind, made), state_of(&name));
            }
            Err(LogError::Exists) => self.ask_log(to, Step::Compare(config), state_of(&name)),
            Err(error) => self.answer_error(to, kind, &ApiError::from(&error)),
        }
    }

    /// A stream that is asked for again as it is, is there.
    pub(super) fn stream_compared(
        &mut self,
        to: &[u8],
        config: &StreamConfig,
        reply: LogReply,
        now: Millis,
    ) {
        let kind = "stream_create";
        let is_same = match &reply {
            LogReply::State(Ok(state)) => {
                stream_name_of(&state.0).is_some_and(|(_, known)| known == *config)
            }
            _ => false,
        };
        match is_same {
            true => self.tell_stream(to, kind, json!({ "did_create": false }), reply, now),
            false => self.answer_error(to, kind, &ApiError::name_in_use()),
        }
    }

    pub(super) fn stream_update(&mut self, name: &Name, reply: &[u8], body: &[u8]) {
        let config = StreamConfig::read(body, name.as_str());
        match config {
            Err(error) => self.answer_error(reply, "stream_update", &error),
            Ok(config) => self.ask_log(reply, Step::LookBefore(Box::new(config)), state_of(name)),
        }
    }

    pub(super) fn stream_looked_at(
        &mut self,
        to: &[u8],
        mut config: Box<StreamConfig>,
        reply: LogReply,
    ) {
        let log = stream_of(reply).and_then(|(log, before)| {
            config.check_update(&before)?;
            Ok((log, config.limits_more_than(&before)))
        });
        match log {
            Err(error) => self.answer_error(to, "stream_update", &error),
            Ok((log, false)) => self.stream_alter(to, &config, log),
            Ok((log, true)) => {
                let list = ReaderRequest::List {
                    log: log.name.clone(),
                };
                self.ask_reader(to, Step::UpdateLimits(config, Box::new(log)), list);
            }
        }
    }

    /// The consumers of the stream that is to be changed are known: do they keep to its limits?
    pub(super) fn limits_looked_at(
        &mut self,
        to: &[u8],
        config: &StreamConfig,
        log: LogSummary,
        readers: Result<Vec<ReaderSummary>, ReaderError>,
    ) {
        let checked = readers.map_err(|error| ApiError::from(&error));
        let checked = checked.and_then(|readers| {
            let each = readers.iter();
            config.check_all(each.filter_map(|one| Some((&*one.name, config_of(one)?))))
        });
        match checked {
            Ok(()) => self.stream_alter(to, config, log),
            Err(error) => self.answer_error(to, "stream_update", &error),
        }
    }

    fn stream_alter(&mut self, to: &[u8], config: &StreamConfig, log: LogSummary) {
        let alter = LogRequest::Alter {
            settings: config.settings(created_of(&log)),
            name: log.name,
            dry_run: false,
        };
        self.ask_log(to, Step::Update, alter);
    }

    pub(super) fn stream_updated(&mut self, to: &[u8], reply: LogReply) {
        let kind = "stream_update";
        match first_log(reply) {
            Ok(log) => {
                let tell = Step::Tell(kind, Value::Null);
                self.ask_log(to, tell, state_of(&log.name));
            }
            Err(error) => self.answer_error(to, kind, &ApiError::from(&error)),
        }
    }

    pub(super) fn stream_info(&mut self, name: &Name, reply: &[u8], body: &[u8]) {
        let kind = "stream_info";
        let asked: InfoRequest = match read_json(body) {
            Ok(asked) => asked,
            Err(error) => return self.answer_error(reply, kind, &error),
        };
        let step = match asked.subjects_filter.as_str() {
            "" => Step::Tell(kind, json!({ "total": 0, "offset": 0, "limit": 0 })),
            subjects => {
                Step::TellSubjects(Box::new(SubjectList::new(name, subjects, asked.offset)))
            }
        };
        let state = LogRequest::State {
            partition: partition(name),
            removed: asked.deleted_details,
        };
        self.ask_log(reply, step, state);
    }

    /// Answers with what a stream is and holds.
    pub(super) fn tell_stream(
        &mut self,
        to: &[u8],
        kind: &'static str,
        more: Value,
        reply: LogReply,
        now: Millis,
    ) {
        let told = match &reply {
            LogReply::State(Ok(state)) => stream_info(&state.0, &state.1, 0, now),
            LogReply::State(Err(LogError::Forbidden)) => {
                return self.answer_error(to, kind, &ApiError::from(&LogError::Forbidden));
            }
            _ => None,
        };
        let Some(mut told) = told else {
            return self.answer_error(to, kind, &ApiError::stream_not_found());
        };
        if let Value::Object(more) = more {
            told.extend(more);
        }
        self.answer(to, kind, Value::Object(told));
    }

    pub(super) fn stream_delete(&mut self, name: Name, reply: &[u8]) {
        self.ask_log(reply, Step::Delete, LogRequest::Delete { name });
    }

    pub(super) fn stream_deleted(&mut self, to: &[u8], reply: LogReply) {
        let kind = "stream_delete";
        match first_log(reply) {
            Ok(_) => self.answer(to, kind, json!({ "success": true })),
            Err(error) => self.answer_error(to, kind, &ApiError::from(&error)),
        }
    }

    pub(super) fn stream_purge(&mut self, name: Name, reply: &[u8], body: &[u8]) {
        let asked: PurgeRequest = match read_json(body) {
            Ok(asked) => asked,
            Err(error) => return self.answer_error(reply, "stream_purge", &error),
        };
        if asked.seq > 0 && asked.keep > 0 {
            return self.answer_error(reply, "stream_purge", &ApiError::bad_request());
        }
        let purge = LogRequest::Purge(Purge {
            partition: partition(&name),
            keys: match asked.filter.as_bytes() {
                b"" | b">" => None,
                subjects => Some(filter(subjects)),
            },
            before: asked.seq.checked_sub(1),
            keep: asked.keep,
        });
        self.ask_log(reply, Step::Purge, purge);
    }

    pub(super) fn stream_purged(&mut self, to: &[u8], reply: LogReply) {
        let kind = "stream_purge";
        match reply {
            LogReply::Removed(Ok(count)) => {
                self.answer(to, kind, json!({ "success": true, "purged": count }));
            }
            LogReply::Removed(Err(error)) => {
                self.answer_error(to, kind, &ApiError::from(&error));
            }
            _ => {}
        }
    }

    pub(super) fn stream_names(&mut self, reply: &[u8], body: &[u8]) {
        match read_json(body) {
            Ok(page) => self.ask_log(reply, Step::Names(page), LogRequest::List(WhichLogs::All)),
            Err(error) => self.answer_error(reply, "stream_names", &error),
        }
    }

    pub(super) fn streams_named(&mut self, to: &[u8], page: &Page, reply: LogReply) {
        let names = streams_in(reply, page);
        let shown = names.iter().skip(page.offset).take(NAMES_PER_PAGE);
        let shown: Vec<&str> = shown.map(Name::as_str).collect();
        let shown = if shown.is_empty() {
            Value::Null
        } else {
            json!(shown)
        };
        let (total, offset) = (names.len(), page.offset);
        let says =
            json!({ "total": total, "offset": offset, "limit": NAMES_PER_PAGE, "streams": shown });
        self.answer(to, "stream_names", says);
    }

    pub(super) fn stream_list(&mut self, reply: &[u8], body: &[u8]) {
        match read_json(body) {
            Ok(page) => self.ask_log(reply, Step::List(page), LogRequest::List(WhichLogs::All)),
            Err(error) => self.answer_error(reply, "stream_list", &error),
        }
    }

    pub(super) fn streams_listed(&mut self, to: &[u8], page: &Page, reply: LogReply) {
        let names = streams_in(reply, page);
        let total = names.len();
        let shown = names.into_iter().skip(page.offset).take(STREAMS_PER_PAGE);
        let mut left: Vec<Name> = shown.collect();
        left.reverse();
        let listing = Listing {
            total,
            offset: page.offset,
            told: Vec::new(),
            left,
        };
        self.ask_next(to, Box::new(listing));
    }

    fn ask_next(&mut self, to: &[u8], mut listing: Box<Listing>) {
        match listing.left.pop() {
            Some(name) => self.ask_log(to, Step::ListOn(listing), state_of(&name)),
            None => {
                let streams = match listing.told.is_empty() {
                    true => Value::Array(Vec::new()),
                    false => Value::Array(listing.told),
                };
                let total = listing.total;
                let offset = listing.offset.min(total);
                let says = json!({ "total": total, "offset": offset, "limit": STREAMS_PER_PAGE, "streams": streams });
                self.answer(to, "stream_list", says);
            }
        }
    }

    pub(super) fn list_on(
        &mut self,
        to: &[u8],
        mut listing: Box<Listing>,
        reply: LogReply,
        now: Millis,
    ) {
        // One that is gone meanwhile is not told.
        if let LogReply::State(Ok(state)) = &reply
            && let Some(told) = stream_info(&state.0, &state.1, 0, now)
        {
            listing.told.push(Value::Object(told));
        }
        self.ask_next(to, listing);
    }

    /// What the account uses: all streams that can be seen.
    pub(super) fn tell_account(&mut self, to: &[u8], reply: LogReply) {
        let LogReply::Sizes(sizes) = reply else {
            return;
        };
        let (mut memory, mut storage, mut streams) = (0, 0, 0);
        for (log, bytes) in sizes {
            if stream_name_of(&log).is_none() {
                continue;
            }
            let bytes: u64 = bytes.iter().sum();
            match log.settings.durable {
                true => storage += bytes,
                false => memory += bytes,
            }
            streams += 1;
        }
        let says = json!({
            "memory": memory,
            "storage": storage,
            "reserved_memory": 0,
            "reserved_storage": 0,
            "streams": streams,
            "limits": {
                "max_memory": -1,
                "max_storage": -1,
                "max_streams": -1,
                "max_consumers": -1,
                "max_ack_pending": -1,
                "memory_max_stream_bytes": -1,
                "storage_max_stream_bytes": -1,
                "max_bytes_required": false,
            },
            "api": {
                "level": API_LEVEL,
                // Without the one that asks.
                "total": self.jetstream.api.all.load(Ordering::Relaxed).saturating_sub(1),
                "errors": self.jetstream.api.failed.load(Ordering::Relaxed),
            },
        });
        let step = Step::AccountReaders(Box::new(says));
        self.ask_reader(to, step, ReaderRequest::Count);
    }
}

/// What a stream holds, without lists.
pub(super) fn state_of(name: &Name) -> LogRequest {
    LogRequest::State {
        partition: partition(name),
        removed: false,
    }
}

fn first_log(reply: LogReply) -> Result<LogSummary, LogError> {
    match reply {
        LogReply::Logs(logs) => logs.into_iter().next().unwrap_or(Err(LogError::NotFound)),
        _ => Err(LogError::NotFound),
    }
}

pub(super) fn stream_of(reply: LogReply) -> Result<(LogSummary, StreamConfig), ApiError> {
    match reply {
        LogReply::State(Ok(state)) => {
            let config = stream_name_of(&state.0).map(|(_, config)| config);
            let config = config.ok_or_else(ApiError::stream_not_found)?;
            Ok((state.0, config))
        }
        LogReply::State(Err(LogError::Forbidden)) => Err(ApiError::from(&LogError::Forbidden)),
        _ => Err(ApiError::stream_not_found()),
    }
}

/// The streams among logs, that take some of the subjects that a page is about.
fn streams_in(reply: LogReply, page: &Page) -> Vec<Name> {
    let LogReply::Logs(logs) = reply else {
        return Vec::new();
    };
    let wanted = match page.subject.as_deref() {
        None | Some("") => LiveFilter::new([FilterWord::Rest]),
        Some(subject) => filter(subject.as_bytes()),
    };
    let streams = logs.into_iter().flatten().filter(|log| {
        let Some((_, config)) = stream_name_of(log) else {
            return false;
        };
        let mut subjects = config.subjects.iter();
        subjects.any(|subject| filter(subject.as_bytes()).overlaps(&wanted))
    });
    streams.map(|log| log.name).collect()
}
