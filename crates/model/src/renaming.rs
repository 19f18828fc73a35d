//! Renaming: a rule that gives keys other names, word by word.
//!
//! ```text
//! orders.eu.42   keys: orders.*.*   to: Text(by), Word(2), Word(1)   ->   by.42.eu
//! ```
//! A rule is made once, by whoever knows how its users write it down, and applied to every message. What always holds: the
//! same key and seed give the same name.

use bytes::Bytes;

use crate::{FilterWord, LiveFilter};

/// A rule that gives keys other names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Renaming {
    /// Which keys it is for.
    pub keys: LiveFilter,
    /// The words of what each becomes; none: it stays as it is.
    pub to: Option<Vec<NewWord>>,
}

/// A word of a new name, or several. Words of the key are named by their places, from 0; one that is not there is empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NewWord {
    /// This text.
    Text(Bytes),
    /// A word of the key.
    Word(u32),
    /// A number below `below` (0 stands for 1): the same for keys with the same words at these places; with none, for the
    /// same key.
    Hash {
        /// The places.
        words: Vec<u32>,
        /// What the number is below.
        below: u32,
    },
    /// A number below `below` that is another one from message to message.
    Scatter {
        /// What the number is below.
        below: u32,
    },
    /// A word, taken apart.
    Part {
        /// Its place.
        word: u32,
        /// How.
        how: Taking,
    },
    /// All words from a place on.
    Rest(u32),
}

/// How a word is taken apart. A word that is not longer than the length that is named stays whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taking {
    /// Two words: the first so many bytes, and the others.
    SplitAfter(u32),
    /// Two words: the last so many bytes behind the others.
    SplitBefore(u32),
    /// Words of so many bytes, the last of what is left.
    SlicesFromStart(u32),
    /// Words of so many bytes, the first of what is left.
    SlicesFromEnd(u32),
    /// The words between separators.
    Between(Bytes),
    /// Only the first so many bytes.
    First(u32),
    /// Only the last so many bytes.
    Last(u32),
}

impl Renaming {
    /// A rule that leaves the keys that a filter lets through as they are.
    #[must_use]
    pub const fn keeping(keys: LiveFilter) -> Self {
        Self { keys, to: None }
    }

    /// What a key becomes; none if the rule is not for it. The seed scatters ([`NewWord::Scatter`]).
    #[must_use]
    pub fn apply(&self, key: &[u8], seed: u64) -> Option<Vec<u8>> {
        if !self.keys.fits(key) {
            return None;
        }
        let Some(to) = &self.to else {
            return Some(key.to_vec());
        };
        let words: Vec<&[u8]> = key.split(|byte| *byte == b'.').collect();
        let word = |at: u32| words.get(at as usize).copied().unwrap_or_default();
        let mut name = Vec::with_capacity(key.len() + 16);
        for (at, new) in to.iter().enumerate() {
            if at > 0 {
                name.push(b'.');
            }
            match new {
                NewWord::Text(text) => name.extend_from_slice(text),
                NewWord::Word(at) => name.extend_from_slice(word(*at)),
                NewWord::Hash { words, below } => {
                    let hash = match words.is_empty() {
                        true => hash(key.iter()),
                        false => hash(words.iter().flat_map(|at| word(*at))),
                    };
                    put_number(&mut name, hash % (*below).max(1));
                }
                NewWord::Scatter { below } => {
                    let hash = hash(seed.to_le_bytes().iter());
                    put_number(&mut name, hash % (*below).max(1));
                }
                NewWord::Part { word: at, how } => how.put(word(*at), &mut name),
                NewWord::Rest(from) => {
                    let rest = words.get(*from as usize..).unwrap_or_default();
                    name.extend_from_slice(&rest.join(&b'.'));
                }
            }
        }
        Some(name)
    }
}

impl Renaming {
    /// Whether it may give a key that a filter lets through, as far as can be said without one.
    #[must_use]
    pub fn may_give(&self, wanted: &LiveFilter) -> bool {
        let Some(to) = &self.to else {
            return self.keys.overlaps(wanted);
        };
        let mut words = Vec::new();
        for word in to {
            match word {
                NewWord::Text(text) => words.push(FilterWord::Exact(text)),
                NewWord::Word(_) | NewWord::Hash { .. } | NewWord::Scatter { .. } => {
                    words.push(FilterWord::AnyOne);
                }
                // As many words as there turn out to be.
                NewWord::Part { .. } | NewWord::Rest(_) => {
                    words.push(FilterWord::Rest);
                    break;
                }
            }
        }
        LiveFilter::new(words).overlaps(wanted)
    }
}

impl Taking {
    /// How many bytes it counts.
    const fn len(&self) -> u32 {
        match self {
            Self::Between(_) => 0,
            Self::SplitAfter(len)
            | Self::SplitBefore(len)
            | Self::SlicesFromStart(len)
            | Self::SlicesFromEnd(len)
            | Self::First(len)
            | Self::Last(len) => *len,
        }
    }

    fn put(&self, word: &[u8], name: &mut Vec<u8>) {
        if let Self::Between(separator) = self
            && !separator.is_empty()
        {
            return put_between(word, separator, name);
        }
        let len = self.len() as usize;
        if len == 0 || len >= word.len() {
            name.extend_from_slice(word);
            return;
        }
        let parts: Vec<&[u8]> = match self {
            Self::SplitAfter(_) => <[_; 2]>::from(word.split_at(len)).to_vec(),
            Self::SplitBefore(_) => <[_; 2]>::from(word.split_at(word.len() - len)).to_vec(),
            Self::SlicesFromStart(_) => word.chunks(len).collect(),
            Self::SlicesFromEnd(_) => word.rchunks(len).rev().collect(),
            Self::First(_) => word.chunks(len).take(1).collect(),
            Self::Last(_) => word.rchunks(len).take(1).collect(),
            Self::Between(_) => vec![word],
        };
        name.extend_from_slice(&parts.join(&b'.'));
    }
}

/// What stands between separators, as words; empty ones are left out.
fn put_between(word: &[u8], separator: &[u8], name: &mut Vec<u8>) {
    let (mut rest, mut is_first) = (word, true);
    while !rest.is_empty() {
        let found = rest
            .windows(separator.len())
            .position(|window| window == separator);
        let (part, behind) = rest.split_at(found.unwrap_or(rest.len()));
        if !part.is_empty() {
            if !std::mem::take(&mut is_first) {
                name.push(b'.');
            }
            name.extend_from_slice(part);
        }
        rest = behind.get(separator.len()..).unwrap_or_default();
    }
}

/// The 32-bit FNV-1a hash: what others spread keys by, so that all agree.
fn hash<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

fn put_number(name: &mut Vec<u8>, number: u32) {
    name.extend_from_slice(number.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(to: Vec<NewWord>, key: &str) -> String {
        let all = LiveFilter::new([FilterWord::Rest]);
        let rule = Renaming {
            keys: all,
            to: Some(to),
        };
        String::from_utf8(rule.apply(key.as_bytes(), 7).unwrap()).unwrap()
    }

    #[test]
    fn words_change_places() {
        let text = NewWord::Text(Bytes::from_static(b"by"));
        let to = vec![text, NewWord::Word(2), NewWord::Word(1), NewWord::Word(9)];
        assert_eq!(renamed(to, "orders.eu.42"), "by.42.eu.");
        assert_eq!(renamed(vec![NewWord::Rest(1)], "a.b.c"), "b.c");
        let keys = LiveFilter::new([FilterWord::Exact(b"a"), FilterWord::AnyOne]);
        assert_eq!(
            Renaming::keeping(keys.clone()).apply(b"a.b", 0).as_deref(),
            Some(&b"a.b"[..])
        );
        assert_eq!(Renaming::keeping(keys).apply(b"b.b", 0), None);
    }

    #[test]
    fn where_it_leads_is_known_roughly() {
        let text = |text| NewWord::Text(Bytes::from_static(text));
        let gives = |to| {
            let keys = LiveFilter::new([FilterWord::Exact(b"a"), FilterWord::AnyOne]);
            let wanted = LiveFilter::new([FilterWord::Exact(b"b"), FilterWord::AnyOne]);
            Renaming { keys, to }.may_give(&wanted)
        };
        let part = NewWord::Part {
            word: 1,
            how: Taking::Between(Bytes::from_static(b"-")),
        };
        assert!(gives(Some(vec![text(b"b"), NewWord::Word(1)])));
        assert!(gives(Some(vec![part])));
        assert!(!gives(Some(vec![text(b"c"), NewWord::Word(1)])));
        assert!(!gives(Some(vec![text(b"b"), NewWord::Word(1), text(b"x")])));
        assert!(!gives(None));
    }

    #[test]
    fn keys_hash_as_elsewhere() {
        // FNV-1a of "a" and of "foobar", from its authors' test vectors.
        assert_eq!(hash(b"a".iter()), 0xe40c_292c);
        assert_eq!(hash(b"foobar".iter()), 0xbf9c_f968);
        let to = |words| vec![NewWord::Hash { words, below: 10 }];
        assert_eq!(
            renamed(to(vec![0, 1]), "foo.bar"),
            (0xbf9c_f968_u32 % 10).to_string()
        );
        assert_eq!(
            renamed(to(vec![]), "foobar"),
            (0xbf9c_f968_u32 % 10).to_string()
        );
        let below = 0;
        assert_eq!(renamed(vec![NewWord::Scatter { below }], "a"), "0");
    }

    #[test]
    fn words_are_taken_apart() {
        let between = Taking::Between(Bytes::from_static(b"-"));
        for (how, word, wanted) in [
            (Taking::SplitAfter(3), "12345", "123.45"),
            (Taking::SplitBefore(3), "12345", "12.345"),
            (Taking::SplitAfter(5), "12345", "12345"),
            (Taking::SlicesFromStart(3), "1234567890", "123.456.789.0"),
            (Taking::SlicesFromEnd(3), "1234567890", "1.234.567.890"),
            (Taking::SlicesFromStart(0), "12", "12"),
            (between.clone(), "-abc-def--ghi-", "abc.def.ghi"),
            (between, "abc", "abc"),
            (Taking::First(2), "12345", "12"),
            (Taking::Last(2), "12345", "45"),
            (Taking::Last(9), "12345", "12345"),
        ] {
            let to = vec![NewWord::Part {
                word: 0,
                how: how.clone(),
            }];
            assert_eq!(renamed(to, word), wanted, "{how:?}");
        }
    }
}
