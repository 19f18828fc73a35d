//! Who is let in, and who is not.

use std::sync::Arc;

use super::world::{World, settings};
use crate::PublicKey;
use crate::settings::{Settings, Upgrade};

fn refused(world: &mut World, client: usize) -> bool {
    let told = world.hear(client);
    assert!(told.starts_with("INFO {"), "{told}");
    told.ends_with("-ERR 'Authorization Violation'\r\n") && world.clients[client].session.is_done()
}

#[test]
fn the_server_speaks_first() {
    let mut world = World::new();
    let a = world.meet();
    let told = world.hear(a);
    let json = told.strip_prefix("INFO ").unwrap().trim_ascii();
    let info: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(info["headers"], true);
    assert_eq!(info["max_payload"], 1_048_576);
    assert_eq!(info["proto"], 1);
    assert_eq!(info["client_id"], 1);
    assert_eq!(info["port"], 4222);
    assert!(info["server_id"].as_str().unwrap().starts_with('N'));
    assert!(info.get("auth_required").is_none() && info.get("nonce").is_none());
}

#[test]
fn a_person_at_a_terminal_needs_no_connect() {
    let mut world = World::new();
    let a = world.meet();
    world.hear(a);
    world.send(a, "SUB a 1\r\n");
    world.send(a, "PUB a 2\r\nhi\r\n");
    assert_eq!(world.hear(a), "+OK\r\n+OK\r\nMSG a 1 2\r\nhi\r\n");
    world.send(a, "PUB a.* 0\r\n\r\n");
    assert_eq!(world.hear(a), "-ERR 'Invalid Publish Subject'\r\n+OK\r\n");
    assert_eq!(world.logins, ["Password(\"guest\", ..)"]);
    world.send(
        a,
        "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPUB a.* 0\r\n\r\nUNSUB 1\r\nPING\r\n",
    );
    assert_eq!(world.hear(a), "PONG\r\n");
}

#[test]
fn a_password_is_checked_even_where_none_is_needed() {
    let mut world = World::new();
    world.join_saying(",\"user\":\"u\",\"pass\":\"u\"");
    let b = world.meet();
    world.send(b, "CONNECT {\"user\":\"u\",\"pass\":\"wrong\"}\r\nPING\r\n");
    assert!(refused(&mut world, b));
    assert!(
        world.clients[b]
            .session
            .fault()
            .unwrap()
            .contains("'u' was refused")
    );
}

#[test]
fn where_auth_is_required_nobody_comes_in_without() {
    let mut world = World::with(Settings {
        auth_required: true,
        tokens: vec![("t".to_owned(), "s3cret".to_owned())],
        ..settings()
    });
    for bytes in [
        "PING\r\n",
        "CONNECT {}\r\n",
        "CONNECT {\"auth_token\":\"s3creT\"}\r\n",
        "CONNECT {\"jwt\":\"x\"}\r\n",
        "CONNECT {\"nkey\":\"x\",\"sig\":\"x\"}\r\n",
    ] {
        let a = world.meet();
        world.send(a, bytes);
        assert!(refused(&mut world, a), "{bytes}");
    }
    assert!(world.logins.is_empty());
    world.join_saying(",\"auth_token\":\"s3cret\"");
    assert_eq!(world.logins, ["Checked(\"t\")"]);
    let late = world.meet();
    assert!(world.hear(late).contains("\"auth_required\":true"));
    world.wait(5_000);
    assert_eq!(world.hear(late), "-ERR 'Authentication Timeout'\r\n");
}

#[test]
fn a_key_proves_itself_by_the_nonce() {
    let key = [9; 32];
    let verify = move |public: &[u8; 32], message: &[u8], signature: &[u8]| {
        *public == key && signature == [b"signed ", message].concat()
    };
    let mut world = World::with(Settings {
        nkeys: vec![("k".to_owned(), PublicKey(key))],
        verify: Arc::new(verify),
        ..settings()
    });
    let text = crate::nkey::user_key(&key);
    for is_right in [true, false] {
        let a = world.meet();
        let told = world.hear(a);
        let info: serde_json::Value =
            serde_json::from_str(told.strip_prefix("INFO ").unwrap().trim()).unwrap();
        let nonce = info["nonce"].as_str().unwrap();
        let signed = format!("signed {}", if is_right { nonce } else { "other" });
        let signature =
            base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signed);
        world.send(a, &format!("CONNECT {{\"nkey\":\"{text}\",\"sig\":\"{signature}\",\"verbose\":false}}\r\nPING\r\n"));
        let expected = if is_right {
            "PONG\r\n"
        } else {
            "-ERR 'Authorization Violation'\r\n"
        };
        assert_eq!(world.hear(a), expected);
    }
}

#[test]
fn where_tls_is_required_plain_text_is_refused() {
    let required = || Settings {
        upgrade: Upgrade::Required,
        ..settings()
    };
    let mut world = World::with(required());
    let a = world.meet();
    world.send(a, "CONNECT {}\r\n");
    let told = world.hear(a);
    assert!(told.contains("\"tls_required\":true"));
    assert!(told.ends_with("-ERR 'Secure Connection - TLS Required'\r\n"));
    let b = world.meet();
    world.clients[b].session.handle_secured(None);
    world.send(b, "CONNECT {\"verbose\":false}\r\nPING\r\n");
    assert!(world.hear(b).ends_with("PONG\r\n"));
}
