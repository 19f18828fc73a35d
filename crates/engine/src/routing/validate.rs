//! Which topics and bindings make sense, in RabbitMQ's words (its clients' users search for them).

use bytes::Bytes;
use polybus_model::{Binding, TopicKind, TopicSettings, Value};

/// Whether a topic may be declared so; the error is RabbitMQ's text.
pub(crate) fn validate_topic(settings: &TopicSettings) -> Result<(), String> {
    if settings.kind != TopicKind::ConsistentHash {
        return Ok(());
    }
    let header = settings.arguments.lookup("hash-header");
    let property = settings.arguments.lookup("hash-property");
    match (header, property) {
        (Some(_), Some(_)) => {
            Err("hash-header and hash-property are mutually exclusive".to_owned())
        }
        (Some(header), None) if header.as_str().is_none() => Err(format!(
            "Invalid hash-header field type {}; expected longstr",
            type_word(header)
        )),
        (None, Some(property)) => match property.as_str() {
            Some("message_id" | "correlation_id" | "timestamp") => Ok(()),
            Some(other) => Err(format!("Unsupported property: {other}")),
            None => Err(format!(
                "Invalid hash-property field type {}; expected longstr",
                type_word(property)
            )),
        },
        _ => Ok(()),
    }
}

/// Whether a topic of these settings takes such a binding; the error is RabbitMQ's text.
pub(crate) fn validate_binding(source: &TopicSettings, binding: &Binding) -> Result<(), String> {
    match source.kind {
        TopicKind::Headers => validate_match(binding.arguments.lookup("x-match")),
        TopicKind::ConsistentHash => validate_weight(&binding.key),
        TopicKind::Direct | TopicKind::Fanout | TopicKind::Pattern => Ok(()),
    }
}

fn validate_match(mode: Option<&Value>) -> Result<(), String> {
    match mode {
        None => Ok(()),
        Some(Value::Text(text)) => match &**text {
            b"all" | b"any" | b"all-with-x" | b"any-with-x" => Ok(()),
            _ => Err(format!(
                "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
                quoted(text)
            )),
        },
        Some(other) => Err(format!(
            "Invalid x-match field type {} (value {}); expected longstr",
            type_word(other),
            value_word(other)
        )),
    }
}

fn validate_weight(key: &Bytes) -> Result<(), String> {
    let digits = key.strip_prefix(b"-").or(key.strip_prefix(b"+"));
    let digits = digits.unwrap_or(key);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        Err(format!(
            "The binding key must be an integer: {}",
            quoted(key)
        ))
    } else if key.starts_with(b"-") || digits.iter().all(|digit| *digit == b'0') {
        Err("The binding key must be greater than 0".to_owned())
    } else {
        Ok(())
    }
}

/// Bytes as Erlang prints them.
fn quoted(bytes: &[u8]) -> String {
    let is_printable = |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\n');
    match std::str::from_utf8(bytes) {
        Ok("") => "<<>>".to_owned(),
        Ok(text) if bytes.iter().all(is_printable) => format!("<<{text:?}>>"),
        _ => {
            let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
            format!("<<{}>>", numbers.join(","))
        }
    }
}

const fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Void => "void",
        Value::Bool(_) => "bool",
        Value::I8(_) => "byte",
        Value::U8(_) => "unsignedbyte",
        Value::I16(_) => "short",
        Value::U16(_) => "unsignedshort",
        Value::I32(_) => "signedint",
        Value::U32(_) => "unsignedint",
        Value::I64(_) | Value::U64(_) => "long",
        Value::F32(_) => "float",
        Value::F64(_) => "double",
        Value::Decimal { .. } => "decimal",
        Value::Timestamp(_) => "timestamp",
        Value::Text(_) => "longstr",
        Value::Bytes(_) => "binary",
        Value::Array(_) => "array",
        Value::Table(_) => "table",
    }
}

fn value_word(value: &Value) -> String {
    match value {
        Value::Void => "undefined".to_owned(),
        Value::Bool(v) => v.to_string(),
        Value::F32(v) => format!("{v:?}"),
        Value::F64(v) => format!("{v:?}"),
        Value::Timestamp(v) => v.to_string(),
        Value::Text(v) | Value::Bytes(v) => quoted(v),
        Value::Decimal { scale, mantissa } => format!("{{{scale},{mantissa}}}"),
        Value::Array(_) | Value::Table(_) => "[...]".to_owned(),
        Value::U64(v) => v.to_string(),
        number => number.as_i64().unwrap_or_default().to_string(),
    }
}
