//! Failures in JetStream's numbers and words.

use polybus_model::{
    BadTerm, BatchError, Error, KeyedError, Kind, LogError, ScheduleError, TallyError,
};
use serde_json::{Value, json};

use super::config::NAME_LEN_MAX;

/// A failure as the API tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ApiError {
    /// The kind of failure, as HTTP numbers them.
    pub(crate) code: u16,
    /// Which one.
    pub(crate) number: u16,
    /// In words.
    pub(crate) text: String,
}

impl ApiError {
    pub(crate) fn new(code: u16, number: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            number,
            text: text.into(),
        }
    }

    pub(crate) fn bad_request() -> Self {
        Self::new(400, 10003, "bad request")
    }

    pub(crate) fn invalid_json(error: &serde_json::Error) -> Self {
        Self::new(400, 10025, format!("invalid JSON: {error}"))
    }

    pub(crate) fn unknown_field(name: &str) -> Self {
        let text = format!("invalid JSON: json: unknown field {name:?}");
        Self::new(400, 10025, text)
    }

    pub(crate) fn invalid_config(text: impl Into<String>) -> Self {
        Self::new(500, 10052, text)
    }

    pub(crate) fn stream_not_found() -> Self {
        Self::new(404, 10059, "stream not found")
    }

    pub(crate) fn consumer_not_found() -> Self {
        Self::new(404, 10014, "consumer not found")
    }

    pub(crate) fn name_in_use() -> Self {
        let text = "stream name already in use with a different configuration";
        Self::new(400, 10058, text)
    }

    pub(crate) fn stream_mismatch() -> Self {
        Self::new(400, 10056, "stream name in subject does not match request")
    }

    pub(crate) fn long_name() -> Self {
        let text = format!("stream name is too long, maximum allowed is {NAME_LEN_MAX}");
        Self::invalid_config(text)
    }

    pub(crate) fn no_message() -> Self {
        Self::new(404, 10037, "no message found")
    }

    pub(crate) fn sequence_not_found(sequence: u64) -> Self {
        Self::new(400, 10043, format!("sequence {sequence} not found"))
    }

    /// As the value of `error`.
    pub(crate) fn value(&self) -> Value {
        json!({ "code": self.code, "err_code": self.number, "description": self.text })
    }
}

impl From<&LogError> for ApiError {
    fn from(error: &LogError) -> Self {
        match error {
            LogError::NotFound | LogError::Replaced => Self::stream_not_found(),
            LogError::Exists => Self::name_in_use(),
            LogError::TooLarge => Self::new(400, 10054, "message size exceeds maximum allowed"),
            LogError::Keyed(error) => of_keyed(error),
            LogError::Forbidden => Self::new(403, 10003, "the user may not do this"),
            LogError::Unsupported(text) => Self::invalid_config(text.clone()),
            LogError::Unavailable(text) => Self::new(503, 10077, text.clone()),
            LogError::Other(error) => of_error(error),
            other => Self::new(500, 10051, format!("{other:?}")),
        }
    }
}

fn of_keyed(error: &KeyedError) -> ApiError {
    let store = |text: &str| ApiError::new(503, 10077, text);
    match error {
        KeyedError::OtherLog => ApiError::new(400, 10060, "expected stream does not match"),
        KeyedError::Offset(next) => wrong_last(*next),
        KeyedError::LastOfKey(last) => wrong_last(last.map_or(0, |last| last + 1)),
        KeyedError::LastId(id) => {
            let id = id.as_deref().unwrap_or_default();
            let id = String::from_utf8_lossy(id);
            ApiError::new(400, 10070, format!("wrong last msg ID: {id}"))
        }
        KeyedError::RecordsMax => store("maximum messages exceeded"),
        KeyedError::BytesMax => store("maximum bytes exceeded"),
        KeyedError::KeyRecordsMax => store("maximum messages per subject exceeded"),
        KeyedError::Sealed => ApiError::new(400, 10109, "invalid operation on sealed stream"),
        KeyedError::RemovalDenied => ApiError::new(500, 10057, "message delete not permitted"),
        KeyedError::PurgeDenied => ApiError::new(500, 10110, "stream purge not permitted"),
        KeyedError::RollUpDenied => ApiError::new(500, 10111, "rollup not permitted"),
        KeyedError::RollUpUnreadable(what) => {
            let what = String::from_utf8_lossy(what);
            ApiError::new(500, 10111, format!("rollup value invalid: {what:?}"))
        }
        KeyedError::BadTerm(bad) => of_bad_term(*bad),
        KeyedError::ExpiryDenied => ApiError::new(400, 10166, "per-message TTL is disabled"),
        KeyedError::Terms(_) => ApiError::new(400, 10165, "invalid per-message TTL"),
        KeyedError::IsCopy => ApiError::new(400, 10074, "a mirror is not published to"),
        KeyedError::Circle => ApiError::invalid_config("detected cycle"),
        KeyedError::Tally(error) => of_tally(*error),
        KeyedError::Batch(error) => of_batch(*error),
        KeyedError::Schedule(error) => of_schedule(*error),
        KeyedError::Overlaps(_) => {
            ApiError::new(400, 10065, "subjects overlap with an existing stream")
        }
    }
}

fn of_bad_term(bad: BadTerm) -> ApiError {
    let (number, text) = match bad {
        BadTerm::Origin => (10227, "message stream source header is not allowed"),
        BadTerm::Scheduler => (10212, "message schedules invalid scheduler"),
        BadTerm::LastOfKey => (
            10193,
            "missing sequence for expected last sequence per subject",
        ),
    };
    ApiError::new(400, number, text)
}

fn of_tally(error: TallyError) -> ApiError {
    let (number, text) = match error {
        TallyError::Off => (10168, "message counters is disabled"),
        TallyError::Missing => (10169, "message counter increment is missing"),
        TallyError::Body => (10170, "message counter has payload"),
        TallyError::Unreadable => (10171, "message counter increment is invalid"),
        TallyError::Broken => (10172, "message counter is broken"),
    };
    ApiError::new(400, number, text)
}

fn of_schedule(error: ScheduleError) -> ApiError {
    let (number, text) = match error {
        ScheduleError::Off => (10188, "message schedules is disabled"),
        ScheduleError::Recurrence => (10189, "message schedules pattern is invalid"),
        ScheduleError::Target => (10190, "message schedules target is invalid"),
        ScheduleError::Ttl => (10191, "message schedules invalid per-message TTL"),
        ScheduleError::RollUp => (10192, "message schedules invalid rollup"),
        ScheduleError::Source => (10203, "message schedules source is invalid"),
        ScheduleError::Zone => (10223, "message schedules time zone is invalid"),
    };
    ApiError::new(400, number, text)
}

fn of_batch(error: BatchError) -> ApiError {
    let (number, text) = match error {
        BatchError::Off => (10174, "atomic publish is disabled"),
        BatchError::NoNumber => (10175, "atomic publish sequence is missing"),
        BatchError::Incomplete => (10176, "atomic publish batch is incomplete"),
        BatchError::LastId => (
            10177,
            "atomic publish unsupported header used: Nats-Expected-Last-Msg-Id",
        ),
        BatchError::BadId => (10179, "atomic publish batch ID is invalid"),
        BatchError::BadCommit => (10200, "atomic publish batch commit is invalid"),
        BatchError::Duplicate => (10201, "atomic publish batch contains duplicate message id"),
        BatchError::KeyWritten => (10164, "wrong last sequence"),
        BatchError::TooMany => {
            return ApiError::new(429, 10210, "atomic publish too many inflight");
        }
        BatchError::TooLarge(most) => {
            let text = format!("atomic publish batch is too large: {most}");
            return ApiError::new(400, 10199, text);
        }
    };
    ApiError::new(400, number, text)
}

fn wrong_last(sequence: u64) -> ApiError {
    ApiError::new(400, 10071, format!("wrong last sequence: {sequence}"))
}

fn of_error(error: &Error) -> ApiError {
    match &error.kind {
        Kind::LimitReached(_) => ApiError::new(400, 10027, error.to_string()),
        _ => ApiError::invalid_config(error.to_string()),
    }
}
