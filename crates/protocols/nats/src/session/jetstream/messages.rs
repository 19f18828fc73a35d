//! Single messages of streams: got, got directly, deleted.

use polybus_model::{LogError, LogReply, LogRequest, Name, Place, Run, WhichRecord};
use serde::Deserialize;
use serde_json::json;

use super::{Connection, Step, partition};
use crate::codec::is_valid;
use crate::mapping::jetstream::{ApiError, direct_headers, parse_time, read_json, stored_message};
use crate::session::filter;

/// What messages are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GetRequest {
    pub(super) seq: u64,
    pub(super) last_by_subj: String,
    pub(super) next_by_subj: String,
    pub(super) start_time: Option<String>,
    pub(super) batch: u64,
    pub(super) max_bytes: u64,
    pub(super) multi_last: Vec<String>,
    pub(super) up_to_seq: u64,
    pub(super) up_to_time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DeleteRequest {
    seq: u64,
}

impl GetRequest {
    /// The one message that is meant.
    fn place(&self) -> Result<Place, ApiError> {
        let one_of = [
            self.seq > 0,
            !self.last_by_subj.is_empty(),
            self.start_time.is_some(),
        ];
        let named = one_of.into_iter().filter(|is| *is).count();
        if self.batch > 0 || !self.multi_last.is_empty() {
            return Err(ApiError::bad_request());
        }
        let next = Some(self.next_by_subj.as_bytes()).filter(|next| !next.is_empty());
        let subjects = [
            next,
            Some(self.last_by_subj.as_bytes()).filter(|last| !last.is_empty()),
        ];
        if named > 1 || (named == 0 && next.is_none()) {
            return Err(ApiError::bad_request());
        }
        if subjects.iter().flatten().any(|one| !is_valid(one)) {
            // As nats-server says: nothing can be there.
            return Err(ApiError::no_message());
        }
        if !self.last_by_subj.is_empty() {
            if next.is_some() {
                return Err(ApiError::bad_request());
            }
            let keys = filter(self.last_by_subj.as_bytes());
            return Ok(Place::Record(WhichRecord::LastOf { keys, before: None }));
        }
        if let Some(time) = &self.start_time {
            let time = parse_time(time).ok_or_else(ApiError::bad_request)?;
            return Ok(match next {
                None => Place::Time(time),
                Some(_) => return Err(ApiError::bad_request()),
            });
        }
        let from = self.seq.saturating_sub(1);
        Ok(Place::Record(match next {
            None => WhichRecord::At(from),
            Some(keys) => WhichRecord::NextOf {
                keys: Some(filter(keys)),
                from,
            },
        }))
    }
}

impl Connection {
    fn find_message(&mut self, log: &Name, reply: &[u8], place: Place, step: Step) {
        let wanted = vec![(partition(log), place)];
        self.ask_log(reply, step, LogRequest::FindOffsets(wanted));
    }

    pub(super) fn message_get(&mut self, log: &Name, reply: &[u8], body: &[u8]) {
        let place = read_json(body).and_then(|asked: GetRequest| asked.place());
        match place {
            Ok(place) => self.find_message(log, reply, place, Step::MessageGet),
            Err(error) => self.answer_error(reply, "stream_msg_get", &error),
        }
    }

    pub(super) fn message_found(&mut self, to: &[u8], reply: LogReply) {
        let kind = "stream_msg_get";
        let found = found_run(reply).map(|run| {
            let message = stored_message(&run?, &self.settings.readers)?;
            Some(json!({ "message": message }))
        });
        match found {
            Ok(Some(says)) => self.answer(to, kind, says),
            Ok(None) => self.answer_error(to, kind, &ApiError::no_message()),
            Err(error) => self.answer_error(to, kind, &error),
        }
    }

    pub(super) fn message_delete(&mut self, log: Name, reply: &[u8], body: &[u8]) {
        let asked: Result<DeleteRequest, ApiError> = read_json(body);
        match asked {
            Ok(DeleteRequest { seq }) if seq > 0 => {
                let remove = LogRequest::Remove {
                    partition: partition(&log),
                    offset: seq - 1,
                };
                self.ask_log(reply, Step::MessageDelete(seq), remove);
            }
            Ok(_) => self.answer_error(reply, "stream_msg_delete", &ApiError::bad_request()),
            Err(error) => self.answer_error(reply, "stream_msg_delete", &error),
        }
    }

    pub(super) fn message_deleted(&mut self, to: &[u8], sequence: u64, reply: LogReply) {
        let kind = "stream_msg_delete";
        match reply {
            LogReply::Removed(Ok(0)) => {
                let error = ApiError::sequence_not_found(sequence);
                self.answer_error(to, kind, &error);
            }
            LogReply::Removed(Ok(_)) => self.answer(to, kind, json!({ "success": true })),
            LogReply::Removed(Err(error)) => self.answer_error(to, kind, &ApiError::from(&error)),
            _ => {}
        }
    }

    /// `DIRECT.GET.S` with a request, or `DIRECT.GET.S.subject` for the last of a subject.
    pub(super) fn direct_get(&mut self, rest: &str, reply: &[u8], body: &[u8]) {
        let (name, subject) = match rest.split_once('.') {
            Some((name, subject)) => (name, Some(subject)),
            None => (rest, None),
        };
        let asked = match subject {
            Some(subject) => GetRequest {
                last_by_subj: subject.to_owned(),
                ..GetRequest::default()
            },
            None if body.is_empty() => return self.tell_status(reply, "408 Empty Request"),
            None => match read_json(body) {
                Ok(asked) => asked,
                Err(_) => return self.tell_status(reply, "408 Malformed Request"),
            },
        };
        let Ok(log) = Name::new(name) else {
            return self.tell_status(reply, "408 Bad Request");
        };
        if asked.wants_several() {
            return self.batch_get(log, reply, &asked);
        }
        if asked.seq == 0 && asked.last_by_subj.is_empty() && asked.next_by_subj.is_empty() {
            return self.tell_status(reply, "408 Empty Request");
        }
        match asked.place() {
            Ok(place) => {
                let step = Step::DirectGet(log.clone());
                self.find_message(&log, reply, place, step);
            }
            Err(_) => self.tell_status(reply, "408 Bad Request"),
        }
    }

    pub(super) fn direct_found(&mut self, to: &[u8], stream: &Name, reply: LogReply) {
        let Ok(run) = found_run(reply) else {
            // Nobody listens to such a request, says nats-server.
            return self.tell_status(to, "503");
        };
        let found = run.as_ref();
        let found =
            found.and_then(|run| direct_headers(stream.as_str(), run, &self.settings.readers, ""));
        match found {
            Some((headers, body)) => self.jetstream.answers.add(to, &headers, body),
            None => self.tell_status(to, "404 Message Not Found"),
        }
    }

    /// Answers with a status and nothing else.
    pub(super) fn tell_status(&mut self, to: &[u8], status: &str) {
        let headers = format!("NATS/1.0 {status}\r\n\r\n");
        self.jetstream.answers.add(to, headers.as_bytes(), b"");
    }
}

/// The run that was looked up, if it is there.
fn found_run(reply: LogReply) -> Result<Option<Run>, ApiError> {
    let LogReply::Offsets(found) = reply else {
        return Err(ApiError::stream_not_found());
    };
    match found.into_iter().next() {
        Some(Ok(found)) => Ok(found.and_then(|found| found.run)),
        Some(Err(LogError::OutOfRange { .. })) => Ok(None),
        Some(Err(error)) => Err(ApiError::from(&error)),
        None => Ok(None),
    }
}
