//! Declaring, changing, deleting and describing readers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use polybus_model::{
    Acknowledging, Declaring, Keeps, Millis, Name, Notice, Precedence, ReaderError, ReaderSettings,
    ReaderStart, ReaderSummary,
};

use super::outlet::Audience;
use super::pulls::Pulls;
use super::reader::{Flow, Origin, Pending};
use super::{Reader, WINDOW_MARK, record};
use crate::groups::leased::Owner;
use crate::logs::At;
use crate::turn::{Asker, Turn};
use crate::{Engine, Store};

/// Readers of one log.
const READERS_MAX: usize = 100_000;

impl Engine {
    pub(super) fn declare_reader(
        &mut self,
        asker: Asker,
        log: &Name,
        name: &str,
        settings: ReaderSettings,
        declaring: Declaring,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<ReaderSummary, ReaderError> {
        let at = At {
            log: self
                .log_id(asker.namespace, log)
                .ok_or(ReaderError::NoLog)?,
            partition: 0,
        };
        if self
            .logs
            .partition(at)
            .is_none_or(|one| one.keyed.is_none())
        {
            let text =
                "the log does not find its records by key: it has no readers of single records";
            return Err(ReaderError::Invalid(text.to_owned()));
        }
        match (self.readers.find(at.log, name), declaring) {
            (Some(number), Declaring::New) => {
                let known = self.readers.all.get(&number);
                if known.is_some_and(|known| known.settings != settings) {
                    return Err(ReaderError::Exists);
                }
                self.describe_reader(number)
            }
            (Some(number), _) => self.change_reader(number, settings, turn),
            (None, Declaring::Known) => Err(ReaderError::NotFound),
            (None, _) => self.add_reader(asker, at, log, name, settings, turn),
        }
    }

    fn add_reader(
        &mut self,
        asker: Asker,
        at: At,
        log: &Name,
        name: &str,
        settings: ReaderSettings,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<ReaderSummary, ReaderError> {
        if self.readers.of_log(at.log).count() >= READERS_MAX {
            return Err(ReaderError::TooMany);
        }
        self.check_overlap(at, &settings, None)?;
        let namespace = self.namespace_name(asker.namespace);
        let origin = self.origin(at, &settings)?;
        let owner = Owner {
            namespace: asker.namespace,
            group: format!("{WINDOW_MARK}{name}").into(),
        };
        let durable = settings.durable;
        let number = self
            .windows
            .open(&namespace, owner, at, origin.first, durable, turn);
        let most = settings.attempts_max;
        self.windows
            .act(number, |window| window.set_attempts_max(most));
        let mut reader = Reader::new(number, asker.namespace, at, log, name, settings, turn.now);
        reader.origin = origin;
        self.select(&mut reader);
        if durable {
            self.journal_declared(&reader, &namespace, turn);
        }
        self.readers.insert(reader);
        self.readers.touch(number);
        self.notice_audience(number, turn.now);
        self.describe_reader(number)
    }

    fn journal_declared(
        &mut self,
        reader: &Reader,
        namespace: &Name,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let buffer = &mut self.readers.buffer;
        record::put_declared(buffer, namespace, reader);
        turn.append(buffer, reader.at.log);
        if record::put_manners(buffer, reader) {
            turn.append(buffer, reader.at.log);
        }
    }

    fn select(&self, reader: &mut Reader) {
        let partition = self.logs.partition(reader.at);
        if reader.origin.last_of_keys > 0
            && let Some(keyed) = partition.and_then(|one| one.keyed.as_ref())
        {
            reader.select_last_of_keys(&keyed.keys, reader.origin.first);
        }
    }

    /// Where a reader that is declared now begins.
    fn origin(&self, at: At, settings: &ReaderSettings) -> Result<Origin, ReaderError> {
        let partition = self.logs.partition(at).ok_or(ReaderError::NoLog)?;
        let keyed = partition.keyed.as_ref().ok_or(ReaderError::NoLog)?;
        let next = partition.next;
        let mut origin = Origin {
            first: partition.start,
            last_of_keys: 0,
        };
        match settings.start {
            ReaderStart::First => {}
            ReaderStart::Next => origin.first = next,
            ReaderStart::Offset(offset) => origin.first = offset.clamp(partition.start, next),
            ReaderStart::Time(time) => {
                origin.first = partition.first_since(time);
            }
            ReaderStart::Last => {
                let last = match &*settings.filters {
                    [] => keyed.keys.last_before(next),
                    filters => {
                        let each = filters.iter();
                        let last = each.filter_map(|one| keyed.keys.last_matching(one, next));
                        last.max()
                    }
                };
                origin.first = last.unwrap_or(next);
            }
            ReaderStart::LastOfEachKey => origin.last_of_keys = next,
        }
        Ok(origin)
    }

    /// In a log that keeps records until one reader has settled them, no two want the same.
    fn check_overlap(
        &self,
        at: At,
        settings: &ReaderSettings,
        but: Option<u64>,
    ) -> Result<(), ReaderError> {
        let log = self.logs.all.get(&at.log).ok_or(ReaderError::NoLog)?;
        let keeps = log.settings.keyed.as_deref().map(|rules| rules.keeps);
        if keeps != Some(Keeps::Unsettled) {
            return Ok(());
        }
        let others = self.readers.of_log(at.log);
        let others = others.filter(|number| Some(*number) != but);
        let mut others = others.filter_map(|number| self.readers.all.get(&number));
        let overlaps = |other: &Reader| {
            let (ours, theirs) = (&settings.filters, &other.settings.filters);
            ours.is_empty()
                || theirs.is_empty()
                || ours
                    .iter()
                    .any(|one| theirs.iter().any(|two| one.overlaps(two)))
        };
        match others.any(overlaps) {
            true => Err(ReaderError::Overlaps),
            false => Ok(()),
        }
    }

    fn change_reader(
        &mut self,
        number: u64,
        settings: ReaderSettings,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<ReaderSummary, ReaderError> {
        let reader = self.readers.all.get(&number).ok_or(ReaderError::NotFound)?;
        if let Some(text) = fixed(&reader.settings, &settings) {
            return Err(ReaderError::Fixed(text.to_owned()));
        }
        let (at, namespace) = (reader.at, reader.namespace);
        self.check_overlap(at, &settings, Some(number))?;
        let most = settings.attempts_max;
        self.windows
            .act(number, |window| window.set_attempts_max(most));
        let Some(mut reader) = self.readers.remove(number) else {
            return Err(ReaderError::NotFound);
        };
        let mut told = Vec::new();
        if reader.settings.push != settings.push {
            reader.pulls.end_all(&Notice::Deleted, &mut told);
            reader.flow = Flow::default();
        }
        if reader.settings.groups != settings.groups {
            reader.pin = None;
            reader.pulls.is_ranked = is_ranked(&settings);
        }
        reader.settings = settings;
        reader.armed = None;
        reader.touched = false;
        reader.awaits_more = false;
        reader.loaded.clear();
        reader.pending.is_stale = true;
        self.select(&mut reader);
        let durable = reader.settings.durable;
        if durable {
            let namespace = self.namespace_name(namespace);
            self.journal_declared(&reader, &namespace, turn);
        }
        let topic = reader.settings.topic.clone();
        self.readers.insert(reader);
        for (key, notice) in told {
            self.notify(namespace, &topic, &key, notice, turn);
        }
        self.readers.touch(number);
        self.notice_audience(number, turn.now);
        self.describe_reader(number)
    }

    pub(super) fn pause_reader(
        &mut self,
        asker: Asker,
        log: &Name,
        name: &str,
        until: Option<Millis>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<ReaderSummary, ReaderError> {
        let number = self.reader_named(asker.namespace, log, name)?;
        let reader = self.readers.all.get(&number).ok_or(ReaderError::NotFound)?;
        let mut settings = reader.settings.clone();
        settings.paused_until = until.filter(|until| *until > turn.now);
        self.change_reader(number, settings, turn)
    }

    pub(super) fn delete_reader_by_name(
        &mut self,
        asker: Asker,
        log: &Name,
        name: &str,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<(), ReaderError> {
        let number = self.reader_named(asker.namespace, log, name)?;
        self.delete_reader(number, turn);
        Ok(())
    }

    /// Deletes a reader; who pulls from it or listens to it is told. What its log kept for it alone goes.
    pub(super) fn delete_reader(&mut self, number: u64, turn: &mut Turn<'_, impl Store>) {
        let Some(reader) = self.readers.all.get(&number) else {
            return;
        };
        let (at, durable) = (reader.at, reader.settings.durable);
        self.drop_reader(number, turn);
        if durable {
            record::put_deleted(&mut self.readers.buffer, number);
            turn.append(&self.readers.buffer, at.log);
        }
        self.windows.close(number, turn);
        self.remove_unwanted(at, turn);
    }

    /// A reader is gone; its window is the caller's to close.
    pub(super) fn drop_reader(&mut self, number: u64, turn: &mut Turn<'_, impl Store>) {
        let Some(mut reader) = self.readers.remove(number) else {
            return;
        };
        let mut told = Vec::new();
        reader.pulls.end_all(&Notice::Deleted, &mut told);
        if let Some(push) = &reader.settings.push {
            told.push((push.key.clone(), Notice::Deleted));
        }
        for (key, notice) in told {
            self.notify(reader.namespace, &reader.settings.topic, &key, notice, turn);
        }
    }

    pub(super) fn describe_reader(&mut self, number: u64) -> Result<ReaderSummary, ReaderError> {
        let pending = self.pending_of(number);
        let reader = self.readers.all.get(&number).ok_or(ReaderError::NotFound)?;
        let window = self.windows.get(number).ok_or(ReaderError::NotFound)?;
        Ok(reader.summary(window, pending))
    }

    pub(super) fn list_readers(
        &mut self,
        namespace: u32,
        log: &Name,
    ) -> Result<Vec<ReaderSummary>, ReaderError> {
        let log = self.log_id(namespace, log).ok_or(ReaderError::NoLog)?;
        let numbers: Vec<u64> = self.readers.of_log(log).collect();
        let all = numbers
            .into_iter()
            .map(|number| self.describe_reader(number));
        all.collect()
    }

    /// Looks whether anybody listens to what a reader pushes.
    fn notice_audience(&mut self, number: u64, now: Millis) {
        let Some(reader) = self.readers.all.get(&number) else {
            return;
        };
        let heard = reader.settings.push.as_ref().map(|push| {
            let (topic, key) = (reader.settings.topic.clone(), push.key.clone());
            (reader.namespace, topic, key)
        });
        let heard = heard.is_some_and(|(namespace, topic, key)| {
            self.audience(namespace, &topic, &key) != Audience::Nobody
        });
        if let Some(reader) = self.readers.all.get_mut(&number) {
            reader.hears(heard, now);
        }
        self.readers.arm(number);
    }
}

impl Reader {
    /// A reader that has handed nothing out.
    pub(super) fn new(
        number: u64,
        namespace: u32,
        at: At,
        log: &Name,
        name: &str,
        settings: ReaderSettings,
        created: Millis,
    ) -> Self {
        let mut pulls = Pulls::default();
        pulls.is_ranked = is_ranked(&settings);
        Self {
            number,
            namespace,
            at,
            log: log.clone(),
            name: Arc::from(name),
            settings,
            created,
            origin: Origin::default(),
            sequence: 0,
            was_reset: false,
            delivered_at: None,
            settled_at: None,
            handed: BTreeMap::new(),
            pulls,
            pin: None,
            selected: VecDeque::new(),
            loaded: VecDeque::new(),
            is_loading: false,
            pending: Pending {
                is_stale: true,
                ..Pending::default()
            },
            flow: Flow::default(),
            is_heard: false,
            idle_since: Some(created),
            heartbeat_due: None,
            next_due: None,
            pace: None,
            armed: None,
            touched: false,
            awaits_more: false,
            is_news: false,
        }
    }
}

fn is_ranked(settings: &ReaderSettings) -> bool {
    let groups = settings.groups.as_ref();
    groups.is_some_and(|groups| groups.precedence == Precedence::Ranked)
}

/// What of a reader cannot be changed, if that would be.
fn fixed(now: &ReaderSettings, wanted: &ReaderSettings) -> Option<&'static str> {
    let same = [
        (now.start == wanted.start, "where it starts"),
        (
            now.acknowledging == wanted.acknowledging,
            "how its records are settled",
        ),
        (now.keeps_pace == wanted.keeps_pace, "its pace"),
        (
            now.push.is_some() == wanted.push.is_some(),
            "whether it pushes or is pulled from",
        ),
        (
            now.pulls.waiting_max == wanted.pulls.waiting_max,
            "how many pulls wait",
        ),
        (
            now.durable == wanted.durable,
            "whether it survives a restart",
        ),
        (
            now.acknowledging == Acknowledging::Never || now.topic == wanted.topic,
            "its topic",
        ),
    ];
    let differs = same.into_iter().find(|(is_same, _)| !is_same);
    differs.map(|(_, what)| what)
}
