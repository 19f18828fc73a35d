//! The command line: what can be typed. What it does is in [`serve`](crate::serve) and [`commands`].

pub(crate) mod commands;
pub(crate) mod console;
pub(crate) mod replay;
mod show;

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use polybus_broker::admin::KeyRules;

use crate::config::{SETTINGS, Setting, Sources, duration_or_off, size_or_off};

/// Settings that every command takes, since they say which broker is meant.
const SETTINGS_OF_ALL: [&str; 2] = ["data", "control.socket"];

/// A message broker that RabbitMQ's clients use unchanged.
#[derive(Debug, Parser)]
#[command(name = "polybus", version, disable_help_subcommand = true, arg_required_else_help = true, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// The configuration; ./polybus.toml if it is there
    #[arg(long, global = true, value_name = "FILE", display_order = 900)]
    config: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true, display_order = 901)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

const AFTER_HELP: &str = "\
Exit codes: 0 it is done; 1 it failed; 2 the command line or the configuration is wrong; 3 no broker answers.
Start with `polybus serve`. Reference: docs/reference/command-line.md and docs/reference/configuration.md.";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Run the broker
    Serve,
    /// Print the settings in force and where each value comes from
    Config,
    /// Say how the running broker is; exit code 0 when it is ready
    Status,
    /// Queues: list, purge, delete, peek
    #[command(subcommand, visible_alias = "queue")]
    Queues(Queues),
    /// Topics (RabbitMQ's exchanges): list, and their logs
    #[command(subcommand, visible_alias = "topic", alias = "exchanges")]
    Topics(Topics),
    /// Bindings: list
    #[command(subcommand, visible_alias = "binding")]
    Bindings(Listed),
    /// Consumers: list
    #[command(subcommand, visible_alias = "consumer")]
    Consumers(Listed),
    /// Connections: list, close
    #[command(subcommand, visible_alias = "connection")]
    Connections(Connections),
    /// Users: list, add, delete, passwd, tags
    #[command(subcommand, visible_alias = "user")]
    Users(Users),
    /// What users may do: list, set, clear
    #[command(subcommand, visible_alias = "permission")]
    Permissions(Permissions),
    /// Namespaces (RabbitMQ's vhosts): list, add, delete
    #[command(subcommand, visible_alias = "namespace", alias = "vhosts")]
    Namespaces(Namespaces),
    /// Publish a message
    Publish(Publish),
    /// Take messages out of a queue and print them
    Consume(Consume),
    /// Copy what a log holds, or some of it, into a topic or a queue
    Replay(replay::Replay),
    /// Measure a broker under load: rates, latencies, what it costs; see --list
    Bench(polybus_bench::cli::RunArgs),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Which namespace.
#[derive(Debug, Args)]
pub(crate) struct Where {
    /// The namespace
    #[arg(
        long,
        short,
        default_value = "/",
        value_name = "NAME",
        visible_alias = "vhost"
    )]
    pub(crate) namespace: String,
}

/// What can be done with queues.
#[derive(Debug, Subcommand)]
pub(crate) enum Queues {
    /// List queues
    List(Where),
    /// Drop a queue's ready messages
    Purge {
        /// The queue
        name: String,
        #[command(flatten)]
        place: Where,
    },
    /// Delete a queue with its messages
    Delete {
        /// The queue
        name: String,
        #[command(flatten)]
        place: Where,
    },
    /// Look at a queue's first messages without taking them
    Peek {
        /// The queue
        name: String,
        /// How many
        #[arg(long, default_value_t = 10)]
        count: usize,
        #[command(flatten)]
        place: Where,
    },
}

/// What can be done with topics.
#[derive(Debug, Subcommand)]
pub(crate) enum Topics {
    /// List topics
    List(Where),
    /// Logs of topics, in which what is published to them stays: list, add, set, delete
    #[command(subcommand, visible_alias = "logs")]
    Log(Logs),
}

/// What can be done with logs.
#[derive(Debug, Subcommand)]
pub(crate) enum Logs {
    /// List logs
    List(Where),
    /// Give a topic a log: what is published to it from now on can be replayed, and read by Kafka's clients
    Add {
        /// The topic; it is made if it is not there
        topic: String,
        #[command(flatten)]
        change: LogOptions,
        #[command(flatten)]
        place: Where,
    },
    /// Change a log's settings
    Set {
        /// The log
        name: String,
        #[command(flatten)]
        change: LogOptions,
        #[command(flatten)]
        place: Where,
    },
    /// Delete a log with all it holds; its topic stays, unless it was made with the log
    Delete {
        /// The log
        name: String,
        #[command(flatten)]
        place: Where,
    },
}

/// What a log is to be like.
#[derive(Debug, Args)]
pub(crate) struct LogOptions {
    /// How many partitions; they can only become more [a new log has 1]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) partitions: Option<u32>,
    /// Records older than this go: `7d`, `12h`, or `off` [a new log has 7d]
    #[arg(long, value_name = "DURATION", value_parser = age_ms)]
    pub(crate) retention: Option<u64>,
    /// The oldest records of a partition go while it holds more than this: `10 GiB`, or `off` [a new log has off]
    #[arg(long, value_name = "SIZE", value_parser = size_or_off)]
    pub(crate) retention_size: Option<u64>,
}

/// An age in milliseconds; `off` is 0.
fn age_ms(text: &str) -> Result<u64, String> {
    let age = duration_or_off(text)?.unwrap_or_default();
    Ok(age.as_millis().try_into().unwrap_or(u64::MAX))
}

/// What can only be listed.
#[derive(Debug, Subcommand)]
pub(crate) enum Listed {
    /// List them
    List(Where),
}

/// What can be done with connections.
#[derive(Debug, Subcommand)]
pub(crate) enum Connections {
    /// List connections
    List,
    /// Close a connection
    Close {
        /// Its number, as listed
        id: u64,
        /// What its client is told
        #[arg(
            long,
            default_value = "closed by an administrator",
            value_name = "TEXT"
        )]
        reason: String,
    },
}

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// List users
    List,
    /// Add a user
    Add {
        /// The user
        name: String,
        /// The password; asked for if not given
        #[arg(long)]
        password: Option<String>,
        /// No password: the user comes with a TLS certificate
        #[arg(long, conflicts_with = "password")]
        no_password: bool,
        /// A tag, may be given several times
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Delete a user
    Delete {
        /// The user
        name: String,
    },
    /// Change a user's password
    Passwd {
        /// The user
        name: String,
        /// The password; asked for if not given
        #[arg(long)]
        password: Option<String>,
    },
    /// Replace a user's tags
    Tags {
        /// The user
        name: String,
        /// The tags
        tags: Vec<String>,
    },
}

/// What can be done with permissions.
#[derive(Debug, Subcommand)]
pub(crate) enum Permissions {
    /// List permissions
    List,
    /// Let a user into a namespace, with what it may do there as regular expressions over names
    Set {
        /// The user
        user: String,
        /// What it may declare and delete
        #[arg(long, default_value = ".*", value_name = "REGEX")]
        configure: String,
        /// What it may publish to
        #[arg(long, default_value = ".*", value_name = "REGEX")]
        write: String,
        /// What it may consume from
        #[arg(long, default_value = ".*", value_name = "REGEX")]
        read: String,
        #[command(flatten)]
        subjects: Subjects,
        #[command(flatten)]
        place: Where,
    },
    /// Keep a user out of a namespace
    Clear {
        /// The user
        user: String,
        #[command(flatten)]
        place: Where,
    },
}

/// Which subjects a NATS client may publish and subscribe to, in a user's name.
#[derive(Debug, Args)]
pub(crate) struct Subjects {
    /// NATS: the subjects that it may publish to, with commas; all if not set
    #[arg(long, value_name = "SUBJECTS", value_delimiter = ',')]
    publish_allow: Option<Vec<String>>,
    /// NATS: the subjects that it may not publish to
    #[arg(long, value_name = "SUBJECTS", value_delimiter = ',')]
    publish_deny: Vec<String>,
    /// NATS: the subjects that it may subscribe to, with commas; all if not set
    #[arg(long, value_name = "SUBJECTS", value_delimiter = ',')]
    subscribe_allow: Option<Vec<String>>,
    /// NATS: the subjects that it may not subscribe to, and is not handed
    #[arg(long, value_name = "SUBJECTS", value_delimiter = ',')]
    subscribe_deny: Vec<String>,
    /// NATS: it may answer each message that it is handed so many times, and publish elsewhere only what is allowed
    #[arg(long, value_name = "COUNT")]
    allow_responses: Option<u32>,
    /// NATS: for how many seconds it may answer
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    responses_expire: u64,
}

impl From<Subjects> for KeyRules {
    fn from(subjects: Subjects) -> Self {
        let expire_ms = subjects.responses_expire.saturating_mul(1_000);
        Self {
            publish_allow: subjects.publish_allow,
            publish_deny: subjects.publish_deny,
            subscribe_allow: subjects.subscribe_allow,
            subscribe_deny: subjects.subscribe_deny,
            answers: subjects.allow_responses.map(|count| (count, expire_ms)),
        }
    }
}

/// What can be done with namespaces.
#[derive(Debug, Subcommand)]
pub(crate) enum Namespaces {
    /// List namespaces
    List,
    /// Add a namespace
    Add {
        /// The namespace
        name: String,
    },
    /// Delete a namespace with everything in it
    Delete {
        /// The namespace
        name: String,
    },
}

/// A message to publish.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The topic; without one the key names the queue
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) topic: String,
    /// The key
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) key: String,
    /// The body; read from the standard input if not given
    #[arg(long)]
    pub(crate) body: Option<String>,
    /// The message need not survive a restart
    #[arg(long)]
    pub(crate) transient: bool,
    #[command(flatten)]
    pub(crate) place: Where,
}

/// Messages to take.
#[derive(Debug, Args)]
pub(crate) struct Consume {
    /// The queue
    #[arg(long)]
    pub(crate) queue: String,
    /// How many at most
    #[arg(long, default_value_t = 1)]
    pub(crate) count: usize,
    /// Acknowledge them: they are gone then. Otherwise they go back to the queue
    #[arg(long)]
    pub(crate) ack: bool,
    #[command(flatten)]
    pub(crate) place: Where,
}

/// What was typed.
#[derive(Debug)]
pub(crate) struct Typed {
    /// The command.
    pub(crate) what: What,
    /// JSON was asked for.
    pub(crate) json: bool,
    /// Where settings come from.
    pub(crate) sources: Sources,
}

fn flag(setting: &'static Setting) -> Arg {
    let flag = Arg::new(setting.key)
        .long(setting.flag())
        .value_name(setting.value)
        .help(setting.help.trim_end_matches('.'));
    match setting.default {
        "" => flag,
        default => flag.help(format!(
            "{} [default: {default}]",
            setting.help.trim_end_matches('.')
        )),
    }
}

/// The whole command line, the settings' flags with it.
pub(crate) fn command() -> Command {
    let (of_all, of_some): (Vec<_>, Vec<_>) = SETTINGS
        .iter()
        .partition(|s| SETTINGS_OF_ALL.contains(&s.key));
    let with_settings =
        |command: Command| command.args(of_some.iter().map(|setting| flag(setting)));
    Cli::command()
        .args(
            of_all
                .iter()
                .map(|setting| flag(setting).global(true).display_order(902)),
        )
        .mut_subcommand("serve", with_settings)
        .mut_subcommand("config", with_settings)
}

/// Understands what was typed.
///
/// # Errors
/// What is wrong with it, or the help that was asked for.
pub(crate) fn parse(
    typed: impl IntoIterator<Item = std::ffi::OsString>,
    environment: Vec<(String, String)>,
) -> Result<Typed, clap::Error> {
    let matches = command().try_get_matches_from(typed)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let sources = Sources {
        file: cli.config,
        folder: PathBuf::new(),
        environment,
        flags: flags(&matches),
    };
    Ok(Typed {
        what: cli.what,
        json: cli.json,
        sources,
    })
}

/// The settings given as flags, wherever they stand.
fn flags(matches: &ArgMatches) -> Vec<(&'static str, String)> {
    let mut deepest = matches;
    while let Some((_, inner)) = deepest.subcommand() {
        deepest = inner;
    }
    let given = |setting: &&'static Setting| {
        let value = deepest.try_get_one::<String>(setting.key).ok().flatten();
        value.map(|value| (setting.key, value.clone()))
    };
    SETTINGS
        .iter()
        .filter_map(|setting| given(&setting))
        .collect()
}

#[cfg(test)]
mod tests;
