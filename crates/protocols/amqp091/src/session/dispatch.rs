//! The methods of exchanges, queues and the rest of a channel, each to its request.
//!
//! Names are checked here as far as the wire's rules go (the default exchange, `amq.`); what exists and who may touch it is
//! the broker's to say.

use polybus_model::{Binding, Destination, Name, Request, Table};

use super::channel::Channel;
use super::core::Core;
use super::replies::Pending;
use crate::codec::{
    AccessRequestOk, ChannelFlow, ChannelFlowOk, ChannelOpen, Encode, ExchangeBind, ExchangeBindOk,
    ExchangeDeclare, ExchangeDeclareOk, ExchangeDelete, ExchangeDeleteOk, ExchangeUnbind,
    ExchangeUnbindOk, Method, MethodId, QueueBind, QueueBindOk, QueueDeclare, QueueDeclareOk,
    QueueDelete, QueueDeleteOk, QueuePurge, QueueUnbind, QueueUnbindOk, TableRef,
};
use crate::error::{Code, Fault, exchange_in, system_exchange};
use crate::mapping::exchange::{self, ExchangeFlags};
use crate::mapping::publish::REPLY_TO;
use crate::mapping::queue::{self, CLASSIC_NAME, Context, QueueFlags};
use crate::mapping::{default_exchange, name, reserved, stripped};

/// What the broker keeps for itself.
const RESERVED: &str = "amq.";

fn decoded(arguments: TableRef<'_>) -> Table {
    arguments.decode().unwrap_or_default()
}

/// The binding between an exchange and a destination, unless one of them is the default exchange.
fn binding(
    source: &str,
    destination: Destination,
    key: &str,
    arguments: TableRef<'_>,
    method: MethodId,
) -> Result<Box<Binding>, Fault> {
    let source = stripped(source);
    let to_default = matches!(&destination, Destination::Topic(name) if name.is_empty());
    if source.is_empty() || to_default {
        return Err(default_exchange(method));
    }
    Ok(Box::new(Binding {
        source,
        destination,
        key: key.to_owned().into(),
        arguments: decoded(arguments),
    }))
}

/// Where neither a queue nor a key is named, the last declared queue's name is both.
fn key_meant<'a>(queue: &'a Name, named: &str, key: &'a str) -> &'a str {
    if named.is_empty() && key.is_empty() {
        queue.as_str()
    } else {
        key
    }
}

impl Channel {
    /// Methods that are not hot.
    pub(super) fn dispatch(&mut self, core: &mut Core, method: &Method<'_>) -> Result<(), Fault> {
        match method {
            Method::ChannelOpen(_) => Err(Fault::new(
                Code::ChannelError,
                ChannelOpen::ID,
                "second 'channel.open' seen",
            )),
            // An answer that comes late; there is nothing to answer.
            Method::ChannelCloseOk(_) | Method::ChannelFlowOk(_) => Ok(()),
            Method::ChannelFlow(method) => self.flow(core, method),
            Method::AccessRequest(_) => {
                core.send(self.number, &AccessRequestOk { ticket: 1 });
                Ok(())
            }
            Method::ExchangeDeclare(method) => self.declare_exchange(core, method),
            Method::ExchangeDelete(method) => self.delete_exchange(core, method),
            Method::ExchangeBind(m) => {
                let to = Destination::Topic(stripped(m.destination));
                let id = ExchangeBind::ID;
                let binding = binding(m.source, to, m.routing_key, m.arguments, id)?;
                self.ask_ok(core, Request::Bind(binding), id, m.nowait);
                Ok(())
            }
            Method::ExchangeUnbind(m) => {
                let to = Destination::Topic(stripped(m.destination));
                let id = ExchangeUnbind::ID;
                let binding = binding(m.source, to, m.routing_key, m.arguments, id)?;
                self.ask_ok(core, Request::Unbind(binding), id, m.nowait);
                Ok(())
            }
            Method::QueueDeclare(method) => self.declare_queue(core, method),
            Method::QueueBind(m) => {
                let id = QueueBind::ID;
                let queue = self.queue_meant(m.queue, id)?;
                let key = key_meant(&queue, m.queue, m.routing_key);
                let to = Destination::Queue(stripped(queue.as_str()));
                let binding = binding(m.exchange, to, key, m.arguments, id)?;
                self.ask_ok(core, Request::Bind(binding), id, m.nowait);
                Ok(())
            }
            Method::QueueUnbind(m) => {
                let id = QueueUnbind::ID;
                let queue = self.queue_meant(m.queue, id)?;
                let key = key_meant(&queue, m.queue, m.routing_key);
                let to = Destination::Queue(stripped(queue.as_str()));
                let binding = binding(m.exchange, to, key, m.arguments, id)?;
                self.ask_ok(core, Request::Unbind(binding), id, false);
                Ok(())
            }
            Method::QueuePurge(method) => self.purge_queue(core, method),
            Method::QueueDelete(method) => self.delete_queue(core, method),
            Method::BasicQos(method) => self.qos(core, method),
            Method::BasicConsume(method) => self.consume(core, method),
            Method::BasicCancel(method) => self.cancel(core, method),
            Method::BasicGet(method) => self.get(core, method),
            Method::BasicRecover(method) => self.recover(core, method.requeue, true),
            Method::BasicRecoverAsync(method) => self.recover(core, method.requeue, false),
            Method::ConfirmSelect(method) => self.select_confirms(core, method),
            Method::TxSelect(_) => self.select_tx(core),
            Method::TxCommit(_) => self.commit(core),
            Method::TxRollback(_) => self.roll_back(core),
            other => Err(Fault::new(
                Code::CommandInvalid,
                other.id(),
                "unimplemented method",
            )),
        }
    }

    fn flow(&mut self, core: &mut Core, method: &ChannelFlow) -> Result<(), Fault> {
        if !method.active {
            return Err(Fault::new(
                Code::NotImplemented,
                ChannelFlow::ID,
                "active=false",
            ));
        }
        core.send(self.number, &ChannelFlowOk { active: true });
        Ok(())
    }

    fn declare_exchange(
        &mut self,
        core: &mut Core,
        method: &ExchangeDeclare<'_>,
    ) -> Result<(), Fault> {
        let topic = stripped(method.exchange);
        let nowait = method.nowait;
        if method.passive {
            if topic.is_empty() {
                return Err(default_exchange(ExchangeDeclare::ID));
            }
            let request = Request::DeclareTopic {
                name: topic,
                settings: None,
            };
            self.ask_ok(core, request, ExchangeDeclare::ID, nowait);
            return Ok(());
        }
        let arguments = decoded(method.arguments);
        let kind = exchange::kind(method.kind, &arguments, ExchangeDeclare::ID)?;
        if topic.is_empty() {
            return Err(default_exchange(ExchangeDeclare::ID));
        }
        let flags = ExchangeFlags {
            durable: method.durable,
            auto_delete: method.auto_delete,
            internal: method.internal,
        };
        let vhost = core.vhost.as_str();
        let exchange = topic.as_str();
        let settings =
            exchange::settings(kind, flags, arguments, exchange, vhost, ExchangeDeclare::ID)?;
        let settings = Box::new(settings);
        if exchange.starts_with(RESERVED) {
            // One that is there may be declared again, a new one not.
            let request = Request::DeclareTopic {
                name: topic.clone(),
                settings: None,
            };
            let pending = Pending::ReservedExchange {
                name: topic,
                settings,
                nowait,
            };
            self.ask(core, request, pending);
            return Ok(());
        }
        let request = Request::DeclareTopic {
            name: topic,
            settings: Some(settings),
        };
        self.ask_ok(core, request, ExchangeDeclare::ID, nowait);
        Ok(())
    }

    fn delete_exchange(
        &mut self,
        core: &mut Core,
        method: &ExchangeDelete<'_>,
    ) -> Result<(), Fault> {
        let topic = stripped(method.exchange);
        if topic.is_empty() {
            return Err(default_exchange(ExchangeDelete::ID));
        }
        if topic.as_str().starts_with(RESERVED) {
            let exchange = exchange_in(topic.as_str(), core.vhost.as_str());
            return Err(Fault::new(
                Code::AccessRefused,
                ExchangeDelete::ID,
                system_exchange(&exchange),
            ));
        }
        let request = Request::DeleteTopic {
            name: topic,
            if_unused: method.if_unused,
        };
        self.ask_ok(core, request, ExchangeDelete::ID, method.nowait);
        Ok(())
    }

    fn declare_queue(&mut self, core: &mut Core, method: &QueueDeclare<'_>) -> Result<(), Fault> {
        let nowait = method.nowait;
        let given = stripped(method.queue);
        if Self::is_reply_name(&given) {
            return self.declare_reply(core, given, nowait);
        }
        if method.passive {
            let pending = Pending::DeclareQueue { nowait };
            let request = Request::DeclareQueue {
                name: given,
                settings: None,
            };
            self.ask(core, request, pending);
            return Ok(());
        }
        let arguments = decoded(method.arguments);
        let queue = if given.is_empty() {
            let kind = queue::kind_name(&arguments);
            if kind != CLASSIC_NAME {
                return Err(Fault::precondition(
                    QueueDeclare::ID,
                    format!("Cannot declare a server-named queue for type {kind}"),
                ));
            }
            name(&core.settings.random_name("amq.gen-"))
        } else if given.as_str().starts_with(RESERVED) {
            return Err(reserved("queue", given.as_str(), QueueDeclare::ID));
        } else {
            given
        };
        let flags = QueueFlags {
            durable: method.durable,
            exclusive: method.exclusive,
            auto_delete: method.auto_delete,
        };
        let context = Context {
            queue: queue.as_str(),
            vhost: core.vhost.as_str(),
            method: QueueDeclare::ID,
        };
        let settings = Box::new(queue::settings(flags, arguments, context)?);
        let request = Request::DeclareQueue {
            name: queue,
            settings: Some(settings),
        };
        self.ask(core, request, Pending::DeclareQueue { nowait });
        Ok(())
    }

    /// All declares of reply names only ask; the pseudo-queue itself is always there.
    fn declare_reply(&mut self, core: &mut Core, queue: Name, nowait: bool) -> Result<(), Fault> {
        if queue.as_str() == REPLY_TO {
            self.answer_reply_declared(core, &queue, nowait);
            return Ok(());
        }
        let request = Request::DeclareQueue {
            name: queue.clone(),
            settings: None,
        };
        self.ask(core, request, Pending::ReplyName { queue, nowait });
        Ok(())
    }

    pub(super) fn answer_reply_declared(&mut self, core: &mut Core, queue: &Name, nowait: bool) {
        self.last_queue = Some(queue.clone());
        if !nowait {
            let ok = QueueDeclareOk {
                queue: queue.as_str(),
                message_count: 0,
                consumer_count: 1,
            };
            core.send(self.number, &ok);
        }
    }

    fn purge_queue(&mut self, core: &mut Core, method: &QueuePurge<'_>) -> Result<(), Fault> {
        let queue = self.queue_meant(method.queue, QueuePurge::ID)?;
        let nowait = method.nowait;
        self.ask(core, Request::Purge { queue }, Pending::Purge { nowait });
        Ok(())
    }

    fn delete_queue(&mut self, core: &mut Core, method: &QueueDelete<'_>) -> Result<(), Fault> {
        let queue = stripped(self.queue_meant(method.queue, QueueDelete::ID)?.as_str());
        if queue.as_str() == REPLY_TO {
            if !method.nowait {
                core.send(self.number, &QueueDeleteOk { message_count: 0 });
            }
            return Ok(());
        }
        let request = Request::DeleteQueue {
            name: queue,
            if_unused: method.if_unused,
            if_empty: method.if_empty,
        };
        let pending = Pending::DeleteQueue {
            nowait: method.nowait,
            ended: Vec::new(),
        };
        self.ask(core, request, pending);
        Ok(())
    }

    /// Asks something whose answer is a plain `-ok`.
    fn ask_ok(&mut self, core: &mut Core, request: Request, method: MethodId, nowait: bool) {
        self.ask(core, request, Pending::Ok { method, nowait });
    }

    /// Sends the plain `-ok` of a method.
    pub(super) fn send_ok(&self, core: &mut Core, method: MethodId) {
        match method {
            ExchangeDeclare::ID => core.send(self.number, &ExchangeDeclareOk {}),
            ExchangeDelete::ID => core.send(self.number, &ExchangeDeleteOk {}),
            ExchangeBind::ID => core.send(self.number, &ExchangeBindOk {}),
            ExchangeUnbind::ID => core.send(self.number, &ExchangeUnbindOk {}),
            QueueBind::ID => core.send(self.number, &QueueBindOk {}),
            QueueUnbind::ID => core.send(self.number, &QueueUnbindOk {}),
            other => debug_assert!(false, "{other} has no plain -ok here"),
        }
    }
}
