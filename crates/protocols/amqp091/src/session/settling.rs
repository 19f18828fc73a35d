//! Settlements: ack, nack, reject and recover.

use polybus_model::{LeaseId, Outcome};

use super::channel::{Channel, Mode};
use super::core::Core;
use crate::codec::{
    BasicAck, BasicNack, BasicRecover, BasicRecoverAsync, BasicRecoverOk, BasicReject, MethodId,
};
use crate::error::{Code, Fault};

/// What a nack says. It is no failed delivery (RabbitMQ 4.3), as a reject is.
fn nacked(requeue: bool) -> Outcome {
    if requeue {
        Outcome::Release { failed: false }
    } else {
        Outcome::Reject
    }
}

fn rejected(requeue: bool) -> Outcome {
    if requeue {
        Outcome::Release { failed: true }
    } else {
        Outcome::Reject
    }
}

fn unknown_tag(tag: u64, method: MethodId) -> Fault {
    Fault::precondition(method, format!("unknown delivery tag {tag}"))
}

impl Channel {
    #[inline]
    pub(super) fn handle_ack(&mut self, core: &mut Core, ack: &BasicAck) -> Result<(), Fault> {
        let tag = ack.delivery_tag;
        if ack.multiple {
            self.settle_through(core, tag, Outcome::Accept, BasicAck::ID)
        } else {
            self.settle_one(core, tag, Outcome::Accept, BasicAck::ID)
        }
    }

    pub(super) fn handle_nack(&mut self, core: &mut Core, nack: &BasicNack) -> Result<(), Fault> {
        let (tag, outcome) = (nack.delivery_tag, nacked(nack.requeue));
        if nack.multiple {
            self.settle_through(core, tag, outcome, BasicNack::ID)
        } else {
            self.settle_one(core, tag, outcome, BasicNack::ID)
        }
    }

    pub(super) fn handle_reject(
        &mut self,
        core: &mut Core,
        reject: &BasicReject,
    ) -> Result<(), Fault> {
        let outcome = rejected(reject.requeue);
        self.settle_one(core, reject.delivery_tag, outcome, BasicReject::ID)
    }

    #[inline]
    fn settle_one(
        &mut self,
        core: &mut Core,
        tag: u64,
        outcome: Outcome,
        method: MethodId,
    ) -> Result<(), Fault> {
        let lease = self
            .unsettled
            .take(tag)
            .ok_or_else(|| unknown_tag(tag, method))?;
        match &mut self.mode {
            Mode::Tx(tx) => tx.settle(tag, lease, outcome),
            Mode::Plain | Mode::Confirm(_) => core.settle(self.lane, outcome, [lease]),
        }
        Ok(())
    }

    fn settle_through(
        &mut self,
        core: &mut Core,
        tag: u64,
        outcome: Outcome,
        method: MethodId,
    ) -> Result<(), Fault> {
        let mut taken: Vec<(u64, LeaseId)> = Vec::new();
        if tag == 0 {
            self.unsettled
                .take_all(|tag, lease| taken.push((tag, lease)));
        } else if !self
            .unsettled
            .take_through(tag, |tag, lease| taken.push((tag, lease)))
        {
            return Err(unknown_tag(tag, method));
        }
        match &mut self.mode {
            Mode::Tx(tx) => {
                for (tag, lease) in taken {
                    tx.settle(tag, lease, outcome);
                }
            }
            Mode::Plain | Mode::Confirm(_) => {
                core.settle(
                    self.lane,
                    outcome,
                    taken.into_iter().map(|(_, lease)| lease),
                );
            }
        }
        Ok(())
    }

    pub(super) fn recover(
        &mut self,
        core: &mut Core,
        requeue: bool,
        answers: bool,
    ) -> Result<(), Fault> {
        if !requeue {
            let method = if answers {
                BasicRecover::ID
            } else {
                BasicRecoverAsync::ID
            };
            return Err(Fault::new(Code::NotImplemented, method, "requeue=false"));
        }
        let mut leases = Vec::new();
        self.unsettled.take_all(|_, lease| leases.push(lease));
        core.settle(self.lane, Outcome::Release { failed: false }, leases);
        if answers {
            core.send(self.number, &BasicRecoverOk {});
        }
        Ok(())
    }
}
