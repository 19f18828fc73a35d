//! What each request needs, as RabbitMQ documents it for AMQP 0-9-1 (<https://www.rabbitmq.com/docs/access-control>,
//! "How permissions work"). A request that is not allowed is replaced by its refusal, which the engine then reports in
//! the order of the batch.

use std::sync::Arc;

use polybus_model::{
    Batch, Destination, Error, Event, Kind, LiveBlock, Name, Publish, Request, Resource,
};

use super::{Action, Grants, groups};

/// Replaces what the session may not do by its refusal.
pub(crate) fn refuse_forbidden(batch: &mut Batch, grants: &Grants, namespace: &Name) {
    if grants.allows_all() {
        return;
    }
    let gate = Gate { grants, namespace };
    for (_, request) in &mut batch.requests {
        if let Request::Group { request, .. } = request {
            groups::refuse_forbidden(request, grants);
        } else if let Err(error) = gate.check(request) {
            *request = Request::Refused {
                answers: request.answers(),
                error: Box::new(error),
            };
        }
    }
}

/// Takes out the live requests that the session may not make, and gives what it is to be told of them.
pub(crate) fn refuse_live(batch: &mut Batch, grants: &Grants, namespace: &Name) -> Vec<Event> {
    let mut told = Vec::new();
    if grants.allows_all() {
        return told;
    }
    let gate = Gate { grants, namespace };
    batch.requests.retain(|(_, request)| {
        let refusal = match request {
            Request::PublishLive(block) => {
                let refused = gate.topic(Action::Write, block.topic().as_str());
                refused.err().map(|error| live_refused(block, error))
            }
            Request::SubscribeLive(subscribe) => {
                let refused = gate.topic(Action::Read, subscribe.topic.as_str());
                refused.err().map(|error| Event::LiveNotSubscribed {
                    subscriber: subscribe.subscriber,
                    error: Box::new(error),
                })
            }
            _ => None,
        };
        let is_allowed = refusal.is_none();
        told.extend(refusal);
        is_allowed
    });
    told
}

/// Says that none of a block is published.
pub(crate) fn live_refused(block: &Arc<LiveBlock>, error: Error) -> Event {
    Event::LiveRefused {
        block: Arc::clone(block),
        items: (0..).take(block.items().len()).collect(),
        error: Box::new(error),
    }
}

struct Gate<'a> {
    grants: &'a Grants,
    namespace: &'a Name,
}

impl Gate<'_> {
    fn check(&self, request: &Request) -> Result<(), Error> {
        match request {
            Request::Publish(publish) => self.publish(publish),
            Request::Transaction(transaction) => transaction
                .publishes
                .iter()
                .try_for_each(|publish| self.publish(publish)),
            Request::DeclareTopic { name, settings } => {
                let Some(settings) = settings else {
                    return Ok(());
                };
                self.topic(Action::Configure, name.as_str())?;
                if let Some(alternate) = &settings.alternate {
                    self.topic(Action::Read, name.as_str())?;
                    self.topic(Action::Write, alternate.as_str())?;
                }
                Ok(())
            }
            Request::DeleteTopic { name, .. } => self.topic(Action::Configure, name.as_str()),
            Request::Bind(binding) | Request::Unbind(binding) => {
                match &binding.destination {
                    Destination::Queue(name) | Destination::Log(name) => {
                        self.queue(Action::Write, name)?
                    }
                    Destination::Topic(name) => self.topic(Action::Write, name.as_str())?,
                }
                self.topic(Action::Read, binding.source.as_str())
            }
            Request::DeclareQueue { name, settings } => {
                let Some(settings) = settings else {
                    return Ok(());
                };
                if settings.internal {
                    return Ok(());
                }
                self.queue(Action::Configure, name)?;
                if let Some(dead_letter) = &settings.dead_letter {
                    self.queue(Action::Read, name)?;
                    self.topic(Action::Write, dead_letter.topic.as_str())?;
                }
                Ok(())
            }
            Request::DeleteQueue { name, .. } => self.queue(Action::Configure, name),
            Request::Purge { queue } | Request::Take { queue, .. } => {
                self.queue(Action::Read, queue)
            }
            Request::Subscribe(subscribe) if subscribe.internal => Ok(()),
            Request::Subscribe(subscribe) => self.queue(Action::Read, &subscribe.queue),
            Request::Settle(_)
            | Request::Authenticate(_)
            | Request::LookUpSalt { .. }
            | Request::Access { .. }
            | Request::Open { .. }
            | Request::Unsubscribe { .. }
            | Request::LaneCredit { .. }
            | Request::Flow { .. }
            | Request::CloseLane
            | Request::Refused { .. }
            | Request::Log { .. }
            | Request::Group { .. }
            | Request::PublishLive(_)
            | Request::SubscribeLive(_)
            | Request::UnsubscribeLive { .. }
            | Request::Drained { .. } => Ok(()),
        }
    }

    fn publish(&self, publish: &Publish) -> Result<(), Error> {
        self.topic(
            Action::Write,
            &String::from_utf8_lossy(publish.message.topic()),
        )
    }

    fn topic(&self, action: Action, name: &str) -> Result<(), Error> {
        // The default topic has no name; RabbitMQ asks for `amq.default` instead.
        let asked = if name.is_empty() { "amq.default" } else { name };
        self.ask(action, Resource::Topic, asked)
    }

    fn queue(&self, action: Action, name: &Name) -> Result<(), Error> {
        self.ask(action, Resource::Queue, name.as_str())
    }

    fn ask(&self, action: Action, resource: Resource, name: &str) -> Result<(), Error> {
        if self
            .grants
            .allows_action(action, resource == Resource::Topic, name)
        {
            return Ok(());
        }
        let verb = match action {
            Action::Configure => "configure",
            Action::Write => "write to",
            Action::Read => "read from",
        };
        Err(Error {
            kind: Kind::AccessRefused(format!("the user may not {verb} it")),
            resource,
            name: Name::new(name).unwrap_or_else(|_| Name::empty()),
            namespace: self.namespace.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use polybus_model::{Lane, QueueSettings, Subscribe, SubscriberId, Table};

    use super::*;
    use crate::access::{Patterns, Permissions};

    fn refused(internal: bool) -> Vec<bool> {
        let name = Name::new("hidden").unwrap();
        let permissions = Permissions::new(&Patterns {
            configure: "^mine$".into(),
            write: "^mine$".into(),
            read: "^mine$".into(),
        })
        .unwrap();
        let settings = QueueSettings {
            internal,
            ..QueueSettings::default()
        };
        let subscribe = Subscribe {
            queue: name.clone(),
            subscriber: SubscriberId(1),
            tag: bytes::Bytes::new(),
            auto_settle: true,
            exclusive: false,
            priority: 0,
            credit: None,
            consumer_timeout: None,
            internal,
            arguments: Table::new(),
        };
        let declare = Request::DeclareQueue {
            name: name.clone(),
            settings: Some(Box::new(settings)),
        };
        let requests = [declare, Request::Subscribe(Box::new(subscribe))];
        let mut batch = Batch {
            requests: requests.into_iter().map(|one| (Lane(1), one)).collect(),
        };
        let grants = Grants::new(permissions, false, [].iter(), "ada", "h");
        refuse_forbidden(&mut batch, &grants, &name);
        batch
            .requests
            .iter()
            .map(|(_, request)| matches!(request, Request::Refused { .. }))
            .collect()
    }

    #[test]
    fn what_a_session_makes_for_itself_needs_no_permission() {
        assert_eq!(refused(false), [true, true]);
        assert_eq!(refused(true), [false, false]);
    }
}
