//! Consumers: made, told of, listed, paused, deleted; pulls and acknowledgements on their way to readers.

use polybus_model::{
    Declaring, GroupReply, GroupRequest, Lane, LogReply, Millis, Name, ReaderError, ReaderOutcome,
    ReaderReply, ReaderRequest, Request, ResetRefused,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::streams::{state_of, stream_of};
use super::{Connection, PENDING_MAX, Step};
use crate::mapping::jetstream::{
    ApiError, ConsumerConfig, NO_TIME, consumer_info, parse_time, read_json, write_time,
};

/// Names on one page, and consumers.
const NAMES_PER_PAGE: usize = 1_024;
const CONSUMERS_PER_PAGE: usize = 256;
/// The letters of names that are made up.
const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const NS_PER_MS: i64 = 1_000_000;

/// A consumer to be made, while its stream is looked at.
#[derive(Debug)]
pub(super) struct Making {
    stream: Name,
    config: ConsumerConfig,
    declaring: Declaring,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CreateRequest {
    stream_name: String,
    config: ConsumerConfig,
    action: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListRequest {
    offset: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResetRequest {
    seq: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PauseRequest {
    pause_until: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delay {
    delay: i64,
}

impl Connection {
    /// Takes a request about consumers: what follows `$JS.API.CONSUMER.`. False if it is none that is known.
    pub(super) fn handle_consumer_api(&mut self, asked: &str, reply: &[u8], body: &[u8]) -> bool {
        let words: Vec<&str> = asked.split('.').collect();
        match *words.as_slice() {
            ["CREATE", stream] => self.consumer_create(stream, None, None, reply, body),
            ["DURABLE", "CREATE", stream, name] => {
                self.consumer_create(stream, Some((name, true)), None, reply, body);
            }
            ["CREATE", stream, name] => {
                self.consumer_create(stream, Some((name, false)), None, reply, body);
            }
            ["CREATE", stream, name, ..] => {
                let before = "CREATE".len() + stream.len() + name.len() + 3;
                let subject = asked.get(before..).unwrap_or_default();
                self.consumer_create(stream, Some((name, false)), Some(subject), reply, body);
            }
            ["INFO", stream, name] => {
                self.ask_reader_named(stream, name, reply, Step::ConsumerInfo)
            }
            ["DELETE", stream, name] => {
                self.ask_reader_named(stream, name, reply, Step::ConsumerDelete);
            }
            ["NAMES", stream] => self.consumers(stream, reply, body, false),
            ["LIST", stream] => self.consumers(stream, reply, body, true),
            ["PAUSE", stream, name] => self.consumer_pause(stream, name, reply, body),
            ["RESET", stream, name] => self.consumer_reset(stream, name, reply, body),
            ["UNPIN", stream, name] => self.consumer_unpin(stream, name, reply, body),
            ["MSG", "NEXT", stream, name] => self.next_message(stream, name, reply, body),
            _ => return false,
        }
        true
    }

    fn consumer_create(
        &mut self,
        stream: &str,
        name: Option<(&str, bool)>,
        subject: Option<&str>,
        reply: &[u8],
        body: &[u8],
    ) {
        let random = self.settings.random.clone();
        let made = read_json(body)
            .and_then(|asked: CreateRequest| making(asked, stream, name, subject, || random()));
        match made {
            Ok(making) => {
                let asked = state_of(&making.stream);
                self.ask_log(reply, Step::ConsumerStream(Box::new(making)), asked);
            }
            Err(error) => self.answer_error(reply, "consumer_create", &error),
        }
    }

    /// The consumer's stream is known: does the one suit the other?
    pub(super) fn consumer_looked_at(&mut self, to: &[u8], making: Making, reply: LogReply) {
        let Making {
            stream,
            mut config,
            declaring,
        } = making;
        let settings = stream_of(reply).and_then(|(log, stream)| {
            stream.fill_in_consumer(&mut config);
            config.fill_in();
            config.check()?;
            stream.check_consumer(&config)?;
            config.settings(log.settings.durable)
        });
        match settings {
            Ok(settings) => {
                let declare = ReaderRequest::Declare {
                    log: stream,
                    name: config.name.clone(),
                    settings: Box::new(settings),
                    declaring,
                };
                self.ask_reader(to, Step::ConsumerCreate(declaring), declare);
            }
            Err(error) => self.answer_error(to, "consumer_create", &error),
        }
    }

    fn ask_reader_named(&mut self, stream: &str, name: &str, reply: &[u8], step: Step) {
        let deletes = matches!(step, Step::ConsumerDelete);
        let Ok(log) = Name::new(stream) else {
            let kind = if deletes {
                "consumer_delete"
            } else {
                "consumer_info"
            };
            return self.answer_error(reply, kind, &ApiError::stream_not_found());
        };
        let name = name.to_owned();
        let request = match deletes {
            true => ReaderRequest::Delete { log, name },
            false => ReaderRequest::Describe { log, name },
        };
        self.ask_reader(reply, step, request);
    }

    fn consumers(&mut self, stream: &str, reply: &[u8], body: &[u8], in_full: bool) {
        let kind = if in_full {
            "consumer_list"
        } else {
            "consumer_names"
        };
        let asked: Result<ListRequest, ApiError> = read_json(body);
        match (Name::new(stream), asked) {
            (Ok(log), Ok(asked)) => {
                let step = Step::ConsumerList(kind, asked.offset);
                self.ask_reader(reply, step, ReaderRequest::List { log });
            }
            (Err(_), _) => self.answer_error(reply, kind, &ApiError::stream_not_found()),
            (_, Err(error)) => self.answer_error(reply, kind, &error),
        }
    }

    fn consumer_pause(&mut self, stream: &str, name: &str, reply: &[u8], body: &[u8]) {
        let asked = read_json(body).and_then(|asked: PauseRequest| {
            let until = asked.pause_until.as_deref();
            let until = until.filter(|until| *until != NO_TIME).map(parse_time);
            match until {
                Some(None) => Err(ApiError::bad_request()),
                until => Ok(until.flatten()),
            }
        });
        match (Name::new(stream), asked) {
            (Ok(log), Ok(until)) => {
                let name = name.to_owned();
                let pause = ReaderRequest::Pause { log, name, until };
                self.ask_reader(reply, Step::ConsumerPause, pause);
            }
            (Err(_), _) => {
                self.answer_error(reply, "consumer_pause", &ApiError::stream_not_found());
            }
            (_, Err(error)) => self.answer_error(reply, "consumer_pause", &error),
        }
    }

    fn consumer_reset(&mut self, stream: &str, name: &str, reply: &[u8], body: &[u8]) {
        let asked = read_json(body).and_then(|asked: ResetRequest| {
            let log = Name::new(stream).map_err(|_| ApiError::stream_not_found())?;
            Ok((log, Some(asked.seq).filter(|seq| *seq > 0)))
        });
        match asked {
            Ok((log, seq)) => {
                let name = name.to_owned();
                let to = seq.map(|seq| seq - 1);
                let reset = ReaderRequest::Reset { log, name, to };
                self.ask_reader(reply, Step::ConsumerReset(seq), reset);
            }
            Err(error) => self.answer_error(reply, "consumer_reset", &error),
        }
    }

    /// Takes an acknowledgement: what follows `$JS.ACK.`.
    pub(super) fn handle_ack(&mut self, asked: &str, reply: &[u8], body: &[u8]) {
        let words: Vec<&str> = asked.split('.').collect();
        let [stream, name, _, sequence, ..] = *words.as_slice() else {
            return;
        };
        let (Ok(log), Ok(sequence)) = (Name::new(stream), sequence.parse::<u64>()) else {
            return;
        };
        let Some(offset) = sequence.checked_sub(1) else {
            return;
        };
        let name = name.to_owned();
        let (word, rest) = match body.iter().position(u8::is_ascii_whitespace) {
            Some(at) => body.split_at(at),
            None => (body, &b""[..]),
        };
        let text = || String::from_utf8_lossy(rest.trim_ascii()).into_owned();
        let outcome = match word {
            b"" | b"+ACK" | b"+OK" | b"+NXT" => ReaderOutcome::Accept,
            b"-NAK" => ReaderOutcome::Release(delay(rest)),
            b"+WPI" => ReaderOutcome::Extend,
            b"+TERM" => ReaderOutcome::Reject(text()),
            _ => return,
        };
        let is_next = word == b"+NXT";
        let is_awaited = !is_next && !reply.is_empty();
        let settle = ReaderRequest::Settle {
            log: log.clone(),
            name: name.clone(),
            offset,
            outcome,
            is_awaited,
        };
        if is_next {
            self.tell_reader(settle);
            if !reply.is_empty() {
                // Nobody is told of what is no pull: it settled the record before it.
                let _ = self.pull_from(log, name, reply, rest.trim_ascii());
            }
        } else if is_awaited {
            self.ask_reader(reply, Step::Acked, settle);
        } else {
            self.tell_reader(settle);
        }
    }

    /// Takes the answer to a question how far a subscriber is: what follows `$JS.FC.`.
    pub(super) fn handle_flow(&mut self, asked: &str) {
        let mut words = asked.split('.');
        if let (Some(stream), Some(name)) = (words.next(), words.next())
            && let Ok(log) = Name::new(stream)
        {
            let name = name.to_owned();
            self.tell_reader(ReaderRequest::Flow { log, name });
        }
    }

    /// Asks the broker, and notes what follows.
    pub(super) fn ask_reader(&mut self, reply: &[u8], step: Step, request: ReaderRequest) {
        if self.jetstream.pending.len() >= PENDING_MAX {
            return;
        }
        let number = self.jetstream.next;
        self.pend(number, reply, step);
        self.tell_reader(request);
    }

    /// Tells the broker something that has no answer, or one that nobody waits for.
    pub(super) fn tell_reader(&mut self, request: ReaderRequest) {
        let number = self.jetstream.next;
        self.jetstream.next += 1;
        let request = Box::new(GroupRequest::Reader(Box::new(request)));
        self.requests
            .push((Lane::default(), Request::Group { number, request }));
    }

    /// The broker has replied.
    pub(in crate::session) fn handle_group_reply(
        &mut self,
        number: u64,
        reply: GroupReply,
        now: Millis,
    ) {
        let Some((to, step)) = self.pended(number) else {
            return;
        };
        let GroupReply::Reader(reply) = reply else {
            return;
        };
        let (kind, said) = match (step, reply) {
            (Step::ConsumerCreate(declaring), ReaderReply::Reader(result)) => {
                let told = result.map_err(|error| match (&error, declaring) {
                    (ReaderError::NotFound, Declaring::Known) => {
                        ApiError::new(400, 10149, "consumer does not exist")
                    }
                    _ => ApiError::from(&error),
                });
                ("consumer_create", told.and_then(|one| told_of(&one, now)))
            }
            (Step::ConsumerInfo, ReaderReply::Reader(result)) => {
                let told = result.map_err(|error| ApiError::from(&error));
                ("consumer_info", told.and_then(|one| told_of(&one, now)))
            }
            (Step::ConsumerPause, ReaderReply::Reader(result)) => {
                let told = result.map_err(|error| ApiError::from(&error));
                let said = told.map(|one| paused(one.settings.paused_until, now));
                ("consumer_pause", said)
            }
            (Step::ConsumerDelete, ReaderReply::Done(result)) => {
                let said = result.map(|()| json!({ "success": true }));
                (
                    "consumer_delete",
                    said.map_err(|error| ApiError::from(&error)),
                )
            }
            (Step::ConsumerReset(seq), ReaderReply::Reader(result)) => {
                let told = result.map_err(|error| ApiError::from(&error));
                let said = told.and_then(|one| {
                    let mut said = told_of(&one, now)?;
                    said["reset_seq"] = seq.unwrap_or(one.settled.offset + 1).into();
                    Ok(said)
                });
                ("consumer_reset", said)
            }
            (Step::UpdateLimits(config, log), ReaderReply::Readers(result)) => {
                return self.limits_looked_at(&to, &config, *log, result);
            }
            (Step::AccountReaders(said), ReaderReply::Count(consumers)) => {
                let mut said = *said;
                said["consumers"] = consumers.into();
                // Not a request that failed or not: what it says was put together before.
                return self.answer(&to, "account_info", said);
            }
            (Step::ConsumerUnpin, ReaderReply::Done(result)) => {
                let said = result.map(|()| json!({}));
                (
                    "consumer_unpin",
                    said.map_err(|error| ApiError::from(&error)),
                )
            }
            (Step::ConsumerList(kind, offset), ReaderReply::Readers(result)) => {
                let told = result.map_err(|error| ApiError::from(&error));
                (kind, told.map(|all| listed(kind, &all, offset, now)))
            }
            (Step::Acked, _) => {
                self.jetstream.answers.add(&to, b"", b"");
                return;
            }
            _ => return,
        };
        match said {
            Ok(said) => self.answer(&to, kind, said),
            Err(error) => self.answer_error(&to, kind, &error),
        }
    }
}

fn told_of(reader: &polybus_model::ReaderSummary, now: Millis) -> Result<Value, ApiError> {
    let info = consumer_info(reader, now);
    info.map(Value::Object)
        .ok_or_else(ApiError::consumer_not_found)
}

fn paused(until: Option<Millis>, now: Millis) -> Value {
    match until.filter(|until| *until > now) {
        Some(until) => json!({
            "paused": true,
            "pause_until": write_time(until),
            "pause_remaining": (until - now).saturating_mul(NS_PER_MS as u64),
        }),
        None => json!({ "paused": false, "pause_until": NO_TIME }),
    }
}

fn listed(kind: &str, all: &[polybus_model::ReaderSummary], offset: usize, now: Millis) -> Value {
    let infos: Vec<_> = all
        .iter()
        .filter_map(|one| consumer_info(one, now))
        .collect();
    let in_full = kind == "consumer_list";
    let limit = if in_full {
        CONSUMERS_PER_PAGE
    } else {
        NAMES_PER_PAGE
    };
    let page = infos.iter().skip(offset).take(limit);
    let page: Vec<Value> = page
        .map(|info| match in_full {
            true => Value::Object(info.clone()),
            false => info.get("name").cloned().unwrap_or_default(),
        })
        .collect();
    json!({ "total": infos.len(), "offset": offset, "limit": limit, "consumers": page })
}

/// What is asked for, if it makes sense.
fn making(
    asked: CreateRequest,
    stream: &str,
    name: Option<(&str, bool)>,
    subject: Option<&str>,
    random: impl Fn() -> u64,
) -> Result<Making, ApiError> {
    let mut config = asked.config;
    if asked.stream_name != stream {
        return Err(ApiError::stream_mismatch());
    }
    let Ok(log) = Name::new(stream) else {
        return Err(ApiError::stream_not_found());
    };
    let wrong = |number, text: &str| Err(ApiError::new(400, number, text));
    match name {
        None if !config.durable_name.is_empty() => {
            let text = "consumer expected to be ephemeral but a durable name was set in request";
            return wrong(10020, text);
        }
        None => {}
        Some((_, true)) if config.durable_name.is_empty() => {
            let text = "consumer expected to be durable but a durable name was not set";
            return wrong(10018, text);
        }
        Some((name, _)) if !config.durable_name.is_empty() && config.durable_name != name => {
            let text = "consumer name in subject does not match durable name in request";
            return wrong(10017, text);
        }
        Some((name, _)) => config.name = name.to_owned(),
    }
    if let Some(subject) = subject {
        if !config.filter_subjects.is_empty() {
            let text = "consumer with multiple subject filters cannot use subject based API";
            return wrong(10137, text);
        }
        if config.filter_subject != subject {
            let text = "Consumer create request did not match filtered subject from create subject";
            return wrong(10131, text);
        }
    }
    if config.name.is_empty() {
        config.name = made_up_name(random());
    }
    let declaring = match asked.action.as_str() {
        "create" => Declaring::New,
        "update" => Declaring::Known,
        _ => Declaring::Any,
    };
    Ok(Making {
        stream: log,
        config,
        declaring,
    })
}

/// A name for a consumer that was given none.
fn made_up_name(mut random: u64) -> String {
    let letters = (0..8).map(|_| {
        let at = random % LETTERS.len() as u64;
        random /= LETTERS.len() as u64;
        LETTERS
            .get(at as usize)
            .map_or('0', |byte| char::from(*byte))
    });
    letters.collect()
}

/// How long a message that was refused waits, in milliseconds: JSON or a duration as Go writes it.
fn delay(rest: &[u8]) -> Millis {
    let rest = rest.trim_ascii();
    let asked: Delay = serde_json::from_slice(rest).unwrap_or_default();
    u64::try_from(asked.delay / NS_PER_MS).unwrap_or(0)
}

impl From<&ReaderError> for ApiError {
    fn from(error: &ReaderError) -> Self {
        match error {
            ReaderError::NoLog => Self::stream_not_found(),
            ReaderError::NotFound => Self::consumer_not_found(),
            ReaderError::Exists => Self::new(400, 10148, "consumer already exists"),
            ReaderError::NoGroup => {
                let text = "Provided priority group does not exist for this consumer";
                Self::new(400, 10160, text)
            }
            ReaderError::ResetRefused(why) => {
                let why = match why {
                    ResetRefused::BelowStart => "below start seq",
                    ResetRefused::BelowStartTime => "below start time",
                    ResetRefused::NotByOffset => "not allowed",
                };
                Self::new(400, 10204, format!("invalid reset: {why}"))
            }
            ReaderError::Overlaps => Self::new(
                400,
                10100,
                "filtered consumer not unique on workqueue stream",
            ),
            ReaderError::TooMany => Self::new(400, 10026, "maximum consumers limit reached"),
            ReaderError::Fixed(what) => Self::new(500, 10012, format!("{what} can not be updated")),
            ReaderError::Invalid(text) => Self::new(500, 10012, text.clone()),
            ReaderError::Forbidden => Self::new(403, 10003, "the user may not do this"),
            ReaderError::Log(error) => Self::from(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_read() {
        assert_eq!(delay(br#" {"delay": 1500000000}"#), 1_500);
        assert_eq!(delay(b""), 0);
        assert_eq!(delay(b" nonsense"), 0);
    }

    #[test]
    fn names_are_made_up() {
        assert_eq!(made_up_name(0), "00000000");
        assert_eq!(made_up_name(u64::MAX).len(), 8);
    }
}
