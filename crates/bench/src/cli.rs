//! What can be typed to run workloads, and its doing: the same for `polybus bench` and `polybus-bench run`.
//!
//! Nothing here prints but the progress bar: what came out is returned, for the caller to print.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::bar::Bar;
use crate::catalog::{catalog, find, short};
use crate::error::BenchError;
use crate::link::Target;
use crate::run::{Figures, RunOptions};
use crate::table;
use crate::workload::Workload;

/// Which workloads, against which broker.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Where the broker listens, in plain text (not TLS)
    #[arg(long, default_value = "127.0.0.1:5672", value_name = "HOST:PORT")]
    pub address: String,
    /// The user
    #[arg(long, default_value = "guest")]
    pub user: String,
    /// Its password
    #[arg(long, default_value = "guest")]
    pub password: String,
    /// The workloads; a short set if none is named
    #[arg(long = "workload", value_name = "NAME", num_args = 1..)]
    pub workloads: Vec<String>,
    /// How long to publish, for each
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// The broker's process on this machine, to measure what it costs
    #[arg(long)]
    pub pid: Option<u32>,
    /// List the workloads instead
    #[arg(long)]
    pub list: bool,
    /// What is changed of the workloads.
    #[command(flatten)]
    pub changes: Changes,
}

/// What can be changed of a workload.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "To change the workloads")]
pub struct Changes {
    /// The size of bodies
    #[arg(long, value_name = "BYTES")]
    pub body_bytes: Option<usize>,
    /// At most so many publishes unconfirmed
    #[arg(long, value_name = "COUNT")]
    pub window: Option<u32>,
    /// Publishes a second, on a fixed schedule
    #[arg(long, value_name = "COUNT")]
    pub rate: Option<u64>,
    /// Publish so many messages, however long it takes
    #[arg(long, value_name = "COUNT")]
    pub messages: Option<u64>,
    /// Publishing connections
    #[arg(long, value_name = "COUNT")]
    pub publishers: Option<u32>,
    /// Consuming connections
    #[arg(long, value_name = "COUNT")]
    pub consumers: Option<u32>,
    /// Queues
    #[arg(long, value_name = "COUNT")]
    pub queues: Option<u32>,
}

impl Changes {
    fn apply(&self, workload: &mut Workload) {
        workload.body_bytes = self.body_bytes.unwrap_or(workload.body_bytes);
        workload.window = self.window.or(workload.window);
        workload.rate_per_s = self.rate.or(workload.rate_per_s);
        workload.messages = self.messages.or(workload.messages);
        workload.publishers = self.publishers.unwrap_or(workload.publishers);
        workload.consumers = self.consumers.unwrap_or(workload.consumers);
        workload.queues = self.queues.unwrap_or(workload.queues);
    }
}

/// Does what was typed, with a progress bar on a terminal, and returns what is to be printed.
///
/// # Errors
/// [`BenchError`] if a workload is unknown, the broker cannot be reached, fails, or got messages wrong.
pub fn run(args: &RunArgs, is_json: bool) -> Result<String, BenchError> {
    if args.list {
        return Ok(if is_json { list_json() } else { list() });
    }
    let target = Target {
        user: args.user.clone(),
        password: args.password.clone(),
        ..Target::new(args.address.clone())
    };
    let options = RunOptions {
        duration: duration(args.seconds)?,
        server_pid: args.pid,
        ..RunOptions::default()
    };
    let workloads = chosen(&args.workloads, short(), &args.changes)?;
    let mut bar = Bar::on_stderr();
    let mut all: Vec<Figures> = Vec::new();
    for (index, workload) in workloads.iter().enumerate() {
        let name = format!("{}/{} {}", index + 1, workloads.len(), workload.name);
        let figures = crate::run::run(&target, workload, &options, &mut |progress| {
            bar.draw(&name, progress);
        });
        bar.clear();
        all.push(figures?);
    }
    Ok(if is_json {
        format!("{:#}\n", json!(all))
    } else {
        let rows = all.iter();
        let rows: Vec<_> = rows
            .map(|figures| table::row(&figures.workload, figures))
            .collect();
        table::aligned(&table::COLUMNS, &rows)
    })
}

/// The workloads there are, a line for each.
#[must_use]
pub fn list() -> String {
    let line = |workload: Workload| {
        let note = if workload.on_demand {
            " (only when named)"
        } else {
            ""
        };
        format!("{:<14} {}{note}\n", workload.name, workload.about)
    };
    catalog().into_iter().map(line).collect()
}

fn list_json() -> String {
    let workloads = catalog().into_iter();
    let all: Vec<_> = workloads
        .map(|workload| json!({"workload": workload.name, "about": workload.about}))
        .collect();
    format!("{:#}\n", json!(all))
}

/// The workloads of these names, or the usual ones, with the changes made.
///
/// # Errors
/// [`BenchError::Usage`] if there is none of such a name.
pub fn chosen(
    names: &[String],
    usual: Vec<Workload>,
    changes: &Changes,
) -> Result<Vec<Workload>, BenchError> {
    let found = |name: &String| find(name).ok_or_else(|| unknown(name));
    let mut workloads = if names.is_empty() {
        usual
    } else {
        names.iter().map(found).collect::<Result<_, _>>()?
    };
    for workload in &mut workloads {
        changes.apply(workload);
    }
    Ok(workloads)
}

fn unknown(name: &str) -> BenchError {
    let names: Vec<_> = catalog().into_iter().map(|w| w.name).collect();
    BenchError::Usage(format!(
        "no workload is called {name}; there are {}",
        names.join(", ")
    ))
}

/// So many seconds.
///
/// # Errors
/// [`BenchError::Usage`] if that is no time.
pub fn duration(seconds: f64) -> Result<Duration, BenchError> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(BenchError::Usage(format!(
            "--seconds {seconds} is no time to publish in"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        args: RunArgs,
    }

    fn typed(line: &str) -> RunArgs {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        Typed::try_parse_from(words).unwrap().args
    }

    #[test]
    fn the_short_set_is_of_the_catalog_and_changes_apply() {
        let args = typed("--body-bytes 100 --messages 7");
        let workloads = chosen(&args.workloads, short(), &args.changes).unwrap();
        assert!(workloads.len() > 2 && workloads.len() < 8);
        for workload in &workloads {
            assert_eq!((workload.body_bytes, workload.messages), (100, Some(7)));
        }
        let args = typed("--workload fanout-10 window-1");
        let workloads = chosen(&args.workloads, short(), &args.changes).unwrap();
        assert_eq!(workloads[0].queues, 10);
        assert_eq!(workloads[1].window, Some(1));
    }

    #[test]
    fn what_cannot_be_is_told_before_anything_is_done() {
        for (line, told) in [
            ("--workload durable-17b", "there are durable-16b"),
            ("--seconds 0", "no time"),
            ("--seconds=-1", "no time"),
        ] {
            let error = run(&typed(line), false).unwrap_err();
            assert!(matches!(error, BenchError::Usage(_)), "{error}");
            assert!(error.to_string().contains(told), "{error}");
        }
    }

    #[test]
    fn a_broker_that_is_not_there_is_unreachable() {
        let error = run(&typed("--address 127.0.0.1:1"), false).unwrap_err();
        assert!(matches!(error, BenchError::Unreachable(..)), "{error}");
    }

    #[test]
    fn the_list_has_all_of_them() {
        let text = run(&typed("--list"), false).unwrap();
        assert_eq!(text.lines().count(), catalog().len());
        let json = run(&typed("--list"), true).unwrap();
        assert!(json.contains("\"workload\": \"ack-16b\""), "{json}");
    }
}
