//! The list of protocols: the one place that a new one is added to.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use polybus_amqp091::{Amqp091, Random};
use polybus_broker::{HeaderReaders, RunReaders};
use polybus_kafka::Kafka;
use polybus_nats::{Nats, Totals, Upgrade};
use polybus_session::{Protocol, Quotas, Readers};
use rustls::pki_types::alg_id;

use crate::clock::millis;
use crate::config::{Config, Listen, NatsTls};

/// A message of a WebSocket may have so many bytes beside a payload: clients put many operations into one.
const MESSAGE_BYTES_MIN: usize = 8 << 20;

/// A setting that names addresses, and what is spoken there.
pub(crate) struct Port {
    /// What listings call it.
    pub(crate) name: &'static str,
    /// What it is, for whoever starts the broker.
    pub(crate) title: &'static str,
    /// The setting's name.
    pub(crate) setting: &'static str,
    /// What the setting says.
    pub(crate) listen: Listen,
    /// Whether its connections are encrypted.
    pub(crate) encryption: Encryption,
    /// Gives what is spoken there, by the settings and the data folder's own number.
    pub(crate) speak: Speak,
}

/// Whether a port's connections are encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encryption {
    /// They are not.
    None,
    /// From their first byte.
    First,
    /// The server speaks first in plain text; clients may go on encrypted.
    Upgrade,
}

type Speak = fn(&Config, u64, &Counts) -> Spoken;

/// What all connections of a protocol share, whatever port they come by.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Those of NATS.
    pub(crate) nats: Arc<Totals>,
    /// What those of Kafka are held to.
    pub(crate) kafka: Quotas,
}

/// What is spoken on a port.
pub(crate) struct Spoken {
    /// The protocols, in the order in which they are asked.
    pub(crate) protocols: Vec<Arc<dyn Protocol>>,
    /// How long a handshake may take,
    pub(crate) handshake_timeout: Duration,
    /// and the setting that says so.
    pub(crate) handshake_setting: &'static str,
    /// Peers speak WebSocket below, in messages of so many bytes at most.
    pub(crate) websocket: Option<usize>,
}

/// Every port, whether it is on or off.
pub(crate) fn ports(config: &Config) -> Vec<Port> {
    let port = |name, title, setting, listen: &Listen, encryption, speak| Port {
        name,
        title,
        setting,
        listen: listen.clone(),
        encryption,
        speak,
    };
    let (amqp_title, kafka_title) = (
        "AMQP 0-9-1; guest/guest from this machine",
        if config.kafka.sasl {
            "Kafka; with a user and password"
        } else {
            "Kafka; from this machine without a password"
        },
    );
    let nats_title = if config.nats.auth {
        "NATS; with a user and password, a token or a key"
    } else {
        "NATS; from this machine without a password"
    };
    let nats_encryption = match config.nats.tls {
        _ if config.tls.certificate.is_none() => Encryption::None,
        NatsTls::Off => Encryption::None,
        NatsTls::Offered | NatsTls::Required => Encryption::Upgrade,
        NatsTls::First => Encryption::First,
    };
    let (amqp_as, kafka_as): (Speak, Speak) = (amqp, kafka);
    let (nats_as, web_as): (Speak, Speak) = (nats, nats_websocket);
    #[rustfmt::skip]
    let ports = vec![
        port("amqp", amqp_title, "amqp.listen", &config.amqp.listen, Encryption::None, amqp_as),
        port("amqps", "AMQP 0-9-1 with TLS", "amqp.tls-listen", &config.amqp.tls_listen, Encryption::First, amqp_as),
        port("kafka", kafka_title, "kafka.listen", &config.kafka.listen, Encryption::None, kafka_as),
        port("kafkas", "Kafka with TLS", "kafka.tls-listen", &config.kafka.tls_listen, Encryption::First, kafka_as),
        port("nats", nats_title, "nats.listen", &config.nats.listen, nats_encryption, nats_as),
        port("nats-ws", "NATS over WebSocket", "nats.websocket-listen", &config.nats.websocket_listen, Encryption::None, web_as),
        port("nats-wss", "NATS over WebSocket with TLS", "nats.websocket-tls-listen", &config.nats.websocket_tls_listen, Encryption::First, web_as),
    ];
    ports
}

fn amqp(config: &Config, _identity: u64, _counts: &Counts) -> Spoken {
    let amqp = &config.amqp;
    let runs = run_readers();
    let settings = polybus_amqp091::Settings {
        frame_max: amqp.frame_max,
        channel_max: amqp.channel_max,
        heartbeat_s: u16::try_from(amqp.heartbeat.as_secs()).unwrap_or(u16::MAX),
        handshake_timeout_ms: millis(amqp.handshake_timeout),
        message_size_max: amqp.message_bytes_max,
        external: config.tls.client_ca.is_some(),
        readers: readers(),
        messages_of: Arc::new(move |log, content, messages| runs.read(log, content, messages)),
        ..polybus_amqp091::Settings::new(random())
    };
    Spoken {
        protocols: vec![Arc::new(Amqp091::new(settings))],
        handshake_timeout: amqp.handshake_timeout,
        handshake_setting: "amqp.handshake-timeout",
        websocket: None,
    }
}

fn kafka(config: &Config, identity: u64, counts: &Counts) -> Spoken {
    let kafka = &config.kafka;
    let advertised = kafka.advertised.as_ref();
    let readers = header_readers();
    let settings = polybus_kafka::Settings {
        advertised_host: advertised.map(|told| told.host.clone()),
        advertised_port: advertised.and_then(|told| told.port),
        node_id: kafka.node_id,
        namespace: kafka.namespace.clone(),
        sasl_required: kafka.sasl,
        anonymous: kafka.anonymous.clone(),
        auto_create: kafka.auto_create,
        partitions: kafka.partitions,
        message_bytes_max: kafka.message_bytes_max,
        request_bytes_max: kafka.request_bytes_max,
        handshake_timeout_ms: millis(kafka.handshake_timeout),
        idle_timeout_ms: millis(kafka.idle_timeout),
        headers_of: Arc::new(move |message| readers.headers(message)),
        quotas: counts.kafka.clone(),
        ..polybus_kafka::Settings::new(identity, random())
    };
    Spoken {
        protocols: vec![Arc::new(Kafka::new(settings))],
        handshake_timeout: kafka.handshake_timeout,
        handshake_setting: "kafka.handshake-timeout",
        websocket: None,
    }
}

fn nats(config: &Config, identity: u64, counts: &Counts) -> Spoken {
    let nats = &config.nats;
    let settings = polybus_nats::Settings {
        server_name: nats.server_name.clone(),
        namespace: nats.namespace.clone(),
        auth_required: nats.auth,
        anonymous: nats.anonymous.clone(),
        payload_bytes_max: nats.payload_bytes_max,
        line_bytes_max: nats.line_bytes_max,
        subscriptions_max: nats.subscriptions_max,
        pending_bytes_max: nats.pending_bytes_max,
        write_deadline_ms: millis(nats.write_deadline),
        ping_interval_ms: millis(nats.ping_interval),
        pings_max: nats.pings_max,
        auth_timeout_ms: millis(nats.auth_timeout),
        lame_duck_ms: millis(nats.lame_duck),
        tokens: nats.tokens.clone(),
        nkeys: nats.nkeys.clone(),
        certificates: config.tls.client_ca.is_some(),
        certificates_required: config.tls.require_client_certificate,
        upgrade: match nats.tls {
            _ if config.tls.certificate.is_none() => Upgrade::None,
            NatsTls::Off => Upgrade::None,
            NatsTls::Offered => Upgrade::Offered,
            NatsTls::Required | NatsTls::First => Upgrade::Required,
        },
        verify: Arc::new(is_signed),
        totals: Arc::clone(&counts.nats),
        readers: readers(),
        ..polybus_nats::Settings::new(identity, random())
    };
    Spoken {
        protocols: vec![Arc::new(Nats::new(settings))],
        // The session says in its own words that the time is up; this is for one that does not get that far.
        handshake_timeout: nats.auth_timeout + Duration::from_secs(5),
        handshake_setting: "nats.auth-timeout",
        websocket: None,
    }
}

/// NATS over WebSockets, which are encrypted below or not at all.
fn nats_websocket(config: &Config, identity: u64, counts: &Counts) -> Spoken {
    let mut plain = config.clone();
    plain.nats.tls = NatsTls::Off;
    Spoken {
        websocket: Some(config.nats.payload_bytes_max + MESSAGE_BYTES_MIN),
        ..nats(&plain, identity, counts)
    }
}

/// How a session reads what messages of other protocols carry.
fn readers() -> Readers {
    let (headers, properties) = (header_readers(), header_readers());
    Readers::new(
        move |message| headers.headers(message),
        move |message, name| properties.property(message, name),
    )
}

/// How routing reads the headers of each protocol's messages.
pub(crate) fn header_readers() -> HeaderReaders {
    HeaderReaders::new()
        .with(
            polybus_amqp091::ORIGIN,
            polybus_amqp091::read_headers,
            polybus_amqp091::read_property,
        )
        .with(
            polybus_kafka::ORIGIN,
            polybus_kafka::read_headers,
            polybus_kafka::read_property,
        )
        .with(
            polybus_nats::ORIGIN,
            polybus_nats::read_headers,
            polybus_nats::read_property,
        )
}

/// How what a protocol packs into a log is read by the others.
pub(crate) fn run_readers() -> RunReaders {
    RunReaders::new()
        .with(polybus_kafka::ORIGIN, polybus_kafka::read_messages)
        .with_compactor(polybus_kafka::ORIGIN, polybus_kafka::COMPACTOR)
        .with_copier(polybus_nats::ORIGIN, polybus_nats::copy_properties)
}

/// Whether a message is signed with the private half of an Ed25519 key, by the library that TLS brings anyway.
fn is_signed(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let provider = rustls::crypto::ring::default_provider();
    let mut known = provider.signature_verification_algorithms.all.iter();
    known
        .find(|algorithm| algorithm.public_key_alg_id() == alg_id::ED25519)
        .is_some_and(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
}

/// The operating system's randomness, by the library that TLS brings anyway.
fn random() -> Random {
    let source = rustls::crypto::ring::default_provider().secure_random;
    Arc::new(move || {
        let mut bytes = [0; 8];
        match source.fill(&mut bytes) {
            Ok(()) => u64::from_le_bytes(bytes),
            // A system that gives none: the standard library's seed is the best there is.
            Err(_) => RandomState::new().hash_one(bytes),
        }
    })
}
