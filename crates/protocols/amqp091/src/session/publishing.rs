//! Publishes: the method, the content header and the body that belong together, put together to one message.
//!
//! ```text
//! Idle --basic.publish--> Header --header--> Body --bytes complete--> Idle
//!                           '--header of an empty body--> Idle
//! ```
//! A publish of which all is there takes no stages: it is made straight from the read buffer ([`Channel::take_whole`]). For
//! the others the buffers are kept from message to message, so that a message costs the allocation of [`Message::new`] alone,
//! and a body that comes in one frame is not copied twice.

use bytes::Bytes;
use polybus_model::{Body, Message, MessageParts, Publish, Request};

use super::channel::{Channel, Mode};
use super::core::Core;
use super::replies::Pending;
use crate::ORIGIN;
use crate::codec::{BasicPublish, CLASS_BASIC, ContentHeader, Frames};
use crate::error::{Code, Fault, NO_METHOD};
use crate::mapping::publish::{Prepared, Publisher, prepare};

/// At most so much room is made for a body before its bytes have come.
const BODY_RESERVE_MAX: usize = 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    #[default]
    Idle,
    Header,
    Body,
}

/// The publish that is coming in.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    stage: Stage,
    exchange: Vec<u8>,
    key: Vec<u8>,
    mandatory: bool,
    properties: Vec<u8>,
    prepared: Prepared,
    /// The body's size as announced.
    size: usize,
    body: Vec<u8>,
}

impl Incoming {
    /// A method is due now.
    #[inline]
    pub(super) fn expects_method(&self) -> Result<(), Fault> {
        match self.stage {
            Stage::Idle => Ok(()),
            Stage::Header => Err(no_header()),
            Stage::Body => Err(unexpected(
                "expected content body, got non content body frame instead",
            )),
        }
    }

    /// No publish is coming in.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    /// Forgets the publish that is coming in.
    pub(super) fn abandon(&mut self, core: &mut Core) {
        core.assembling = core.assembling.saturating_sub(self.body.len());
        *self = Self::default();
    }
}

fn unexpected(text: &str) -> Fault {
    Fault::new(Code::UnexpectedFrame, BasicPublish::ID, text)
}

fn no_header() -> Fault {
    unexpected("expected content header for class 60, got non content header frame instead")
}

fn no_method() -> Fault {
    Fault::new(
        Code::UnexpectedFrame,
        NO_METHOD,
        "expected method frame, got non method frame instead",
    )
}

/// What a publish says, beside what its properties come to.
struct Parts<'a> {
    exchange: &'a [u8],
    key: &'a [u8],
    properties: &'a [u8],
    body: Body<'a>,
    mandatory: bool,
}

#[inline]
fn publish(parts: Parts<'_>, prepared: Prepared, mode: &mut Mode) -> Publish {
    let message = Message::new(MessageParts {
        origin: ORIGIN,
        topic: parts.exchange,
        key: parts.key,
        properties: parts.properties,
        body: parts.body,
        durable: prepared.durable,
        priority: prepared.priority,
        ttl: prepared.ttl,
        deaths: prepared.deaths,
    });
    Publish {
        message,
        more_keys: prepared.more_keys,
        mandatory: parts.mandatory,
        confirm: match mode {
            Mode::Confirm(confirms) => Some(confirms.next_number()),
            Mode::Plain | Mode::Tx(_) => None,
        },
        delay: prepared.delay,
    }
}

impl Channel {
    #[inline]
    pub(super) fn begin_publish(
        &mut self,
        core: &mut Core,
        publish: &BasicPublish<'_>,
    ) -> Result<(), Fault> {
        if publish.immediate {
            return Err(Fault::new(
                Code::NotImplemented,
                BasicPublish::ID,
                "immediate=true",
            ));
        }
        let incoming = &mut self.incoming;
        incoming.exchange.clear();
        incoming
            .exchange
            .extend_from_slice(publish.exchange.as_bytes());
        incoming.key.clear();
        incoming
            .key
            .extend_from_slice(publish.routing_key.as_bytes());
        incoming.mandatory = publish.mandatory;
        incoming.stage = Stage::Header;
        core.has_published = true;
        if let Mode::Tx(tx) = &self.mode
            && !tx.knows(publish.exchange.as_str())
        {
            // Within a transaction a missing exchange is to be told at once, not at the commit.
            let name = crate::mapping::name(publish.exchange.as_str());
            let request = Request::DeclareTopic {
                name: name.clone(),
                settings: None,
            };
            self.ask(core, request, Pending::ExchangeKnown { name });
        }
        Ok(())
    }

    #[inline]
    pub(super) fn handle_header(
        &mut self,
        core: &mut Core,
        header: &ContentHeader<'_>,
    ) -> Result<(), Fault> {
        match self.incoming.stage {
            Stage::Idle => return Err(no_method()),
            Stage::Body => return self.incoming.expects_method(),
            Stage::Header => {}
        }
        if header.class_id != CLASS_BASIC {
            return Err(unexpected(&format!(
                "expected content header for class 60, got one for class {} instead",
                header.class_id
            )));
        }
        let size_max = core.settings.message_size_max;
        if header.body_size > size_max {
            return Err(Fault::precondition(
                BasicPublish::ID,
                format!(
                    "message size {} is larger than configured max size {size_max}",
                    header.body_size
                ),
            ));
        }
        let routing = header
            .properties
            .check()
            .map_err(|error| Fault::from_codec(error, &[]))?;
        let publisher = Publisher {
            user: &core.user,
            reply_name: self.consumers.reply_name(),
        };
        let incoming = &mut self.incoming;
        incoming.prepared = prepare(header.properties, &routing, publisher)?;
        incoming.properties.clear();
        incoming
            .properties
            .extend_from_slice(incoming.prepared.kept(header.properties));
        incoming.size = usize::try_from(header.body_size).unwrap_or(usize::MAX);
        if incoming.size == 0 {
            return self.finish_publish(core, Body::Copied(&[]));
        }
        incoming.stage = Stage::Body;
        Ok(())
    }

    #[inline]
    pub(super) fn handle_body(&mut self, core: &mut Core, bytes: &[u8]) -> Result<(), Fault> {
        match self.incoming.stage {
            Stage::Idle => return Err(no_method()),
            Stage::Header => return Err(no_header()),
            Stage::Body => {}
        }
        let incoming = &mut self.incoming;
        let missing = incoming.size - incoming.body.len();
        if bytes.len() > missing {
            return Err(Fault::new(
                Code::FrameError,
                BasicPublish::ID,
                "content body frame exceeds remaining content size",
            ));
        }
        if bytes.len() == incoming.size {
            return self.finish_publish(core, Body::Copied(bytes));
        }
        if core.assembling + bytes.len() > core.settings.assembling_bytes_max {
            return Err(Fault::new(
                Code::ResourceError,
                BasicPublish::ID,
                "too many bytes of unfinished messages on this connection",
            ));
        }
        if incoming.body.capacity() - incoming.body.len() < bytes.len() {
            let step = incoming.body.len().max(BODY_RESERVE_MAX).min(missing);
            incoming.body.reserve_exact(step.max(bytes.len()));
        }
        incoming.body.extend_from_slice(bytes);
        core.assembling += bytes.len();
        if bytes.len() == missing {
            let body = std::mem::take(&mut incoming.body);
            core.assembling = core.assembling.saturating_sub(body.len());
            return self.finish_publish(core, Body::Shared(Bytes::from(body)));
        }
        Ok(())
    }

    #[inline]
    fn finish_publish(&mut self, core: &mut Core, body: Body<'_>) -> Result<(), Fault> {
        let incoming = &mut self.incoming;
        incoming.stage = Stage::Idle;
        let publish = publish(
            Parts {
                exchange: &incoming.exchange,
                key: &incoming.key,
                properties: &incoming.properties,
                body,
                mandatory: incoming.mandatory,
            },
            std::mem::take(&mut incoming.prepared),
            &mut self.mode,
        );
        if let Mode::Tx(tx) = &mut self.mode {
            return tx.push(publish, core.settings.transaction_bytes_max);
        }
        core.tell(self.lane, Request::Publish(publish));
        Ok(())
    }

    /// Takes the publish that is next in `frames`, if all of it is there and nothing is wrong with it. Otherwise nothing has
    /// happened, and the frames are to be taken one by one. Not within a transaction, nor while a publish is coming in.
    #[inline]
    pub(super) fn take_whole(&mut self, core: &mut Core, frames: &mut Frames<'_>) -> bool {
        let mut ahead = frames.clone();
        let Some(whole) = ahead.next_publish(self.number) else {
            return false;
        };
        if whole.method.immediate || whole.body.len() as u64 > core.settings.message_size_max {
            return false;
        }
        let Ok(routing) = whole.properties.check() else {
            return false;
        };
        let publisher = Publisher {
            user: &core.user,
            reply_name: self.consumers.reply_name(),
        };
        let Ok(mut prepared) = prepare(whole.properties, &routing, publisher) else {
            return false;
        };
        *frames = ahead;
        let rewritten = prepared.rewritten.take();
        let parts = Parts {
            exchange: whole.method.exchange.as_bytes(),
            key: whole.method.routing_key.as_bytes(),
            properties: rewritten.as_deref().unwrap_or(whole.properties.as_bytes()),
            body: Body::Copied(whole.body),
            mandatory: whole.method.mandatory,
        };
        core.has_published = true;
        let publish = publish(parts, prepared, &mut self.mode);
        core.tell(self.lane, Request::Publish(publish));
        true
    }
}
