//! Who is let in, and as whom.

use super::world::{World, settings};
use crate::Settings;
use crate::codec::messages::{
    ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};

fn with_login() -> World {
    World::with(Settings {
        sasl_required: true,
        ..settings()
    })
}

fn handshake(world: &mut World, version: i16, mechanism: &str) -> i16 {
    let request = SaslHandshakeRequest {
        mechanism: mechanism.to_owned(),
    };
    let response: SaslHandshakeResponse = world.ask(version, &request);
    assert_eq!(
        response.mechanisms,
        ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    );
    response.error_code
}

fn authenticate(world: &mut World, token: &'static [u8]) -> SaslAuthenticateResponse {
    let request = SaslAuthenticateRequest {
        auth_bytes: token.into(),
    };
    world.ask(2, &request)
}

#[test]
fn who_does_not_log_in_is_guest_with_its_first_password() {
    let mut world = World::new();
    let versions: ApiVersionsResponse = world.ask(3, &ApiVersionsRequest::default());
    assert_eq!(versions.error_code, 0);
    assert!(world.broker.asked.is_empty());
    assert_eq!(
        world.metadata(12, &MetadataRequest::default()).brokers[0].port,
        9092
    );
    assert_eq!(world.broker.asked, ["password of guest", "open /"]);
    assert_eq!(world.session.summary().user.as_deref(), Some("guest"));
}

#[test]
fn the_operator_can_name_another_user_for_them() {
    let mut world = World::with(Settings {
        anonymous: Some("someone".into()),
        ..settings()
    });
    world.metadata(1, &MetadataRequest::default());
    assert_eq!(world.broker.asked, ["anonymous someone", "open /"]);
}

#[test]
fn a_login_with_plain() {
    let mut world = with_login();
    assert_eq!(handshake(&mut world, 1, "GSSAPI"), 33);
    assert_eq!(handshake(&mut world, 1, "PLAIN"), 0);
    assert_eq!(world.session.summary().state, "handshake");
    assert_eq!(authenticate(&mut world, b"\0ada\0ada").error_code, 0);
    assert_eq!(world.session.summary().state, "running");
    assert_eq!(world.session.summary().user.as_deref(), Some("ada"));
    let none = MetadataRequest {
        topics: Some(Vec::new()),
        ..MetadataRequest::default()
    };
    assert_eq!(world.metadata(5, &none).topics.len(), 0);
    assert_eq!(authenticate(&mut world, b"\0ada\0ada").error_code, 34);
}

#[test]
fn a_wrong_password_is_told_and_ends_the_connection() {
    let mut world = with_login();
    handshake(&mut world, 1, "PLAIN");
    let response = authenticate(&mut world, b"\0ada\0eve");
    assert_eq!(response.error_code, 58);
    assert!(
        world
            .fault()
            .contains("the login of user 'ada' was refused")
    );
}

#[test]
fn bytes_without_a_request_around_them_as_old_clients_send_them() {
    let mut world = with_login();
    handshake(&mut world, 0, "PLAIN");
    world.push(b"\0\0\0\x08\0ada\0ada");
    assert_eq!(world.frame().unwrap().len(), 0);
    world.metadata(1, &MetadataRequest::default());
}

#[test]
fn nothing_else_is_answered_before() {
    let mut world = with_login();
    world.send(1, &MetadataRequest::default());
    assert!(world.frame().is_none());
    assert!(world.fault().contains("before it had logged in"));
    let mut world = with_login();
    world.push(&[0, 2, 0, 0]);
    assert!(world.fault().contains("the limit is 65536"));
}

#[test]
fn the_handshake_has_its_time() {
    let mut world = with_login();
    let until = world.session.poll_timeout().unwrap();
    assert_eq!(until, 10_000);
    world.session.handle_timeout(until);
    assert!(world.session.is_done());
    let mut world = World::new();
    let _: ApiVersionsResponse = world.ask(0, &ApiVersionsRequest::default());
    assert_eq!(world.session.poll_timeout(), Some(600_000));
}

#[test]
fn a_login_with_scram() {
    for version in [0, 1] {
        let mut world = with_login();
        assert_eq!(handshake(&mut world, version, "SCRAM-SHA-256"), 0);
        let say = |world: &mut World, token: &str| {
            if version == 1 {
                let request = SaslAuthenticateRequest {
                    auth_bytes: token.to_owned().into(),
                };
                let response: SaslAuthenticateResponse = world.ask(2, &request);
                return (response.error_code, response.auth_bytes);
            }
            let len = u32::try_from(token.len()).unwrap().to_be_bytes();
            world.push(&[&len, token.as_bytes()].concat());
            (0, world.frame().unwrap_or_default())
        };
        let (_, challenge) = say(&mut world, "n,,n=ada,r=theirs");
        let challenge = String::from_utf8(challenge.to_vec()).unwrap();
        let (nonce, salting) = challenge.split_once(',').unwrap();
        assert!(nonce.starts_with("r=theirs") && nonce.len() > 40);
        assert_eq!(salting, "s=c2FsdA==,i=4096");
        let proof = format!("c=biws,{nonce},p={}=", "A".repeat(43));
        let (code, signed) = say(&mut world, &proof);
        assert_eq!((code, &signed[..]), (0, &b"v=c2lnbmVk"[..]));
        assert_eq!(world.session.summary().state, "running");
        assert_eq!(world.session.summary().user.as_deref(), Some("ada"));
    }
}

#[test]
fn a_scram_login_that_does_not_go_on_is_refused() {
    let mut world = with_login();
    handshake(&mut world, 1, "SCRAM-SHA-512");
    assert_eq!(authenticate(&mut world, b"n,,n=ada,r=theirs").error_code, 0);
    let response = authenticate(&mut world, b"c=biws,r=others,p=AAAA");
    assert_eq!(response.error_code, 58);
    assert_eq!(world.session.summary().state, "handshake");
}
