//! `STREAM.RESTORE`: a stream out of an archive that its client sends in chunks.
//!
//! ```text
//! request -> a sealed log without subjects is declared -> chunks, each answered when its messages are on disk
//!         -> an empty one: was the archive whole? -> the log becomes the stream that it is to be -> told as one that was made
//! ```
//! What always holds: a stream that is being restored takes nothing else; of an archive that is refused nothing stays. Of a
//! client that leaves before the end, the sealed stream stays as far as it came.

use polybus_model::{
    Follows, LogError, LogReply, LogRequest, LogSettings, Millis, Name, RestoredRecord,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::streams::state_of;
use super::{Connection, Step, partition};
use crate::mapping::jetstream::{ApiError, ArchiveReader, StreamConfig, read_json};

/// What chunks are sent to.
pub(super) const CHUNKS: &str = "$JS.SNAPSHOT.RESTORE.";
const KIND: &str = "stream_restore";
const LAST_KIND: &str = "stream_create";
/// Streams that one connection restores at a time.
const RESTORES_MAX: usize = 16;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RestoreRequest {
    config: Value,
}

/// A stream that is being restored.
#[derive(Debug)]
pub(super) struct Restore {
    number: u64,
    stream: Name,
    settings: LogSettings,
    archive: ArchiveReader,
}

impl Connection {
    pub(super) fn stream_restore(&mut self, name: &Name, reply: &[u8], body: &[u8], now: Millis) {
        let asked = read_json(body).and_then(|asked: RestoreRequest| {
            StreamConfig::read(asked.config.to_string().as_bytes(), name.as_str())
        });
        let config = match asked {
            Ok(_) if self.jetstream.restores.len() >= RESTORES_MAX => Err(failed(&format!(
                "{RESTORES_MAX} are under way on this connection"
            ))),
            other => other,
        };
        match config {
            Err(error) => self.answer_error(reply, KIND, &error),
            Ok(config) => {
                let settings = config.settings(now);
                let mut sealed = settings.clone();
                if let Some(rules) = &mut sealed.keyed {
                    rules.sealed = true;
                    rules.takes = None;
                    rules.copies = None;
                    rules.follows = Follows::Nobody;
                    rules.first = 0;
                }
                let declare = LogRequest::Declare {
                    name: name.clone(),
                    settings: sealed,
                    dry_run: false,
                };
                let step = Step::RestoreBegin(name.clone(), Box::new(settings));
                self.ask_log(reply, step, declare);
            }
        }
    }

    /// The log is declared.
    pub(super) fn restore_begun(
        &mut self,
        to: &[u8],
        stream: Name,
        settings: LogSettings,
        reply: LogReply,
    ) {
        let result = match reply {
            LogReply::Logs(logs) => logs.into_iter().next().unwrap_or(Err(LogError::NotFound)),
            _ => return,
        };
        match result {
            Err(LogError::Exists) => {
                let text = "stream name already in use, cannot restore";
                self.answer_error(to, KIND, &ApiError::new(400, 10130, text));
            }
            Err(error) => self.answer_error(to, KIND, &ApiError::from(&error)),
            Ok(_) => {
                let number = self.jetstream.next;
                self.jetstream.next += 1;
                let subject = format!("{CHUNKS}{stream}.{number}");
                self.answer(to, KIND, json!({ "deliver_subject": subject }));
                self.jetstream.restores.push(Restore {
                    number,
                    archive: ArchiveReader::new(stream.clone()),
                    stream,
                    settings,
                });
            }
        }
    }

    /// The next bytes of an archive have come; none: that was all.
    pub(super) fn handle_restore_chunk(&mut self, asked: &str, reply: &[u8], chunk: &[u8]) {
        let number = asked.rsplit('.').next().and_then(|text| text.parse().ok());
        // Numbers begin at 0 and get nowhere near the last one.
        let number = number.unwrap_or(u64::MAX);
        let Some(restore) = self.restore(number) else {
            let error = failed("it is not under way, or was refused before");
            return self.answer_error(reply, LAST_KIND, &error);
        };
        let (number, log) = (restore.number, partition(&restore.stream));
        let read = match chunk.is_empty() {
            true => restore.archive.end().map(|end| (Vec::new(), Some(end))),
            false => restore.archive.read(chunk).map(|read| (read, None)),
        };
        match read {
            Err(why) => self.refuse_restore(number, reply, &why),
            Ok((read, next)) => {
                let records = read.into_iter().map(|one| RestoredRecord {
                    offset: one.offset,
                    time: one.time,
                    message: one.message,
                });
                let restore = LogRequest::Restore {
                    partition: log,
                    records: records.collect(),
                    next,
                };
                self.ask_log(reply, Step::RestoreOn(number, next.is_some()), restore);
            }
        }
    }

    fn restore(&mut self, number: u64) -> Option<&mut Restore> {
        let mut all = self.jetstream.restores.iter_mut();
        all.find(|one| one.number == number)
    }

    /// Messages of a chunk are there, or are not.
    pub(super) fn restored_on(&mut self, to: &[u8], number: u64, is_last: bool, reply: LogReply) {
        let result = match reply {
            LogReply::Done(result) => result,
            _ => Err(LogError::NotFound),
        };
        if let Err(error) = result {
            let why = ApiError::from(&error).text;
            return self.refuse_restore(number, to, &why);
        }
        if !is_last {
            return self.jetstream.answers.add(to, b"", b"");
        }
        let restores = &mut self.jetstream.restores;
        if let Some(at) = restores.iter().position(|one| one.number == number) {
            let restore = restores.swap_remove(at);
            let alter = LogRequest::Alter {
                name: restore.stream.clone(),
                settings: restore.settings,
                dry_run: false,
            };
            self.ask_log(to, Step::RestoreEnd(restore.stream), alter);
        }
    }

    /// The log is the stream that it was to be, or cannot be it.
    pub(super) fn restore_ended(&mut self, to: &[u8], stream: Name, reply: LogReply) {
        let result = match reply {
            LogReply::Logs(logs) => logs.into_iter().next().unwrap_or(Err(LogError::NotFound)),
            _ => return,
        };
        match result {
            Ok(_) => self.ask_log(to, Step::Tell(LAST_KIND, Value::Null), state_of(&stream)),
            Err(error) => {
                self.answer_error(to, LAST_KIND, &ApiError::from(&error));
                self.ask_log(b"", Step::Delete, LogRequest::Delete { name: stream });
            }
        }
    }

    /// An archive cannot be restored: nothing of it stays.
    fn refuse_restore(&mut self, number: u64, to: &[u8], why: &str) {
        self.answer_error(to, LAST_KIND, &failed(why));
        let restores = &mut self.jetstream.restores;
        if let Some(at) = restores.iter().position(|one| one.number == number) {
            let name = restores.swap_remove(at).stream;
            self.ask_log(b"", Step::Delete, LogRequest::Delete { name });
        }
    }
}

fn failed(why: &str) -> ApiError {
    ApiError::new(500, 10062, format!("restore failed: {why}"))
}
