//! Keyed logs that follow others: what they take of whom, and how it is told apart.

use bytes::Bytes;

use crate::{CopyNote, LiveFilter, Message, Millis, Name, Renaming, Tally, TallyParts, Terms};

/// Whom a keyed log follows.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Follows {
    /// Nobody.
    #[default]
    Nobody,
    /// It is the copy of another: its records have the offsets and times that they have there, and nobody publishes to it.
    One(Followed),
    /// It takes what comes to others, beside what is published to it.
    Several(Vec<Followed>),
}

impl Follows {
    /// Those that it follows, in order.
    #[must_use]
    pub fn all(&self) -> &[Followed] {
        match self {
            Self::Nobody => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }

    /// Whether it is the copy of another.
    #[must_use]
    pub const fn is_copy(&self) -> bool {
        matches!(self, Self::One(_))
    }
}

/// A log that another follows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Followed {
    /// Its name. It need not be there.
    pub log: Name,
    /// From where on.
    pub from: FollowFrom,
    /// Which of its records, and under what keys: the first rule that is for a key counts. With none, all as they are.
    pub renamings: Vec<Renaming>,
    /// What the followers' protocol writes on what comes from there ([`CopiedFrom`]).
    pub label: Bytes,
}

impl Followed {
    /// The key that a record gets; none if it is not wanted.
    #[must_use]
    pub fn key_of(&self, key: &[u8], offset: u64) -> Option<Vec<u8>> {
        if self.renamings.is_empty() {
            return Some(key.to_vec());
        }
        let mut rules = self.renamings.iter();
        rules.find_map(|rule| rule.apply(key, offset))
    }

    /// Which keys are wanted; none: all.
    #[must_use]
    pub fn filters(&self) -> Vec<LiveFilter> {
        let rules = self.renamings.iter();
        rules.map(|rule| rule.keys.clone()).collect()
    }
}

/// From where on a log is followed that was not followed before.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum FollowFrom {
    /// From its first record.
    #[default]
    Start,
    /// From this offset.
    Offset(u64),
    /// From the first record of this time or later.
    Time(Millis),
}

/// How far a follower is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FollowState {
    /// Whom it follows.
    pub log: Name,
    /// Whether that is there.
    pub is_there: bool,
    /// How many of the records that it wants it does not have yet.
    pub lag: u64,
}

/// Where a message was before it was copied.
#[derive(Clone, Copy, Debug)]
pub struct CopiedFrom<'a> {
    /// The log.
    pub log: &'a Name,
    /// Its offset there.
    pub offset: u64,
    /// Its key there.
    pub key: &'a [u8],
    /// [`Followed::label`].
    pub label: &'a [u8],
}

/// A message with where it was before.
pub type WriteCopied = fn(&Message, &CopiedFrom<'_>) -> Message;

/// What stands for a key, in a topic, whose last record went for its age; it stays for so long.
pub type WriteEnded = fn(&Name, &[u8], Millis) -> Message;

/// A copy of what was appended ([`crate::Copies`]) as it goes to queues and other logs, with what it says of itself.
pub type WriteTold = fn(&Message, &CopyNote) -> Message;

/// What a message itself demands of a log.
pub type ReadTerms = fn(&Message) -> Option<Terms>;

/// A message with what it adds, and with what of its key's number comes from other logs.
pub type WriteTallied = fn(&Message, &Tally, &TallyParts) -> Message;

/// What property bytes say of the second.
pub type ReadParts = fn(&[u8]) -> Option<TallyParts>;

/// How large a message is, in bytes, as its protocol counts them.
pub type Measure = fn(&Message) -> u64;

/// How a protocol writes on messages what a keyed log has to say of them. Plain functions: the same message gives the same.
#[derive(Clone, Copy, Default, Debug)]
pub struct KeyedWriter {
    /// Where a copy comes from.
    pub copied: Option<WriteCopied>,
    /// That a key has ended.
    pub ended: Option<WriteEnded>,
    /// What a copy on a topic says of itself.
    pub told: Option<WriteTold>,
    /// What those demand that come from other logs.
    pub terms: Option<ReadTerms>,
    /// What of a number comes from other logs: without both, it is not added up.
    pub tallied: Option<WriteTallied>,
    /// And back.
    pub parts: Option<ReadParts>,
    /// How large messages are; none: as their bodies.
    pub measured: Option<Measure>,
}
