//! What each command asks the running broker, and how its reply is shown.

use std::path::Path;

use polybus_bench::BenchError;
use polybus_bench::cli::RunArgs;
use polybus_broker::admin::LogChange;
use serde_json::Value;

use super::console::{Failure, input, password, print};
use super::show;
use super::{
    Connections, Consume, Listed, LogOptions, Logs, Namespaces, Permissions, Publish, Queues,
    Topics, Users, What,
};
use crate::control::{AskError, Body, Request, ask};

/// How a reply is shown to people.
enum Shown {
    Table(show::Columns),
    Names(&'static str),
    Status,
    Messages,
    /// A sentence; `#` stands for the reply.
    Said(String),
    /// The name of what was added, unless the reply says that it was there before.
    Added(String),
    /// The reply says whether it was routed.
    Routed,
}

/// Asks the broker behind the control socket and prints its reply.
pub(crate) fn run(what: What, json: bool, socket: &Path) -> Result<(), Failure> {
    let (request, shown) = request(what)?;
    let reply = ask(socket, &request).map_err(|error| match error {
        AskError::Unreachable(reason) => Failure::Unreachable(reason),
        AskError::Refused(reason) => Failure::Failed(reason),
    })?;
    let is_unrouted = matches!(shown, Shown::Routed) && reply == Value::Bool(false);
    print(&if json {
        format!("{reply:#}\n")
    } else {
        text(&shown, &reply)
    });
    if is_unrouted {
        return Err(Failure::Failed(
            "no queue took the message: nothing is bound for that topic and key".into(),
        ));
    }
    Ok(())
}

/// Runs workloads against a broker that speaks AMQP in plain text, and prints what came out.
pub(crate) fn bench(args: &RunArgs, json: bool) -> Result<(), Failure> {
    let text = polybus_bench::cli::run(args, json).map_err(|error| match error {
        BenchError::Unreachable(..) => Failure::Unreachable(error.to_string()),
        BenchError::Usage(_) => Failure::Wrong(error.to_string()),
        _ => Failure::Failed(error.to_string()),
    })?;
    print(&text);
    Ok(())
}

fn text(shown: &Shown, reply: &Value) -> String {
    match shown {
        Shown::Table(columns) => show::table(columns, reply),
        Shown::Names(title) => show::names(title, reply),
        Shown::Status => show::status(reply),
        Shown::Messages if reply.as_array().is_some_and(Vec::is_empty) => {
            "the queue has no ready messages\n".into()
        }
        Shown::Messages => show::messages(reply),
        Shown::Said(sentence) => format!("{}\n", sentence.replace('#', &reply.to_string())),
        Shown::Added(name) if *reply == Value::Bool(false) => format!("{name} was there already\n"),
        Shown::Added(name) => {
            format!(
                "{name} is there; let users in with `polybus permissions set USER --namespace {name}`\n"
            )
        }
        Shown::Routed if *reply == Value::Bool(true) => "published\n".into(),
        Shown::Routed => String::new(),
    }
}

fn said(sentence: impl Into<String>) -> Shown {
    Shown::Said(sentence.into())
}

fn request(what: What) -> Result<(Request, Shown), Failure> {
    Ok(match what {
        What::Status => (Request::Status, Shown::Status),
        What::Queues(what) => queues(what),
        What::Topics(what) => topics(what),
        What::Bindings(Listed::List(place)) => (
            Request::Bindings {
                namespace: place.namespace,
            },
            Shown::Table(show::BINDINGS),
        ),
        What::Consumers(Listed::List(place)) => (
            Request::Consumers {
                namespace: place.namespace,
            },
            Shown::Table(show::CONSUMERS),
        ),
        What::Connections(Connections::List) => {
            (Request::Connections, Shown::Table(show::CONNECTIONS))
        }
        What::Connections(Connections::Close { id, reason }) => (
            Request::CloseConnection { id, reason },
            said(format!("connection {id} is told to close")),
        ),
        What::Users(what) => users(what)?,
        What::Permissions(what) => permissions(what),
        What::Namespaces(what) => namespaces(what),
        What::Publish(publish) => (publication(publish)?, Shown::Routed),
        What::Consume(Consume {
            queue,
            count,
            ack,
            place,
        }) => {
            let namespace = place.namespace;
            (
                Request::Consume {
                    namespace,
                    queue,
                    count,
                    acknowledge: ack,
                },
                Shown::Messages,
            )
        }
        What::Serve
        | What::Config
        | What::Bench(_)
        | What::Replay(_)
        | What::Completions { .. } => {
            return Err(Failure::Wrong("that command asks no broker".into()));
        }
    })
}

fn queues(what: Queues) -> (Request, Shown) {
    match what {
        Queues::List(place) => (
            Request::Queues {
                namespace: place.namespace,
            },
            Shown::Table(show::QUEUES),
        ),
        Queues::Purge { name, place } => {
            let done = said(format!("# messages dropped from {name}"));
            (
                Request::Purge {
                    namespace: place.namespace,
                    queue: name,
                },
                done,
            )
        }
        Queues::Delete { name, place } => {
            let done = said(format!("{name} deleted, with # messages"));
            (
                Request::DeleteQueue {
                    namespace: place.namespace,
                    queue: name,
                },
                done,
            )
        }
        Queues::Peek { name, count, place } => (
            Request::Peek {
                namespace: place.namespace,
                queue: name,
                count,
            },
            Shown::Messages,
        ),
    }
}

fn topics(what: Topics) -> (Request, Shown) {
    match what {
        Topics::List(place) => (
            Request::Topics {
                namespace: place.namespace,
            },
            Shown::Table(show::TOPICS),
        ),
        Topics::Log(Logs::List(place)) => (
            Request::Logs {
                namespace: place.namespace,
            },
            Shown::Table(show::LOGS),
        ),
        Topics::Log(Logs::Add {
            topic,
            change,
            place,
        }) => {
            let done = said(format!("what is published to {topic} stays in its log now"));
            let request = Request::AddLog {
                namespace: place.namespace,
                topic,
                change: change_of(&change),
            };
            (request, done)
        }
        Topics::Log(Logs::Set {
            name,
            change,
            place,
        }) => {
            let done = said(format!("log {name} is changed"));
            let request = Request::ChangeLog {
                namespace: place.namespace,
                log: name,
                change: change_of(&change),
            };
            (request, done)
        }
        Topics::Log(Logs::Delete { name, place }) => {
            let done = said(format!("log {name} is deleted"));
            let request = Request::DeleteLog {
                namespace: place.namespace,
                log: name,
            };
            (request, done)
        }
    }
}

fn change_of(options: &LogOptions) -> LogChange {
    LogChange {
        partitions: options.partitions,
        retention_ms: options.retention,
        retention_bytes: options.retention_size,
    }
}

fn users(what: Users) -> Result<(Request, Shown), Failure> {
    Ok(match what {
        Users::List => (Request::Users, Shown::Table(show::USERS)),
        Users::Add {
            name,
            password: given,
            no_password,
            tags,
        } => {
            let password = match given {
                Some(password) => Some(password),
                None if no_password => None,
                None => Some(password(&name)?),
            };
            let done = said(format!(
                "{name} added; let it in with `polybus permissions set {name}`"
            ));
            (
                Request::AddUser {
                    name,
                    password,
                    tags,
                },
                done,
            )
        }
        Users::Delete { name } => {
            let done = said(format!("{name} deleted"));
            (Request::DeleteUser { name }, done)
        }
        Users::Passwd {
            name,
            password: given,
        } => {
            let password = given.map_or_else(|| password(&name), Ok)?;
            let done = said(format!("{name} has a new password"));
            (Request::ChangePassword { name, password }, done)
        }
        Users::Tags { name, tags } => {
            let done = said(format!("{name} has new tags"));
            (Request::ChangeTags { name, tags }, done)
        }
    })
}

fn permissions(what: Permissions) -> (Request, Shown) {
    match what {
        Permissions::List => (Request::Permissions, Shown::Table(show::PERMISSIONS)),
        Permissions::Set {
            user,
            configure,
            write,
            read,
            subjects,
            place,
        } => {
            let namespace = place.namespace;
            let subjects = subjects.into();
            let done = said(format!("{user} may enter {namespace}"));
            (
                Request::SetPermission {
                    user,
                    namespace,
                    configure,
                    write,
                    read,
                    subjects,
                },
                done,
            )
        }
        Permissions::Clear { user, place } => {
            let namespace = place.namespace;
            let done = said(format!("{user} may no longer enter {namespace}"));
            (Request::ClearPermission { user, namespace }, done)
        }
    }
}

fn namespaces(what: Namespaces) -> (Request, Shown) {
    match what {
        Namespaces::List => (Request::Namespaces, Shown::Names("name")),
        Namespaces::Add { name } => {
            let done = Shown::Added(name.clone());
            (Request::AddNamespace { name }, done)
        }
        Namespaces::Delete { name } => {
            let done = said(format!("{name} deleted"));
            (Request::DeleteNamespace { name }, done)
        }
    }
}

fn publication(publish: Publish) -> Result<Request, Failure> {
    let body = match publish.body {
        Some(body) => body.into_bytes(),
        None => input()?,
    };
    Ok(Request::Publish {
        namespace: publish.place.namespace,
        topic: publish.topic,
        key: publish.key,
        body: Body(body),
        durable: !publish.transient,
    })
}
