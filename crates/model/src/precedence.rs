//! Which of the pulls that wait at a reader gets the next record, where that is not simply the one that came first.
//!
//! The pullers of such a reader belong to groups ([`PullGroups`]), and each says with its pull where it stands ([`PullStanding`]).

use crate::Millis;

/// Who of a reader's pullers comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precedence {
    /// Those that set no limits; others only while there is as much to do as they ask for.
    Overflow,
    /// One gets all, until it has not pulled for so many milliseconds; then another.
    Pinned(Millis),
    /// The one of the lowest rank.
    Ranked,
}

/// The groups of a reader's pullers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PullGroups {
    /// Their names.
    pub names: Vec<String>,
    /// Who of them comes first.
    pub precedence: Precedence,
}

/// Where a pull stands among those that wait.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PullStanding {
    /// Of which group it is; none: of one that says nothing, behind all others.
    pub group: Option<String>,
    /// It is served while at least so many records were never handed out (0: it does not ask for that),
    pub pending_min: u64,
    /// or so many are leased.
    pub leased_min: u64,
    /// The lower, the sooner.
    pub rank: u32,
    /// The pin that the puller has been given.
    pub pin: Option<String>,
    /// The pin that it is given if it becomes the one that gets all.
    pub pin_offered: String,
}

/// Why a pull cannot wait where it asks to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misplaced {
    /// It sets limits, and the reader does not look at them.
    NoOverflow,
    /// It has a pin, and the reader gives none.
    NoPins,
    /// Its rank is none that there is.
    Rank,
    /// It says no group.
    NoGroup,
    /// There is no group of that name.
    UnknownGroup,
    /// Another one is pinned.
    OtherPin,
}

/// The one puller that gets all of a reader's records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pinned {
    /// Its group.
    pub group: String,
    /// Its pin.
    pub pin: String,
    /// Since when.
    pub since: Millis,
}

/// Why somebody is pinned no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unpinned {
    /// It was asked for.
    Asked,
    /// It did not pull in time.
    Silent,
}

impl PullStanding {
    /// The greatest rank.
    pub const RANK_MAX: u32 = 9;
}
