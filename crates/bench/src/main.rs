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
use polybus_bench::{Bar, BenchError, Progress, kafka, nats, page, usual};

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
    /// Start polybus and RabbitMQ (or Apache Kafka, or nats-server), run workloads against each in turn, and write the page (the default)
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
    /// How long to publish; 5, with --kafka or --nats 1.5
    #[arg(long)]
    seconds: Option<f64>,
    /// Over Kafka's protocol: polybus with and without fsync, and Apache Kafka
    #[arg(long)]
    kafka: bool,
    /// Over NATS' protocol: polybus and nats-server
    #[arg(long, conflicts_with = "kafka")]
    nats: bool,
    /// With --nats: the folder of nats-server, where go builds it if it is not there
    #[arg(long, default_value = "target/peers/nats", value_name = "DIR")]
    nats_server: PathBuf,
    /// With --nats: Debian's nats-server, if it is not where its package puts it
    #[arg(long, value_name = "FILE")]
    nats_debian: Option<PathBuf>,
    /// With --kafka or --nats: after so many minutes no further round is begun
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
    /// docs/reference/performance-kafka.md, with --nats docs/reference/performance-nats.md
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
    let live = nats::works();
    let live = live.iter().map(|work| (work.name, work.about.as_str()));
    let live = live.chain(nats::SPECIAL);
    let live = live.map(|(name, about)| format!("{name:<20} {about} (compare --nats only)\n"));
    amqp.chain(works).chain(live).collect()
}

impl Compare {
    fn page(&self) -> Option<PathBuf> {
        let name = match (self.kafka, self.nats) {
            (true, _) => "docs/reference/performance-kafka.md",
            (_, true) => "docs/reference/performance-nats.md",
            _ => "docs/reference/performance.md",
        };
        let page = self.page.clone().unwrap_or_else(|| name.into());
        (page.as_os_str() != "none").then_some(page)
    }
}

/// Is this workload asked for? All are if none is named.
fn is_named(args: &Compare, name: &str) -> bool {
    args.workloads.is_empty() || args.workloads.iter().any(|named| named == name)
}

/// Each workload that is named has to be there.
fn check_names(args: &Compare, all: &[&str], option: &str) -> Result<(), BenchError> {
    match args
        .workloads
        .iter()
        .find(|name| !all.contains(&name.as_str()))
    {
        Some(name) => {
            let what = format!("no workload of {option} is called {name}; see `list`");
            Err(BenchError::Usage(what))
        }
        None => Ok(()),
    }
}

/// Prints what was found, and says where its page is.
fn told(args: &Compare, found: &impl serde::Serialize, text: &str) {
    if args.json {
        println!("{:#}", serde_json::json!(found));
    } else {
        print!("{text}");
    }
    if let Some(page) = args.page() {
        eprintln!("wrote {}", page.display());
    }
}

fn compare_kafka(args: &Compare) -> Result<(), BenchError> {
    let all = kafka::works();
    let special = kafka::SPECIAL.iter().map(|(name, _)| *name);
    let names: Vec<_> = all.iter().map(|work| work.name).chain(special).collect();
    check_names(args, &names, "--kafka")?;
    let plan = kafka::KafkaPlan {
        startup: is_named(args, "startup"),
        partitions: is_named(args, "partitions-10000"),
        works: all.into_iter().filter(|w| is_named(args, w.name)).collect(),
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
    told(args, &found, &kafka::render(&found, None));
    Ok(())
}

fn compare_nats(args: &Compare) -> Result<(), BenchError> {
    let all = nats::works();
    let special = nats::SPECIAL.iter().map(|(name, _)| *name);
    let names: Vec<_> = all.iter().map(|work| work.name).chain(special).collect();
    check_names(args, &names, "--nats")?;
    let plan = nats::NatsPlan {
        startup: is_named(args, "startup"),
        works: all.into_iter().filter(|w| is_named(args, w.name)).collect(),
        rounds: args.rounds.max(1),
        duration: cli::duration(args.seconds.unwrap_or(1.5))?,
        within: cli::duration(args.minutes * 60.0)?,
        polybus: args.polybus_bin.clone(),
        peer: args.nats_server.clone(),
        debian: args.nats_debian.clone(),
        folder: args.data.clone(),
        alone: args.alone,
    };
    let page = args.page();
    let mut kept = Ok(());
    let mut keep = |found: &nats::NatsComparison| {
        if let Some(page) = &page {
            kept = nats::write(found, page);
        }
    };
    let mut tell = |text: &str, _: Option<&Progress>| eprintln!("{text}");
    let found = nats::compare(&plan, &mut tell, &mut keep)?;
    kept?;
    told(args, &found, &nats::render(&found, None));
    Ok(())
}

fn compare_all(args: &Compare) -> Result<(), BenchError> {
    if args.kafka {
        return compare_kafka(args);
    }
    if args.nats {
        return compare_nats(args);
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
