//! Produces: as fast as answers come, with several requests in flight, or on a schedule.
//!
//! ```text
//! window:    write, write, ... until 5 are unanswered | read one, write one ...
//! schedule:  one thread writes what is due, another reads the answers; sent is when it was due
//! ```
//! What always holds: each partition's base offsets follow each other without a gap.

use std::collections::VecDeque;
use std::time::Duration;

use polybus_kafka::codec::messages::ProduceResponse;

use super::load::{Load, Made, PRODUCE_VERSION};
use super::wire::{Wire, write_all};
use crate::clock::Clock;
use crate::error::BenchError;
use crate::histogram::Histogram;

/// Requests without an answer, as of Kafka's own client.
const IN_FLIGHT_MAX: usize = 5;

/// When it is enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enough {
    /// After so long.
    pub(crate) duration: Duration,
    /// Or after so many records.
    pub(crate) records: u64,
}

/// What was produced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Produced {
    /// Records that were confirmed.
    pub(crate) records: u64,
    /// The end of each partition.
    pub(crate) ends: Vec<i64>,
    /// When the first was sent.
    pub(crate) begin_ns: u64,
    /// When the last was confirmed.
    pub(crate) end_ns: u64,
    /// From a request (or when it was due) to its answer.
    pub(crate) confirms: Histogram,
}

impl Produced {
    fn begin(load: &Load, clock: Clock) -> Self {
        Self {
            ends: vec![0; load.partitions],
            begin_ns: clock.now_ns(),
            ..Self::default()
        }
    }

    /// Takes the next answer, to the request that was sent then.
    fn take(
        &mut self,
        wire: &mut Wire,
        load: &Load,
        sent_ns: u64,
        clock: Clock,
    ) -> Result<(), BenchError> {
        let response: ProduceResponse = wire.answer(PRODUCE_VERSION)?;
        self.end_ns = clock.now_ns();
        self.confirms.record(self.end_ns.saturating_sub(sent_ns));
        let partitions = response.responses.iter();
        for partition in partitions.flat_map(|topic| &topic.partition_responses) {
            if partition.error_code != 0 {
                let what = format!("producing to partition {}", partition.index);
                return Err(BenchError::Closed(partition.error_code as u16, what));
            }
            let index = usize::try_from(partition.index).unwrap_or(usize::MAX);
            match self.ends.get_mut(index) {
                Some(end) if *end == partition.base_offset => *end += load.records as i64,
                end => {
                    return Err(BenchError::Wrong(format!(
                        "partition {index} took a batch at {} that belongs at {end:?}",
                        partition.base_offset
                    )));
                }
            }
            self.records += load.records;
        }
        Ok(())
    }
}

/// Produces as fast as the window allows.
pub(crate) fn produce(
    wire: &mut Wire,
    load: &Load,
    enough: Enough,
    clock: Clock,
) -> Result<Produced, BenchError> {
    let mut produced = Produced::begin(load, clock);
    let stop_ns = produced.begin_ns + enough.duration.as_nanos() as u64;
    let mut in_flight: VecDeque<u64> = VecDeque::new();
    let mut sent = 0;
    let mut requests = load.requests.iter().cycle();
    loop {
        while in_flight.len() < IN_FLIGHT_MAX && sent < enough.records && clock.now_ns() < stop_ns {
            let Some(made) = requests.next() else { break };
            in_flight.push_back(clock.now_ns());
            wire.send(&made.bytes)?;
            sent += made.records;
        }
        let Some(sent_ns) = in_flight.pop_front() else {
            break;
        };
        produced.take(wire, load, sent_ns, clock)?;
    }
    if produced.records == sent {
        Ok(produced)
    } else {
        Err(BenchError::Wrong(format!(
            "{sent} records were sent and {} confirmed",
            produced.records
        )))
    }
}

/// A request every so often, from then on, however long the answers take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// The first.
    pub(crate) begin_ns: u64,
    /// From one to the next.
    pub(crate) every_ns: u64,
    /// How many.
    pub(crate) count: u64,
}

impl Schedule {
    /// When that one is due.
    pub(crate) const fn due_ns(self, number: u64) -> u64 {
        self.begin_ns + number * self.every_ns
    }
}

/// Produces on a schedule.
pub(crate) fn produce_paced(
    wire: &mut Wire,
    load: &Load,
    schedule: Schedule,
    clock: Clock,
) -> Result<Produced, BenchError> {
    let writer = wire.writer()?;
    let Some(Made { bytes, .. }) = load.requests.first() else {
        return Ok(Produced::default());
    };
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            for number in 0..schedule.count {
                let early_ns = schedule.due_ns(number).saturating_sub(clock.now_ns());
                if early_ns > 0 {
                    std::thread::sleep(Duration::from_nanos(early_ns));
                }
                write_all(&writer, bytes)?;
            }
            Ok(())
        });
        let mut produced = Produced::begin(load, clock);
        let mut taken = Ok(());
        for number in 0..schedule.count {
            taken = produced.take(wire, load, schedule.due_ns(number), clock);
            if taken.is_err() {
                break;
            }
        }
        if taken.is_err() {
            // The writer shall not fill a connection that nobody reads.
            wire.shut();
        }
        match writing.join() {
            Ok(written) => taken.and(written).map(|()| produced),
            Err(_) => Err(BenchError::Protocol("a thread ended early".into())),
        }
    })
}
