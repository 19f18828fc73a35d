//! What a log costs: figures are per run of 16 KiB. `cargo bench -p polybus-engine --bench log`

#![allow(missing_docs)]

use std::hint::black_box;
use std::num::NonZeroU64;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use polybus_engine::{Effects, Engine, Options, Place, Shared, Store, Stored};
use polybus_model::{
    Append, Batch, Event, Lane, LogReply, LogRequest, LogSettings, Name, NewRun, Origin,
    PartitionName, Read, ReadRequest, Request, RunContent, SessionId, Writer,
};

const BATCH: usize = 100;
const RUN_BYTES: usize = 16 << 10;
const RECORDS: u32 = 160;
const SESSION: SessionId = SessionId(1);
const NOW: u64 = 1_700_000_000_000;

fn main() {
    divan::main();
}

/// Counts.
#[derive(Default)]
struct Shelf(u64);

impl Store for Shelf {
    fn append(
        &mut self,
        _: u8,
        _: u64,
        _: u64,
        parts: &[&[u8]],
        shared: Option<Shared<'_>>,
        _: u32,
    ) -> Stored {
        self.0 += 1;
        let len = parts.iter().map(|part| part.len()).sum::<usize>()
            + shared.map_or(0, |shared| shared.bytes.len());
        Stored {
            place: Place(NonZeroU64::new(self.0).unwrap_or(NonZeroU64::MIN)),
            len: len as u32,
        }
    }

    fn adopt(&mut self, _: Place, _: u32) {}

    fn release(&mut self, _: Place, _: u32) {}
}

struct Desk {
    engine: Engine,
    shelf: Shelf,
    out: Effects,
    batch: Batch,
    log: Name,
    bytes: Bytes,
    sequence: u32,
    /// Runs that the last read brought.
    read: usize,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|_| Name::empty())
}

impl Desk {
    fn new() -> Self {
        let mut engine = Engine::new(Options::default());
        let _ = engine.attach(SESSION, &name("/"));
        let mut desk = Self {
            engine,
            shelf: Shelf::default(),
            out: Effects::default(),
            batch: Batch::default(),
            log: name("bench"),
            bytes: Bytes::from(vec![b'x'; RUN_BYTES]),
            sequence: 0,
            read: 0,
        };
        desk.ask(LogRequest::Declare {
            name: desk.log.clone(),
            settings: LogSettings::default(),
            dry_run: false,
        });
        desk.turn();
        desk
    }

    fn ask(&mut self, request: LogRequest) {
        let request = Request::Log {
            number: 1,
            request: Box::new(request),
        };
        self.batch.requests.push((Lane(1), request));
    }

    fn partition(&self) -> PartitionName {
        PartitionName {
            log: self.log.clone(),
            partition: 0,
        }
    }

    /// One turn, and what it appended is durable.
    fn turn(&mut self) {
        let (shelf, out) = (&mut self.shelf, &mut self.out);
        self.engine
            .handle(SESSION, &mut self.batch, NOW, shelf, out);
        if let Some(mark) = out.durable.take() {
            self.engine.handle_durable(mark, shelf, out);
        }
        black_box(out.gated.len());
        out.gated.clear();
        for (_, event) in out.events.drain(..) {
            if let Event::Log { reply, .. } = event
                && let LogReply::Read(slices) = *reply
            {
                let slices = slices.into_iter().flatten();
                self.read = slices.map(|slice| slice.runs.len()).sum();
            }
        }
    }

    fn append(&mut self) {
        for _ in 0..BATCH {
            let run = NewRun {
                time_min: None,
                keyed: false,
                count: RECORDS,
                time_max: Some(NOW),
                writer: Some(Writer {
                    producer: 1,
                    epoch: 0,
                    sequence: self.sequence,
                    transactional: false,
                }),
                crc: None,
                content: RunContent::Packed {
                    origin: Origin(2),
                    bytes: self.bytes.clone(),
                },
            };
            self.sequence = (self.sequence + RECORDS) & i32::MAX as u32;
            let partition = self.partition();
            self.ask(LogRequest::Append(vec![Append {
                partition,
                id: None,
                run,
            }]));
        }
        self.turn();
    }

    fn read_tail(&mut self, offset: u64) {
        let read = Read {
            partition: self.partition(),
            id: None,
            offset,
            bytes_max: 8 << 20,
        };
        self.ask(LogRequest::Read(ReadRequest {
            reads: vec![read],
            bytes_max: 8 << 20,
            bytes_min: 1,
            wait_ms: 0,
            committed: false,
        }));
        self.turn();
    }
}

#[divan::bench(sample_count = 100, sample_size = 20)]
fn append(bencher: Bencher<'_, '_>) {
    let mut desk = Desk::new();
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench_local(|| desk.append());
}

/// A read of the last hundred runs, all in memory.
#[divan::bench(sample_count = 100, sample_size = 20)]
fn read_tail(bencher: Bencher<'_, '_>) {
    let mut desk = Desk::new();
    desk.append();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        desk.read_tail(0);
        assert_eq!(desk.read, BATCH);
    });
}
