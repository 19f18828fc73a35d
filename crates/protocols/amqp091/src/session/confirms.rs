//! A channel's publisher confirms: the broker's numbers to as few `basic.ack` as can be.
//!
//! A refused publish is told by a nack at once; the acks around it never cover it, since some clients (amqp091-go) would
//! take a later `multiple` ack for the answer to a nack that they put aside.

use std::collections::VecDeque;

use super::core::Core;
use crate::codec::{BasicAck, BasicNack};

/// A channel in confirm mode.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    published: u64,
    confirmed: u64,
    /// Refused numbers above `confirmed`, rising.
    refused: VecDeque<u64>,
}

impl Confirms {
    /// The number of the next publish.
    #[inline]
    pub(super) fn next_number(&mut self) -> u64 {
        self.published += 1;
        self.published
    }

    /// The publish with this number was refused.
    pub(super) fn handle_refused(&mut self, number: u64, channel: u16, core: &mut Core) {
        if number > self.confirmed {
            let at = self.refused.partition_point(|refused| *refused < number);
            self.refused.insert(at, number);
        }
        let nack = BasicNack {
            delivery_tag: number,
            multiple: false,
            // RabbitMQ sets it in nacks to publishers, and nobody reads it.
            requeue: true,
        };
        core.send(channel, &nack);
    }

    /// All up to this number are taken care of.
    #[inline]
    pub(super) fn handle_confirmed(&mut self, through: u64, channel: u16, core: &mut Core) {
        while let Some(refused) = self.refused.front().copied() {
            if refused > through {
                break;
            }
            self.refused.pop_front();
            self.ack_through(refused - 1, channel, core);
            self.confirmed = refused;
        }
        self.ack_through(through, channel, core);
    }

    #[inline]
    fn ack_through(&mut self, through: u64, channel: u16, core: &mut Core) {
        if through > self.confirmed {
            let ack = BasicAck {
                delivery_tag: through,
                multiple: through - self.confirmed > 1,
            };
            self.confirmed = through;
            core.send(channel, &ack);
        }
    }
}
