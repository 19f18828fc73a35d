//! Who of those that pull comes first, at a reader whose pullers belong to groups.
//!
//! ```text
//! overflow   a pull with limits is passed over until there is as much to do as it asks for
//! pinned     nobody --a record for a pull without a pin--> it is pinned: all goes to pulls with its pin
//!              ^-- asked for, or it did not pull in time --'    (one with another pin is told so, and ends)
//! ranked     pulls wait in the order of their ranks                                        (pulls)
//! ```
//! What always holds: who is pinned is known to this process alone; a restart pins anew.

use std::sync::Arc;

use polybus_model::{
    Millis, Misplaced, Notice, Pinned, Precedence, Pull, PullGroups, PullStanding, ReaderError,
    Reported, Unpinned,
};

use super::Reader;
use super::pulls::{Pulls, Told, Waiting};
use crate::turn::Turn;
use crate::{Engine, Store};

/// The longest pin, in bytes.
const PIN_LEN_MAX: usize = 64;

/// The one puller that gets all.
#[derive(Clone, Debug)]
pub(super) struct Pin {
    id: Arc<str>,
    group: String,
    since: Millis,
    /// Until when it is to pull again.
    due: Millis,
}

/// What there is to do for those who pull.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// Records that were never handed out.
    pub(super) pending: u64,
    /// Records that are leased.
    pub(super) leased: u64,
}

impl Waiting {
    fn pin(&self) -> Option<&str> {
        self.standing.as_ref()?.pin.as_deref()
    }

    /// Whether there is as much to do as it asks for.
    fn is_enough(&self, work: Work) -> bool {
        let Some(standing) = &self.standing else {
            return true;
        };
        let PullStanding {
            pending_min,
            leased_min,
            ..
        } = **standing;
        let is_over = |least: u64, is: u64| least > 0 && least <= is;
        (pending_min == 0 && leased_min == 0)
            || is_over(pending_min, work.pending)
            || is_over(leased_min, work.leased)
    }

    fn other_pin(&self) -> Notice {
        Notice::OtherPin {
            records: self.left,
            bytes: self.bytes_left.unwrap_or(0),
        }
    }
}

impl Pulls {
    /// Ends those that have a pin which is not this one.
    fn end_other_pins(&mut self, pin: Option<&str>, told: &mut Vec<Told>) {
        self.retain(|one| {
            let is_other = one.pin().is_some_and(|has| Some(has) != pin);
            if is_other {
                told.push((one.key.clone(), one.other_pin()));
            }
            !is_other
        });
    }
}

impl Reader {
    fn precedence(&self) -> Option<Precedence> {
        let groups = self.settings.groups.as_ref()?;
        Some(groups.precedence)
    }

    /// Brings the pull that gets the next record to the front. False if none may have it now.
    pub(super) fn elect(&mut self, work: impl FnOnce() -> Work) -> bool {
        match self.precedence() {
            None | Some(Precedence::Ranked) => !self.pulls.is_empty(),
            Some(Precedence::Overflow) => {
                let work = work();
                self.pulls.bring_forward(|one| one.is_enough(work))
            }
            Some(Precedence::Pinned(_)) => match &self.pin {
                Some(pin) => {
                    let id = Arc::clone(&pin.id);
                    self.pulls.bring_forward(|one| one.pin() == Some(&*id))
                }
                // Those with an old pin are told so once there is a record.
                None => {
                    self.pulls.bring_forward(|one| one.pin().is_none()) || !self.pulls.is_empty()
                }
            },
        }
    }

    /// Whether somebody has to be pinned before anything goes out.
    pub(super) fn must_pin(&self) -> bool {
        self.pin.is_none() && matches!(self.precedence(), Some(Precedence::Pinned(_)))
    }

    /// When the one that gets all is to have pulled again.
    pub(super) fn pin_deadline(&self) -> Option<Millis> {
        self.pin.as_ref().map(|pin| pin.due)
    }

    /// The pin of the one that gets all.
    pub(super) fn pin_id(&self) -> Option<Arc<str>> {
        self.pin.as_ref().map(|pin| Arc::clone(&pin.id))
    }

    /// As listings show it.
    pub(super) fn pinned(&self) -> Option<Pinned> {
        self.pin.as_ref().map(|pin| Pinned {
            group: pin.group.clone(),
            pin: pin.id.to_string(),
            since: pin.since,
        })
    }

    /// Whether a pull may wait here; the one that gets all has time again.
    pub(super) fn admit(&mut self, pull: &Pull, now: Millis) -> Result<(), Misplaced> {
        let groups = self.settings.groups.as_deref();
        check_place(groups, pull.standing.as_deref())?;
        if let (Some(pin), Some(Precedence::Pinned(keep))) = (&mut self.pin, groups.map(of))
            && let Some(has) = pull.standing.as_ref().and_then(|one| one.pin.as_deref())
        {
            if *has != *pin.id {
                return Err(Misplaced::OtherPin);
            }
            pin.due = now.saturating_add(keep);
        }
        Ok(())
    }
}

fn of(groups: &PullGroups) -> Precedence {
    groups.precedence
}

/// Whether a pull stands where the reader's settings let it.
fn check_place(
    groups: Option<&PullGroups>,
    standing: Option<&PullStanding>,
) -> Result<(), Misplaced> {
    let precedence = groups.map(of);
    let wrong = standing.and_then(|one| {
        if (one.pending_min > 0 || one.leased_min > 0) && precedence != Some(Precedence::Overflow) {
            return Some(Misplaced::NoOverflow);
        }
        if one.pin.is_some() && !matches!(precedence, Some(Precedence::Pinned(_))) {
            return Some(Misplaced::NoPins);
        }
        let is_ranked = one.group.is_some() && one.rank > PullStanding::RANK_MAX;
        is_ranked.then_some(Misplaced::Rank)
    });
    match (wrong, groups, standing) {
        (Some(wrong), ..) => Err(wrong),
        (None, Some(_), None) => Err(Misplaced::NoGroup),
        (None, Some(groups), Some(standing)) => match &standing.group {
            Some(group) if group.is_empty() => Err(Misplaced::NoGroup),
            Some(group) if !groups.names.contains(group) => Err(Misplaced::UnknownGroup),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

impl Engine {
    /// The pull at the front is to have a record: where one gets all, it is pinned. False if it has an old pin, and ended.
    pub(super) fn pin_front(
        &mut self,
        number: u64,
        now: Millis,
        turn: &mut Turn<'_, impl Store>,
    ) -> bool {
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return false;
        };
        let (true, Some(Precedence::Pinned(keep))) = (reader.must_pin(), reader.precedence())
        else {
            return true;
        };
        reader.pulls.end_other_pins(None, &mut self.readers.told);
        let Some(front) = reader.pulls.front_mut() else {
            return false;
        };
        // One that says nothing of groups is served, and not pinned.
        let Some(standing) = front.standing.as_mut().filter(|one| one.group.is_some()) else {
            return true;
        };
        let id: Arc<str> = standing
            .pin_offered
            .chars()
            .take(PIN_LEN_MAX)
            .collect::<String>()
            .into();
        let group = standing.group.clone().unwrap_or_default();
        standing.pin = Some(id.to_string());
        let namespace = reader.namespace;
        reader.pin = Some(Pin {
            id: Arc::clone(&id),
            group: group.clone(),
            since: now,
            due: now.saturating_add(keep),
        });
        self.readers.arm(number);
        self.send_records(namespace, turn);
        self.report(number, (0, 0), Reported::Pinned(group, id), turn);
        true
    }

    /// Nobody gets all any more: the next record goes to another.
    pub(super) fn unpin(&mut self, number: u64, why: Unpinned, turn: &mut Turn<'_, impl Store>) {
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return;
        };
        if let Some(pin) = reader.pin.take() {
            self.readers.touch(number);
            self.report(number, (0, 0), Reported::Unpinned(pin.group, why), turn);
        }
    }

    /// A session asks that nobody of a group gets all any more.
    pub(super) fn unpin_group(
        &mut self,
        number: u64,
        group: &str,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<(), ReaderError> {
        let reader = self.readers.all.get(&number).ok_or(ReaderError::NotFound)?;
        let groups = reader.settings.groups.as_ref();
        if groups.is_none_or(|groups| groups.names.iter().all(|name| name != group)) {
            return Err(ReaderError::NoGroup);
        }
        self.unpin(number, Unpinned::Asked, turn);
        Ok(())
    }
}
