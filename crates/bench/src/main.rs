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
use polybus_bench::{Bar, BenchError, Progress, kafka, page, usual};

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
    /// Start polybus and RabbitMQ (or Apache Kafka), run workloads against each in turn, and write the page (the default)
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
    /// How long to publish; 5, with --kafka 1.5
    #[arg(long)]
    seconds: Option<f64>,
    /// Over Kafka's protocol: polybus with and without fsync, and Apache Kafka
    #[arg(long)]
    kafka: bool,
    /// With --kafka: after so many minutes no further round is begun
    #[arg(long, default_value_t = 8.0)]
    minutes: f64,
    /// With --kafka: its jars, fetched by mvn if they are not there
    #[arg(long, default_value = "target/peers/kafka", value_name = "DIR")]
    kafka_jars: PathBuf,
    /// Polybus
    #[arg(long, default_value = "target/release/polybus", value_name = "FILE")]
    polybus_bin: PathBuf,
    /// Where data folders are made
    #[arg(long, default_value = "/tmp", value_name = "DIR")]
    data: PathBuf,
    /// Measure polybus alone, even if its peer is there
    #[arg(long)]
    alone: bool,
    /// Where the page is written, its charts beside it; `none`: nowhere; docs/reference/performance.md, with --kafka
    /// docs/reference/performance-kafka.md
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
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
    let works = kafka::works();
    let works = works.iter().map(|work| (work.name, work.about.as_str()));
    let works = works.chain(kafka::SPECIAL);
    let works = works.map(|(name, about)| format!("{name:<20} {about} (compare --kafka only)\n"));
    let amqp = std::iter::once(cli::list()).chain(special);
    amqp.chain(works).collect()
}

impl Compare {
    fn page(&self) -> Option<PathBuf> {
        let name = if self.kafka {
            "docs/reference/performance-kafka.md"
        } else {
            "docs/reference/performance.md"
        };
        let page = self.page.clone().unwrap_or_else(|| name.into());
        (page.as_os_str() != "none").then_some(page)
    }
}

fn compare_kafka(args: &Compare) -> Result<(), BenchError> {
    let all = kafka::works();
    let is_named =
        |name: &str| args.workloads.is_empty() || args.workloads.iter().any(|w| w == name);
    let is_there = |name: &String| {
        kafka::SPECIAL.iter().any(|(special, _)| special == name)
            || all.iter().any(|w| w.name == name)
    };
    if let Some(name) = args.workloads.iter().find(|name| !is_there(name)) {
        let what = format!("no workload of --kafka is called {name}; see `list`");
        return Err(BenchError::Usage(what));
    }
    let plan = kafka::KafkaPlan {
        startup: is_named("startup"),
        partitions: is_named("partitions-10000"),
        works: all.iter().filter(|w| is_named(w.name)).cloned().collect(),
        rounds: args.rounds.max(1),
        duration: cli::duration(args.seconds.unwrap_or(1.5))?,
        within: cli::duration(args.minutes * 60.0)?,
        polybus: args.polybus_bin.clone(),
        jars: args.kafka_jars.clone(),
        folder: args.data.clone(),
        alone: args.alone,
    };
    let page = args.page();
    let mut kept = Ok(());
    let mut keep = |found: &kafka::KafkaComparison| {
        if let Some(page) = &page {
            kept = kafka::write(found, page);
        }
    };
    let mut tell = |text: &str, _: Option<&Progress>| eprintln!("{text}");
    let found = kafka::compare(&plan, &mut tell, &mut keep)?;
    kept?;
    if args.json {
        println!("{:#}", serde_json::json!(found));
    } else {
        print!("{}", kafka::render(&found, None));
    }
    if let Some(page) = page {
        eprintln!("wrote {}", page.display());
    }
    Ok(())
}

fn compare_all(args: &Compare) -> Result<(), BenchError> {
    if args.kafka {
        return compare_kafka(args);
    }
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
        duration: cli::duration(args.seconds.unwrap_or(5.0))?,
        polybus: args.polybus_bin.clone(),
        folder: args.data.clone(),
        alone: args.alone,
    };
    let page_path = args.page();
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
        if let Some(path) = &page_path {
            kept = page::write(comparison, path);
        }
    };
    let comparison = compare::compare(&plan, &mut tell_all, &mut keep)?;
    kept?;
    if args.json {
        println!("{:#}", serde_json::json!(comparison));
    } else {
        print!("{}", page::render(&comparison, None));
    }
    if let Some(path) = &page_path {
        page::write(&comparison, path)?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}
