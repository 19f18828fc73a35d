use std::time::Duration;

use super::*;
use crate::config::Durability;
use crate::scratch::Scratch;

fn with_file(scratch: &Scratch, text: &str) -> Sources {
    std::fs::write(scratch.path().join(FILE_DEFAULT), text).unwrap();
    Sources {
        folder: scratch.path().to_owned(),
        ..Sources::default()
    }
}

fn of_environment(pairs: &[(&str, &str)]) -> Sources {
    Sources {
        folder: "/nowhere".into(),
        environment: pairs
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        ..Sources::default()
    }
}

fn in_force(resolved: &Resolved, key: &str) -> (String, String) {
    let (_, value, origin) = resolved.values.iter().find(|(s, ..)| s.key == key).unwrap();
    (value.clone(), origin.to_string())
}

#[test]
fn nothing_set_gives_the_defaults() {
    let resolved = resolve(&of_environment(&[])).unwrap();
    assert_eq!(resolved.config.durability, Durability::Fsync);
    assert_eq!(resolved.config.amqp.frame_max, 131_072);
    assert_eq!(
        resolved.config.amqp.consumer_timeout,
        Some(Duration::from_secs(1800))
    );
    assert_eq!(resolved.config.amqp.tls_listen, Listen::Off);
    assert_eq!(
        resolved.config.control_socket(),
        Path::new("./data/control.sock")
    );
    assert!(
        resolved
            .values
            .iter()
            .all(|(.., origin)| *origin == Origin::Default)
    );
}

#[test]
fn the_later_layer_wins_and_says_so() {
    let scratch = Scratch::new();
    let file = scratch.path().join(FILE_DEFAULT).display().to_string();
    let mut sources = with_file(
        &scratch,
        "durability = 'interval'\n\n[amqp]\nlisten = '127.0.0.1:1'\nchannel-max = 10\n",
    );
    let resolved = resolve(&sources).unwrap();
    assert_eq!(
        in_force(&resolved, "amqp.listen"),
        ("127.0.0.1:1".into(), format!("{file}:4"))
    );
    assert_eq!(resolved.config.amqp.channel_max, 10);

    sources
        .environment
        .push(("POLYBUS_AMQP_LISTEN".into(), "127.0.0.1:2".into()));
    let resolved = resolve(&sources).unwrap();
    let from = "environment POLYBUS_AMQP_LISTEN".to_owned();
    assert_eq!(
        in_force(&resolved, "amqp.listen"),
        ("127.0.0.1:2".into(), from)
    );

    sources.flags.push(("amqp.listen", "off".into()));
    let resolved = resolve(&sources).unwrap();
    assert_eq!(
        in_force(&resolved, "amqp.listen"),
        ("off".into(), "flag --amqp-listen".into())
    );
    assert_eq!(resolved.config.amqp.listen, Listen::Off);
    assert_eq!(
        in_force(&resolved, "durability"),
        ("interval".into(), format!("{file}:1"))
    );
}

#[test]
fn paths_in_a_file_are_relative_to_it() {
    let scratch = Scratch::new();
    let sources = with_file(
        &scratch,
        "data = 'here'\n[tls]\ncertificate = '/c.pem'\nkey = 'k.pem'\n",
    );
    let config = resolve(&sources).unwrap().config;
    assert_eq!(config.data, scratch.path().join("here"));
    assert_eq!(config.tls.certificate, Some("/c.pem".into()));
    assert_eq!(config.tls.key, Some(scratch.path().join("k.pem")));
}

#[test]
fn a_certificate_switches_tls_on() {
    let set = [
        ("POLYBUS_TLS_CERTIFICATE", "c.pem"),
        ("POLYBUS_TLS_KEY", "k.pem"),
    ];
    let resolved = resolve(&of_environment(&set)).unwrap();
    assert_eq!(in_force(&resolved, "amqp.tls-listen").0, "*:5671");
    let mut sources = of_environment(&set);
    sources.flags.push(("amqp.tls-listen", "off".into()));
    assert_eq!(
        resolve(&sources).unwrap().config.amqp.tls_listen,
        Listen::Off
    );
}

#[test]
fn mistakes_in_a_file_name_the_line_and_what_was_meant() {
    let scratch = Scratch::new();
    let file = scratch.path().join(FILE_DEFAULT).display().to_string();
    for (text, error) in [
        (
            "[amqp]\nlisen = '1'",
            ":2: 'amqp.lisen' is no setting; did you mean 'amqp.listen'?",
        ),
        (
            "[ampq]\nlisten = '1'",
            ":1: 'ampq' is no setting; `polybus config` lists them all",
        ),
        (
            "\ndat = '1'",
            ":2: 'dat' is no setting; did you mean 'data'?",
        ),
        (
            "durability = 'often'",
            ":1: durability: 'often' is none of fsync, interval, none",
        ),
        ("data = ['a']", ":1: data wants a DIR, as \"text\""),
        (
            "[amqp]\nheartbeat = 60",
            ":2: amqp.heartbeat: '60' is no duration; write a number and a unit: 500ms, 60s, 30m, 2h, 1d, or off",
        ),
    ] {
        assert_eq!(
            resolve(&with_file(&scratch, text)).unwrap_err(),
            format!("{file}{error}")
        );
    }
    let error = resolve(&with_file(&scratch, "a = 1\nb = [")).unwrap_err();
    assert!(error.starts_with(&format!("{file}:2: ")), "{error}");
}

#[test]
fn mistakes_elsewhere_name_where_they_stand() {
    for (name, value, error) in [
        (
            "POLYBUS_AMQP_LISEN",
            "1",
            "the environment variable POLYBUS_AMQP_LISEN is no setting; did you mean POLYBUS_AMQP_LISTEN?",
        ),
        (
            "POLYBUS_AMQP_LISTEN",
            "x",
            "POLYBUS_AMQP_LISTEN: 'x' is no address; write HOST:PORT, [IPV6]:PORT, *:PORT for every address, or off",
        ),
        (
            "POLYBUS_CONFIG",
            "/nowhere/p.toml",
            "the configuration /nowhere/p.toml cannot be read: No such file or directory (os error 2)",
        ),
        (
            "POLYBUS_AMQP_TLS_LISTEN",
            "*:1",
            "amqp.tls-listen is set and tls.certificate is not; set it to the server's certificate (PEM)",
        ),
        (
            "POLYBUS_TLS_CERTIFICATE",
            "c",
            "tls.certificate is set and tls.key is not; set it to the certificate's private key (PEM)",
        ),
    ] {
        assert_eq!(
            resolve(&of_environment(&[(name, value)])).unwrap_err(),
            error
        );
    }
}

#[test]
fn variables_of_others_are_left_alone() {
    let kubernetes = [
        ("POLYBUS_SERVICE_HOST", "10.0.0.1"),
        ("POLYBUS_PORT_5672_TCP", "tcp://10.0.0.1:5672"),
    ];
    assert!(
        resolve(&of_environment(&kubernetes))
            .unwrap()
            .notes
            .is_empty()
    );
    assert!(
        resolve(&of_environment(&[(
            "POLYBUS_BIN",
            "target/release/polybus"
        )]))
        .is_ok()
    );
    let odd = resolve(&of_environment(&[("POLYBUS_WEATHER", "fine")])).unwrap();
    assert_eq!(
        odd.notes,
        ["the environment variable POLYBUS_WEATHER is no setting and has no effect"]
    );
}
