//! What is done with the broker's answers: the `-ok` that the client waits for, the next step, or the channel's end.

use polybus_model::{Error, Kind, Name, Reply, Request, Subscribe, SubscriberId, TopicSettings};

use super::channel::{Channel, Left};
use super::core::Core;
use super::streams::Asked;
use crate::codec::{
    BasicCancel, BasicCancelOk, BasicConsume, BasicConsumeOk, BasicGet, BasicPublish, BasicQos,
    BasicQosOk, ChannelClose, ChannelCloseOk, ExchangeDeclare, MethodId, QueueDeclare,
    QueueDeclareOk, QueueDelete, QueueDeleteOk, QueuePurge, QueuePurgeOk, TxCommit, TxCommitOk,
};
use crate::error::{Code, Fault, queue_in};
use crate::mapping::reserved;

/// What an answer is waited for.
#[derive(Debug)]
pub(super) enum Pending {
    /// For a plain `-ok`.
    Ok {
        method: MethodId,
        nowait: bool,
    },
    /// To know whether an exchange with a reserved name is there, so that it may be declared.
    ReservedExchange {
        name: Name,
        settings: Box<TopicSettings>,
        nowait: bool,
    },
    /// To know whether a publish within a transaction has an exchange.
    ExchangeKnown {
        name: Name,
    },
    DeclareQueue {
        nowait: bool,
    },
    /// To know whether a direct reply's consumer is there.
    ReplyName {
        queue: Name,
        nowait: bool,
    },
    /// For the queue of direct replies, to subscribe to it.
    ReplyQueue {
        subscribe: Box<Subscribe>,
        place: u16,
        nowait: bool,
    },
    DeleteQueue {
        nowait: bool,
        /// Consumers that ended with it.
        ended: Vec<SubscriberId>,
    },
    Purge {
        nowait: bool,
    },
    Subscribe {
        place: u16,
        nowait: bool,
        /// What is to be known if the queue is a stream, which one of the session's own never is.
        asked: Option<Box<Asked>>,
    },
    Unsubscribe {
        place: u16,
        nowait: bool,
    },
    Qos,
    Take,
    Commit,
    ClosedByPeer,
    ClosedByUs,
}

impl Pending {
    /// The method whose answer it is.
    fn method(&self) -> MethodId {
        match self {
            Self::Ok { method, .. } => *method,
            Self::ReservedExchange { .. } => ExchangeDeclare::ID,
            Self::ExchangeKnown { .. } => BasicPublish::ID,
            Self::DeclareQueue { .. } | Self::ReplyName { .. } => QueueDeclare::ID,
            Self::ReplyQueue { .. } | Self::Subscribe { .. } => BasicConsume::ID,
            Self::DeleteQueue { .. } => QueueDelete::ID,
            Self::Purge { .. } => QueuePurge::ID,
            Self::Unsubscribe { .. } => BasicCancel::ID,
            Self::Qos => BasicQos::ID,
            Self::Take => BasicGet::ID,
            Self::Commit => TxCommit::ID,
            Self::ClosedByPeer | Self::ClosedByUs => ChannelClose::ID,
        }
    }
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Channel {
    /// Takes the answer that was waited for.
    pub(super) fn handle_reply(
        &mut self,
        core: &mut Core,
        pending: Pending,
        result: Result<Reply, Box<Error>>,
    ) -> Result<Left, Fault> {
        match pending {
            Pending::ClosedByPeer => {
                core.send(self.number, &ChannelCloseOk {});
                return Ok(Left::Nothing);
            }
            Pending::ClosedByUs => return Ok(Left::Channel),
            _ => {}
        }
        if let (
            Pending::Subscribe {
                place,
                asked: Some(asked),
                ..
            },
            Ok(Reply::Log(log)),
        ) = (&pending, &result)
        {
            self.begin_stream(core, *place, asked, (**log).clone())?;
        }
        match result {
            Ok(reply) => self.handle_success(core, pending, reply),
            Err(error) => self.handle_refusal(core, pending, &error)?,
        }
        Ok(Left::Channel)
    }

    fn handle_success(&mut self, core: &mut Core, pending: Pending, reply: Reply) {
        match (pending, reply) {
            (Pending::Ok { nowait: true, .. }, _) => {}
            (Pending::Ok { method, .. }, _) => self.send_ok(core, method),
            (
                Pending::ReservedExchange {
                    name,
                    settings,
                    nowait,
                },
                _,
            ) => {
                let request = Request::DeclareTopic {
                    name,
                    settings: Some(settings),
                };
                let method = ExchangeDeclare::ID;
                self.ask(core, request, Pending::Ok { method, nowait });
            }
            (Pending::ExchangeKnown { name }, _) => {
                if let Some(tx) = self.tx() {
                    tx.learn(name);
                }
            }
            (
                Pending::DeclareQueue { nowait },
                Reply::Queue {
                    name,
                    messages,
                    consumers,
                },
            ) => {
                if !nowait {
                    let ok = QueueDeclareOk {
                        queue: name.as_str(),
                        message_count: count(messages),
                        consumer_count: count(consumers),
                    };
                    core.send(self.number, &ok);
                }
                self.last_queue = Some(name);
            }
            (Pending::ReplyName { queue, nowait }, _) => {
                self.answer_reply_declared(core, &queue, nowait);
            }
            (
                Pending::ReplyQueue {
                    subscribe,
                    place,
                    nowait,
                },
                _,
            ) => {
                let request = Request::Subscribe(subscribe);
                let pending = Pending::Subscribe {
                    place,
                    nowait,
                    asked: None,
                };
                self.ask(core, request, pending);
            }
            (Pending::DeleteQueue { nowait, ended }, reply) => {
                if !nowait {
                    let message_count = counted(&reply);
                    core.send(self.number, &QueueDeleteOk { message_count });
                }
                for subscriber in ended {
                    self.end_consumer(core, subscriber);
                }
            }
            (Pending::Purge { nowait: false }, reply) => {
                let message_count = counted(&reply);
                core.send(self.number, &QueuePurgeOk { message_count });
            }
            (Pending::Subscribe { place, nowait, .. }, _) => {
                if let Some(consumer) = self.consumers.at(place).filter(|_| !nowait) {
                    let consumer_tag = std::str::from_utf8(&consumer.tag).unwrap_or_default();
                    core.send(self.number, &BasicConsumeOk { consumer_tag });
                }
            }
            (Pending::Unsubscribe { place, nowait }, _) => {
                self.streams.remove(place);
                if let Some(consumer) = self.consumers.remove(place).filter(|_| !nowait) {
                    let consumer_tag = std::str::from_utf8(&consumer.tag).unwrap_or_default();
                    core.send(self.number, &BasicCancelOk { consumer_tag });
                }
            }
            (Pending::Qos, _) => core.send(self.number, &BasicQosOk {}),
            (Pending::Take, Reply::Taken(taken)) => self.send_taken(core, taken.as_deref()),
            (Pending::Commit, _) => core.send(self.number, &TxCommitOk {}),
            // A purge that wants no answer; an answer of another sort, which a broker does not give.
            (_, _) => {}
        }
    }

    fn handle_refusal(
        &mut self,
        core: &mut Core,
        pending: Pending,
        error: &Error,
    ) -> Result<(), Fault> {
        let method = pending.method();
        match pending {
            Pending::ReservedExchange { name, .. } if error.kind == Kind::NotFound => {
                Err(reserved("exchange", name.as_str(), method))
            }
            // It belongs to another connection, so it is there.
            Pending::ReplyName { queue, nowait } if error.kind == Kind::Locked => {
                self.answer_reply_declared(core, &queue, nowait);
                Ok(())
            }
            Pending::Take | Pending::Purge { .. } if matches!(error.kind, Kind::Unsupported(_)) => {
                let queue = queue_in(error.name.as_str(), error.namespace.as_str());
                let text = format!("{method} not supported by stream queues {queue}");
                Err(Fault::new(Code::NotImplemented, method, text))
            }
            Pending::ExchangeKnown { .. } => {
                Err(Fault::from_broker(error, BasicPublish::ID, &core.user))
            }
            _ => Err(Fault::from_broker(error, method, &core.user)),
        }
    }
}

fn counted(reply: &Reply) -> u32 {
    match reply {
        Reply::Count(messages) => count(*messages),
        _ => 0,
    }
}
