//! Filters of keys as bytes.
//!
//! ```text
//! filter = words u32, each: 0 and the word | 1 any one | 2 the rest
//! ```

use polybus_model::{FilterWord, LiveFilter};

use super::Corrupt;
use super::codec::{Bounded, Put};

pub(crate) fn put_filter(out: &mut Vec<u8>, filter: &LiveFilter) {
    out.put_u32(filter.words().count() as u32);
    for word in filter.words() {
        match word {
            FilterWord::Exact(word) => {
                out.put_u8(0);
                out.put_bytes(word);
            }
            FilterWord::AnyOne => out.put_u8(1),
            FilterWord::Rest => out.put_u8(2),
        }
    }
}

pub(crate) fn read_filter(from: &mut Bounded<'_>) -> Result<LiveFilter, Corrupt> {
    let mut words = Vec::new();
    for _ in 0..from.u32()? {
        words.push(match from.u8()? {
            0 => FilterWord::Exact(from.bytes()?),
            1 => FilterWord::AnyOne,
            2 => FilterWord::Rest,
            other => return Err(Corrupt(format!("{other} is no word of a filter"))),
        });
    }
    Ok(LiveFilter::new(words))
}
