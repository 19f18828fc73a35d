//! The one table of settings. To add a setting, add a row here and a field in [`super::Config`].

use std::path::PathBuf;

use super::Config;
use super::values;

/// One setting.
pub(crate) struct Setting {
    /// Its name: `amqp.listen`.
    pub(crate) key: &'static str,
    /// What its value is, in one word, for help texts.
    pub(crate) value: &'static str,
    /// What it is if nobody says otherwise.
    pub(crate) default: &'static str,
    /// A path: relative to the folder of the file that names it.
    pub(crate) is_path: bool,
    /// What it does, in one line.
    pub(crate) help: &'static str,
    /// Parses a value into its place.
    pub(crate) apply: fn(&mut Config, &str) -> Result<(), String>,
}

impl Setting {
    /// Its flag, without the dashes: `amqp-listen`.
    pub(crate) fn flag(&self) -> String {
        self.key.replace('.', "-")
    }

    /// Its environment variable: `POLYBUS_AMQP_LISTEN`.
    pub(crate) fn variable(&self) -> String {
        format!("POLYBUS_{}", self.key.replace(['.', '-'], "_")).to_uppercase()
    }
}

fn path(text: &str) -> Result<Option<PathBuf>, String> {
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

/// Listeners that are on as soon as there is a certificate, and where.
pub(crate) const TLS_LISTENERS: &[(&str, &str)] = &[
    ("amqp.tls-listen", "*:5671"),
    ("kafka.tls-listen", "*:9093"),
];

/// Settings whose values are secrets: listings only say that they are set.
pub(crate) const SECRETS: &[&str] = &["nats.tokens"];

/// Every setting, in the order in which they are listed.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        key: "data",
        value: "DIR",
        default: "./data",
        is_path: true,
        help: "The folder that holds everything the broker keeps. Made if it is not there.",
        apply: |c, text| {
            c.data = path(text)?.ok_or("a folder is needed")?;
            Ok(())
        },
    },
    Setting {
        key: "durability",
        value: "LEVEL",
        default: "fsync",
        is_path: false,
        help: "When a publish is confirmed: fsync (it is on disk), interval (on disk within 100 ms), none (never synced).",
        apply: |c, text| values::durability(text).map(|v| c.durability = v),
    },
    Setting {
        key: "amqp.listen",
        value: "ADDRESS",
        default: "*:5672",
        is_path: false,
        help: "Where AMQP listens: HOST:PORT, *:PORT for every address (IPv4 and IPv6), several with commas, or off.",
        apply: |c, text| values::listen(text).map(|v| c.amqp.listen = v),
    },
    Setting {
        key: "amqp.tls-listen",
        value: "ADDRESS",
        default: "off",
        is_path: false,
        help: "Where AMQP listens with TLS. *:5671 as soon as tls.certificate is set.",
        apply: |c, text| values::listen(text).map(|v| c.amqp.tls_listen = v),
    },
    Setting {
        key: "amqp.heartbeat",
        value: "DURATION",
        default: "60s",
        is_path: false,
        help: "The heartbeat suggested to clients (whole seconds), or off.",
        apply: |c, text| values::heartbeat(text).map(|v| c.amqp.heartbeat = v),
    },
    Setting {
        key: "amqp.frame-max",
        value: "SIZE",
        default: "128 KiB",
        is_path: false,
        help: "The greatest frame, from 4 KiB to 16 MiB.",
        apply: |c, text| {
            let size = values::size_between(text, 4096, 16 << 20)?;
            c.amqp.frame_max = u32::try_from(size).map_err(|e| e.to_string())?;
            Ok(())
        },
    },
    Setting {
        key: "amqp.channel-max",
        value: "COUNT",
        default: "2047",
        is_path: false,
        help: "The most channels on one connection, from 1 to 65535.",
        apply: |c, text| {
            let count = values::count_between(text, 1, 65_535)?;
            c.amqp.channel_max = u16::try_from(count).map_err(|e| e.to_string())?;
            Ok(())
        },
    },
    Setting {
        key: "amqp.handshake-timeout",
        value: "DURATION",
        default: "10s",
        is_path: false,
        help: "How long a client may take from connecting until its connection is open.",
        apply: |c, text| values::duration(text).map(|v| c.amqp.handshake_timeout = v),
    },
    Setting {
        key: "amqp.max-message-size",
        value: "SIZE",
        default: "16 MiB",
        is_path: false,
        help: "The greatest message body, up to 512 MiB.",
        apply: |c, text| {
            values::size_between(text, 1, 512 << 20).map(|v| c.amqp.message_bytes_max = v)
        },
    },
    Setting {
        key: "amqp.consumer-timeout",
        value: "DURATION",
        default: "30m",
        is_path: false,
        help: "How long a consumer may hold a message before its channel is closed, or off.",
        apply: |c, text| values::duration_or_off(text).map(|v| c.amqp.consumer_timeout = v),
    },
    Setting {
        key: "kafka.listen",
        value: "ADDRESS",
        default: "*:9092",
        is_path: false,
        help: "Where Kafka listens: HOST:PORT, *:PORT for every address (IPv4 and IPv6), several with commas, or off.",
        apply: |c, text| values::listen(text).map(|v| c.kafka.listen = v),
    },
    Setting {
        key: "kafka.tls-listen",
        value: "ADDRESS",
        default: "off",
        is_path: false,
        help: "Where Kafka listens with TLS. *:9093 as soon as tls.certificate is set.",
        apply: |c, text| values::listen(text).map(|v| c.kafka.tls_listen = v),
    },
    Setting {
        key: "kafka.advertised",
        value: "ADDRESS",
        default: "",
        is_path: false,
        help: "Where clients are told to connect: HOST:PORT, or HOST for the port they came by. The address they came by if not set; to be set behind a proxy or a container's port.",
        apply: |c, text| values::advertised(text).map(|v| c.kafka.advertised = v),
    },
    Setting {
        key: "kafka.node-id",
        value: "NUMBER",
        default: "1",
        is_path: false,
        help: "The broker's number as Kafka clients see it.",
        apply: |c, text| {
            let number = values::count_between(text, 0, i32::MAX as u64)?;
            c.kafka.node_id = i32::try_from(number).map_err(|e| e.to_string())?;
            Ok(())
        },
    },
    Setting {
        key: "kafka.namespace",
        value: "NAME",
        default: "/",
        is_path: false,
        help: "The namespace (virtual host) whose logs and topics Kafka clients meet.",
        apply: |c, text| values::name(text).map(|v| c.kafka.namespace = v),
    },
    Setting {
        key: "kafka.sasl",
        value: "true|false",
        default: "false",
        is_path: false,
        help: "Clients have to log in (SASL PLAIN or SCRAM, or a certificate of tls.client-ca). If not, those that do not log in are guest, from this machine only, or kafka.anonymous.",
        apply: |c, text| values::switch(text).map(|v| c.kafka.sasl = v),
    },
    Setting {
        key: "kafka.anonymous",
        value: "USER",
        default: "",
        is_path: false,
        help: "Clients that do not log in are this user, wherever they come from.",
        apply: |c, text| {
            c.kafka.anonymous = (!text.is_empty()).then(|| text.to_owned());
            Ok(())
        },
    },
    Setting {
        key: "kafka.auto-create",
        value: "true|false",
        default: "true",
        is_path: false,
        help: "A topic that is asked for and not there is made.",
        apply: |c, text| values::switch(text).map(|v| c.kafka.auto_create = v),
    },
    Setting {
        key: "kafka.partitions",
        value: "COUNT",
        default: "1",
        is_path: false,
        help: "How many partitions a new topic gets where its maker does not say, from 1 to 10000.",
        apply: |c, text| {
            let count = values::count_between(text, 1, 10_000)?;
            c.kafka.partitions = u32::try_from(count).map_err(|e| e.to_string())?;
            Ok(())
        },
    },
    Setting {
        key: "kafka.message-bytes-max",
        value: "SIZE",
        default: "1048588",
        is_path: false,
        help: "The greatest batch of records that a topic takes if it does not say otherwise (max.message.bytes), from 1 KiB to 512 MiB.",
        apply: |c, text| {
            let size = values::size_between(text, 1 << 10, 512 << 20)?;
            c.kafka.message_bytes_max = u32::try_from(size).map_err(|e| e.to_string())?;
            Ok(())
        },
    },
    Setting {
        key: "kafka.request-bytes-max",
        value: "SIZE",
        default: "100 MiB",
        is_path: false,
        help: "The greatest request, from 64 KiB to 1 GiB.",
        apply: |c, text| {
            let size = values::size_between(text, 64 << 10, 1 << 30)?;
            c.kafka.request_bytes_max = u32::try_from(size).map_err(|e| e.to_string())?;
            Ok(())
        },
    },
    Setting {
        key: "kafka.handshake-timeout",
        value: "DURATION",
        default: "10s",
        is_path: false,
        help: "How long a client may take from connecting until it is let in.",
        apply: |c, text| values::duration(text).map(|v| c.kafka.handshake_timeout = v),
    },
    Setting {
        key: "kafka.idle-timeout",
        value: "DURATION",
        default: "10m",
        is_path: false,
        help: "A connection that is silent for so long is closed.",
        apply: |c, text| values::duration(text).map(|v| c.kafka.idle_timeout = v),
    },
    Setting {
        key: "nats.listen",
        value: "ADDRESS",
        default: "*:4222",
        is_path: false,
        help: "Where NATS listens: HOST:PORT, *:PORT for every address (IPv4 and IPv6), several with commas, or off.",
        apply: |c, text| values::listen(text).map(|v| c.nats.listen = v),
    },
    Setting {
        key: "nats.websocket-listen",
        value: "ADDRESS",
        default: "off",
        is_path: false,
        help: "Where NATS listens for WebSockets, such as *:8080.",
        apply: |c, text| values::listen(text).map(|v| c.nats.websocket_listen = v),
    },
    Setting {
        key: "nats.websocket-tls-listen",
        value: "ADDRESS",
        default: "off",
        is_path: false,
        help: "Where NATS listens for WebSockets with TLS (wss).",
        apply: |c, text| values::listen(text).map(|v| c.nats.websocket_tls_listen = v),
    },
    Setting {
        key: "nats.monitor-listen",
        value: "ADDRESS",
        default: "127.0.0.1:8222",
        is_path: false,
        help: "Where /varz, /connz, /subsz, /jsz and /healthz are read over HTTP, by anyone who gets there. Off if nats.listen is.",
        apply: |c, text| values::listen(text).map(|v| c.nats.monitoring_listen = v),
    },
    Setting {
        key: "nats.server-name",
        value: "NAME",
        default: "polybus",
        is_path: false,
        help: "What the server calls itself to NATS clients.",
        apply: |c, text| values::name(text).map(|v| c.nats.server_name = v),
    },
    Setting {
        key: "nats.namespace",
        value: "NAME",
        default: "/",
        is_path: false,
        help: "The namespace (virtual host) whose amq.topic has the subjects of NATS clients as its keys.",
        apply: |c, text| values::name(text).map(|v| c.nats.namespace = v),
    },
    Setting {
        key: "nats.auth",
        value: "true|false",
        default: "false",
        is_path: false,
        help: "Clients have to say who they are: a user and its password, a token or a key. If not, those that do not are guest, from this machine only, or nats.anonymous.",
        apply: |c, text| values::switch(text).map(|v| c.nats.auth = v),
    },
    Setting {
        key: "nats.anonymous",
        value: "USER",
        default: "",
        is_path: false,
        help: "Clients that do not say who they are are this user, wherever they come from.",
        apply: |c, text| {
            c.nats.anonymous = (!text.is_empty()).then(|| text.to_owned());
            Ok(())
        },
    },
    Setting {
        key: "nats.tokens",
        value: "USER=TOKEN",
        default: "",
        is_path: false,
        help: "Tokens by which clients log in instead of a password, each with the user that it stands for; several with commas.",
        apply: |c, text| {
            values::users(text, |token| Ok(token.to_owned())).map(|v| c.nats.tokens = v)
        },
    },
    Setting {
        key: "nats.nkeys",
        value: "USER=KEY",
        default: "",
        is_path: false,
        help: "Public keys (U...) by which clients log in instead of a password, each with the user that it stands for; several with commas.",
        apply: |c, text| {
            values::users(text, polybus_nats::PublicKey::parse).map(|v| c.nats.nkeys = v)
        },
    },
    Setting {
        key: "nats.tls",
        value: "MODE",
        default: "offered",
        is_path: false,
        help: "TLS on nats.listen once tls.certificate is set: off, offered (after INFO, to whoever wants it), required (after INFO), first (before INFO).",
        apply: |c, text| values::nats_tls(text).map(|v| c.nats.tls = v),
    },
    Setting {
        key: "nats.max-payload",
        value: "SIZE",
        default: "1 MiB",
        is_path: false,
        help: "The greatest payload, its headers counted, from 1 byte to 64 MiB.",
        apply: |c, text| {
            values::bytes_between(text, 1, 64 << 20).map(|v| c.nats.payload_bytes_max = v)
        },
    },
    Setting {
        key: "nats.max-control-line",
        value: "SIZE",
        default: "4 KiB",
        is_path: false,
        help: "The greatest line of the protocol (CONNECT, a subject and what goes with it), from 512 bytes to 32 KiB.",
        apply: |c, text| {
            values::bytes_between(text, 512, 32 << 10).map(|v| c.nats.line_bytes_max = v)
        },
    },
    Setting {
        key: "nats.max-subscriptions",
        value: "COUNT",
        default: "200000",
        is_path: false,
        help: "The most subscriptions of one connection, from 1 to 1000000; more are refused.",
        apply: |c, text| {
            let count = values::count_between(text, 1, 1_000_000)?;
            c.nats.subscriptions_max = usize::try_from(count).map_err(|e| e.to_string())?;
            Ok(())
        },
    },
    Setting {
        key: "nats.max-pending",
        value: "SIZE",
        default: "64 MiB",
        is_path: false,
        help: "Bytes that may wait for a client that reads too slowly, from 64 KiB to 4 GiB; past them it is cut off.",
        apply: |c, text| {
            values::bytes_between(text, 64 << 10, 4 << 30).map(|v| c.nats.pending_bytes_max = v)
        },
    },
    Setting {
        key: "nats.write-deadline",
        value: "DURATION",
        default: "10s",
        is_path: false,
        help: "A client that takes nothing of what waits for it for so long is cut off.",
        apply: |c, text| values::duration(text).map(|v| c.nats.write_deadline = v),
    },
    Setting {
        key: "nats.ping-interval",
        value: "DURATION",
        default: "2m",
        is_path: false,
        help: "A client that was silent for so long is asked for a sign of life (PING).",
        apply: |c, text| values::duration(text).map(|v| c.nats.ping_interval = v),
    },
    Setting {
        key: "nats.ping-max",
        value: "COUNT",
        default: "2",
        is_path: false,
        help: "As many PINGs stay without an answer before a client is given up, from 1 to 100.",
        apply: |c, text| {
            let count = values::count_between(text, 1, 100)?;
            c.nats.pings_max = u32::try_from(count).map_err(|e| e.to_string())?;
            Ok(())
        },
    },
    Setting {
        key: "nats.auth-timeout",
        value: "DURATION",
        default: "5s",
        is_path: false,
        help: "How long a client may take to say who it is. Where it need not, it is let in then.",
        apply: |c, text| values::duration(text).map(|v| c.nats.auth_timeout = v),
    },
    Setting {
        key: "nats.lame-duck",
        value: "DURATION",
        default: "1s",
        is_path: false,
        help: "Over how long clients, which are told before, are let go when the broker stops, up to 2s.",
        apply: |c, text| {
            let duration = values::duration(text)?;
            if duration > std::time::Duration::from_secs(2) {
                return Err(
                    "it is 2s at most: the broker waits no longer for clients to leave".to_owned(),
                );
            }
            c.nats.lame_duck = duration;
            Ok(())
        },
    },
    Setting {
        key: "tls.certificate",
        value: "FILE",
        default: "",
        is_path: true,
        help: "The server's certificate and the chain behind it, PEM.",
        apply: |c, text| path(text).map(|v| c.tls.certificate = v),
    },
    Setting {
        key: "tls.key",
        value: "FILE",
        default: "",
        is_path: true,
        help: "The certificate's private key, PEM.",
        apply: |c, text| path(text).map(|v| c.tls.key = v),
    },
    Setting {
        key: "tls.client-ca",
        value: "FILE",
        default: "",
        is_path: true,
        help: "Who signs clients' certificates, PEM. A client's common name is then its user (AMQP: by SASL EXTERNAL; Kafka: where it does not log in otherwise).",
        apply: |c, text| path(text).map(|v| c.tls.client_ca = v),
    },
    Setting {
        key: "tls.require-client-certificate",
        value: "true|false",
        default: "false",
        is_path: false,
        help: "Turn clients without a certificate away.",
        apply: |c, text| values::switch(text).map(|v| c.tls.require_client_certificate = v),
    },
    Setting {
        key: "limits.connections",
        value: "COUNT",
        default: "10000",
        is_path: false,
        help: "The most connections at a time; more are closed at once.",
        apply: |c, text| values::count_between(text, 1, 1 << 32).map(|v| c.limits.connections = v),
    },
    Setting {
        key: "limits.queues",
        value: "COUNT",
        default: "100000",
        is_path: false,
        help: "The most queues.",
        apply: |c, text| values::count_between(text, 1, 1 << 32).map(|v| c.limits.queues = v),
    },
    Setting {
        key: "limits.memory",
        value: "SIZE",
        default: "128 MiB",
        is_path: false,
        help: "How many bytes of messages are kept in memory; what is beyond waits on disk.",
        apply: |c, text| values::size_between(text, 1 << 20, 1 << 50).map(|v| c.limits.memory = v),
    },
    Setting {
        key: "limits.disk-free-min",
        value: "SIZE",
        default: "256 MiB",
        is_path: false,
        help: "With less free on the data folder's disk, publishers wait (connection.blocked) and consumers go on.",
        apply: |c, text| values::size_between(text, 0, 1 << 50).map(|v| c.limits.disk_free_min = v),
    },
    Setting {
        key: "log.level",
        value: "LEVEL",
        default: "info",
        is_path: false,
        help: "How much the log tells: error, warn, info, debug or trace.",
        apply: |c, text| values::level(text).map(|v| c.log.level = v),
    },
    Setting {
        key: "log.format",
        value: "FORMAT",
        default: "text",
        is_path: false,
        help: "How the log is written to stderr: text or json.",
        apply: |c, text| values::format(text).map(|v| c.log.format = v),
    },
    Setting {
        key: "control.socket",
        value: "FILE",
        default: "",
        is_path: true,
        help: "The Unix socket by which the other commands reach a running broker. control.sock in the data folder if not set.",
        apply: |c, text| path(text).map(|v| c.control_socket = v),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_the_key() {
        let tls_listen = SETTINGS
            .iter()
            .find(|s| s.key == "amqp.tls-listen")
            .unwrap();
        assert_eq!(tls_listen.flag(), "amqp-tls-listen");
        assert_eq!(tls_listen.variable(), "POLYBUS_AMQP_TLS_LISTEN");
    }

    #[test]
    fn every_default_is_a_valid_value_and_every_name_is_single() {
        let mut config = Config::default();
        for (i, setting) in SETTINGS.iter().enumerate() {
            (setting.apply)(&mut config, setting.default).unwrap();
            for other in &SETTINGS[..i] {
                assert_ne!(setting.flag(), other.flag());
                assert_ne!(setting.variable(), other.variable());
            }
        }
    }
}
