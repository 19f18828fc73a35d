//! The settings of keyed logs as bytes.
//!
//! ```text
//! flags u8 (1 expires, 2 sealed, 4 denies removal, 8 denies purge, 16 rolls up, 32 silent, 64 more, 128 gathers) |
//! when full u8 | keeps u8 | records_max option | key_records_max option | message_bytes_max option | duplicates_ms u64 |
//! marker_ms option | takes u8, [topic name | keys u32, each a filter] | [more: more.rs] |
//! [gathers: flags u8 (1 tallies, 2 batches, 4 schedules)]
//! ```

use polybus_model::{Keeps, KeyedSettings, Takes, WhenFull};

use super::more;
use crate::record::Corrupt;
use crate::record::codec::{Bounded, Put};
use crate::record::filter::{put_filter, read_filter};
use crate::record::settings::{flags, put_flags};

pub(crate) fn put(out: &mut Vec<u8>, settings: &KeyedSettings) {
    let flags = [
        settings.expires,
        settings.sealed,
        settings.denies_removal,
        settings.denies_purge,
        settings.rolls_up,
        settings.silent,
        more::says(settings),
        gathers(settings),
    ];
    put_flags(out, flags);
    out.put_u8(match settings.when_full {
        WhenFull::DropOldest => 0,
        WhenFull::Refuse => 1,
        WhenFull::RefuseKey => 2,
    });
    out.put_u8(match settings.keeps {
        Keeps::All => 0,
        Keeps::Wanted => 1,
        Keeps::Unsettled => 2,
    });
    out.put_option(settings.records_max);
    out.put_option(settings.key_records_max);
    out.put_option(settings.message_bytes_max);
    out.put_u64(settings.duplicates_ms);
    out.put_option(settings.marker_ms);
    out.put_u8(settings.takes.is_some().into());
    if let Some(takes) = &settings.takes {
        put_takes(out, takes);
    }
    if more::says(settings) {
        more::put(out, settings);
    }
    if gathers(settings) {
        put_flags(
            out,
            [settings.tallies, settings.batches, settings.schedules],
        );
    }
}

/// Whether its messages can be more than records by themselves.
fn gathers(settings: &KeyedSettings) -> bool {
    settings.tallies || settings.batches || settings.schedules
}

fn put_takes(out: &mut Vec<u8>, takes: &Takes) {
    out.put_name(&takes.topic);
    out.put_u32(takes.keys.len() as u32);
    for filter in &takes.keys {
        put_filter(out, filter);
    }
}

fn read_takes(from: &mut Bounded<'_>) -> Result<Takes, Corrupt> {
    let topic = from.name()?;
    let mut keys = Vec::new();
    for _ in 0..from.u32()? {
        keys.push(read_filter(from)?);
    }
    Ok(Takes { topic, keys })
}

pub(crate) fn read(from: &mut Bounded<'_>) -> Result<KeyedSettings, Corrupt> {
    let [
        expires,
        sealed,
        denies_removal,
        denies_purge,
        rolls_up,
        silent,
        says_more,
        gathers,
    ] = flags(from)?;
    let when_full = match from.u8()? {
        0 => WhenFull::DropOldest,
        1 => WhenFull::Refuse,
        2 => WhenFull::RefuseKey,
        other => return Err(Corrupt(format!("{other} is no way to be full"))),
    };
    let keeps = match from.u8()? {
        0 => Keeps::All,
        1 => Keeps::Wanted,
        2 => Keeps::Unsettled,
        other => return Err(Corrupt(format!("{other} is no way to keep records"))),
    };
    let mut settings = KeyedSettings {
        records_max: from.option()?,
        key_records_max: from.option()?,
        message_bytes_max: from.option()?,
        when_full,
        keeps,
        duplicates_ms: from.u64()?,
        expires,
        marker_ms: from.option()?,
        takes: match from.bool()? {
            true => Some(read_takes(from)?),
            false => None,
        },
        sealed,
        denies_removal,
        denies_purge,
        rolls_up,
        silent,
        ..KeyedSettings::default()
    };
    if says_more {
        more::read(from, &mut settings)?;
    }
    if gathers {
        [settings.tallies, settings.batches, settings.schedules] = flags(from)?;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use polybus_model::{
        Copies, FilterWord, FollowFrom, Followed, Follows, LiveFilter, Name, NewWord, Renaming,
        Taking,
    };

    use super::*;

    /// A rule with every kind of word.
    fn renaming() -> Renaming {
        let part = |how| NewWord::Part { word: 1, how };
        Renaming {
            keys: LiveFilter::exact(b"c"),
            to: Some(vec![
                NewWord::Text(b"t".as_slice().into()),
                NewWord::Word(3),
                NewWord::Hash {
                    words: vec![1, 2],
                    below: 9,
                },
                NewWord::Scatter { below: 4 },
                part(Taking::SplitAfter(1)),
                part(Taking::SplitBefore(2)),
                part(Taking::SlicesFromStart(3)),
                part(Taking::SlicesFromEnd(4)),
                part(Taking::Between(b"-".as_slice().into())),
                part(Taking::First(5)),
                part(Taking::Last(6)),
                NewWord::Rest(2),
            ]),
        }
    }

    #[test]
    fn settings_are_read_back() {
        let words = [
            FilterWord::Exact(b"a"),
            FilterWord::AnyOne,
            FilterWord::Rest,
        ];
        let settings = KeyedSettings {
            records_max: Some(5),
            when_full: WhenFull::RefuseKey,
            keeps: Keeps::Unsettled,
            marker_ms: Some(7),
            sealed: true,
            batches: true,
            takes: Some(Takes {
                topic: Name::new("amq.topic").unwrap(),
                keys: vec![LiveFilter::new(words), LiveFilter::exact(b"b")],
            }),
            renames: Some(renaming()),
            follows: Follows::Several(vec![Followed {
                log: Name::new("o").unwrap(),
                from: FollowFrom::Time(5),
                renamings: vec![renaming()],
                label: b"> >".as_slice().into(),
            }]),
            copies: Some(Copies {
                topic: Name::new("amq.topic").unwrap(),
                renaming: Renaming::keeping(LiveFilter::exact(b"d")),
                headers_only: true,
            }),
            ..KeyedSettings::default()
        };
        let mut out = Vec::new();
        put(&mut out, &settings);
        assert_eq!(read(&mut Bounded::new(&out)).unwrap(), settings);
        for len in 0..out.len() {
            assert!(read(&mut Bounded::new(&out[..len])).is_err(), "{len}");
        }
    }
}
