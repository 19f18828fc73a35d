//! Settings, bindings and argument tables as bytes.

use bytes::Bytes;
use polybus_model::{
    Binding, DeadLetter, DelayedRetry, Destination, Overflow, QueueKind, QueueSettings, Returns,
    Table, TopicKind, TopicSettings, Value,
};

use super::Corrupt;
use super::codec::{Bounded, Put};

/// Values nested deeper are written as nothing. Sessions refuse such tables long before.
const DEPTH_MAX: usize = 128;

pub(crate) fn put_topic(out: &mut Vec<u8>, settings: &TopicSettings) {
    out.put_u8(match settings.kind {
        TopicKind::Direct => 0,
        TopicKind::Fanout => 1,
        TopicKind::Pattern => 2,
        TopicKind::Headers => 3,
        TopicKind::ConsistentHash => 4,
    });
    let flags = [
        settings.delayed,
        settings.durable,
        settings.auto_delete,
        settings.internal,
        settings.alternate.is_some(),
    ];
    put_flags(out, flags);
    if let Some(alternate) = &settings.alternate {
        out.put_name(alternate);
    }
    put_table(out, &settings.arguments, 0);
}

pub(crate) fn topic(from: &mut Bounded<'_>) -> Result<TopicSettings, Corrupt> {
    let kind = match from.u8()? {
        0 => TopicKind::Direct,
        1 => TopicKind::Fanout,
        2 => TopicKind::Pattern,
        3 => TopicKind::Headers,
        4 => TopicKind::ConsistentHash,
        other => return Err(Corrupt::new(&format!("{other} is no kind of topic"))),
    };
    let [delayed, durable, auto_delete, internal, has_alternate] = flags(from)?;
    Ok(TopicSettings {
        kind,
        delayed,
        durable,
        auto_delete,
        internal,
        alternate: has_alternate.then(|| from.name()).transpose()?,
        arguments: table(from, 0)?,
    })
}

pub(crate) fn put_queue(out: &mut Vec<u8>, settings: &QueueSettings) {
    out.put_u8(match settings.kind {
        QueueKind::Classic => 0,
        QueueKind::Quorum => 1,
        QueueKind::Log => 2,
    });
    out.put_u8(match settings.overflow {
        Overflow::DropHead => 0,
        Overflow::RejectPublish => 1,
        Overflow::RejectPublishDeadLetter => 2,
    });
    let flags = [
        settings.durable,
        settings.exclusive,
        settings.auto_delete,
        settings.single_active,
        settings.dead_letter.is_some(),
        settings.delayed_retry.is_some(),
    ];
    put_flags(out, flags);
    for number in [
        settings.message_ttl,
        settings.expires,
        settings.max_length,
        settings.max_bytes,
        settings.max_priority.map(u64::from),
        settings.delivery_limit,
        settings.consumer_timeout,
    ] {
        out.put_option(number);
    }
    if let Some(DeadLetter { topic, key }) = &settings.dead_letter {
        out.put_name(topic);
        out.put_u8(key.is_some().into());
        if let Some(key) = key {
            out.put_bytes(key);
        }
    }
    if let Some(DelayedRetry { of, min, max }) = settings.delayed_retry {
        out.put_u8(match of {
            Returns::All => 0,
            Returns::Failed => 1,
            Returns::Unfailed => 2,
        });
        out.put_u64(min);
        out.put_u64(max);
    }
    put_table(out, &settings.arguments, 0);
}

pub(crate) fn queue(from: &mut Bounded<'_>) -> Result<QueueSettings, Corrupt> {
    let kind = match from.u8()? {
        0 => QueueKind::Classic,
        1 => QueueKind::Quorum,
        2 => QueueKind::Log,
        other => return Err(Corrupt::new(&format!("{other} is no kind of queue"))),
    };
    let overflow = match from.u8()? {
        0 => Overflow::DropHead,
        1 => Overflow::RejectPublish,
        2 => Overflow::RejectPublishDeadLetter,
        other => return Err(Corrupt::new(&format!("{other} is no kind of overflow"))),
    };
    let [durable, exclusive, auto_delete, single_active, dead, retry] = flags(from)?;
    Ok(QueueSettings {
        kind,
        overflow,
        durable,
        exclusive,
        auto_delete,
        single_active,
        message_ttl: from.option()?,
        expires: from.option()?,
        max_length: from.option()?,
        max_bytes: from.option()?,
        max_age: None,
        max_priority: from.option()?.map(|priority| priority as u8),
        delivery_limit: from.option()?,
        consumer_timeout: from.option()?,
        dead_letter: dead
            .then(|| -> Result<_, Corrupt> {
                Ok(DeadLetter {
                    topic: from.name()?,
                    key: if from.bool()? {
                        Some(from.shared()?)
                    } else {
                        None
                    },
                })
            })
            .transpose()?,
        delayed_retry: retry
            .then(|| -> Result<_, Corrupt> {
                Ok(DelayedRetry {
                    of: match from.u8()? {
                        0 => Returns::All,
                        1 => Returns::Failed,
                        2 => Returns::Unfailed,
                        other => {
                            return Err(Corrupt::new(&format!("{other} is no kind of return")));
                        }
                    },
                    min: from.u64()?,
                    max: from.u64()?,
                })
            })
            .transpose()?,
        // Such a queue lives no longer than its session: none is ever written.
        internal: false,
        arguments: table(from, 0)?,
    })
}

pub(crate) fn put_binding(out: &mut Vec<u8>, binding: &Binding) {
    out.put_name(&binding.source);
    match &binding.destination {
        Destination::Queue(name) => {
            out.put_u8(0);
            out.put_name(name);
        }
        Destination::Topic(name) => {
            out.put_u8(1);
            out.put_name(name);
        }
        Destination::Log(name) => {
            out.put_u8(2);
            out.put_name(name);
        }
    }
    out.put_bytes(&binding.key);
    put_table(out, &binding.arguments, 0);
}

pub(crate) fn binding(from: &mut Bounded<'_>) -> Result<Binding, Corrupt> {
    Ok(Binding {
        source: from.name()?,
        destination: match from.u8()? {
            0 => Destination::Queue(from.name()?),
            1 => Destination::Topic(from.name()?),
            2 => Destination::Log(from.name()?),
            other => return Err(Corrupt::new(&format!("{other} is no kind of destination"))),
        },
        key: from.shared()?,
        arguments: table(from, 0)?,
    })
}

pub(crate) fn put_flags<const N: usize>(out: &mut Vec<u8>, flags: [bool; N]) {
    let byte = flags
        .iter()
        .rev()
        .fold(0, |byte, flag| byte << 1 | u8::from(*flag));
    out.put_u8(byte);
}

pub(crate) fn flags<const N: usize>(from: &mut Bounded<'_>) -> Result<[bool; N], Corrupt> {
    let byte = from.u8()?;
    if u32::from(byte) >> N != 0 {
        return Err(Corrupt::new("unknown flags"));
    }
    Ok(std::array::from_fn(|bit| byte >> bit & 1 == 1))
}

fn put_table(out: &mut Vec<u8>, table: &Table, depth: usize) {
    out.put_u32(table.len() as u32);
    for (name, value) in table.iter() {
        out.put_bytes(name.as_bytes());
        put_value(out, value, depth + 1);
    }
}

fn table(from: &mut Bounded<'_>, depth: usize) -> Result<Table, Corrupt> {
    let count = from.u32()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let name = std::str::from_utf8(from.bytes()?)
            .map_err(|_| Corrupt::new("an argument's name is not UTF-8"))?
            .to_owned();
        entries.push((name, value(from, depth + 1)?));
    }
    Ok(Table(entries))
}

fn put_value(out: &mut Vec<u8>, value: &Value, depth: usize) {
    if depth > DEPTH_MAX {
        out.put_u8(0);
        return;
    }
    match value {
        Value::Void => out.put_u8(0),
        Value::Bool(v) => out.extend_from_slice(&[1, u8::from(*v)]),
        Value::I8(v) => put_tagged(out, 2, &v.to_le_bytes()),
        Value::U8(v) => put_tagged(out, 3, &v.to_le_bytes()),
        Value::I16(v) => put_tagged(out, 4, &v.to_le_bytes()),
        Value::U16(v) => put_tagged(out, 5, &v.to_le_bytes()),
        Value::I32(v) => put_tagged(out, 6, &v.to_le_bytes()),
        Value::U32(v) => put_tagged(out, 7, &v.to_le_bytes()),
        Value::I64(v) => put_tagged(out, 8, &v.to_le_bytes()),
        Value::U64(v) => put_tagged(out, 9, &v.to_le_bytes()),
        Value::F32(v) => put_tagged(out, 10, &v.to_bits().to_le_bytes()),
        Value::F64(v) => put_tagged(out, 11, &v.to_bits().to_le_bytes()),
        Value::Decimal { scale, mantissa } => {
            out.extend_from_slice(&[12, *scale]);
            out.extend_from_slice(&mantissa.to_le_bytes());
        }
        Value::Timestamp(v) => put_tagged(out, 13, &v.to_le_bytes()),
        Value::Text(v) => {
            out.put_u8(14);
            out.put_bytes(v);
        }
        Value::Bytes(v) => {
            out.put_u8(15);
            out.put_bytes(v);
        }
        Value::Array(values) => {
            out.put_u8(16);
            out.put_u32(values.len() as u32);
            for value in values {
                put_value(out, value, depth + 1);
            }
        }
        Value::Table(nested) => {
            out.put_u8(17);
            put_table(out, nested, depth);
        }
    }
}

fn put_tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.put_u8(tag);
    out.extend_from_slice(bytes);
}

fn value(from: &mut Bounded<'_>, depth: usize) -> Result<Value, Corrupt> {
    if depth > DEPTH_MAX + 1 {
        return Err(Corrupt::new("arguments are nested too deeply"));
    }
    Ok(match from.u8()? {
        0 => Value::Void,
        1 => Value::Bool(from.bool()?),
        2 => Value::I8(from.u8()? as i8),
        3 => Value::U8(from.u8()?),
        4 => Value::I16(from.u16()? as i16),
        5 => Value::U16(from.u16()?),
        6 => Value::I32(from.u32()? as i32),
        7 => Value::U32(from.u32()?),
        8 => Value::I64(from.u64()? as i64),
        9 => Value::U64(from.u64()?),
        10 => Value::F32(f32::from_bits(from.u32()?)),
        11 => Value::F64(f64::from_bits(from.u64()?)),
        12 => Value::Decimal {
            scale: from.u8()?,
            mantissa: from.u32()? as i32,
        },
        13 => Value::Timestamp(from.u64()?),
        14 => Value::Text(from.shared()?),
        15 => Value::Bytes(from.shared()?),
        16 => {
            let count = from.u32()?;
            let mut values = Vec::new();
            for _ in 0..count {
                values.push(value(from, depth + 1)?);
            }
            Value::Array(values)
        }
        17 => Value::Table(table(from, depth)?),
        other => return Err(Corrupt::new(&format!("{other} is no type of value"))),
    })
}

/// A list of keys: a count, then each with its length.
pub(crate) fn put_keys(out: &mut Vec<u8>, keys: &[Bytes]) {
    out.put_u32(keys.len() as u32);
    for key in keys {
        out.put_bytes(key);
    }
}

pub(crate) fn keys(from: &mut Bounded<'_>) -> Result<Vec<Bytes>, Corrupt> {
    let count = from.u32()?;
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(from.shared()?);
    }
    Ok(keys)
}
