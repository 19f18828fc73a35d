//! Pulls: what a client asks a consumer for, on its way to the reader; who of those that pull is pinned no longer.

use polybus_model::{Name, Notice, Pull, PullStanding, ReaderRequest};
use serde::Deserialize;

use super::{Connection, Step};
use crate::mapping::jetstream::{ApiError, ack_bytes, check_group_name, read_json, status_of};

const NS_PER_MS: i64 = 1_000_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NextRequest {
    batch: i64,
    max_bytes: i64,
    expires: i64,
    no_wait: bool,
    idle_heartbeat: i64,
    group: Option<String>,
    min_pending: Option<i64>,
    min_ack_pending: Option<i64>,
    priority: Option<i64>,
    id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UnpinRequest {
    group: String,
}

impl Connection {
    /// A pull. What comes of it comes to its reply; one that names no consumer there is nobody to answer to.
    pub(super) fn next_message(&mut self, stream: &str, name: &str, reply: &[u8], body: &[u8]) {
        let Ok(log) = Name::new(stream) else {
            return;
        };
        if reply.is_empty() {
            return;
        }
        if let Err(text) = self.pull_from(log, name.to_owned(), reply, body) {
            let status = status_of(&Notice::BadPull(text));
            self.jetstream.answers.add(reply, &status, b"");
        }
    }

    /// Asks a reader for what a pull's body says, to its reply.
    pub(super) fn pull_from(
        &mut self,
        log: Name,
        name: String,
        reply: &[u8],
        body: &[u8],
    ) -> Result<(), String> {
        let mut pull = pull(reply, body, || self.made_up_id())?;
        pull.each_bytes = ack_bytes(&log, &name);
        let topic = self.topic.clone();
        self.tell_reader(ReaderRequest::Pull {
            log,
            name,
            topic,
            pull,
        });
        Ok(())
    }

    /// Whoever gets all of a consumer's messages is to get them no longer.
    pub(super) fn consumer_unpin(&mut self, stream: &str, name: &str, reply: &[u8], body: &[u8]) {
        let asked = read_json(body).and_then(|asked: UnpinRequest| {
            if asked.group.is_empty() {
                let text = "invalid JSON: consumer group not specified";
                return Err(ApiError::new(400, 10025, text));
            }
            check_group_name(&asked.group)?;
            let log = Name::new(stream).map_err(|_| ApiError::stream_not_found())?;
            Ok((log, asked.group))
        });
        match asked {
            Ok((log, group)) => {
                let name = name.to_owned();
                let unpin = ReaderRequest::Unpin { log, name, group };
                self.ask_reader(reply, Step::ConsumerUnpin, unpin);
            }
            Err(error) => self.answer_error(reply, "consumer_unpin", &error),
        }
    }

    /// An id that nobody can guess.
    pub(super) fn made_up_id(&self) -> String {
        let random = &self.settings.random;
        format!("{:011x}{:011x}", random() >> 20, random() >> 20)
    }
}

/// What a pull asks for: nothing stands for one message, a number for so many.
fn pull(reply: &[u8], body: &[u8], made_up: impl FnOnce() -> String) -> Result<Pull, String> {
    let body = body.trim_ascii();
    let asked = match body.first() {
        Some(b'{') => serde_json::from_slice(body).map_err(|error| error.to_string())?,
        _ => {
            let number = std::str::from_utf8(body)
                .ok()
                .and_then(|text| text.parse().ok());
            NextRequest {
                batch: number.unwrap_or(1),
                ..NextRequest::default()
            }
        }
    };
    let standing = match body.first() {
        Some(b'{') => standing(&asked, made_up),
        _ => Some(Box::new(PullStanding {
            rank: u32::MAX,
            ..PullStanding::default()
        })),
    };
    let ms = |ns: i64| (ns > 0).then(|| (ns / NS_PER_MS).max(1) as u64);
    if asked.idle_heartbeat > 0 && asked.idle_heartbeat.saturating_mul(2) > asked.expires {
        return Err("heartbeat value too large".to_owned());
    }
    Ok(Pull {
        key: bytes::Bytes::copy_from_slice(reply),
        records: u32::try_from(asked.batch.max(1)).unwrap_or(u32::MAX),
        bytes_max: u64::try_from(asked.max_bytes)
            .ok()
            .filter(|bytes| *bytes > 0),
        each_bytes: 0,
        wait_ms: ms(asked.expires),
        no_wait: asked.no_wait,
        heartbeat_ms: ms(asked.idle_heartbeat),
        standing,
    })
}

/// Where a pull stands, if it says anything of that.
fn standing(asked: &NextRequest, made_up: impl FnOnce() -> String) -> Option<Box<PullStanding>> {
    let is_said = asked.group.is_some()
        || asked.id.is_some()
        || asked.min_pending.is_some()
        || asked.min_ack_pending.is_some()
        || asked.priority.is_some();
    let least = |number: Option<i64>| u64::try_from(number.unwrap_or(0)).unwrap_or(u64::MAX);
    is_said.then(|| {
        Box::new(PullStanding {
            group: Some(asked.group.clone().unwrap_or_default()),
            pending_min: least(asked.min_pending),
            leased_min: least(asked.min_ack_pending),
            rank: u32::try_from(asked.priority.unwrap_or(0)).unwrap_or(u32::MAX),
            pin: asked.id.clone().filter(|id| !id.is_empty()),
            pin_offered: made_up(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<Pull, String> {
        pull(b"in", body, || "made up".to_owned())
    }

    #[test]
    fn pulls_are_read() {
        let asked = read(b"").unwrap();
        assert_eq!(
            (asked.records, asked.wait_ms, asked.no_wait),
            (1, None, false)
        );
        assert_eq!(read(b"25").unwrap().records, 25);
        let asked = read(br#"{"batch":10,"expires":5000000000,"no_wait":true,"max_bytes":100}"#);
        let asked = asked.unwrap();
        assert_eq!((asked.records, asked.wait_ms), (10, Some(5_000)));
        assert_eq!((asked.no_wait, asked.bytes_max), (true, Some(100)));
        let beats = br#"{"batch":1,"expires":1000000000,"idle_heartbeat":900000000}"#;
        assert!(read(beats).is_err());
        assert!(read(b"{").is_err());
    }

    #[test]
    fn where_a_pull_stands_is_read() {
        assert_eq!(read(br#"{"batch":1}"#).unwrap().standing, None);
        let plain = read(b"1").unwrap().standing.unwrap();
        assert_eq!((plain.group, plain.rank), (None, u32::MAX));
        let asked = br#"{"batch":1,"group":"A","min_pending":5,"priority":3,"id":"x","min_ack_pending":null}"#;
        let standing = read(asked).unwrap().standing.unwrap();
        assert_eq!(standing.group.as_deref(), Some("A"));
        assert_eq!((standing.pending_min, standing.rank), (5, 3));
        assert_eq!(standing.pin.as_deref(), Some("x"));
        let wrong = read(br#"{"batch":1,"priority":-1}"#).unwrap().standing;
        assert!(wrong.unwrap().rank > PullStanding::RANK_MAX);
    }
}
