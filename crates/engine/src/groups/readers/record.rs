//! What the journal knows of readers: their declarations, and how far deliveries were counted. What they settled is in the
//! records of their windows. Layouts are in the crate's `record.rs`.

use bytes::Bytes;
use polybus_model::{
    Acknowledging, Millis, Name, Precedence, PullGroups, PullLimits, Push, ReaderSettings,
    ReaderStart,
};

use super::Reader;
use super::reader::Origin;
use crate::groups::text;
use crate::logs::At;
use crate::record::codec::{Bounded, Put};
use crate::record::filter::{put_filter, read_filter};
use crate::record::settings::{flags, put_flags};
use crate::record::{Corrupt, begin, kind};

/// A reader as it was declared.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Declared {
    pub(super) number: u64,
    pub(super) namespace: Name,
    pub(super) at: At,
    pub(super) name: String,
    pub(super) created: Millis,
    pub(super) origin: Origin,
    pub(super) settings: ReaderSettings,
}

/// How far a reader has counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Counted {
    pub(super) sequence: u64,
    pub(super) delivered_at: Option<Millis>,
    pub(super) settled_at: Option<Millis>,
}

pub(super) fn put_declared(out: &mut Vec<u8>, namespace: &Name, reader: &Reader) {
    begin(out, kind::READER_DECLARED);
    out.put_u64(reader.number);
    out.put_name(namespace);
    out.put_u64(reader.at.log);
    out.put_u32(reader.at.partition);
    out.put_bytes(reader.name.as_bytes());
    out.put_u64(reader.created);
    out.put_u64(reader.origin.first);
    out.put_u64(reader.origin.last_of_keys);
    put_settings(out, &reader.settings);
}

pub(super) fn declared(from: &mut Bounded<'_>) -> Result<Declared, Corrupt> {
    Ok(Declared {
        number: from.u64()?,
        namespace: from.name()?,
        at: At {
            log: from.u64()?,
            partition: from.u32()?,
        },
        name: text(from)?,
        created: from.u64()?,
        origin: Origin {
            first: from.u64()?,
            last_of_keys: from.u64()?,
        },
        settings: settings(from)?,
    })
}

/// Writes what a declaration does not say; false if there is nothing of it.
pub(super) fn put_manners(out: &mut Vec<u8>, reader: &Reader) -> bool {
    let settings = &reader.settings;
    if settings.groups.is_none() && settings.sampled_percent == 0 {
        return false;
    }
    begin(out, kind::READER_MANNERS);
    out.put_u64(reader.number);
    out.put_u8(settings.sampled_percent);
    out.put_u8(u8::from(settings.groups.is_some()));
    if let Some(groups) = &settings.groups {
        match groups.precedence {
            Precedence::Overflow => out.put_u8(0),
            Precedence::Pinned(keep_ms) => {
                out.put_u8(1);
                out.put_u64(keep_ms);
            }
            Precedence::Ranked => out.put_u8(2),
        }
        out.put_u32(groups.names.len() as u32);
        for name in &groups.names {
            out.put_bytes(name.as_bytes());
        }
    }
    true
}

/// What a declaration does not say, and of which reader.
pub(super) struct Manners {
    pub(super) number: u64,
    sampled_percent: u8,
    groups: Option<Box<PullGroups>>,
}

impl Manners {
    pub(super) fn apply(self, settings: &mut ReaderSettings) {
        settings.sampled_percent = self.sampled_percent;
        settings.groups = self.groups;
    }
}

pub(super) fn manners(from: &mut Bounded<'_>) -> Result<Manners, Corrupt> {
    let (number, sampled_percent) = (from.u64()?, from.u8()?);
    let groups = match from.bool()? {
        true => {
            let precedence = match from.u8()? {
                0 => Precedence::Overflow,
                1 => Precedence::Pinned(from.u64()?),
                2 => Precedence::Ranked,
                other => return Err(Corrupt(format!("{other} is no precedence of pulls"))),
            };
            let mut names = Vec::new();
            for _ in 0..from.u32()? {
                names.push(text(from)?);
            }
            Some(Box::new(PullGroups { names, precedence }))
        }
        false => None,
    };
    Ok(Manners {
        number,
        sampled_percent,
        groups,
    })
}

pub(super) fn put_deleted(out: &mut Vec<u8>, number: u64) {
    begin(out, kind::READER_DELETED);
    out.put_u64(number);
}

pub(super) fn put_counted(out: &mut Vec<u8>, reader: &Reader) {
    begin(out, kind::READER_COUNTED);
    out.put_u64(reader.number);
    out.put_u64(reader.sequence);
    out.put_option(reader.delivered_at);
    out.put_option(reader.settled_at);
}

pub(super) fn counted(from: &mut Bounded<'_>) -> Result<(u64, Counted), Corrupt> {
    let number = from.u64()?;
    let counted = Counted {
        sequence: from.u64()?,
        delivered_at: from.option()?,
        settled_at: from.option()?,
    };
    Ok((number, counted))
}

fn put_settings(out: &mut Vec<u8>, settings: &ReaderSettings) {
    let push = settings.push.as_ref();
    let flow_control = push.is_some_and(|push| push.flow_control);
    put_flags(
        out,
        [
            settings.keeps_pace,
            settings.headers_only,
            push.is_some(),
            flow_control,
            // Once: a name that listeners share under follows.
            false,
        ],
    );
    out.put_name(&settings.topic);
    if let Some(push) = push {
        out.put_bytes(&push.key);
        out.put_option(push.heartbeat_ms);
    }
    let pulls = &settings.pulls;
    out.put_option(pulls.waiting_max.map(Into::into));
    out.put_option(pulls.records_max.map(Into::into));
    out.put_option(pulls.bytes_max);
    out.put_option(pulls.wait_ms_max);
    let (start, of_start) = match settings.start {
        ReaderStart::First => (0, 0),
        ReaderStart::Last => (1, 0),
        ReaderStart::LastOfEachKey => (2, 0),
        ReaderStart::Next => (3, 0),
        ReaderStart::Offset(offset) => (4, offset),
        ReaderStart::Time(time) => (5, time),
    };
    out.put_u8(start);
    out.put_u64(of_start);
    out.put_u32(settings.filters.len() as u32);
    for filter in &settings.filters {
        put_filter(out, filter);
    }
    out.put_u8(match settings.acknowledging {
        Acknowledging::Never => 0,
        Acknowledging::Through => 1,
        Acknowledging::Each => 2,
    });
    out.put_u64(settings.lease_ms);
    out.put_u32(settings.leases_ms.len() as u32);
    for lease in &settings.leases_ms {
        out.put_u64(*lease);
    }
    out.put_option(settings.attempts_max.map(Into::into));
    out.put_option(settings.leased_max);
    out.put_option(settings.bits_per_second);
    out.put_option(settings.idle_ms);
    out.put_option(settings.paused_until);
    out.put_u8(u8::from(settings.dead_letters.is_some()));
    if let Some(topic) = &settings.dead_letters {
        out.put_name(topic);
    }
    out.put_u32(settings.arguments.len() as u32);
    for (name, value) in &settings.arguments {
        out.put_bytes(name.as_bytes());
        out.put_bytes(value.as_bytes());
    }
}

fn settings(from: &mut Bounded<'_>) -> Result<ReaderSettings, Corrupt> {
    let [keeps_pace, headers_only, pushes, flow_control, shares] = flags(from)?;
    let topic = from.name()?;
    let push = match pushes {
        true => Some(Push {
            key: {
                let key = Bytes::copy_from_slice(from.bytes()?);
                if shares {
                    from.bytes()?;
                }
                key
            },
            heartbeat_ms: from.option()?,
            flow_control,
        }),
        false => None,
    };
    let pulls = PullLimits {
        waiting_max: short(from)?,
        records_max: short(from)?,
        bytes_max: from.option()?,
        wait_ms_max: from.option()?,
    };
    let start = match (from.u8()?, from.u64()?) {
        (0, _) => ReaderStart::First,
        (1, _) => ReaderStart::Last,
        (2, _) => ReaderStart::LastOfEachKey,
        (3, _) => ReaderStart::Next,
        (4, offset) => ReaderStart::Offset(offset),
        (5, time) => ReaderStart::Time(time),
        (other, _) => return Err(Corrupt(format!("{other} is no start of a reader"))),
    };
    let mut filters = Vec::new();
    for _ in 0..from.u32()? {
        filters.push(read_filter(from)?);
    }
    let acknowledging = match from.u8()? {
        0 => Acknowledging::Never,
        1 => Acknowledging::Through,
        2 => Acknowledging::Each,
        other => return Err(Corrupt(format!("{other} is no way to settle records"))),
    };
    let lease_ms = from.u64()?;
    let mut leases_ms = Vec::new();
    for _ in 0..from.u32()? {
        leases_ms.push(from.u64()?);
    }
    let mut read = ReaderSettings {
        topic,
        push,
        pulls,
        groups: None,
        sampled_percent: 0,
        start,
        filters,
        acknowledging,
        lease_ms,
        leases_ms,
        attempts_max: short(from)?,
        leased_max: from.option()?,
        keeps_pace,
        headers_only,
        bits_per_second: from.option()?,
        idle_ms: from.option()?,
        paused_until: from.option()?,
        durable: true,
        dead_letters: match from.bool()? {
            true => Some(from.name()?),
            false => None,
        },
        arguments: Vec::new(),
    };
    for _ in 0..from.u32()? {
        read.arguments.push((text(from)?, text(from)?));
    }
    Ok(read)
}

fn short(from: &mut Bounded<'_>) -> Result<Option<u32>, Corrupt> {
    let value = from.option()?.map(u32::try_from).transpose();
    value.map_err(|_| Corrupt::new("a reader's number is too large"))
}
