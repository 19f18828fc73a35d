//! `polybus replay`: step by step, with what was done so far, so that it can be stopped and gone on with.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use polybus_broker::admin::{Bound, Range, Replay as Step, Replayed, Selection, Target};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Where;
use super::console::{Failure, print, tell};
use crate::config::duration;
use crate::control::{AskError, Request, ask};

/// Records of a step.
const STEP_RECORDS: u32 = 1_000;
/// How often the state of things is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What is to be copied where.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The log: a Kafka topic, a stream queue
    pub(crate) log: String,
    /// Where copies go: `topic NAME`, by their keys and headers, or `queue NAME`
    #[arg(long, num_args = 2, value_names = ["topic|queue", "NAME"], required = true)]
    pub(crate) to: Vec<String>,
    /// Where to begin: an offset, `first`, an age as `2h`, or `@SECONDS` since 1970
    #[arg(long, default_value = "first", value_name = "PLACE")]
    pub(crate) from: String,
    /// Where to end, before it: as --from, or `end`
    #[arg(long, default_value = "end", value_name = "PLACE")]
    pub(crate) until: String,
    /// Only this partition; offsets are of every partition otherwise
    #[arg(long, value_name = "NUMBER")]
    pub(crate) partition: Option<u32>,
    /// Only records whose key this regular expression matches
    #[arg(long, value_name = "REGEX")]
    pub(crate) key: Option<String>,
    /// Only records with this header of this value
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) header: Option<String>,
    /// At most so many records a second
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Copy nothing; say how much it would be
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) place: Where,
}

/// Copies all that was asked for, and says what that was.
pub(crate) fn run(replay: &Replay, json: bool, socket: &Path) -> Result<(), Failure> {
    let to = target(&replay.to)?;
    let selection = Selection {
        key: replay.key.clone(),
        header: replay.header.as_deref().map(header).transpose()?,
    };
    let request = Request::ReplayRanges {
        namespace: replay.place.namespace.clone(),
        log: replay.log.clone(),
        partition: replay.partition,
        from: bound(&replay.from)?,
        until: bound(&replay.until)?,
    };
    let ranges: Vec<Range> = asked(socket, &request)?;
    let mut done = Replayed::default();
    let mut told = Instant::now();
    for range in ranges {
        let mut left = range;
        while left.from < left.until {
            let began = Instant::now();
            let records_max = replay
                .rate
                .map_or(STEP_RECORDS, |rate| rate.min(STEP_RECORDS));
            let step = Step {
                log: replay.log.clone(),
                range: left,
                selection: selection.clone(),
                to: to.clone(),
                dry_run: replay.dry_run,
                records_max,
            };
            let request = Request::Replay {
                namespace: replay.place.namespace.clone(),
                step,
            };
            let came: Replayed =
                asked(socket, &request).map_err(|failure| stopped(failure, left))?;
            done.read += came.read;
            done.copied += came.copied;
            done.bytes += came.bytes;
            done.unrouted += came.unrouted;
            if came.next <= left.from {
                break;
            }
            left.from = came.next;
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                tell(&format!(
                    "partition {}: at offset {} of {}, {} records copied\n",
                    left.partition, left.from, left.until, done.copied
                ));
            }
            if let Some(rate) = replay.rate.filter(|_| !replay.dry_run) {
                let due = Duration::from_secs_f64(came.copied as f64 / f64::from(rate));
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
        }
    }
    print(&summary(&done, replay.dry_run, json));
    Ok(())
}

fn summary(done: &Replayed, dry_run: bool, json: bool) -> String {
    if json {
        let shown = json!({
            "read": done.read,
            "copied": done.copied,
            "bytes": done.bytes,
            "unrouted": done.unrouted,
            "dry_run": dry_run,
        });
        return format!("{shown:#}\n");
    }
    let verb = if dry_run { "would be copied" } else { "copied" };
    let mut text = format!(
        "{} of {} records {verb}, {} bytes\n",
        done.copied, done.read, done.bytes
    );
    if done.unrouted > 0 {
        let more = format!(
            "{} of them led nowhere: nothing is bound for them\n",
            done.unrouted
        );
        text.push_str(&more);
    }
    text
}

/// A failure with how to go on.
fn stopped(failure: Failure, left: Range) -> Failure {
    let hint = format!(
        "; all before offset {} of partition {} is done: go on with --partition {} --from {}",
        left.from, left.partition, left.partition, left.from
    );
    match failure {
        Failure::Failed(reason) => Failure::Failed(reason + &hint),
        Failure::Unreachable(reason) => Failure::Unreachable(reason + &hint),
        other => other,
    }
}

fn asked<T: DeserializeOwned>(socket: &Path, request: &Request) -> Result<T, Failure> {
    let reply = ask(socket, request).map_err(|error| match error {
        AskError::Unreachable(reason) => Failure::Unreachable(reason),
        AskError::Refused(reason) => Failure::Failed(reason),
    })?;
    serde_json::from_value(reply).map_err(|error| Failure::Failed(error.to_string()))
}

fn target(words: &[String]) -> Result<Target, Failure> {
    match words {
        [kind, name] if kind == "topic" => Ok(Target::Topic(name.clone())),
        [kind, name] if kind == "queue" => Ok(Target::Queue(name.clone())),
        _ => Err(Failure::Wrong(
            "--to wants `topic NAME` or `queue NAME`".into(),
        )),
    }
}

fn header(text: &str) -> Result<(String, String), Failure> {
    let pair = text.split_once('=');
    let (name, value) = pair.ok_or_else(|| Failure::Wrong("--header wants NAME=VALUE".into()))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A place as it is typed.
fn bound(text: &str) -> Result<Bound, Failure> {
    let wrong = || {
        let text = format!(
            "`{text}` is no place in a log: give an offset, `first`, `end`, an age as `2h`, or `@SECONDS` since 1970"
        );
        Failure::Wrong(text)
    };
    if let Some(seconds) = text.strip_prefix('@') {
        let seconds: u64 = seconds.parse().map_err(|_| wrong())?;
        return Ok(Bound::Time(seconds.saturating_mul(1_000)));
    }
    match text {
        "first" => Ok(Bound::First),
        "end" => Ok(Bound::End),
        _ => match text.parse() {
            Ok(offset) => Ok(Bound::Offset(offset)),
            Err(_) => {
                let age = duration(text).map_err(|_| wrong())?;
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let time = now.unwrap_or_default().saturating_sub(age);
                Ok(Bound::Time(u64::try_from(time.as_millis()).unwrap_or(0)))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_targets_are_understood() {
        assert_eq!(bound("first").unwrap(), Bound::First);
        assert_eq!(bound("end").unwrap(), Bound::End);
        assert_eq!(bound("17").unwrap(), Bound::Offset(17));
        assert_eq!(bound("@5").unwrap(), Bound::Time(5_000));
        assert!(matches!(bound("2h").unwrap(), Bound::Time(_)));
        assert!(bound("soon").is_err());
        let words = |kind: &str| [kind.to_owned(), "n".to_owned()];
        assert_eq!(target(&words("queue")).unwrap(), Target::Queue("n".into()));
        assert_eq!(target(&words("topic")).unwrap(), Target::Topic("n".into()));
        assert!(target(&words("log")).is_err());
        assert_eq!(header("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert!(header("a").is_err());
    }
}
