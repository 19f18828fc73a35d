//! Rules of keyed logs that their settings did not know at first: sections, so that each may be there or not.
//!
//! ```text
//! more     = sections, each: tag u8 | length u32 | bytes; then a tag of 0
//!   1 renames:  renaming
//!   2 copies:   topic name | headers only u8 | renaming
//!   3 follows:  is a copy u8 | origins u32, each: log name | from u8 (0 start, 1 offset u64, 2 time u64) |
//!               renamings u32, each | label
//! renaming = filter | 0, or 1 and words u32, each: 0 text | 1 word u32 | 2 hash: words u32, each u32, below u32 |
//!            3 scatter: below u32 | 4 part: word u32, how u8 (0 split after, 1 split before, 2 slices from the start,
//!            3 from the end, 4 first, 5 last: each a u32; 6 between: bytes) | 5 rest u32
//! ```

use polybus_model::{
    Copies, FollowFrom, Followed, Follows, KeyedSettings, NewWord, Renaming, Taking,
};

use crate::record::Corrupt;
use crate::record::codec::{Bounded, Put};
use crate::record::filter::{put_filter, read_filter};

const END: u8 = 0;
const RENAMES: u8 = 1;
const COPIES: u8 = 2;
const FOLLOWS: u8 = 3;

/// Whether a log was given anything of this.
pub(super) fn says(settings: &KeyedSettings) -> bool {
    settings.renames.is_some() || settings.copies.is_some() || settings.follows != Follows::Nobody
}

pub(super) fn put(out: &mut Vec<u8>, settings: &KeyedSettings) {
    let mut section = Vec::new();
    if let Some(renames) = &settings.renames {
        put_renaming(&mut section, renames);
        put_section(out, RENAMES, &mut section);
    }
    if let Some(copies) = &settings.copies {
        section.put_name(&copies.topic);
        section.put_u8(copies.headers_only.into());
        put_renaming(&mut section, &copies.renaming);
        put_section(out, COPIES, &mut section);
    }
    if settings.follows != Follows::Nobody {
        put_follows(&mut section, &settings.follows);
        put_section(out, FOLLOWS, &mut section);
    }
    out.put_u8(END);
}

fn put_section(out: &mut Vec<u8>, tag: u8, section: &mut Vec<u8>) {
    out.put_u8(tag);
    out.put_bytes(section);
    section.clear();
}

pub(super) fn read(from: &mut Bounded<'_>, settings: &mut KeyedSettings) -> Result<(), Corrupt> {
    loop {
        let tag = from.u8()?;
        if tag == END {
            return Ok(());
        }
        let section = &mut Bounded::new(from.bytes()?);
        match tag {
            RENAMES => settings.renames = Some(read_renaming(section)?),
            COPIES => {
                settings.copies = Some(Copies {
                    topic: section.name()?,
                    headers_only: section.bool()?,
                    renaming: read_renaming(section)?,
                });
            }
            FOLLOWS => settings.follows = read_follows(section)?,
            other => return Err(Corrupt(format!("{other} is no rule of a keyed log"))),
        }
        if !section.is_empty() {
            return Err(Corrupt(format!(
                "rule {tag} of a keyed log is followed by other bytes"
            )));
        }
    }
}

pub(super) fn put_renaming(out: &mut Vec<u8>, renaming: &Renaming) {
    put_filter(out, &renaming.keys);
    out.put_u8(renaming.to.is_some().into());
    let Some(to) = &renaming.to else {
        return;
    };
    out.put_u32(to.len() as u32);
    for word in to {
        put_word(out, word);
    }
}

fn put_word(out: &mut Vec<u8>, word: &NewWord) {
    match word {
        NewWord::Text(text) => {
            out.put_u8(0);
            out.put_bytes(text);
        }
        NewWord::Word(at) => {
            out.put_u8(1);
            out.put_u32(*at);
        }
        NewWord::Hash { words, below } => {
            out.put_u8(2);
            out.put_u32(words.len() as u32);
            for at in words {
                out.put_u32(*at);
            }
            out.put_u32(*below);
        }
        NewWord::Scatter { below } => {
            out.put_u8(3);
            out.put_u32(*below);
        }
        NewWord::Part { word, how } => {
            out.put_u8(4);
            out.put_u32(*word);
            put_taking(out, how);
        }
        NewWord::Rest(from) => {
            out.put_u8(5);
            out.put_u32(*from);
        }
    }
}

fn put_taking(out: &mut Vec<u8>, how: &Taking) {
    let (tag, len) = match how {
        Taking::SplitAfter(len) => (0, *len),
        Taking::SplitBefore(len) => (1, *len),
        Taking::SlicesFromStart(len) => (2, *len),
        Taking::SlicesFromEnd(len) => (3, *len),
        Taking::First(len) => (4, *len),
        Taking::Last(len) => (5, *len),
        Taking::Between(separator) => {
            out.put_u8(6);
            out.put_bytes(separator);
            return;
        }
    };
    out.put_u8(tag);
    out.put_u32(len);
}

pub(super) fn read_renaming(from: &mut Bounded<'_>) -> Result<Renaming, Corrupt> {
    let keys = read_filter(from)?;
    if !from.bool()? {
        return Ok(Renaming::keeping(keys));
    }
    let mut to = Vec::new();
    for _ in 0..from.u32()? {
        to.push(read_word(from)?);
    }
    Ok(Renaming { keys, to: Some(to) })
}

fn read_word(from: &mut Bounded<'_>) -> Result<NewWord, Corrupt> {
    Ok(match from.u8()? {
        0 => NewWord::Text(from.shared()?),
        1 => NewWord::Word(from.u32()?),
        2 => {
            let mut words = Vec::new();
            for _ in 0..from.u32()? {
                words.push(from.u32()?);
            }
            NewWord::Hash {
                words,
                below: from.u32()?,
            }
        }
        3 => NewWord::Scatter { below: from.u32()? },
        4 => NewWord::Part {
            word: from.u32()?,
            how: read_taking(from)?,
        },
        5 => NewWord::Rest(from.u32()?),
        other => return Err(Corrupt(format!("{other} is no word of a new name"))),
    })
}

fn read_taking(from: &mut Bounded<'_>) -> Result<Taking, Corrupt> {
    Ok(match from.u8()? {
        0 => Taking::SplitAfter(from.u32()?),
        1 => Taking::SplitBefore(from.u32()?),
        2 => Taking::SlicesFromStart(from.u32()?),
        3 => Taking::SlicesFromEnd(from.u32()?),
        4 => Taking::First(from.u32()?),
        5 => Taking::Last(from.u32()?),
        6 => Taking::Between(from.shared()?),
        other => return Err(Corrupt(format!("{other} is no way to take a word apart"))),
    })
}

fn put_follows(out: &mut Vec<u8>, follows: &Follows) {
    out.put_u8(follows.is_copy().into());
    out.put_u32(follows.all().len() as u32);
    for one in follows.all() {
        out.put_name(&one.log);
        match one.from {
            FollowFrom::Start => out.put_u8(0),
            FollowFrom::Offset(offset) => {
                out.put_u8(1);
                out.put_u64(offset);
            }
            FollowFrom::Time(time) => {
                out.put_u8(2);
                out.put_u64(time);
            }
        }
        out.put_u32(one.renamings.len() as u32);
        for renaming in &one.renamings {
            put_renaming(out, renaming);
        }
        out.put_bytes(&one.label);
    }
}

fn read_follows(from: &mut Bounded<'_>) -> Result<Follows, Corrupt> {
    let is_copy = from.bool()?;
    let mut all = Vec::new();
    for _ in 0..from.u32()? {
        all.push(read_followed(from)?);
    }
    match (is_copy, all.len()) {
        (true, 1) => Ok(all.pop().map_or(Follows::Nobody, Follows::One)),
        (true, count) => Err(Corrupt(format!("a log is the copy of {count} others"))),
        (false, _) => Ok(Follows::Several(all)),
    }
}

fn read_followed(from: &mut Bounded<'_>) -> Result<Followed, Corrupt> {
    let log = from.name()?;
    let begins = match from.u8()? {
        0 => FollowFrom::Start,
        1 => FollowFrom::Offset(from.u64()?),
        2 => FollowFrom::Time(from.u64()?),
        other => return Err(Corrupt(format!("{other} is no beginning"))),
    };
    let mut renamings = Vec::new();
    for _ in 0..from.u32()? {
        renamings.push(read_renaming(from)?);
    }
    Ok(Followed {
        log,
        from: begins,
        renamings,
        label: from.shared()?,
    })
}
