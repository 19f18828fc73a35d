//! A message as bytes: always the last part of a record, so that it is copied once, from where it lies.
//!
//! ```text
//! origin u8 | flags u8 | [priority u8] [ttl u64] [deaths]        flags: 1 durable, 2 priority, 4 ttl, 8 deaths,
//!                                                              16 delayed, 32 rekeyed, 64 ends its key
//! topic_len u8 | key_len u16 | properties_len u32 | body_len u32
//! topic | key | properties | body
//! deaths = count u32, each: reason u8 | count u64 | time u64 | ttl option | queue name | topic name | keys
//! ```

use std::sync::Arc;

use polybus_model::{Body, Death, DeathReason, Marks, Message, MessageParts, Origin, Tally};

use super::Corrupt;
use super::codec::{Bounded, Put};
use super::settings::{keys, put_keys};

const DURABLE: u8 = 1;
const PRIORITY: u8 = 2;
const TTL: u8 = 4;
const DEATHS: u8 = 8;
const DELAYED: u8 = 16;
const REKEYED: u8 = 32;
const ENDS_KEY: u8 = 64;

/// Writes all but the texts and the body: [`Message::inline_bytes`] and [`Message::shared_body`] follow.
pub(crate) fn put_head(out: &mut Vec<u8>, message: &Message) {
    out.put_u8(message.origin().0);
    out.put_u8(flags(message));
    if let Some(priority) = message.priority() {
        out.put_u8(priority);
    }
    if let Some(ttl) = message.ttl() {
        out.put_u64(ttl);
    }
    if let Some(deaths) = message.deaths() {
        put_deaths(out, deaths);
    }
    out.put_u8(message.topic().len() as u8);
    out.put_u16(message.key().len() as u16);
    out.put_u32(message.properties().len() as u32);
    out.put_u32(message.body().len() as u32);
}

fn flags(message: &Message) -> u8 {
    let mut flags = if message.is_durable() { DURABLE } else { 0 };
    flags |= message.priority().map_or(0, |_| PRIORITY);
    flags |= message.ttl().map_or(0, |_| TTL);
    flags |= message.deaths().map_or(0, |_| DEATHS);
    let Marks {
        delayed,
        rekeyed,
        ends_key,
    } = message.marks();
    flags |= if delayed { DELAYED } else { 0 };
    flags |= if rekeyed { REKEYED } else { 0 };
    flags | if ends_key { ENDS_KEY } else { 0 }
}

/// The flags of a message whose head is they, its origin and its lengths alone.
pub(super) fn plain_flags(message: &Message) -> Option<u8> {
    let flags = flags(message);
    (flags & (PRIORITY | TTL | DEATHS) == 0).then_some(flags)
}

/// What recovery wants to know of a message without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Glance {
    pub(crate) priority: Option<u8>,
    pub(crate) body_len: u32,
}

/// Looks at a message's head.
pub(crate) fn glance(from: &mut Bounded<'_>) -> Result<Glance, Corrupt> {
    let head = head(from)?;
    Ok(Glance {
        priority: head.priority,
        body_len: head.lens.3,
    })
}

/// What a keyed log has to know of a message.
#[derive(Clone, Debug)]
pub(crate) struct KeyedGlance<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) ttl: Option<u64>,
    pub(crate) ends_key: bool,
    /// The number that the body says a key has come to, if it says one.
    pub(crate) tally: Option<Tally>,
    /// The properties that come with such a number.
    pub(crate) properties: &'a [u8],
}

/// Looks at a message's key and at what becomes of it. What is behind the key is left alone if it is no number; then it
/// need not be there.
pub(crate) fn keyed_glance<'a>(from: &mut Bounded<'a>) -> Result<KeyedGlance<'a>, Corrupt> {
    let head = head(from)?;
    let (topic, key, properties, body) = head.lens;
    from.take(topic.into())?;
    let key = from.take(key.into())?;
    let mut rest = from.clone();
    let (tally, properties) = match rest.is_empty() {
        true => (None, &b""[..]),
        false => {
            let properties = rest.take(properties as usize)?;
            (Tally::of_body(rest.take(body as usize)?), properties)
        }
    };
    if tally.is_some() {
        *from = rest;
    }
    Ok(KeyedGlance {
        key,
        ttl: head.ttl,
        ends_key: head.marks.ends_key,
        tally,
        properties,
    })
}

/// Reads a message that fills the rest.
pub(crate) fn message(from: &mut Bounded<'_>) -> Result<Message, Corrupt> {
    let head = head(from)?;
    let (topic, key, properties, body) = head.lens;
    let parts = MessageParts {
        origin: head.origin,
        topic: from.take(topic.into())?,
        key: from.take(key.into())?,
        properties: from.take(properties as usize)?,
        body: Body::Copied(from.take(body as usize)?),
        durable: head.durable,
        priority: head.priority,
        ttl: head.ttl,
        deaths: head.deaths,
    };
    let message = Message::marked(parts, head.marks);
    if from.is_empty() {
        Ok(message)
    } else {
        Err(Corrupt::new("a message is followed by other bytes"))
    }
}

struct Head {
    origin: Origin,
    durable: bool,
    marks: Marks,
    priority: Option<u8>,
    ttl: Option<u64>,
    deaths: Option<Arc<Vec<Death>>>,
    lens: (u8, u16, u32, u32),
}

fn head(from: &mut Bounded<'_>) -> Result<Head, Corrupt> {
    let origin = Origin(from.u8()?);
    let flags = from.u8()?;
    if flags & !(DURABLE | PRIORITY | TTL | DEATHS | DELAYED | REKEYED | ENDS_KEY) != 0 {
        return Err(Corrupt::new("unknown flags of a message"));
    }
    let has = |flag| flags & flag != 0;
    Ok(Head {
        origin,
        durable: has(DURABLE),
        marks: Marks {
            delayed: has(DELAYED),
            rekeyed: has(REKEYED),
            ends_key: has(ENDS_KEY),
        },
        priority: has(PRIORITY).then(|| from.u8()).transpose()?,
        ttl: has(TTL).then(|| from.u64()).transpose()?,
        deaths: has(DEATHS)
            .then(|| deaths(from).map(Arc::new))
            .transpose()?,
        lens: (from.u8()?, from.u16()?, from.u32()?, from.u32()?),
    })
}

fn put_deaths(out: &mut Vec<u8>, deaths: &[Death]) {
    out.put_u32(deaths.len() as u32);
    for death in deaths {
        out.put_u8(match death.reason {
            DeathReason::Rejected => 0,
            DeathReason::Expired => 1,
            DeathReason::MaxLength => 2,
            DeathReason::DeliveryLimit => 3,
        });
        out.put_u64(death.count);
        out.put_u64(death.time);
        out.put_option(death.original_ttl);
        out.put_name(&death.queue);
        out.put_name(&death.topic);
        put_keys(out, &death.keys);
    }
}

fn deaths(from: &mut Bounded<'_>) -> Result<Vec<Death>, Corrupt> {
    let count = from.u32()?;
    let mut deaths = Vec::new();
    for _ in 0..count {
        let reason = match from.u8()? {
            0 => DeathReason::Rejected,
            1 => DeathReason::Expired,
            2 => DeathReason::MaxLength,
            3 => DeathReason::DeliveryLimit,
            other => return Err(Corrupt::new(&format!("{other} is no reason of death"))),
        };
        deaths.push(Death {
            reason,
            count: from.u64()?,
            time: from.u64()?,
            original_ttl: from.option()?,
            queue: from.name()?,
            topic: from.name()?,
            keys: keys(from)?,
        });
    }
    Ok(deaths)
}
