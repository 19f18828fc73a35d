//! How a connection or a channel comes to its end.

use polybus_model::{Millis, Request};

use super::{Connection, Phase};
use crate::codec::{ConnectionClose, ConnectionCloseOk};
use crate::error::Fault;

/// How long a peer has to answer `connection.close`.
const CLOSE_TIMEOUT_MS: Millis = 10_000;
/// How long a peer is kept that sent what cannot be read, or whose login was refused, so that it does not come back at once.
const SILENCE_MS: Millis = 3_000;

impl Connection {
    /// Tells the peer of a fault: its channel ends, or the connection.
    pub(super) fn fail(&mut self, channel: u16, fault: &Fault, now: Millis) {
        if fault.code.is_hard() {
            self.fail_connection(fault, now);
        } else if let Some(channel) = self.channels.get_mut(&channel) {
            channel.close(&mut self.core, fault);
        } else {
            self.fail_connection(fault, now);
        }
    }

    /// Ends the connection with `connection.close`, or without a word while the peer is a stranger.
    pub(super) fn fail_connection(&mut self, fault: &Fault, now: Millis) {
        match self.phase {
            Phase::Header | Phase::Start | Phase::Authenticate(_) | Phase::Tune => {
                self.fall_silent(now);
            }
            Phase::Open | Phase::Enter | Phase::Running => {
                self.send_close(fault, now + CLOSE_TIMEOUT_MS, false);
            }
            Phase::Closing { .. } | Phase::Silent { .. } | Phase::Done => {}
        }
    }

    /// Ends the connection after bytes that are no frame.
    pub(super) fn handle_unreadable(&mut self, fault: &Fault, now: Millis) {
        match self.phase {
            Phase::Open | Phase::Enter | Phase::Running => {
                self.send_close(fault, now + SILENCE_MS, true);
            }
            Phase::Closing { until, .. } => {
                let until = until.min(now + SILENCE_MS);
                self.phase = Phase::Closing { until, deaf: true };
            }
            _ => self.fall_silent(now),
        }
    }

    pub(super) fn fall_silent(&mut self, now: Millis) {
        self.phase = Phase::Silent {
            until: now + SILENCE_MS,
        };
    }

    /// Tells a client that its login was refused.
    pub(super) fn refuse_login(&mut self, fault: &Fault, now: Millis) {
        if self.core.client.authentication_failure_close {
            self.send_close(fault, now + SILENCE_MS, false);
        } else {
            self.fall_silent(now);
        }
    }

    pub(super) fn send_close(&mut self, fault: &Fault, until: Millis, deaf: bool) {
        let close = ConnectionClose {
            reply_code: fault.code.number(),
            reply_text: &fault.text,
            class_id: fault.method.class,
            method_id: fault.method.method,
        };
        self.core.send(0, &close);
        self.phase = Phase::Closing { until, deaf };
        // What the channels hold goes back now, not when the peer has answered.
        let mut numbers: Vec<u16> = self.channels.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some(channel) = self.channels.remove(&number) {
                self.core.ask(channel.lane, Request::CloseLane);
            }
        }
        self.core.assembling = 0;
    }

    /// The peer closes the connection.
    pub(super) fn handle_close(&mut self) {
        self.core.send(0, &ConnectionCloseOk {});
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.phase = Phase::Done;
        }
    }
}
