use polybus_model::{DeathReason, Table, Value};

use super::*;
use crate::codec::encode_table;

fn prepared(properties: &Properties<'_>) -> Result<(Prepared, Vec<u8>), String> {
    let mut bytes = BytesMut::new();
    properties.encode(&mut bytes);
    let properties = PropertiesRef::new(&bytes);
    let routing = properties.check().map_err(|error| error.to_string())?;
    let publisher = Publisher {
        user: "guest",
        reply_name: Some("amq.rabbitmq.reply-to.abc"),
    };
    prepare(properties, &routing, publisher)
        .map(|prepared| {
            let kept = prepared.rewritten.clone();
            let kept = kept.unwrap_or_else(|| properties.as_bytes().to_vec());
            (prepared, kept)
        })
        .map_err(|fault| fault.text)
}

fn with_headers(headers: &Table) -> Result<(Prepared, Vec<u8>), String> {
    let bytes = encode_table(headers);
    prepared(&Properties {
        headers: Some(TableRef::new(&bytes)),
        ..Properties::default()
    })
}

#[test]
fn expirations_are_read_as_erlang_reads_them() {
    let of = |text: &str| expiration(text.as_bytes()).map_err(|fault| fault.text);
    assert_eq!(of("0"), Ok(0));
    assert_eq!(of("+60000"), Ok(60_000));
    for (text, why) in [
        ("abc", "no_integer"),
        ("", "no_integer"),
        (" 10", "no_integer"),
        ("-1", "{value_negative,-1}"),
        ("1.5", "{leftover_string,\".5\"}"),
        ("10x", "{leftover_string,\"x\"}"),
        ("10000000000000", "{value_too_large,10000000000000}"),
    ] {
        let expected = format!("PRECONDITION_FAILED - invalid expiration '{text}': {why}");
        assert_eq!(of(text), Err(expected));
    }
}

#[test]
fn bcc_is_taken_out_and_cc_stays() -> Result<(), String> {
    let mut headers = Table::new();
    headers.push("CC", Value::Array(vec![Value::text("c"), Value::I32(1)]));
    headers.push("BCC", Value::Array(vec![Value::text("b")]));
    headers.push("other", Value::I32(7));
    let (prepared, kept) = with_headers(&headers)?;
    assert_eq!(prepared.more_keys, [Bytes::from("c"), Bytes::from("b")]);
    let kept = PropertiesRef::new(&kept).headers().unwrap_or_default();
    assert!(kept.lookup(b"BCC").is_none());
    assert!(kept.lookup(b"CC").is_some() && kept.lookup(b"other").is_some());

    let mut headers = Table::new();
    headers.push("CC", Value::text("c"));
    assert_eq!(
        with_headers(&headers).err().as_deref(),
        Some("PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"CC\",longstr}")
    );
    Ok(())
}

#[test]
fn a_foreign_user_id_is_refused() {
    let properties = Properties {
        user_id: Some(b"bob"),
        ..Properties::default()
    };
    assert_eq!(
        prepared(&properties).err().as_deref(),
        Some(
            "PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'guest'"
        )
    );
}

#[test]
fn replies_are_led_to_the_channel() -> Result<(), String> {
    let properties = Properties {
        reply_to: Some(REPLY_TO.as_bytes()),
        correlation_id: Some(b"1"),
        ..Properties::default()
    };
    let (_, kept) = prepared(&properties)?;
    let fields = PropertiesRef::new(&kept).fields().unwrap_or_default();
    assert_eq!(fields.reply_to, Some(&b"amq.rabbitmq.reply-to.abc"[..]));
    assert_eq!(fields.correlation_id, Some(&b"1"[..]));
    Ok(())
}

#[test]
fn a_history_is_taken_in_and_given_out_again() -> Result<(), String> {
    let death = Death {
        reason: DeathReason::Expired,
        queue: super::super::name("q"),
        topic: super::super::name("x"),
        keys: vec![Bytes::from("k")],
        time: 5_000,
        count: 3,
        original_ttl: Some(100),
    };
    let mut bytes = BytesMut::new();
    let mut writer = TableWriter::bare(&mut bytes);
    deaths::render(std::slice::from_ref(&death), &mut writer);
    writer.finish();
    let (prepared, kept) = prepared(&Properties {
        headers: Some(TableRef::new(&bytes)),
        ..Properties::default()
    })?;
    assert_eq!(prepared.deaths.as_deref(), Some(&vec![death]));
    let kept = PropertiesRef::new(&kept).headers().unwrap_or_default();
    assert!(kept.is_empty());
    Ok(())
}

#[test]
fn delays_are_numbers_or_digits() {
    let of = |value: Value| {
        let mut headers = Table::new();
        headers.push("x-delay", value);
        with_headers(&headers).map(|(prepared, _)| prepared.delay)
    };
    assert_eq!(of(Value::I32(100)), Ok(Some(100)));
    assert_eq!(of(Value::text("250")), Ok(Some(250)));
    assert_eq!(of(Value::I32(0)), Ok(None));
    assert_eq!(of(Value::I64(1 << 40)), Ok(None));
    assert_eq!(of(Value::text("soon")), Ok(None));
}
