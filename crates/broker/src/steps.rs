//! A broker without threads, for the simulation and for tests: whoever holds it takes the steps that `threads.rs` takes
//! otherwise, one by one, on a disk and with a clock of their own. The same seed and the same steps give the same run.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use polybus_journal::Io;
use polybus_model::{Error, Name};

use crate::broker::{Broker, Inner, Login};
use crate::connection::Connection;
use crate::open::{OpenError, open_on};
use crate::options::Options;
use crate::upkeep::Upkeep;

/// The steps of a broker without threads.
pub struct Steps {
    inner: Arc<Inner>,
    logins: Receiver<Login>,
    upkeep: Upkeep,
}

impl Broker {
    /// Opens a folder on any disk, without threads.
    ///
    /// # Errors
    /// As [`Broker::open`].
    pub fn open_stepwise(
        options: Options,
        io: Arc<dyn Io>,
        seed: u64,
    ) -> Result<(Self, Steps), OpenError> {
        let opened = open_on(&options, io, Some(seed))?;
        let upkeep = Upkeep::new(options.segment_bytes, options.durability);
        let (inner, logins) = Inner::assemble(options, opened);
        Ok((
            Self(Arc::clone(&inner)),
            Steps {
                inner,
                logins,
                upkeep,
            },
        ))
    }
}

impl Steps {
    /// Writes one frame and hands over what waited for it. False if there is nothing to write.
    ///
    /// # Errors
    /// The journal refused; the broker has failed then.
    pub fn commit(&mut self) -> Result<bool, String> {
        let result = self.inner.commit();
        self.noted(result)
    }

    /// Whether a committer would write now: someone waits for what is staged, or it has waited long enough for company.
    #[must_use]
    pub fn is_commit_due(&self) -> bool {
        self.inner.shard.is_commit_due()
    }

    /// Reads one run of messages back. False if none is wanted.
    ///
    /// # Errors
    /// A message cannot be read back; the broker has failed then.
    pub fn load(&mut self) -> Result<bool, String> {
        let result = self.inner.shard.load_one(self.inner.clock.now());
        self.noted(result)
    }

    /// Does what is due by the clock.
    pub fn timers(&mut self) {
        self.inner.shard.run_timers(self.inner.clock.now());
    }

    /// Looks after snapshots, old segments and disk space.
    ///
    /// # Errors
    /// The journal refused; the broker has failed then.
    pub fn upkeep(&mut self) -> Result<(), String> {
        let looked = self.inner.look_at_disk();
        let free = self.noted(looked)?;
        let result = self.upkeep.step(&self.inner.shard, free);
        self.noted(result)
    }

    /// Checks one waiting login. False if there is none.
    pub fn log_in(&mut self) -> bool {
        let Ok(login) = self.logins.try_recv() else {
            return false;
        };
        self.inner.log_in(&login);
        true
    }

    /// Lets a connection into a namespace without a login, allowed everything.
    ///
    /// # Errors
    /// There is no such namespace.
    pub fn enter(&self, connection: &mut Connection, namespace: &Name) -> Result<(), Error> {
        connection.enter_freely(namespace)
    }

    fn noted<T>(&self, result: Result<T, String>) -> Result<T, String> {
        if let Err(reason) = &result {
            self.inner.fail(reason.clone());
        }
        result
    }
}
