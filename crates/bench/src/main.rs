//! `polybus-bench`: runs workloads against a broker, and compares brokers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a command line"
)]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use polybus_bench::compare::{self, Comparison};
use polybus_bench::{
    BenchError, Figures, Progress, RunOptions, Target, Workload, catalog, find, page, run, table,
    usual,
};

/// Measures message brokers that speak AMQP 0-9-1.
#[derive(Debug, Parser)]
#[command(name = "polybus-bench", version)]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the workloads
    List,
    /// Run workloads against a broker that is there
    Run(Run),
    /// Start polybus and RabbitMQ, run workloads against each in turn, and write the page (the default)
    Compare(Compare),
}

#[derive(Debug, Args)]
struct Run {
    /// Where the broker listens
    #[arg(long, default_value = "127.0.0.1:5672", value_name = "HOST:PORT")]
    address: String,
    /// The user
    #[arg(long, default_value = "guest")]
    user: String,
    /// Its password
    #[arg(long, default_value = "guest")]
    password: String,
    /// The workloads; see `list`
    #[arg(long = "workload", value_name = "NAME", num_args = 1..)]
    workloads: Vec<String>,
    /// How long to publish
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// The broker's process, to measure what it costs
    #[arg(long)]
    pid: Option<u32>,
    #[command(flatten)]
    changes: Changes,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// What can be changed of a workload.
#[derive(Debug, Args)]
struct Changes {
    /// The size of bodies
    #[arg(long, value_name = "BYTES")]
    body_bytes: Option<usize>,
    /// At most so many publishes unconfirmed
    #[arg(long, value_name = "COUNT")]
    window: Option<u32>,
    /// Publishes a second, on a fixed schedule
    #[arg(long, value_name = "COUNT")]
    rate: Option<u64>,
    /// Publish so many messages, however long it takes
    #[arg(long, value_name = "COUNT")]
    messages: Option<u64>,
    /// Publishing connections
    #[arg(long, value_name = "COUNT")]
    publishers: Option<u32>,
    /// Consuming connections
    #[arg(long, value_name = "COUNT")]
    consumers: Option<u32>,
    /// Queues
    #[arg(long, value_name = "COUNT")]
    queues: Option<u32>,
}

impl Changes {
    fn apply(&self, workload: &mut Workload) {
        if let Some(body_bytes) = self.body_bytes {
            workload.body_bytes = body_bytes;
        }
        workload.window = self.window.or(workload.window);
        workload.rate_per_s = self.rate.or(workload.rate_per_s);
        workload.messages = self.messages.or(workload.messages);
        workload.publishers = self.publishers.unwrap_or(workload.publishers);
        workload.consumers = self.consumers.unwrap_or(workload.consumers);
        workload.queues = self.queues.unwrap_or(workload.queues);
    }
}

#[derive(Debug, Args)]
struct Compare {
    /// The workloads; see `list`
    #[arg(long = "workload", value_name = "NAME", num_args = 1..)]
    workloads: Vec<String>,
    /// How often each is run on each side
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long to publish
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Polybus
    #[arg(long, default_value = "target/release/polybus", value_name = "FILE")]
    polybus_bin: PathBuf,
    /// Where data folders are made
    #[arg(long, default_value = "/tmp", value_name = "DIR")]
    data: PathBuf,
    /// Measure polybus alone, even if RabbitMQ is there
    #[arg(long)]
    alone: bool,
    /// Where the page is written; `none`: nowhere
    #[arg(
        long,
        default_value = "docs/reference/performance.md",
        value_name = "FILE"
    )]
    page: PathBuf,
    #[command(flatten)]
    changes: Changes,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.what {
        Some(What::List) => {
            print!("{}", list());
            Ok(())
        }
        Some(What::Run(run)) => run_all(&run),
        Some(What::Compare(compare)) => compare_all(&compare),
        None => match Cli::try_parse_from(["polybus-bench", "compare"]) {
            Ok(Cli {
                what: Some(What::Compare(compare)),
            }) => compare_all(&compare),
            _ => Err(BenchError::Usage("see --help".into())),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("polybus-bench: {error}");
            match error {
                BenchError::Usage(_) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn list() -> String {
    let mut rows: Vec<_> = catalog()
        .into_iter()
        .map(|workload| {
            let note = if workload.on_demand {
                " (only when named)"
            } else {
                ""
            };
            format!("{:<14} {}{note}\n", workload.name, workload.about)
        })
        .collect();
    for (name, about) in compare::SPECIAL {
        rows.push(format!("{name:<14} {about} (compare only)\n"));
    }
    rows.concat()
}

fn chosen(names: &[String], changes: &Changes) -> Result<Vec<Workload>, BenchError> {
    let mut workloads = if names.is_empty() {
        usual()
    } else {
        names
            .iter()
            .map(|name| {
                find(name).ok_or_else(|| {
                    BenchError::Usage(format!("no workload is called {name}; see `list`"))
                })
            })
            .collect::<Result<_, _>>()?
    };
    for workload in &mut workloads {
        changes.apply(workload);
    }
    Ok(workloads)
}

fn run_all(args: &Run) -> Result<(), BenchError> {
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
    let mut all: Vec<Figures> = Vec::new();
    for workload in chosen(&args.workloads, &args.changes)? {
        all.push(run(&target, &workload, &options, &mut |progress| {
            tell(&workload.name, progress);
        })?);
        clear();
    }
    if args.json {
        println!("{:#}", serde_json::json!(all));
    } else {
        let rows: Vec<_> = all
            .iter()
            .map(|figures| table::row(&figures.workload, figures))
            .collect();
        print!("{}", table::aligned(&table::COLUMNS, &rows));
    }
    Ok(())
}

fn compare_all(args: &Compare) -> Result<(), BenchError> {
    let is_special = |name: &String| compare::SPECIAL.iter().any(|(special, _)| special == name);
    let (special, named): (Vec<_>, Vec<_>) = args.workloads.iter().cloned().partition(is_special);
    let workloads = if named.is_empty() && !special.is_empty() {
        Vec::new()
    } else {
        chosen(&named, &args.changes)?
    };
    let plan = compare::Plan {
        workloads,
        startup: args.workloads.is_empty() || special.iter().any(|name| name == "startup"),
        recovery: special.iter().any(|name| name == "recovery-1m"),
        rounds: args.rounds.max(1),
        duration: duration(args.seconds)?,
        polybus: args.polybus_bin.clone(),
        folder: args.data.clone(),
        alone: args.alone,
    };
    let has_page = args.page.as_os_str() != "none";
    let mut tell_all = |name: &str, progress: Option<&Progress>| match progress {
        Some(progress) => tell(name, progress),
        None => {
            clear();
            eprintln!("{name}");
        }
    };
    let mut kept = Ok(());
    let mut keep = |comparison: &Comparison| {
        if has_page {
            kept = page::write(comparison, &args.page);
        }
    };
    let comparison = compare::compare(&plan, &mut tell_all, &mut keep)?;
    kept?;
    if args.json {
        println!("{:#}", serde_json::json!(comparison));
    } else {
        print!("{}", page::render(&comparison));
    }
    if has_page {
        page::write(&comparison, &args.page)?;
        eprintln!("wrote {}", args.page.display());
    }
    Ok(())
}

fn duration(seconds: f64) -> Result<Duration, BenchError> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| BenchError::Usage(format!("{seconds} is no number of seconds")))
}

fn clear() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

fn tell(name: &str, progress: &Progress) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    eprint!(
        "\r\x1b[K{name}: {} {:.1} s, published {}, consumed {}",
        progress.phase,
        progress.elapsed.as_secs_f64(),
        table::number(progress.published as f64),
        table::number(progress.consumed as f64),
    );
}
