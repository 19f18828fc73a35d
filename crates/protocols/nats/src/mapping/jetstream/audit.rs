//! What became of a request of the API, as advisories: the request with its answer, and what it made, changed or took away.

use polybus_model::Millis;
use serde_json::{Map, Value, json};

use super::{NO_TIME, write_time};

/// What the subjects of advisories begin with,
const ADVISORY: &str = "$JS.EVENT.ADVISORY.";
/// and their types.
const TYPE: &str = "io.nats.jetstream.advisory.v1.";

/// An advisory: where it is told, and what.
#[derive(Debug)]
pub(crate) struct Advisory {
    pub(crate) subject: String,
    kind: &'static str,
    says: Map<String, Value>,
}

impl Advisory {
    fn new(subject: &str, kind: &'static str, says: Value) -> Self {
        Self {
            subject: format!("{ADVISORY}{subject}"),
            kind,
            says: match says {
                Value::Object(says) => says,
                _ => Map::new(),
            },
        }
    }

    /// A request and its answer.
    pub(crate) fn api(
        server: &str,
        client: Value,
        subject: &[u8],
        request: &[u8],
        answer: &[u8],
    ) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut says = json!({
            "server": server,
            "client": client,
            "subject": text(subject),
            "response": text(answer),
        });
        if !request.is_empty() {
            says["request"] = text(request).into();
        }
        Self::new("API", "api_audit", says)
    }

    /// What a request did whose answer, of that type, says this; none if it did nothing that is told.
    pub(crate) fn action(
        kind: &str,
        asked: &[u8],
        says: &Value,
        (at, client): (Millis, &Value),
    ) -> Option<Self> {
        if says.get("error").is_some() {
            return None;
        }
        let asked = std::str::from_utf8(asked).ok()?;
        let words: Vec<&str> = asked.split('.').collect();
        let name = |index: usize| words.get(index).copied();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let stream = |what: &str, action: &str| {
            let stream = name(4)?;
            let says = json!({ "stream": stream, "action": action });
            Some(Self::new(
                &format!("STREAM.{what}.{stream}"),
                "stream_action",
                says,
            ))
        };
        let consumer = |what: &str, action: &str, stream: &str, consumer: &str| {
            let says = json!({ "stream": stream, "consumer": consumer, "action": action });
            let subject = format!("CONSUMER.{what}.{stream}.{consumer}");
            Some(Self::new(&subject, "consumer_action", says))
        };
        match kind {
            "stream_create" if says.get("did_create") == Some(&Value::Bool(true)) => {
                stream("CREATED", "create")
            }
            "stream_update" => stream("UPDATED", "modify"),
            "stream_delete" => stream("DELETED", "delete"),
            "consumer_create" => {
                // One that was there before is not made.
                let is_new = text(says.get("created")?)? >= write_time(at);
                let (of, one) = (text(says.get("stream_name")?)?, text(says.get("name")?)?);
                is_new.then(|| consumer("CREATED", "create", &of, &one))?
            }
            "consumer_delete" => consumer("DELETED", "delete", name(4)?, name(5)?),
            "consumer_pause" => {
                let (of, one) = (name(4)?, name(5)?);
                let paused = says.get("paused").cloned().unwrap_or_default();
                let until = says.get("pause_until").cloned();
                let told = json!({
                    "stream": of, "consumer": one, "paused": paused,
                    "pause_until": until.unwrap_or_else(|| NO_TIME.into()),
                });
                let subject = format!("CONSUMER.PAUSE.{of}.{one}");
                Some(Self::new(&subject, "consumer_pause", told))
            }
            "stream_snapshot" => {
                let of = name(4)?;
                let state = says.get("state").cloned().unwrap_or_default();
                let told = json!({ "stream": of, "state": state, "client": client });
                Some(Self::new(
                    &format!("STREAM.SNAPSHOT_CREATE.{of}"),
                    "snapshot_create",
                    told,
                ))
            }
            "stream_restore" => {
                let of = name(4)?;
                let told = json!({ "stream": of, "client": client });
                Some(Self::new(
                    &format!("STREAM.RESTORE_CREATE.{of}"),
                    "restore_create",
                    told,
                ))
            }
            _ => None,
        }
    }

    /// As it is told, with that id.
    pub(crate) fn text(self, id: String, at: Millis) -> Vec<u8> {
        let mut told = Map::new();
        told.insert("type".into(), format!("{TYPE}{}", self.kind).into());
        told.insert("id".into(), id.into());
        told.insert("timestamp".into(), write_time(at).into());
        told.extend(self.says);
        Value::Object(told).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, asked: &str, says: Value) -> Option<(String, Value)> {
        let found = Advisory::action(kind, asked.as_bytes(), &says, (1_000, &Value::Null))?;
        let subject = found.subject.clone();
        let text = found.text("i".into(), 1_000);
        Some((subject, serde_json::from_slice(&text).unwrap()))
    }

    #[test]
    fn what_a_request_did_is_told_as_nats_server_tells_it() {
        let asked = "$JS.API.STREAM.CREATE.S";
        let (subject, says) = told("stream_create", asked, json!({ "did_create": true })).unwrap();
        assert_eq!(subject, "$JS.EVENT.ADVISORY.STREAM.CREATED.S");
        let wanted = json!({
            "type": "io.nats.jetstream.advisory.v1.stream_action", "id": "i", "timestamp": "1970-01-01T00:00:01.000Z",
            "stream": "S", "action": "create",
        });
        assert_eq!(says, wanted);
        assert!(told("stream_create", asked, json!({ "did_create": false })).is_none());
        assert!(told("stream_update", asked, json!({ "error": {} })).is_none());
        assert!(told("stream_info", asked, json!({})).is_none());
        let asked = "$JS.API.CONSUMER.CREATE.S";
        let made = |created: Millis| json!({ "created": write_time(created), "stream_name": "S", "name": "c" });
        let (subject, _) = told("consumer_create", asked, made(1_001)).unwrap();
        assert_eq!(subject, "$JS.EVENT.ADVISORY.CONSUMER.CREATED.S.c");
        assert!(told("consumer_create", asked, made(999)).is_none());
        let asked = "$JS.API.CONSUMER.PAUSE.S.c";
        let (subject, says) = told("consumer_pause", asked, json!({ "paused": false })).unwrap();
        assert_eq!(subject, "$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.c");
        assert_eq!(
            (&says["paused"], &says["consumer"]),
            (&json!(false), &json!("c"))
        );
        assert_eq!(says["pause_until"], NO_TIME);
    }

    #[test]
    fn a_request_is_told_with_its_answer() {
        let audit = Advisory::api("n", json!({ "acc": "$G" }), b"$JS.API.INFO", b"", b"{}");
        assert_eq!(audit.subject, "$JS.EVENT.ADVISORY.API");
        let says: Value = serde_json::from_slice(&audit.text("i".into(), 0)).unwrap();
        assert_eq!(
            (&says["response"], &says["subject"]),
            (&json!("{}"), &json!("$JS.API.INFO"))
        );
        assert!(says.get("request").is_none());
        assert_eq!(says["type"], "io.nats.jetstream.advisory.v1.api_audit");
    }
}
