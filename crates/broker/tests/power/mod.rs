//! A broker with one session on a simulated disk that may lose power, and a seeded dice.

use std::sync::Arc;

use polybus_broker::{Broker, Connection, Options, Steps};
use polybus_journal::MemoryIo;
use polybus_model::{Name, PartitionName};
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

pub(crate) fn open(disk: &MemoryIo) -> (Broker, Steps, Connection) {
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
