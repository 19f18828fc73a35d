//! `DIRECT.GET` of several messages: the next ones of a subject, or the last one of each of several.
//!
//! ```text
//! request -> Pick -> offsets -> FindOffsets, a few at a time -> a message each, then 204 EOB
//!              ^------------- the next ones, while the batch is not full -----'
//! ```
//! What always holds: each request ends with one status (`204 EOB`, or why there is nothing); what is answered stays below the
//! bytes asked for by one message at most, and those below what may wait for a connection.

use std::collections::VecDeque;

use polybus_model::{
    LogError, LogReply, LogRequest, Name, Pick, PickedRecords, Place, RecordsFrom, Run,
    WhichRecord, WhichRecords,
};

use super::messages::GetRequest;
use super::{Connection, Step, partition};
use crate::codec::is_valid;
use crate::mapping::jetstream::{direct_headers, parse_time};
use crate::session::filter;

/// Messages of the last of their subjects that one request gives at most; more are refused.
const LAST_MAX: u32 = 1_024;
/// Offsets that are asked for at once,
const PICKED_AT_ONCE: u64 = 1_024;
/// and messages.
const FILLED_AT_ONCE: usize = 64;
/// Patterns of one request.
const PATTERNS_MAX: usize = 1_024;

/// A batch that is being answered.
#[derive(Debug)]
pub(super) struct BatchGet {
    stream: Name,
    which: WhichRecords,
    /// Messages before this offset are passed over.
    from: u64,
    /// Messages that may still be given, and their bytes.
    left: u64,
    bytes_left: u64,
    /// It is told how many are left, and where it ends.
    is_batch: bool,
    /// Offsets whose messages are still to be given.
    offsets: VecDeque<u64>,
    /// How many there are behind those.
    behind: u64,
    /// Up to where was looked.
    end: u64,
    /// The last sequence that was given; 0: none was.
    last: u64,
}

impl GetRequest {
    /// Whether it can mean more than one message, or one that is found in two steps.
    pub(super) fn wants_several(&self) -> bool {
        self.batch > 0 || !self.multi_last.is_empty() || self.start_time.is_some()
    }

    /// What is to be picked, or how it is refused.
    fn which(&self) -> Result<WhichRecords, &'static str> {
        let bad = "408 Bad Request";
        let time = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => parse_time(text).map(Some).ok_or("408 Malformed Request"),
        };
        let (start, up_to) = (time(&self.start_time)?, time(&self.up_to_time)?);
        let subjects = self.multi_last.iter().chain([&self.next_by_subj]);
        let mut subjects = subjects.filter(|one| !one.is_empty());
        if !self.last_by_subj.is_empty()
            || (self.seq > 0 && start.is_some())
            || (!self.next_by_subj.is_empty() && !self.multi_last.is_empty())
            || (self.up_to_seq > 0 && up_to.is_some())
            || self.multi_last.len() > PATTERNS_MAX
            || !subjects.all(|one| is_valid(one.as_bytes()))
        {
            return Err(bad);
        }
        if !self.multi_last.is_empty() {
            let keys = self.multi_last.iter().map(|one| filter(one.as_bytes()));
            let before = match (up_to, self.up_to_seq) {
                (Some(time), _) => Some(RecordsFrom::Time(time)),
                (None, 0) => None,
                (None, sequence) => Some(RecordsFrom::Offset(sequence)),
            };
            return Ok(WhichRecords::LastOf {
                keys: keys.collect(),
                before,
            });
        }
        if self.seq == 0 && self.next_by_subj.is_empty() && start.is_none() {
            return Err("408 Empty Request");
        }
        let next = Some(&self.next_by_subj).filter(|next| !next.is_empty());
        Ok(WhichRecords::NextOf {
            keys: next.map(|next| filter(next.as_bytes())),
            from: match start {
                Some(time) => RecordsFrom::Time(time),
                None => RecordsFrom::Offset(self.seq.saturating_sub(1)),
            },
        })
    }
}

impl Connection {
    /// Several messages are asked for.
    pub(super) fn batch_get(&mut self, stream: Name, reply: &[u8], asked: &GetRequest) {
        let which = match asked.which() {
            Ok(which) => which,
            Err(status) => return self.tell_status(reply, status),
        };
        let most = self.settings.pending_bytes_max as u64;
        let is_last = matches!(which, WhichRecords::LastOf { .. });
        let batch = BatchGet {
            stream,
            which,
            from: asked.seq.saturating_sub(1),
            left: match asked.batch {
                0 if is_last => u64::MAX,
                batch => batch.max(1),
            },
            bytes_left: match asked.max_bytes {
                0 => most,
                bytes => bytes.min(most),
            },
            is_batch: asked.batch > 0 || is_last,
            offsets: VecDeque::new(),
            behind: 0,
            end: 0,
            last: 0,
        };
        self.pick_on(reply, Box::new(batch));
    }

    fn pick_on(&mut self, to: &[u8], batch: Box<BatchGet>) {
        let is_last = matches!(batch.which, WhichRecords::LastOf { .. });
        let pick = Pick {
            partition: partition(&batch.stream),
            which: batch.which.clone(),
            records_max: match is_last {
                true => LAST_MAX,
                // Smaller than the bound of the same name.
                false => batch.left.min(PICKED_AT_ONCE) as u32,
            },
        };
        self.ask_log(to, Step::BatchPick(batch), LogRequest::Pick(pick));
    }

    pub(super) fn batch_picked(&mut self, to: &[u8], mut batch: Box<BatchGet>, reply: LogReply) {
        let LogReply::Picked(Ok(picked)) = reply else {
            return self.tell_status(to, "404 Message Not Found");
        };
        let PickedRecords { offsets, left, end } = picked;
        batch.end = end;
        let is_last = matches!(batch.which, WhichRecords::LastOf { .. });
        if is_last && left > 0 {
            return self.tell_status(to, "413 Too Many Results");
        }
        if is_last && offsets.is_empty() {
            return self.tell_status(to, "404 No Results");
        }
        if offsets.is_empty() && batch.last == 0 {
            return self.tell_status(to, "404 Message Not Found");
        }
        batch.behind = left;
        batch.offsets = offsets.into();
        if is_last {
            batch.offsets.retain(|offset| *offset >= batch.from);
        }
        self.fill_on(to, batch);
    }

    /// Asks for the next messages, or ends the batch.
    fn fill_on(&mut self, to: &[u8], mut batch: Box<BatchGet>) {
        if batch.offsets.is_empty() && batch.behind > 0 && batch.wants_more() {
            if let WhichRecords::NextOf { from, .. } = &mut batch.which {
                *from = RecordsFrom::Offset(batch.last);
            }
            return self.pick_on(to, batch);
        }
        if batch.offsets.is_empty() || !batch.wants_more() {
            return self.end_batch(to, &batch);
        }
        let most = FILLED_AT_ONCE.min(usize::try_from(batch.left).unwrap_or(FILLED_AT_ONCE));
        let wanted = batch.offsets.iter().take(most).map(|offset| {
            let place = Place::Record(WhichRecord::At(*offset));
            (partition(&batch.stream), place)
        });
        let wanted = wanted.collect();
        self.ask_log(to, Step::BatchFill(batch), LogRequest::FindOffsets(wanted));
    }

    pub(super) fn batch_filled(&mut self, to: &[u8], mut batch: Box<BatchGet>, reply: LogReply) {
        let LogReply::Offsets(found) = reply else {
            return;
        };
        for found in found {
            match found {
                Ok(found) => {
                    batch.offsets.pop_front();
                    // One that went meanwhile is not told.
                    if let Some(run) = found.and_then(|found| found.run) {
                        self.give(to, &mut batch, &run);
                    }
                }
                // They are too large to be had together: the others are asked for again.
                Err(LogError::Unavailable(_)) => break,
                Err(_) => return self.tell_status(to, "404 Message Not Found"),
            }
            if !batch.wants_more() {
                break;
            }
        }
        self.fill_on(to, batch);
    }

    /// Answers with one message.
    fn give(&mut self, to: &[u8], batch: &mut BatchGet, run: &Run) {
        let more = match batch.is_batch {
            true => format!(
                "Nats-Num-Pending: {}\r\nNats-Last-Sequence: {}\r\n",
                batch.pending(),
                batch.last
            ),
            false => String::new(),
        };
        let readers = &self.settings.readers;
        let Some((headers, body)) = direct_headers(batch.stream.as_str(), run, readers, &more)
        else {
            return;
        };
        batch.left -= 1;
        batch.bytes_left = batch
            .bytes_left
            .saturating_sub((headers.len() + body.len()) as u64);
        batch.last = run.offset + 1;
        self.jetstream.answers.add(to, &headers, body);
    }

    fn end_batch(&mut self, to: &[u8], batch: &BatchGet) {
        if !batch.is_batch {
            if batch.last == 0 {
                self.tell_status(to, "404 Message Not Found");
            }
            return;
        }
        let mut status = format!(
            "204 EOB\r\nNats-Num-Pending: {}\r\nNats-Last-Sequence: {}",
            batch.pending(),
            batch.last
        );
        if matches!(batch.which, WhichRecords::LastOf { .. }) {
            status.push_str(&format!("\r\nNats-UpTo-Sequence: {}", batch.end));
        }
        self.tell_status(to, &status);
    }
}

impl BatchGet {
    fn wants_more(&self) -> bool {
        self.left > 0 && self.bytes_left > 0
    }

    /// How many there are behind what was given.
    fn pending(&self) -> u64 {
        self.offsets.len() as u64 + self.behind
    }
}
