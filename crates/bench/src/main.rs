//! `polybus-bench`: runs workloads against a broker, and compares brokers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a command line"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use polybus_bench::cli::{self, Changes, RunArgs};
use polybus_bench::compare::{self, Comparison};
use polybus_bench::{Bar, BenchError, Progress, page, usual};

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
    #[command(flatten)]
    args: RunArgs,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
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
    /// Where the page is written, its charts beside it; `none`: nowhere
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
        Some(What::Run(run)) => cli::run(&run.args, run.json).map(|text| print!("{text}")),
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
    let special = compare::SPECIAL.iter();
    let special = special.map(|(name, about)| format!("{name:<14} {about} (compare only)\n"));
    std::iter::once(cli::list()).chain(special).collect()
}

fn compare_all(args: &Compare) -> Result<(), BenchError> {
    let is_special = |name: &String| compare::SPECIAL.iter().any(|(special, _)| special == name);
    let (special, named): (Vec<_>, Vec<_>) = args.workloads.iter().cloned().partition(is_special);
    let workloads = if named.is_empty() && !special.is_empty() {
        Vec::new()
    } else {
        cli::chosen(&named, usual(), &args.changes)?
    };
    let plan = compare::Plan {
        workloads,
        startup: args.workloads.is_empty() || special.iter().any(|name| name == "startup"),
        recovery: special.iter().any(|name| name == "recovery-1m"),
        rounds: args.rounds.max(1),
        duration: cli::duration(args.seconds)?,
        polybus: args.polybus_bin.clone(),
        folder: args.data.clone(),
        alone: args.alone,
    };
    let has_page = args.page.as_os_str() != "none";
    let mut bar = Bar::on_stderr();
    let mut tell_all = |name: &str, progress: Option<&Progress>| match progress {
        Some(progress) => bar.draw(name, progress),
        None => {
            bar.clear();
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
        print!("{}", page::render(&comparison, None));
    }
    if has_page {
        page::write(&comparison, &args.page)?;
        eprintln!("wrote {}", args.page.display());
    }
    Ok(())
}
