//! `STREAM.SNAPSHOT`: a stream's messages as an archive, in chunks to a subject, as fast as their receiver acknowledges them.
//!
//! ```text
//! request -> the stream's state is told -> the client listens -> read a slice -> chunks -> ... -> the end, an empty message
//!                                                                    ^-- acknowledgements make room --'
//! ```
//! What always holds: what was sent and is not acknowledged stays below the window and one slice; what comes to the stream
//! behind the end that it had at first is not in the archive.

use std::collections::VecDeque;

use polybus_model::{
    KeyedState, LogError, LogReply, LogRequest, LogSummary, Millis, Name, Read, ReadRequest,
    RunContent,
};
use serde::Deserialize;
use serde_json::Value;

use super::streams::state_of;
use super::{Connection, JetStream, Step, partition};
use crate::codec::is_literal;
use crate::mapping::jetstream::{ApiError, ArchiveWriter, headers_of, read_json, stream_info};
use crate::session::filter;

/// What chunks are acknowledged to.
pub(super) const ACK: &str = "$JS.SNAPSHOT.ACK.";
const CHUNK_BYTES: usize = 128 * 1024;
const CHUNK_BYTES_MIN: usize = 1024;
const CHUNK_BYTES_MAX: usize = 1 << 20;
const WINDOW_BYTES: usize = 8 << 20;
const WINDOW_BYTES_MAX: usize = 32 << 20;
/// What is read from a stream at once.
const SLICE_BYTES: u32 = 1 << 20;
/// Archives that one connection is sent at a time.
const BACKUPS_MAX: usize = 16;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SnapshotRequest {
    deliver_subject: String,
    chunk_size: usize,
    window_size: usize,
}

/// An archive on its way.
#[derive(Debug)]
pub(super) struct Backup {
    number: u64,
    stream: Name,
    to: Vec<u8>,
    chunk_bytes: usize,
    window_bytes: usize,
    archive: ArchiveWriter,
    /// Up to where it was read, and to where it is to be.
    next: u64,
    end: u64,
    /// Chunks that are not acknowledged.
    sent: VecDeque<usize>,
    sent_bytes: usize,
    /// Somebody listens.
    is_heard: bool,
    is_reading: bool,
    is_whole: bool,
}

impl Connection {
    pub(super) fn stream_snapshot(&mut self, name: &Name, reply: &[u8], body: &[u8]) {
        let kind = "stream_snapshot";
        let asked: SnapshotRequest = match read_json(body) {
            Ok(asked) => asked,
            Err(error) => return self.answer_error(reply, kind, &error),
        };
        if !is_literal(asked.deliver_subject.as_bytes()) {
            let error = ApiError::new(400, 10015, "deliver subject not valid");
            return self.answer_error(reply, kind, &error);
        }
        if self.jetstream.backups.len() >= BACKUPS_MAX {
            let text =
                format!("snapshot failed: {BACKUPS_MAX} are on their way on this connection");
            return self.answer_error(reply, kind, &ApiError::new(500, 10064, text));
        }
        self.ask_log(reply, Step::Snapshot(asked), state_of(name));
    }

    /// What the stream holds is known: it is told, and the archive begun.
    pub(super) fn snapshot_begun(
        &mut self,
        to: &[u8],
        asked: &SnapshotRequest,
        reply: LogReply,
        now: Millis,
    ) {
        let kind = "stream_snapshot";
        let state: Box<(LogSummary, KeyedState)> = match reply {
            LogReply::State(Ok(state)) => state,
            LogReply::State(Err(error)) => {
                return self.answer_error(to, kind, &ApiError::from(&error));
            }
            _ => return,
        };
        let Some(info) = stream_info(&state.0, &state.1, 0, now) else {
            return self.answer_error(to, kind, &ApiError::stream_not_found());
        };
        self.answer(to, kind, Value::Object(info));
        let number = self.jetstream.next;
        self.jetstream.next += 1;
        let or = |asked: usize, otherwise, most: usize| match asked {
            0 => otherwise,
            asked => asked.clamp(CHUNK_BYTES_MIN, most),
        };
        let deliver = asked.deliver_subject.as_bytes();
        self.jetstream.backups.push(Backup {
            number,
            stream: state.0.name,
            to: deliver.to_vec(),
            chunk_bytes: or(asked.chunk_size, CHUNK_BYTES, CHUNK_BYTES_MAX),
            window_bytes: or(asked.window_size, WINDOW_BYTES, WINDOW_BYTES_MAX),
            archive: ArchiveWriter::new(),
            next: state.1.start,
            end: state.1.next,
            sent: VecDeque::new(),
            sent_bytes: 0,
            // A wildcard may be for the answers to requests, with the subscription for the chunks still to come.
            is_heard: self.subscriptions.names(deliver),
            is_reading: false,
            is_whole: false,
        });
        self.send_backup(number);
    }

    /// The client listens to a subject: an archive may wait for that.
    pub(in crate::session) fn backups_heard(&mut self, subject: &[u8]) {
        if self.jetstream.backups.is_empty() {
            return;
        }
        let heard = filter(subject);
        let waiting = self.jetstream.backups.iter_mut();
        let waiting = waiting.filter(|one| !one.is_heard && heard.fits(&one.to));
        let numbers: Vec<u64> = waiting
            .map(|one| {
                one.is_heard = true;
                one.number
            })
            .collect();
        for number in numbers {
            self.send_backup(number);
        }
    }

    /// A chunk is acknowledged.
    pub(super) fn handle_backup_ack(&mut self, asked: &str) {
        let number = asked.rsplit('.').next().and_then(|text| text.parse().ok());
        let Some(number) = number else {
            return;
        };
        if let Some(backup) = self.backup(number) {
            let bytes = backup.sent.pop_front().unwrap_or(0);
            backup.sent_bytes -= bytes;
            self.send_backup(number);
        }
    }

    fn backup(&mut self, number: u64) -> Option<&mut Backup> {
        let mut all = self.jetstream.backups.iter_mut();
        all.find(|one| one.number == number)
    }

    /// Sends what there is and fits into the window, and reads on.
    fn send_backup(&mut self, number: u64) {
        let Some(at) = self
            .jetstream
            .backups
            .iter()
            .position(|one| one.number == number)
        else {
            return;
        };
        let JetStream {
            backups, answers, ..
        } = &mut self.jetstream;
        let Some(backup) = backups.get_mut(at).filter(|one| one.is_heard) else {
            return;
        };
        while backup.sent_bytes < backup.window_bytes
            && backup.archive.len() > 0
            && (backup.is_whole || backup.archive.len() >= backup.chunk_bytes)
        {
            let chunk = backup.archive.take(backup.chunk_bytes);
            let reply = format!("{ACK}{}.{number}", backup.stream);
            backup.sent.push_back(chunk.len());
            backup.sent_bytes += chunk.len();
            answers.add_with_reply(&backup.to, reply.as_bytes(), b"", &chunk);
        }
        if backup.archive.len() >= backup.chunk_bytes || backup.is_reading {
            return;
        }
        if backup.is_whole {
            // The last chunk is on its way, and this behind it.
            if backup.archive.len() == 0 {
                answers.add(&backup.to, b"", b"");
                backups.swap_remove(at);
            }
            return;
        }
        if backup.next >= backup.end {
            backup.archive.end(backup.end);
            backup.is_whole = true;
            return self.send_backup(number);
        }
        backup.is_reading = true;
        let from = Read {
            partition: partition(&backup.stream),
            id: None,
            offset: backup.next,
            bytes_max: SLICE_BYTES,
        };
        let slice = ReadRequest {
            reads: vec![from],
            bytes_max: SLICE_BYTES,
            bytes_min: 0,
            wait_ms: 0,
            committed: false,
        };
        self.ask_log(b"", Step::BackupRead(number), LogRequest::Read(slice));
    }

    /// A slice of a stream has come.
    pub(super) fn backup_read(&mut self, number: u64, reply: LogReply) {
        let Self {
            jetstream,
            settings,
            ..
        } = self;
        let Some(at) = jetstream
            .backups
            .iter()
            .position(|one| one.number == number)
        else {
            return;
        };
        let Some(backup) = jetstream.backups.get_mut(at) else {
            return;
        };
        backup.is_reading = false;
        let slice = match reply {
            LogReply::Read(slices) => slices.into_iter().next(),
            _ => None,
        };
        match slice {
            Some(Ok(slice)) => {
                let before = backup.next;
                for run in &slice.runs {
                    if let RunContent::Message(message) = &run.content
                        && run.offset < backup.end
                    {
                        let headers = headers_of(message, &settings.readers);
                        let stands = (run.offset, run.time_max.unwrap_or(0));
                        backup.archive.message(stands, message, &headers);
                    }
                    backup.next = run.offset.saturating_add(run.count.into());
                }
                if slice.runs.is_empty() {
                    // What is left are gaps.
                    backup.next = backup.end.max(before);
                }
            }
            // What was there went meanwhile.
            Some(Err(LogError::OutOfRange { start, .. })) if start > backup.next => {
                backup.next = start;
            }
            other => {
                let error = other.and_then(Result::err);
                let why = error.map_or_else(String::new, |error| ApiError::from(&error).text);
                let status = format!("NATS/1.0 500 snapshot failed: {why}\r\n\r\n");
                let backup = jetstream.backups.swap_remove(at);
                jetstream.answers.add(&backup.to, status.as_bytes(), b"");
                return;
            }
        }
        self.send_backup(number);
    }
}
