//! What readers report of records, as JetStream's advisories: under which subject, and in which JSON.

use bytes::Bytes;
use polybus_model::{ReaderReport, Reported, Unpinned};
use serde_json::{Map, Value};

use super::write_time;

/// What the subjects of advisories about a consumer's messages begin with,
const ADVISORY: &str = "$JS.EVENT.ADVISORY.CONSUMER.";
/// and their types.
const TYPE: &str = "io.nats.jetstream.advisory.v1.";
/// The same of how long acknowledgements took.
const METRIC: &str = "$JS.EVENT.METRIC.CONSUMER.ACK.";
const METRIC_TYPE: &str = "io.nats.jetstream.metric.v1.consumer_ack";
const NS_PER_MS: u64 = 1_000_000;

/// The subject that a report is told under.
#[must_use]
pub fn report_key(report: &ReaderReport) -> Bytes {
    let what = match report.what {
        Reported::Exhausted => "MAX_DELIVERIES",
        Reported::Rejected(_) => "MSG_TERMINATED",
        Reported::Released => "MSG_NAKED",
        Reported::Settled(_) => return format!("{METRIC}{}.{}", report.log, report.reader).into(),
        Reported::Pinned(..) => "PINNED",
        Reported::Unpinned(..) => "UNPINNED",
    };
    format!("{ADVISORY}{what}.{}.{}", report.log, report.reader).into()
}

/// A report as an advisory with that id.
pub(crate) fn advisory(report: &ReaderReport, id: String) -> Vec<u8> {
    let kind = match report.what {
        Reported::Exhausted => "max_deliver",
        Reported::Rejected(_) => "terminated",
        Reported::Released => "nak",
        Reported::Settled(_) => "",
        Reported::Pinned(..) => "consumer_group_pinned",
        Reported::Unpinned(..) => "consumer_group_unpinned",
    };
    let mut told = Map::new();
    let mut tell = |name: &str, value: Value| told.insert(name.to_owned(), value);
    let kind = match &report.what {
        Reported::Settled(_) => METRIC_TYPE.to_owned(),
        _ => format!("{TYPE}{kind}"),
    };
    tell("type", kind.into());
    tell("id", id.into());
    tell("timestamp", write_time(report.time).into());
    tell("stream", report.log.as_str().into());
    tell("consumer", (*report.reader).into());
    match &report.what {
        Reported::Pinned(group, pin) => {
            tell("group", group.as_str().into());
            tell("pinned_id", (**pin).into());
        }
        Reported::Unpinned(group, why) => {
            tell("group", group.as_str().into());
            tell("reason", unpinned(*why).into());
        }
        of_record => {
            if *of_record != Reported::Exhausted {
                tell("consumer_seq", report.sequence.into());
            }
            tell("stream_seq", report.offset.saturating_add(1).into());
            if let Reported::Settled(took) = of_record {
                tell("ack_time", took.saturating_mul(NS_PER_MS).into());
            }
            tell("deliveries", report.attempts.into());
            if let Reported::Rejected(why) = of_record
                && !why.is_empty()
            {
                tell("reason", why.as_str().into());
            }
        }
    }
    Value::Object(told).to_string().into_bytes()
}

const fn unpinned(why: Unpinned) -> &'static str {
    match why {
        Unpinned::Asked => "admin",
        Unpinned::Silent => "timeout",
    }
}

#[cfg(test)]
mod tests {
    use polybus_model::Name;

    use super::*;

    #[test]
    fn advisories_say_what_nats_server_says() {
        let report = |what| ReaderReport {
            log: Name::new("S").unwrap(),
            reader: "c".into(),
            offset: 4,
            sequence: 9,
            attempts: 2,
            time: 1_000,
            what,
        };
        let told = |what| {
            let report = report(what);
            let json: Value = serde_json::from_slice(&advisory(&report, "i".into())).unwrap();
            (report_key(&report), json)
        };
        let (key, json) = told(Reported::Rejected("no".into()));
        assert_eq!(&key[..], b"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.c");
        let wanted = serde_json::json!({
            "type": "io.nats.jetstream.advisory.v1.terminated", "id": "i", "timestamp": "1970-01-01T00:00:01.000Z",
            "stream": "S", "consumer": "c", "consumer_seq": 9, "stream_seq": 5, "deliveries": 2, "reason": "no",
        });
        assert_eq!(json, wanted);
        let (key, json) = told(Reported::Exhausted);
        assert_eq!(&key[..], b"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c");
        assert!(json.get("consumer_seq").is_none() && json.get("reason").is_none());
        let (key, json) = told(Reported::Settled(3));
        assert_eq!(&key[..], b"$JS.EVENT.METRIC.CONSUMER.ACK.S.c");
        assert_eq!(json["type"], "io.nats.jetstream.metric.v1.consumer_ack");
        assert_eq!(
            (&json["ack_time"], &json["stream_seq"]),
            (&3_000_000.into(), &5.into())
        );
        let (key, json) = told(Reported::Pinned("A".into(), "p".into()));
        assert_eq!(&key[..], b"$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.c");
        assert_eq!(
            (&json["group"], &json["pinned_id"]),
            (&"A".into(), &"p".into())
        );
        let (key, json) = told(Reported::Unpinned("A".into(), Unpinned::Silent));
        assert_eq!(&key[..], b"$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.c");
        assert_eq!(
            (&json["group"], &json["reason"]),
            (&"A".into(), &"timeout".into())
        );
        assert!(json.get("stream_seq").is_none());
        let (key, json) = told(Reported::Released);
        assert_eq!(&key[..], b"$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.S.c");
        assert_eq!(json["type"], "io.nats.jetstream.advisory.v1.nak");
    }
}
