//! Who answers: one call of the broker's administration for each request.

use polybus_broker::Broker;
use polybus_broker::admin::{Failure, KeyRules, Permission};
use serde::Serialize;
use serde_json::{Value, json};

use super::wire::{Request, acceptance, refusal};

/// Messages that one request looks at or takes at most.
const MESSAGES_MAX: usize = 10_000;

/// Records that one step of a replay copies at most.
const RECORDS_MAX: u32 = 10_000;

/// Answers requests.
pub(crate) struct Desk {
    broker: Broker,
    message_bytes_max: u64,
    /// What listens where: the protocol and the address.
    listeners: Vec<(&'static str, String)>,
}

impl Desk {
    /// A desk for a broker.
    pub(crate) fn new(
        broker: Broker,
        message_bytes_max: u64,
        listeners: Vec<(&'static str, String)>,
    ) -> Self {
        Self {
            broker,
            message_bytes_max,
            listeners,
        }
    }

    pub(super) fn message_bytes_max(&self) -> u64 {
        self.message_bytes_max
    }

    /// The reply to a line, without its line end. Blocks.
    pub(super) fn answer_line(&self, line: &[u8]) -> Vec<u8> {
        let answer = serde_json::from_slice(line)
            .map_err(|error| Failure(format!("the request is not understood: {error}")))
            .and_then(|request| self.answer(request));
        match answer {
            Ok(value) => acceptance(value),
            Err(failure) => refusal(&failure.0),
        }
    }

    fn answer(&self, request: Request) -> Result<Value, Failure> {
        let broker = &self.broker;
        match request {
            Request::Status => self.status(),
            Request::Namespaces => json_of(broker.namespaces()),
            Request::AddNamespace { name } => json_of(broker.add_namespace(&name)?),
            Request::DeleteNamespace { name } => json_of(broker.delete_namespace(&name)?),
            Request::Queues { namespace } => json_of(broker.queues(&namespace)?),
            Request::Topics { namespace } => json_of(broker.topics(&namespace)?),
            Request::Logs { namespace } => json_of(broker.logs(&namespace)?),
            Request::AddLog {
                namespace,
                topic,
                change,
            } => json_of(broker.add_log(&namespace, &topic, change)?),
            Request::ChangeLog {
                namespace,
                log,
                change,
            } => json_of(broker.change_log(&namespace, &log, change)?),
            Request::DeleteLog { namespace, log } => json_of(broker.delete_log(&namespace, &log)?),
            Request::Bindings { namespace } => json_of(broker.bindings(&namespace)?),
            Request::Consumers { namespace } => json_of(broker.consumers(&namespace)?),
            Request::Connections => json_of(broker.connections()),
            Request::CloseConnection { id, reason } => {
                json_of(broker.close_connection(id, &reason)?)
            }
            Request::Purge { namespace, queue } => json_of(broker.purge(&namespace, &queue)?),
            Request::DeleteQueue { namespace, queue } => {
                json_of(broker.delete_queue(&namespace, &queue)?)
            }
            Request::Peek {
                namespace,
                queue,
                count,
            } => json_of(broker.peek(&namespace, &queue, count.min(MESSAGES_MAX))?),
            Request::Consume {
                namespace,
                queue,
                count,
                acknowledge,
            } => {
                json_of(broker.consume(&namespace, &queue, count.min(MESSAGES_MAX), acknowledge)?)
            }
            Request::Publish {
                namespace,
                topic,
                key,
                body,
                durable,
            } => {
                if body.0.len() as u64 > self.message_bytes_max {
                    return Err(Failure(
                        "the body is longer than amqp.max-message-size".into(),
                    ));
                }
                json_of(broker.publish(&namespace, &topic, &key, &body.0, durable)?)
            }
            Request::ReplayRanges {
                namespace,
                log,
                partition,
                from,
                until,
            } => json_of(broker.replay_ranges(&namespace, &log, partition, (from, until))?),
            Request::Replay {
                namespace,
                mut step,
            } => {
                step.records_max = step.records_max.min(RECORDS_MAX);
                json_of(broker.replay(&namespace, &step)?)
            }
            Request::Users => json_of(broker.users()),
            Request::AddUser {
                name,
                password,
                tags,
            } => json_of(broker.add_user(&name, password.as_deref(), &tags)?),
            Request::ChangePassword { name, password } => {
                json_of(broker.change_password(&name, &password)?)
            }
            Request::ChangeTags { name, tags } => json_of(broker.change_tags(&name, &tags)?),
            Request::DeleteUser { name } => json_of(broker.delete_user(&name)?),
            Request::Permissions => json_of(broker.permissions()),
            Request::SetPermission {
                user,
                namespace,
                configure,
                write,
                read,
                subjects,
            } => {
                check_subjects(&subjects)?;
                json_of(broker.set_permission(&Permission {
                    user,
                    namespace,
                    configure,
                    write,
                    read,
                    subjects,
                })?)
            }
            Request::ClearPermission { user, namespace } => {
                json_of(broker.clear_permission(&user, &namespace)?)
            }
        }
    }

    fn status(&self) -> Result<Value, Failure> {
        let mut status = json_of(self.broker.status())?;
        let listeners = self.listeners.iter();
        status["pid"] = json!(std::process::id());
        status["listeners"] = listeners
            .map(|(protocol, address)| json!({ "protocol": protocol, "address": address }))
            .collect();
        Ok(status)
    }
}

fn json_of(value: impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure(error.to_string()))
}

/// Patterns that no subject fits would deny nothing.
fn check_subjects(rules: &KeyRules) -> Result<(), Failure> {
    let is_bad = |pattern: &&String| !polybus_nats::codec::is_valid(pattern.as_bytes());
    match rules.patterns().find(is_bad) {
        None => Ok(()),
        Some(bad) => Err(Failure(format!(
            "'{bad}' is no subject: words between dots, * for any one of them, > for all that follow"
        ))),
    }
}
