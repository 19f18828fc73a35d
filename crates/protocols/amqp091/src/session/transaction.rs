//! `tx`: publishes and settlements kept until the commit, then sent as one.

use polybus_model::{LeaseId, Name, Outcome, Publish, Request, Settle, Transaction};

use super::channel::{Channel, Mode};
use super::core::Core;
use super::replies::Pending;
use crate::codec::{
    BasicPublish, ConfirmSelect, ConfirmSelectOk, MethodId, TxCommit, TxRollback, TxRollbackOk,
    TxSelect, TxSelectOk,
};
use crate::error::Fault;

/// A transaction that is open.
#[derive(Debug, Default)]
pub(super) struct Tx {
    publishes: Vec<Publish>,
    settled: Vec<(u64, LeaseId, Outcome)>,
    bytes: usize,
    /// The exchange that was last found to be there.
    known: Option<Name>,
}

impl Tx {
    /// Whether the exchange is known to be there.
    pub(super) fn knows(&self, exchange: &str) -> bool {
        exchange.is_empty()
            || self
                .known
                .as_ref()
                .is_some_and(|known| known.as_str() == exchange)
    }

    /// The exchange is there.
    pub(super) fn learn(&mut self, exchange: Name) {
        self.known = Some(exchange);
    }

    /// Keeps a publish.
    pub(super) fn push(&mut self, publish: Publish, bytes_max: usize) -> Result<(), Fault> {
        self.bytes += publish.message.memory_size();
        if self.bytes > bytes_max {
            return Err(Fault::precondition(
                BasicPublish::ID,
                format!("the transaction is larger than {bytes_max} bytes"),
            ));
        }
        self.publishes.push(publish);
        Ok(())
    }

    /// Keeps a settlement.
    pub(super) fn settle(&mut self, tag: u64, lease: LeaseId, outcome: Outcome) {
        self.settled.push((tag, lease, outcome));
    }

    fn into_transaction(self) -> Transaction {
        let mut settles: Vec<Settle> = Vec::new();
        for (_, lease, outcome) in self.settled {
            match settles.last_mut() {
                Some(last) if last.outcome == outcome => last.leases.push(lease),
                _ => settles.push(Settle {
                    leases: vec![lease],
                    outcome,
                }),
            }
        }
        Transaction {
            publishes: self.publishes,
            settles,
        }
    }
}

fn not_transactional(method: MethodId) -> Fault {
    Fault::precondition(method, "channel is not transactional")
}

impl Channel {
    pub(super) fn select_confirms(
        &mut self,
        core: &mut Core,
        method: &ConfirmSelect,
    ) -> Result<(), Fault> {
        match self.mode {
            Mode::Plain => self.mode = Mode::Confirm(super::confirms::Confirms::default()),
            Mode::Confirm(_) => {}
            Mode::Tx(_) => {
                return Err(Fault::precondition(
                    ConfirmSelect::ID,
                    "cannot switch from tx to confirm mode",
                ));
            }
        }
        if !method.nowait {
            core.send(self.number, &ConfirmSelectOk {});
        }
        Ok(())
    }

    pub(super) fn select_tx(&mut self, core: &mut Core) -> Result<(), Fault> {
        match self.mode {
            Mode::Plain => self.mode = Mode::Tx(Box::default()),
            Mode::Tx(_) => {}
            Mode::Confirm(_) => {
                return Err(Fault::precondition(
                    TxSelect::ID,
                    "cannot switch from confirm to tx mode",
                ));
            }
        }
        core.send(self.number, &TxSelectOk {});
        Ok(())
    }

    pub(super) fn commit(&mut self, core: &mut Core) -> Result<(), Fault> {
        let Mode::Tx(tx) = &mut self.mode else {
            return Err(not_transactional(TxCommit::ID));
        };
        let transaction = std::mem::take(&mut **tx).into_transaction();
        let request = Request::Transaction(Box::new(transaction));
        self.ask(core, request, Pending::Commit);
        Ok(())
    }

    pub(super) fn roll_back(&mut self, core: &mut Core) -> Result<(), Fault> {
        let Mode::Tx(tx) = &mut self.mode else {
            return Err(not_transactional(TxRollback::ID));
        };
        let Tx { settled, .. } = std::mem::take(&mut **tx);
        self.unsettled
            .restore(settled.into_iter().map(|(tag, lease, _)| (tag, lease)));
        core.send(self.number, &TxRollbackOk {});
        Ok(())
    }
}
