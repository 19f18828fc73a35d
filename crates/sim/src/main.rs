//! Runs seeds: `--seed N` one with its trace, `--seeds A..B` many, `--seconds N` new ones for so long, `--forever` until it is
//! stopped.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line")]

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use polybus_sim::{Plan, run};

const USAGE: &str = "usage: polybus-sim --seed N | --seeds A..B | --seconds N | --forever";
/// Failures after which it is enough.
const FAILURES_MAX: u64 = 25;
/// Seeds between two lines about how it goes.
const REPORT_EVERY: u64 = 1_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--seed", seed] => match seed.parse() {
            Ok(seed) => one(seed),
            Err(_) => usage(),
        },
        ["--seeds", range] => match parse_range(range) {
            Some(range) => many(range, None),
            None => usage(),
        },
        ["--seconds", seconds] => match seconds.parse().map(Duration::from_secs) {
            Ok(time) => many(fresh_seed()..u64::MAX, Some(time)),
            Err(_) => usage(),
        },
        ["--forever"] => many(fresh_seed()..u64::MAX, None),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn parse_range(text: &str) -> Option<std::ops::Range<u64>> {
    let (from, to) = text.split_once("..")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

/// A seed that was not run before, probably.
fn fresh_seed() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |elapsed| elapsed.as_secs() * 1_000)
}

fn one(seed: u64) -> ExitCode {
    let plan = Plan {
        prints: true,
        ..Plan::new(seed)
    };
    match run(&plan) {
        Ok(outcome) => {
            println!("seed {seed}: {outcome:?}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs seeds until all have run, or the time is over.
fn many(seeds: std::ops::Range<u64>, time: Option<Duration>) -> ExitCode {
    let began = Instant::now();
    let first = seeds.start;
    let (mut published, mut delivered, mut runs) = (0, 0, 0);
    let (mut crashes, mut failures) = (0, 0);
    for seed in seeds {
        match run(&Plan::new(seed)) {
            Ok(outcome) => {
                published += outcome.published;
                delivered += outcome.delivered;
                runs += outcome.runs;
                crashes += outcome.crashes;
            }
            Err(failure) => {
                eprintln!("{failure}");
                eprintln!("    replay it with: cargo run -p polybus-sim -- --seed {seed}");
                failures += 1;
                if failures >= FAILURES_MAX {
                    break;
                }
            }
        }
        let done = seed - first + 1;
        if done.is_multiple_of(REPORT_EVERY) {
            println!(
                "{done} seeds from {first}: {published} published, {delivered} delivered, {runs} runs, {crashes} crashes"
            );
        }
        if time.is_some_and(|time| began.elapsed() >= time) {
            println!("{done} seeds from {first}");
            break;
        }
    }
    println!(
        "{published} published, {delivered} delivered, {runs} runs, {crashes} crashes, {failures} failures"
    );
    if failures > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
