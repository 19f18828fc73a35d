//! Consumers and what they get: consume, cancel, qos, get, deliveries and returns.

use bytes::Bytes;
use polybus_model::{
    Delivery, Message, Name, Outcome, QueueSettings, Request, Subscribe, SubscriberId, Taken,
};

use super::channel::{Channel, Mode};
use super::consumers::Consumer;
use super::core::Core;
use super::replies::Pending;
use super::streams::Asked;
use crate::codec::{
    BasicCancel, BasicCancelOk, BasicConsume, BasicDeliver, BasicGet, BasicGetEmpty, BasicGetOk,
    BasicQos, BasicQosOk, BasicReturn, ShortBytes,
};
use crate::error::{Code, Fault};
use crate::mapping::publish::REPLY_TO;
use crate::mapping::queue::{Context, consumer};

impl Channel {
    pub(super) fn consume(
        &mut self,
        core: &mut Core,
        method: &BasicConsume<'_>,
    ) -> Result<(), Fault> {
        let is_reply = method.queue == REPLY_TO;
        let queue = if is_reply {
            crate::mapping::name(REPLY_TO)
        } else {
            self.queue_meant(method.queue, BasicConsume::ID)?
        };
        let consumers_max = core.settings.consumers_per_channel_max;
        if !method.consumer_tag.is_empty()
            && self
                .consumers
                .tagged(method.consumer_tag.as_bytes())
                .is_some()
        {
            return Err(Fault::new(
                Code::NotAllowed,
                BasicConsume::ID,
                format!("attempt to reuse consumer tag '{}'", method.consumer_tag),
            ));
        }
        if self.consumers.len() >= consumers_max {
            return Err(Fault::new(
                Code::NotAllowed,
                BasicConsume::ID,
                format!("reached maximum ({consumers_max}) of consumers per channel"),
            ));
        }
        if is_reply {
            if !method.no_ack {
                return Err(Fault::precondition(
                    BasicConsume::ID,
                    "reply consumer cannot acknowledge",
                ));
            }
            if self.consumers.reply_name().is_some() {
                return Err(Fault::precondition(
                    BasicConsume::ID,
                    "reply consumer already set",
                ));
            }
        }
        let arguments = method.arguments.decode().unwrap_or_default();
        let context = Context {
            queue: queue.as_str(),
            vhost: core.vhost.as_str(),
            method: BasicConsume::ID,
        };
        let (priority, consumer_timeout) = consumer(&arguments, context)?;
        let tag = if method.consumer_tag.is_empty() {
            Bytes::from(core.settings.random_name("amq.ctag-"))
        } else {
            Bytes::copy_from_slice(method.consumer_tag.as_bytes())
        };
        let place = self
            .consumers
            .insert(Consumer { tag: tag.clone() })
            .ok_or_else(|| {
                Fault::new(
                    Code::NotAllowed,
                    BasicConsume::ID,
                    "reached maximum (65536) of consumers per channel",
                )
            })?;
        let unsettled_max = core.settings.unsettled_per_channel_max;
        let subscribe = Box::new(Subscribe {
            queue,
            subscriber: self.subscriber(place),
            tag,
            auto_settle: method.no_ack,
            exclusive: method.exclusive,
            priority,
            // Even without a limit of the peer's own there is one, which keeps its channel's memory bounded.
            credit: self
                .prefetch
                .or_else(|| u32::try_from(unsettled_max).ok())
                .filter(|_| !method.no_ack),
            consumer_timeout,
            internal: is_reply,
            arguments,
        });
        let nowait = method.nowait;
        if is_reply {
            self.make_reply_queue(core, subscribe, place, nowait);
        } else {
            let asked = Box::new(Asked {
                queue: subscribe.queue.clone(),
                no_ack: method.no_ack,
                arguments: subscribe.arguments.clone(),
            });
            let pending = Pending::Subscribe {
                place,
                nowait,
                asked: Some(asked),
            };
            self.ask(core, Request::Subscribe(subscribe), pending);
        }
        Ok(())
    }

    /// Direct reply-to is a queue of a name that nobody can guess, which goes with its consumer.
    fn make_reply_queue(
        &mut self,
        core: &mut Core,
        mut subscribe: Box<Subscribe>,
        place: u16,
        nowait: bool,
    ) {
        let name = crate::mapping::name(&core.settings.random_name("amq.rabbitmq.reply-to."));
        subscribe.queue = name.clone();
        self.consumers.set_reply(name.clone(), place);
        let settings = QueueSettings {
            exclusive: true,
            auto_delete: true,
            internal: true,
            ..QueueSettings::default()
        };
        let request = Request::DeclareQueue {
            name,
            settings: Some(Box::new(settings)),
        };
        let pending = Pending::ReplyQueue {
            subscribe,
            place,
            nowait,
        };
        self.ask(core, request, pending);
    }

    pub(super) fn cancel(
        &mut self,
        core: &mut Core,
        method: &BasicCancel<'_>,
    ) -> Result<(), Fault> {
        let nowait = method.nowait;
        match self.consumers.tagged(method.consumer_tag.as_bytes()) {
            Some(place) => {
                let subscriber = self.subscriber(place);
                let request = Request::Unsubscribe { subscriber };
                self.ask(core, request, Pending::Unsubscribe { place, nowait });
            }
            None if nowait => {}
            None => {
                let consumer_tag = method.consumer_tag;
                core.send(self.number, &BasicCancelOk { consumer_tag });
            }
        }
        Ok(())
    }

    /// The consumer's queue is gone.
    pub(super) fn end_consumer(&mut self, core: &mut Core, subscriber: SubscriberId) {
        if let Some(Pending::DeleteQueue { ended, .. }) = &mut self.pending {
            // Told after the delete-ok of the channel's own request.
            ended.push(subscriber);
            return;
        }
        let Some(consumer) = self.consumers.remove_subscriber(subscriber) else {
            return;
        };
        if core.client.consumer_cancel_notify {
            let cancel = BasicCancel {
                consumer_tag: std::str::from_utf8(&consumer.tag).unwrap_or_default(),
                nowait: true,
            };
            core.send(self.number, &cancel);
        }
    }

    /// Not global: the credit of consumers to come. Global: a bound on the channel (RabbitMQ's reading of the method).
    pub(super) fn qos(&mut self, core: &mut Core, method: &BasicQos) -> Result<(), Fault> {
        if method.prefetch_size != 0 {
            return Err(Fault::new(
                Code::NotImplemented,
                BasicQos::ID,
                format!("prefetch_size!=0 ({})", method.prefetch_size),
            ));
        }
        let count = Some(u32::from(method.prefetch_count)).filter(|count| *count > 0);
        let limit = if method.global {
            count
        } else {
            self.prefetch = count;
            None
        };
        if limit.is_none() && !self.has_lane_credit {
            core.send(self.number, &BasicQosOk {});
            return Ok(());
        }
        self.has_lane_credit = limit.is_some();
        self.ask(core, Request::LaneCredit { limit }, Pending::Qos);
        Ok(())
    }

    pub(super) fn get(&mut self, core: &mut Core, method: &BasicGet<'_>) -> Result<(), Fault> {
        let queue = self.queue_meant(method.queue, BasicGet::ID)?;
        let unsettled_max = core.settings.unsettled_per_channel_max;
        if !method.no_ack && self.unsettled.len() >= unsettled_max {
            return Err(Fault::precondition(
                BasicGet::ID,
                format!("more than {unsettled_max} unsettled deliveries on this channel"),
            ));
        }
        let auto_settle = method.no_ack;
        self.ask(core, Request::Take { queue, auto_settle }, Pending::Take);
        Ok(())
    }

    pub(super) fn send_taken(&mut self, core: &mut Core, taken: Option<&Taken>) {
        let Some(taken) = taken else {
            core.send(self.number, &BasicGetEmpty {});
            return;
        };
        self.last_tag += 1;
        if let Some(lease) = taken.lease {
            self.unsettled.push(self.last_tag, lease);
        }
        let method = BasicGetOk {
            delivery_tag: self.last_tag,
            redelivered: taken.redelivered,
            exchange: ShortBytes(taken.message.topic()),
            routing_key: ShortBytes(taken.message.key()),
            message_count: u32::try_from(taken.remaining).unwrap_or(u32::MAX),
        };
        core.send_message(self.number, &method, &taken.message, taken.attempts);
    }

    #[inline]
    pub(super) fn deliver(&mut self, core: &mut Core, delivery: &Delivery) {
        let Some(consumer) = self.consumers.of(delivery.subscriber) else {
            if let Some(lease) = delivery.lease {
                core.settle(self.lane, Outcome::Release { failed: false }, 1, [lease]);
            }
            return;
        };
        self.last_tag += 1;
        if let Some(lease) = delivery.lease {
            self.unsettled.push(self.last_tag, lease);
        }
        let message = &delivery.message;
        let method = BasicDeliver {
            consumer_tag: ShortBytes(&consumer.tag),
            delivery_tag: self.last_tag,
            redelivered: delivery.redelivered,
            exchange: ShortBytes(message.topic()),
            routing_key: ShortBytes(message.key()),
        };
        core.send_delivery(self.number, &method, message, delivery.attempts);
    }

    /// A mandatory message that nobody wanted.
    pub(super) fn give_back(&mut self, core: &mut Core, message: &Message) {
        let method = BasicReturn {
            reply_code: 312,
            reply_text: "NO_ROUTE",
            exchange: ShortBytes(message.topic()),
            routing_key: ShortBytes(message.key()),
        };
        core.send_message(self.number, &method, message, None);
    }

    /// The name of the pseudo-queue's queue, if `name` is one of such names.
    pub(super) fn is_reply_name(name: &Name) -> bool {
        name.as_str().starts_with(REPLY_TO)
    }

    /// Whether the channel is in a transaction.
    pub(super) fn tx(&mut self) -> Option<&mut super::transaction::Tx> {
        match &mut self.mode {
            Mode::Tx(tx) => Some(tx),
            Mode::Plain | Mode::Confirm(_) => None,
        }
    }
}
