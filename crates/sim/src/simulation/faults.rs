//! What goes wrong in an epoch, and how it ends.

use polybus_journal::Io as _;

use super::Simulation;

/// What was armed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The power goes (or the process dies) in the middle of a write.
    PowerAtWrite(u64),
    /// A sync fails.
    SyncFails(u64),
    /// The disk fills up.
    DiskFull(u64),
}

impl Simulation {
    /// Chooses the next epoch's fault.
    pub(super) fn arm(&mut self) {
        let random = &mut self.random;
        self.fault = match random.below(10) {
            0..=2 => Fault::PowerAtWrite(random.below(80)),
            3 => Fault::SyncFails(random.below(60)),
            4 => Fault::DiskFull(random.below(700 << 10)),
            _ => Fault::None,
        };
        self.trace.note(format_args!("armed: {:?}", self.fault));
        match self.fault {
            Fault::None => {}
            Fault::PowerAtWrite(after) => self.disk.lose_power(after),
            Fault::SyncFails(after) => self.disk.fail_sync(after),
            Fault::DiskFull(room) => {
                self.disk.set_capacity(None);
                let used = (1 << 40) - self.disk.free_bytes().unwrap_or(0);
                self.disk.set_capacity(Some(used + room));
            }
        }
    }
}
