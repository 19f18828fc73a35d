//! A reader begins anew: at a record, or at the first one that it has not settled.

use polybus_model::{Name, ReaderError, ReaderStart, ReaderSummary, ResetRefused};

use super::reader::{Flow, Pending};
use crate::groups::leased::Owner;
use crate::logs::At;
use crate::turn::{Asker, Turn};
use crate::{Engine, Store};

impl Engine {
    /// Lets a reader forget what it handed out. Pulls go on waiting.
    pub(super) fn reset_reader(
        &mut self,
        asker: Asker,
        (log, name): (&Name, &str),
        to: Option<u64>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<ReaderSummary, ReaderError> {
        let number = self.reader_named(asker.namespace, log, name)?;
        let to = self.reset_offset(number, to)?;
        let reader = self.readers.all.get(&number).ok_or(ReaderError::NotFound)?;
        let (at, durable, most) = (
            reader.at,
            reader.settings.durable,
            reader.settings.attempts_max,
        );
        let (owner, _) = self.windows.owner(number).ok_or(ReaderError::NotFound)?;
        let owner = Owner::clone(owner);
        let namespace = self.namespace_name(owner.namespace);
        // It is the same window: the journal puts the new one in the old one's place.
        self.windows.open(&namespace, owner, at, to, durable, turn);
        self.windows
            .act(number, |window| window.set_attempts_max(most));
        let reader = self.readers.all.get_mut(&number);
        let reader = reader.ok_or(ReaderError::NotFound)?;
        reader.sequence = 0;
        reader.was_reset = true;
        reader.delivered_at = None;
        reader.settled_at = None;
        reader.handed.clear();
        reader.loaded.clear();
        reader.pending = Pending {
            is_stale: true,
            ..Pending::default()
        };
        reader.flow = Flow::default();
        (reader.next_due, reader.pace) = (None, None);
        if durable && !reader.is_news {
            reader.is_news = true;
            self.readers.news.push(number);
        }
        self.remove_unwanted(at, turn);
        self.readers.touch(number);
        self.describe_reader(number)
    }

    /// Where a reader begins anew, if it may begin there.
    fn reset_offset(&self, number: u64, to: Option<u64>) -> Result<u64, ReaderError> {
        let reader = self.readers.all.get(&number).ok_or(ReaderError::NotFound)?;
        let window = self.windows.get(number).ok_or(ReaderError::NotFound)?;
        let Some(to) = to else {
            return Ok(window.floor());
        };
        let refused = match reader.settings.start {
            ReaderStart::First => None,
            ReaderStart::Offset(first) if to >= first => None,
            ReaderStart::Offset(_) => Some(ResetRefused::BelowStart),
            ReaderStart::Time(time) => {
                let partition = self.logs.partition(reader.at);
                let first = partition.ok_or(ReaderError::NoLog)?.first_since(time);
                (to < first).then_some(ResetRefused::BelowStartTime)
            }
            ReaderStart::Last | ReaderStart::LastOfEachKey | ReaderStart::Next => {
                Some(ResetRefused::NotByOffset)
            }
        };
        match refused {
            Some(why) => Err(ReaderError::ResetRefused(why)),
            None => Ok(to),
        }
    }

    /// Removes what a log keeps only as long as somebody wants it, and nobody does.
    pub(super) fn remove_unwanted(&mut self, at: At, turn: &mut Turn<'_, impl Store>) {
        if self.keeps(at) != polybus_model::Keeps::Wanted {
            return;
        }
        let partition = self.logs.partition(at);
        let keyed = partition.and_then(|one| one.keyed.as_ref());
        let all: Vec<u64> =
            keyed.map_or_else(Vec::new, |keyed| keyed.keys.offsets_from(0).collect());
        let unwanted: Vec<u64> = all
            .into_iter()
            .filter(|offset| !self.is_wanted(at, *offset))
            .collect();
        if !unwanted.is_empty() {
            self.remove_records(at, &unwanted, turn);
        }
    }
}
