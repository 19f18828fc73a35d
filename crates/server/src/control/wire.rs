//! What goes over the control socket.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use polybus_broker::admin::{Bound, KeyRules, LogChange, Replay};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// A line without a body is never longer.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What a command asks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    Status,
    Namespaces,
    AddNamespace {
        name: String,
    },
    DeleteNamespace {
        name: String,
    },
    Queues {
        namespace: String,
    },
    Topics {
        namespace: String,
    },
    Logs {
        namespace: String,
    },
    AddLog {
        namespace: String,
        topic: String,
        change: LogChange,
    },
    ChangeLog {
        namespace: String,
        log: String,
        change: LogChange,
    },
    DeleteLog {
        namespace: String,
        log: String,
    },
    Bindings {
        namespace: String,
    },
    Consumers {
        namespace: String,
    },
    Connections,
    CloseConnection {
        id: u64,
        reason: String,
    },
    Purge {
        namespace: String,
        queue: String,
    },
    DeleteQueue {
        namespace: String,
        queue: String,
    },
    Peek {
        namespace: String,
        queue: String,
        count: usize,
    },
    Consume {
        namespace: String,
        queue: String,
        count: usize,
        acknowledge: bool,
    },
    Publish {
        namespace: String,
        topic: String,
        key: String,
        body: Body,
        durable: bool,
    },
    ReplayRanges {
        namespace: String,
        log: String,
        partition: Option<u32>,
        from: Bound,
        until: Bound,
    },
    Replay {
        namespace: String,
        step: Replay,
    },
    Users,
    AddUser {
        name: String,
        password: Option<String>,
        tags: Vec<String>,
    },
    ChangePassword {
        name: String,
        password: String,
    },
    ChangeTags {
        name: String,
        tags: Vec<String>,
    },
    DeleteUser {
        name: String,
    },
    Permissions,
    SetPermission {
        user: String,
        namespace: String,
        configure: String,
        write: String,
        read: String,
        #[serde(default)]
        subjects: KeyRules,
    },
    ClearPermission {
        user: String,
        namespace: String,
    },
}

/// A message's body; base64 in JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Body(pub(crate) Vec<u8>);

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD
            .decode(text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// The longest request, given the longest message.
pub(super) fn request_bytes_max(message_bytes_max: u64) -> u64 {
    message_bytes_max.div_ceil(3) * 4 + LINE_BYTES_MAX
}

/// A good reply, without its line end.
pub(super) fn acceptance(value: Value) -> Vec<u8> {
    json!({ "ok": value }).to_string().into_bytes()
}

/// A bad reply, without its line end.
pub(super) fn refusal(reason: &str) -> Vec<u8> {
    json!({ "error": reason }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_lines_of_json() {
        let publish = Request::Publish {
            namespace: "/".into(),
            topic: "t".into(),
            key: "k\n".into(),
            body: Body(vec![0, 255, 10]),
            durable: true,
        };
        let line = serde_json::to_string(&publish).unwrap();
        assert_eq!(
            line,
            r#"{"op":"publish","namespace":"/","topic":"t","key":"k\n","body":"AP8K","durable":true}"#
        );
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), publish);
        assert_eq!(
            serde_json::from_str::<Request>(r#"{"op":"status"}"#).unwrap(),
            Request::Status
        );
        for bad in [
            r#"{"op":"stats"}"#,
            r#"{"op":"queues"}"#,
            r#"{"op":"queues","namespace":1}"#,
            "[]",
            "",
        ] {
            assert!(serde_json::from_str::<Request>(bad).is_err(), "{bad}");
        }
    }
}
