//! Settlements: ack, nack, reject and recover.

use polybus_model::{LeaseId, Outcome};

use super::channel::{Channel, Mode};
use super::core::Core;
use super::streams::is_streams;
use crate::codec::{
    BasicAck, BasicNack, BasicRecover, BasicRecoverAsync, BasicRecoverOk, BasicReject,
    FRAME_OVERHEAD, Frames, MethodId,
};
use crate::error::{Code, Fault};

/// A frame of `basic.ack`: its id, the tag and a bit.
const ACK_FRAME_LEN: usize = FRAME_OVERHEAD + 4 + 8 + 1;

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

    /// Takes the acks that are next in `frames`, as long as each is of one delivery that waits for it. Not within a
    /// transaction.
    #[inline]
    pub(super) fn take_acks(&mut self, core: &mut Core, frames: &mut Frames<'_>) {
        if self.streams.have_been_used() {
            // Each is to be looked at.
            return;
        }
        let Some(first) = self.next_acked(frames) else {
            return;
        };
        let room = 1 + self.unsettled.len().min(frames.rest_len() / ACK_FRAME_LEN);
        let lane = self.lane;
        let more = std::iter::from_fn(|| self.next_acked(frames));
        core.settle(
            lane,
            Outcome::Accept,
            room,
            std::iter::once(first).chain(more),
        );
    }

    #[inline]
    fn next_acked(&mut self, frames: &mut Frames<'_>) -> Option<LeaseId> {
        let mut ahead = frames.clone();
        let ack = ahead.next_ack(self.number)?;
        if ack.multiple {
            return None;
        }
        let lease = self.unsettled.take(ack.delivery_tag)?;
        *frames = ahead;
        Some(lease)
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
        if is_streams(lease) {
            self.streams.settled(lease);
            return Ok(());
        }
        match &mut self.mode {
            Mode::Tx(tx) => tx.settle(tag, lease, outcome),
            Mode::Plain | Mode::Confirm(_) => core.settle(self.lane, outcome, 1, [lease]),
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
        self.settle_streams(&mut taken, |(_, lease)| *lease);
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
                    taken.len(),
                    taken.into_iter().map(|(_, lease)| lease),
                );
            }
        }
        Ok(())
    }

    /// Takes those of streams out of what is to be settled: they give credit, and nothing else.
    fn settle_streams<T>(&mut self, taken: &mut Vec<T>, lease: impl Fn(&T) -> LeaseId) {
        if self.streams.have_been_used() {
            taken.retain(|one| {
                let lease = lease(one);
                if is_streams(lease) {
                    self.streams.settled(lease);
                }
                !is_streams(lease)
            });
        }
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
        self.settle_streams(&mut leases, |lease| *lease);
        let outcome = Outcome::Release { failed: false };
        core.settle(self.lane, outcome, leases.len(), leases);
        if answers {
            core.send(self.number, &BasicRecoverOk {});
        }
        Ok(())
    }
}
