//! The workloads, as data.

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Produce as fast as confirms come.
    Produce,
    /// Read what is there.
    Consume,
    /// The same after a restart, with nothing of the files in memory.
    ConsumeCold,
    /// Produce on a schedule, and consume at once.
    EndToEnd,
}

/// A workload.
#[derive(Clone, Debug)]
pub struct Work {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: String,
    /// What is done.
    pub kind: Kind,
    /// The size of each record's value.
    pub value_bytes: usize,
    /// The size of a batch.
    pub batch_bytes: usize,
    /// How many partitions the topic has.
    pub partitions: usize,
    /// Records a second, if on a schedule.
    pub rate_per_s: u64,
    /// Bytes to read, or at most to write.
    pub bytes: u64,
}

/// What tells the rate of the one on a schedule.
pub(crate) const RATE_FROM: &str = "produce-100b-16k";

/// All of them.
#[must_use]
pub fn works() -> Vec<Work> {
    let base = Work {
        name: "",
        about: String::new(),
        kind: Kind::Produce,
        value_bytes: 100,
        batch_bytes: 16 << 10,
        partitions: 1,
        rate_per_s: 20_000,
        bytes: 1 << 30,
    };
    let produces = [
        (RATE_FROM, 100, 16 << 10, 1),
        ("produce-100b-16k-16", 100, 16 << 10, 16),
        ("produce-100b-1m", 100, 1 << 20, 1),
        ("produce-100b-1m-16", 100, 1 << 20, 16),
        ("produce-1k-16k", 1024, 16 << 10, 1),
        ("produce-1k-16k-16", 1024, 16 << 10, 16),
        ("produce-1k-1m", 1024, 1 << 20, 1),
        ("produce-1k-1m-16", 1024, 1 << 20, 16),
    ];
    let produce = |(name, value_bytes, batch_bytes, partitions): (_, usize, usize, usize)| Work {
        name,
        about: format!(
            "{value_bytes} B, batches of {} KiB, {}",
            batch_bytes >> 10,
            match partitions {
                1 => "1 partition".into(),
                many => format!("{many} partitions"),
            }
        ),
        value_bytes,
        batch_bytes,
        partitions,
        ..base.clone()
    };
    let reads = [
        (
            "consume-100b",
            Kind::Consume,
            "512 MiB of 100 B that were just produced, 1 partition",
        ),
        (
            "consume-cold-100b",
            Kind::ConsumeCold,
            "the same after a restart, the files not in memory",
        ),
    ];
    let read = |(name, kind, about): (_, _, &str)| Work {
        name,
        about: about.into(),
        kind,
        bytes: 512 << 20,
        ..base.clone()
    };
    let latency = Work {
        name: "end-to-end-100b",
        kind: Kind::EndToEnd,
        ..base.clone()
    };
    let works = produces.into_iter().map(produce);
    let works = works.chain(reads.into_iter().map(read));
    works.chain([latency.at(base.rate_per_s)]).collect()
}

impl Work {
    /// The same on another schedule.
    #[must_use]
    pub(crate) fn at(self, rate_per_s: u64) -> Self {
        Self {
            about: format!("100 B in batches of 16 KiB at a fixed {rate_per_s} records/s"),
            rate_per_s,
            ..self
        }
    }
}
