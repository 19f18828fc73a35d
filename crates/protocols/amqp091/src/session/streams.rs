//! Consumers of streams: the session reads a log, and pushes what it reads as far as the prefetch goes.
//!
//! ```text
//! consume -> the broker says it is a log -> where to begin is looked up -> read -> ready -> deliver, up to the prefetch
//!                                                                           ^                 |
//!                                                                           '--- nothing is ready any more, and some credit
//! ```
//! A log with several partitions is read from all of them at once: each partition's messages come in its order, and the offset
//! told is that of the partition. An ack, nack or reject of a delivery gives credit back, and nothing else.
//!
//! What always holds: of one reader at most one read is under way, and what it brought and was not delivered is about
//! [`READ_BYTES_MAX`]; nothing is delivered while more than [`UNWRITTEN_MAX`] wait to be written; where messages were
//! given up before the reader came to them, it goes on with the first that is left.

use std::collections::VecDeque;

use polybus_model::{
    FoundOffset, LeaseId, LogError, LogId, LogReply, LogRequest, LogSummary, Message, Millis, Name,
    PartitionName, Place, Read, ReadRequest, Request, Run, Slice, Table,
};

use super::channel::Channel;
use super::core::Core;
use crate::codec::{BasicConsume, BasicDeliver, ShortBytes};
use crate::error::{Code, Fault, queue_in};
use crate::mapping::delivery::LogPlace;
use crate::mapping::queue::stream_consumer;
use crate::mapping::stream::{Filter, Start, start};

/// Bytes that one read brings; the first run comes even if it is larger.
const READ_BYTES_MAX: u32 = 256 * 1024;
/// With so many bytes unwritten the peer gets no more.
const UNWRITTEN_MAX: usize = 512 * 1024;
/// How long a read waits for records.
const WAIT_MS: Millis = 30_000;
/// A read that came back at once with nothing is not asked again before so long.
const PAUSE_MS: Millis = 100;
/// The queue that leases of streams name: no queue is ever in that slot.
const NO_QUEUE: u32 = u32::MAX;

/// What a consume asked, until it is known that it is of a stream.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) queue: Name,
    pub(super) no_ack: bool,
    pub(super) arguments: Table,
}

/// A consumer of a stream.
#[derive(Debug)]
struct Stream {
    place: u16,
    /// Tells the answers to its reads from those to an earlier consumer in the same place.
    generation: u32,
    log: Name,
    id: LogId,
    filter: Option<Filter>,
    /// Deliveries that it may hold, and those that it does.
    credit: u32,
    held: u32,
    /// The next offset of each partition.
    next: Vec<u64>,
    /// It begins with the last message that there is.
    from_last: bool,
    ready: VecDeque<Ready>,
    is_reading: bool,
    /// When the last read was asked.
    asked_at: Millis,
    /// Not before then is the next one asked.
    pause_until: Option<Millis>,
}

/// A message to deliver.
#[derive(Debug)]
struct Ready {
    partition: u32,
    offset: u64,
    message: Message,
}

/// A channel's consumers of streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    all: Vec<Stream>,
    /// There was one: deliveries of it may wait for their settlement still.
    has_been_used: bool,
}

/// Whether a lease is of a delivery from a stream.
pub(super) fn is_streams(lease: LeaseId) -> bool {
    lease.queue == NO_QUEUE
}

impl Streams {
    /// Whether settlements may be of deliveries from streams.
    pub(super) fn have_been_used(&self) -> bool {
        self.has_been_used
    }

    /// When the next read is to be asked.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.all.iter().filter_map(|one| one.pause_until).min()
    }

    /// Reads may be asked again whose pause is over.
    pub(super) fn end_pauses(&mut self, now: Millis) {
        for stream in &mut self.all {
            stream.pause_until = stream.pause_until.filter(|until| *until > now);
        }
    }

    /// A delivery was settled, however.
    pub(super) fn settled(&mut self, lease: LeaseId) {
        let mut all = self.all.iter_mut();
        if let Some(stream) = all.find(|one| one.generation == lease.stamp) {
            stream.held = stream.held.saturating_sub(1);
        }
    }

    /// The consumer in that place is gone.
    pub(super) fn remove(&mut self, place: u16) {
        self.all.retain(|one| one.place != place);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.all.clear();
    }
}

impl Stream {
    /// Takes what a partition's part of a read brought, and goes on behind it.
    fn take(&mut self, partition: u32, slice: Slice, core: &Core) {
        let behind = slice.runs.last().map(Run::end);
        let mut found = Vec::new();
        for run in slice.into_records() {
            self.take_run(partition, &run, core, &mut found);
        }
        if let (Some(behind), Some(next)) = (behind, self.next.get_mut(partition as usize)) {
            *next = behind;
        }
    }

    fn take_run(
        &mut self,
        partition: u32,
        run: &Run,
        core: &Core,
        found: &mut Vec<(u32, Message)>,
    ) {
        let next = self.next.get(partition as usize).copied().unwrap_or(0);
        found.clear();
        (core.settings.messages_of)(&self.log, &run.content, found);
        for (at, message) in found.drain(..) {
            let offset = run.offset.saturating_add(at.into());
            let is_wanted = |filter: &Filter| filter.matches(&message);
            if offset >= next && self.filter.as_ref().is_none_or(is_wanted) {
                self.ready.push_back(Ready {
                    partition,
                    offset,
                    message,
                });
            }
        }
    }

    /// The places to look up for where it begins: `first` in each partition, then each partition's end, in case there is no
    /// such place.
    fn places(&self, first: Place) -> Vec<(PartitionName, Place)> {
        let mut places = Vec::with_capacity(2 * self.next.len());
        for place in [first, Place::End] {
            for partition in 0..self.next.len() as u32 {
                let log = self.log.clone();
                places.push((PartitionName { log, partition }, place.clone()));
            }
        }
        places
    }

    /// Takes where it begins; false if there is no such log any more.
    fn take_offsets(&mut self, found: &[Result<Option<FoundOffset>, LogError>]) -> bool {
        self.is_reading = false;
        let partitions = self.next.len();
        for (at, next) in self.next.iter_mut().enumerate() {
            let first = found.get(at);
            let end = found.get(at + partitions);
            *next = match (first, end) {
                (Some(Ok(Some(first))), _) => first.offset,
                (Some(Ok(None)), Some(Ok(Some(end)))) => end.offset,
                _ => return false,
            };
            if self.from_last {
                *next = next.saturating_sub(1);
            }
        }
        true
    }

    /// What is to be read next, if it is time.
    fn poll_read(&mut self, now: Millis) -> Option<ReadRequest> {
        let wants = self.held < self.credit && self.ready.is_empty();
        if !wants || self.is_reading || self.pause_until.is_some() {
            return None;
        }
        self.is_reading = true;
        self.asked_at = now;
        Some(self.read_request())
    }

    /// Takes the answer to a read; false if there is no such log any more.
    fn take_slices(&mut self, slices: Vec<Result<Slice, LogError>>, core: &Core) -> bool {
        let now = core.now;
        self.is_reading = false;
        let before = self.next.clone();
        for (partition, slice) in (0..).zip(slices) {
            match slice {
                Ok(slice) => self.take(partition, slice, core),
                Err(LogError::OutOfRange { start, end }) => {
                    if let Some(next) = self.next.get_mut(partition as usize) {
                        *next = (*next).clamp(start, end.max(start));
                    }
                }
                Err(_) => return false,
            }
        }
        let is_futile = before == self.next && now < self.asked_at.saturating_add(PAUSE_MS);
        self.pause_until = is_futile.then(|| self.asked_at.saturating_add(PAUSE_MS));
        true
    }

    fn read_request(&self) -> ReadRequest {
        let reads = self.next.iter().zip(0..).map(|(offset, partition)| Read {
            partition: PartitionName {
                log: self.log.clone(),
                partition,
            },
            id: Some(self.id),
            offset: *offset,
            bytes_max: READ_BYTES_MAX,
        });
        ReadRequest {
            reads: reads.collect(),
            bytes_max: READ_BYTES_MAX,
            bytes_min: 1,
            wait_ms: WAIT_MS,
            committed: true,
        }
    }
}

/// The channel and place of a consumer, in the number of a request for it.
pub(super) fn channel_of(number: u64) -> u16 {
    (number >> 16) as u16
}

fn number_of(channel: u16, stream: &Stream) -> u64 {
    u64::from(stream.generation) << 32 | u64::from(channel) << 16 | u64::from(stream.place)
}

impl Channel {
    /// The queue of a consume is a log.
    pub(super) fn begin_stream(
        &mut self,
        core: &mut Core,
        place: u16,
        asked: &Asked,
        log: LogSummary,
    ) -> Result<(), Fault> {
        let (name, vhost) = (asked.queue.as_str(), core.vhost.as_str());
        let queue = queue_in(name, vhost);
        let refuse = |code, text: String| Err(Fault::new(code, BasicConsume::ID, text));
        if self.has_lane_credit {
            let text = format!("{queue} does not support global qos");
            return refuse(Code::NotImplemented, text);
        }
        let Some(credit) = self.prefetch else {
            let text = format!("consumer prefetch count is not set for stream {queue}");
            return refuse(Code::PreconditionFailed, text);
        };
        if asked.no_ack {
            let text = format!("automatic acknowledgement not supported by stream {queue}");
            return refuse(Code::NotImplemented, text);
        }
        stream_consumer(&asked.arguments, &queue)?;
        let start = start(&asked.arguments, (name, vhost), core.now, BasicConsume::ID)?;
        core.generations = core.generations.wrapping_add(1);
        self.streams.has_been_used = true;
        core.has_streams = true;
        let mut stream = Stream {
            place,
            generation: core.generations,
            log: log.name,
            id: log.id,
            filter: Filter::of(&asked.arguments),
            credit,
            held: 0,
            next: vec![0; log.settings.partitions as usize],
            from_last: start == Start::Last,
            ready: VecDeque::new(),
            is_reading: false,
            asked_at: core.now,
            pause_until: None,
        };
        let first = match start {
            Start::Offset(offset) => {
                stream.next.fill(offset);
                None
            }
            Start::Last | Start::Next => Some(Place::End),
            Start::Time(time) => Some(Place::Time(time)),
        };
        if let Some(first) = first {
            stream.is_reading = true;
            let number = number_of(self.number, &stream);
            let request = Box::new(LogRequest::FindOffsets(stream.places(first)));
            core.tell(self.lane, Request::Log { number, request });
        }
        self.streams.all.push(stream);
        Ok(())
    }

    /// Takes the answer to what a consumer of a stream asked.
    pub(super) fn handle_log(&mut self, core: &mut Core, number: u64, reply: LogReply) {
        let (place, generation) = (number as u16, (number >> 32) as u32);
        let mut all = self.streams.all.iter_mut();
        let stream = all.find(|one| one.place == place && one.generation == generation);
        let Some(stream) = stream else {
            return;
        };
        let is_there = match reply {
            LogReply::Read(slices) => stream.take_slices(slices, core),
            LogReply::Offsets(found) => stream.take_offsets(&found),
            _ => true,
        };
        if !is_there {
            self.streams.remove(place);
            let subscriber = self.subscriber(place);
            self.end_consumer(core, subscriber);
        }
    }

    /// Delivers what is ready, and reads on where nothing is.
    pub(super) fn pump_streams(&mut self, core: &mut Core) {
        // Each in its turn is the first.
        if let Some(first) = self.streams.all.len().checked_sub(1) {
            self.streams.all.rotate_right(first);
        }
        for stream in &mut self.streams.all {
            while stream.held < stream.credit
                && core.out.len() < UNWRITTEN_MAX
                && let Some(ready) = stream.ready.pop_front()
            {
                let Some(consumer) = self.consumers.at(stream.place) else {
                    break;
                };
                stream.held += 1;
                self.last_tag += 1;
                let lease = LeaseId {
                    queue: NO_QUEUE,
                    slot: stream.place.into(),
                    stamp: stream.generation,
                };
                self.unsettled.push(self.last_tag, lease);
                let method = BasicDeliver {
                    consumer_tag: ShortBytes(&consumer.tag),
                    delivery_tag: self.last_tag,
                    redelivered: false,
                    exchange: ShortBytes(ready.message.topic()),
                    routing_key: ShortBytes(ready.message.key()),
                };
                let place = LogPlace {
                    offset: ready.offset,
                    partition: (stream.next.len() > 1).then_some(ready.partition),
                };
                core.send_read(self.number, &method, &ready.message, place);
            }
            if let Some(request) = stream.poll_read(core.now) {
                let number = number_of(self.number, stream);
                let request = Box::new(LogRequest::Read(request));
                core.tell(self.lane, Request::Log { number, request });
            }
        }
    }
}
