//! A broker with one session on a simulated disk that may lose power, and a seeded dice.

use std::sync::Arc;

use polybus_broker::{Broker, Connection, Options, Steps};
use polybus_journal::{CrashMode, MemoryIo};
use polybus_model::{
    Batch, Event, Lane, LogReply, LogRequest, LogSettings, Name, PartitionName, Request,
};
use polybus_session::Peer;

/// Numbers without pattern (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (b ^ (b >> 31)) % below
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn partition(partition: u32) -> PartitionName {
    PartitionName {
        log: name("l"),
        partition,
    }
}

/// A broker on a disk, and the session that asks it.
pub(crate) struct Desk {
    pub(crate) disk: MemoryIo,
    // Dropped before what its connection and its steps are of.
    broker: Broker,
    pub(crate) steps: Steps,
    connection: Connection,
    next_number: u64,
}

impl Desk {
    /// A fresh folder, with the log `l` of so many partitions.
    pub(crate) fn new(partitions: u32) -> Self {
        let disk = MemoryIo::new();
        let (broker, steps, connection) = open(&disk);
        let mut desk = Self {
            disk,
            broker,
            steps,
            connection,
            next_number: 0,
        };
        desk.ask(LogRequest::Declare {
            name: name("l"),
            settings: LogSettings {
                partitions,
                ..LogSettings::default()
            },
            dry_run: false,
        });
        desk.write_all();
        desk.replies();
        desk
    }

    /// The power goes, and comes back.
    pub(crate) fn lose_power(&mut self, dice: &mut Dice) {
        let mode = match dice.roll(3) {
            0 => CrashMode::Process,
            1 => CrashMode::LoseUnsynced,
            _ => CrashMode::Tear,
        };
        self.disk.crash(mode, dice.roll(u64::MAX));
        (self.broker, self.steps, self.connection) = open(&self.disk);
    }

    /// Asks; gives the number that the answer will have.
    pub(crate) fn ask(&mut self, request: LogRequest) -> u64 {
        self.next_number += 1;
        let number = self.next_number;
        let request = Box::new(request);
        let requests = vec![(Lane(1), Request::Log { number, request })];
        self.connection.submit(&mut Batch { requests });
        number
    }

    /// Lets the disk take all that was staged.
    pub(crate) fn write_all(&mut self) {
        while self.steps.commit().unwrap() {}
    }

    /// Lets the disk give all that was asked of it.
    pub(crate) fn read_all(&mut self) {
        while self.steps.load().unwrap() {}
    }

    /// What was answered since it was asked last.
    pub(crate) fn replies(&mut self) -> Vec<(u64, LogReply)> {
        let mut events = Vec::new();
        self.connection.take_events(&mut events);
        let replies = events.into_iter().filter_map(|event| match event {
            Event::Log { number, reply } => Some((number, *reply)),
            _ => None,
        });
        replies.collect()
    }
}

fn open(disk: &MemoryIo) -> (Broker, Steps, Connection) {
    let options = Options {
        first_user: None,
        segment_bytes: 16 << 10,
        resident_bytes_max: 64 << 10,
        ..Options::new("simulated")
    };
    let (broker, steps) = Broker::open_stepwise(options, Arc::new(disk.clone()), 1).unwrap();
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let peer = Peer {
        remote: nowhere,
        local: nowhere,
        tls: false,
        certificate_name: None,
    };
    let mut connection = broker.connect("test", &peer).unwrap();
    steps.enter(&mut connection, &name("/")).unwrap();
    (broker, steps, connection)
}
