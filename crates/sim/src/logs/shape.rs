//! Which logs there are.

use polybus_model::{LogRequest, LogSettings, PartitionName};

use super::Partition;
use crate::random::Random;
use crate::shape::name;

/// Declarations, and all partitions.
pub(super) fn logs(random: &mut Random) -> (Vec<LogRequest>, Vec<Partition>) {
    let (mut logs, mut partitions) = (Vec::new(), Vec::new());
    for number in 0..random.between(1, 3) {
        let name = name(&format!("log{number}"));
        let settings = LogSettings {
            partitions: random.between(1, 3) as u32,
            retention_bytes: random.chance(50).then(|| random.between(2_000, 20_000)),
            retention_ms: random.chance(25).then(|| random.between(20_000, 4_000_000)),
            ..LogSettings::default()
        };
        for partition in 0..settings.partitions {
            let log = name.clone();
            let name = PartitionName { log, partition };
            partitions.push(Partition::new(name, &settings));
        }
        logs.push(LogRequest::Declare {
            name,
            settings,
            dry_run: false,
        });
    }
    (logs, partitions)
}
