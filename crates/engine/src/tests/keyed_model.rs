//! Random turns with a keyed log, against a plain list of what it holds: every limit exact after each turn, ids known as long
//! as they are to be, every record found by its key, also after an end at any point and with copies in cold places.

use polybus_model::{
    FilterWord, KeyedError, KeyedSettings, LastOfKey, ListKeys, LiveFilter, LogError, LogReply,
    LogRequest, LogSettings, Place, Purge, RecordTtl, RollUp, SessionId, StoredRecord, Terms,
    WhenFull, WhichRecord,
};
use proptest::prelude::*;

use super::desk::{Desk, message, name};
use super::logs::{at, bytes, read_of};
use super::recovering::{History, live};
use crate::Options;

const KEYS: [&str; 4] = ["a.x", "a.y", "b.x", "b"];
const DUPLICATES_MS: u64 = 3_000;

#[derive(Clone, Debug)]
enum Step {
    Store {
        key: usize,
        id: Option<u8>,
        last: Option<bool>,
        roll_up: Option<bool>,
        ttl: Option<Option<u64>>,
    },
    Several(usize),
    Remove(usize),
    Purge {
        keys: Option<usize>,
        before: Option<u64>,
        keep: u64,
    },
    Wait(u64),
    Snapshot,
    Compact,
    Restart,
}

fn steps() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    prop_oneof![
        12 => (key.clone(), prop::option::weighted(0.3, 0..3_u8), prop::option::weighted(0.3, any::<bool>()),
               prop::option::weighted(0.1, any::<bool>()),
               prop::option::weighted(0.2, prop::option::weighted(0.7, 1_000..8_000_u64)))
            .prop_map(|(key, id, last, roll_up, ttl)| Step::Store { key, id, last, roll_up, ttl }),
        2 => key.clone().prop_map(Step::Several),
        2 => (0..8_usize).prop_map(Step::Remove),
        2 => (prop::option::of(0..3_usize), prop::option::of(0..6_u64), 0..3_u64)
            .prop_map(|(keys, before, keep)| Step::Purge { keys, before, keep }),
        3 => (1..4_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Snapshot),
        2 => Just(Step::Compact),
        2 => Just(Step::Restart),
    ]
}

fn settings() -> impl Strategy<Value = LogSettings> {
    let when_full = prop_oneof![
        2 => Just(WhenFull::DropOldest),
        1 => Just(WhenFull::Refuse),
        1 => Just(WhenFull::RefuseKey),
    ];
    let max = |to: u64| prop::option::of(1..to);
    (max(8), max(4), when_full, prop::option::of(Just(6_000_u64))).prop_map(
        |(records_max, key_records_max, when_full, retention_ms)| LogSettings {
            retention_ms,
            keyed: Some(Box::new(KeyedSettings {
                records_max,
                key_records_max,
                when_full,
                duplicates_ms: DUPLICATES_MS,
                expires: true,
                rolls_up: true,
                ..KeyedSettings::default()
            })),
            ..LogSettings::default()
        },
    )
}

/// Patterns: `a.*`, `*.x`, `b`.
fn pattern(which: usize) -> LiveFilter {
    let words = match which {
        0 => vec![FilterWord::Exact(b"a"), FilterWord::AnyOne],
        1 => vec![FilterWord::AnyOne, FilterWord::Exact(b"x")],
        _ => vec![FilterWord::Exact(b"b")],
    };
    LiveFilter::new(words)
}

#[derive(Clone, PartialEq, Debug)]
struct Record {
    offset: u64,
    key: &'static str,
    body: String,
    at: u64,
    ttl: Option<u64>,
}

struct World {
    desk: Desk,
    history: History,
    settings: LogSettings,
    records: Vec<Record>,
    /// Id, offset, time.
    ids: Vec<(u8, u64, u64)>,
    next: u64,
    number: usize,
}

fn options() -> Options {
    Options {
        log_resident_bytes_max: 1_000,
        ..Options::default()
    }
}

impl World {
    fn rules(&self) -> &KeyedSettings {
        self.settings.keyed.as_ref().unwrap()
    }

    fn step(&mut self, step: &Step) {
        self.number += 1;
        match step {
            Step::Store {
                key,
                id,
                last,
                roll_up,
                ttl,
            } => {
                let (request, expected) = self.expect(KEYS[*key], *id, *last, *roll_up, *ttl);
                let LogReply::Stored(result) = self.desk.log(request) else {
                    panic!("stored");
                };
                assert_eq!(result, expected);
                self.limit();
            }
            Step::Several(key) => self.several(*key),
            Step::Remove(which) => self.remove(*which),
            Step::Purge { keys, before, keep } => self.purge(*keys, *before, *keep),
            Step::Wait(ms) => {
                self.desk.wait(*ms);
                self.age();
            }
            Step::Snapshot => self.history.snapshot(&self.desk),
            Step::Compact => self.history.compact(&mut self.desk),
            Step::Restart => self.restart(),
        }
    }

    /// Three in one turn.
    fn several(&mut self, key: usize) {
        let mut requests = Vec::new();
        let mut wanted = Vec::new();
        for more in 0..3 {
            let key = KEYS[(key + more) % KEYS.len()];
            let (request, expected) = self.expect(key, None, None, None, None);
            let (number, request) = (more as u64, Box::new(request));
            requests.push(polybus_model::Request::Log { number, request });
            wanted.push(expected);
            // Limits are kept between requests, too.
            self.limit();
        }
        let told = super::logs::replies(self.desk.batch(1, requests));
        let got = told.into_iter().map(|(_, reply)| match reply {
            LogReply::Stored(result) => result,
            other => panic!("{other:?}"),
        });
        assert_eq!(got.collect::<Vec<_>>(), wanted);
    }

    /// The request, and what it has to come to.
    fn expect(
        &mut self,
        key: &'static str,
        id: Option<u8>,
        last: Option<bool>,
        roll_up: Option<bool>,
        ttl: Option<Option<u64>>,
    ) -> (LogRequest, Result<StoredRecord, LogError>) {
        let body = format!("{}:{}", self.number, "x".repeat(200));
        let last_of_key = self.records.iter().rev().find(|one| one.key == key);
        let last_of_key = last_of_key.map(|one| one.offset);
        let last = last.map(|right| match right {
            true => last_of_key,
            false => Some(self.next + 7),
        });
        let terms = Terms {
            id: id.map(|id| vec![b'i', id].into()),
            last_of_key: last.map(|offset| LastOfKey { key: None, offset }),
            roll_up: roll_up.map(|all| if all { RollUp::All } else { RollUp::Key }),
            ttl: ttl.map(|ttl| ttl.map_or(RecordTtl::Never, RecordTtl::For)),
            ..Terms::default()
        };
        let request = LogRequest::Store {
            log: name("l"),
            message: message("l", key, &body),
            terms: Box::new(terms),
        };
        let expected = self.store(
            key,
            body,
            id,
            last.map(|last| (last, last_of_key)),
            roll_up,
            ttl,
        );
        (request, expected)
    }

    #[allow(clippy::too_many_arguments)]
    fn store(
        &mut self,
        key: &'static str,
        body: String,
        id: Option<u8>,
        last: Option<(Option<u64>, Option<u64>)>,
        roll_up: Option<bool>,
        ttl: Option<Option<u64>>,
    ) -> Result<StoredRecord, LogError> {
        let now = self.desk.now;
        let stored = |offset, duplicate| StoredRecord {
            log: name("l"),
            offset,
            duplicate,
            more: None,
        };
        let known = self.ids.iter().rev().find(|one| Some(one.0) == id);
        if let Some((_, offset, at)) = known
            && at + DUPLICATES_MS >= now
        {
            return Ok(stored(*offset, true));
        }
        if let Some((wanted, is)) = last
            && wanted != is
        {
            return Err(KeyedError::LastOfKey(is).into());
        }
        let of_key = self.records.iter().filter(|one| one.key == key);
        let oldest = of_key.clone().map(|one| one.offset).next();
        let key_full = self
            .rules()
            .key_records_max
            .is_some_and(|max| of_key.count() as u64 >= max);
        let when_full = self.rules().when_full;
        if key_full && when_full == WhenFull::RefuseKey {
            return Err(KeyedError::KeyRecordsMax.into());
        }
        let full = self
            .rules()
            .records_max
            .is_some_and(|max| self.records.len() as u64 >= max);
        if full && when_full != WhenFull::DropOldest && !key_full {
            return Err(KeyedError::RecordsMax.into());
        }
        if key_full {
            self.records.retain(|one| Some(one.offset) != oldest);
        }
        match roll_up {
            Some(true) => self.records.clear(),
            Some(false) => self.records.retain(|one| one.key != key),
            None => {}
        }
        let offset = self.next;
        self.next += 1;
        let ttl = ttl.map(|ttl| ttl.unwrap_or(u64::MAX));
        self.records.push(Record {
            offset,
            key,
            body,
            at: now,
            ttl,
        });
        self.ids.extend(id.map(|id| (id, offset, now)));
        Ok(stored(offset, false))
    }

    fn limit(&mut self) {
        let max = self.rules().records_max.unwrap_or(u64::MAX) as usize;
        let excess = self.records.len().saturating_sub(max);
        self.records.drain(..excess);
    }

    /// Times are kept to a tenth of a second.
    fn age(&mut self) {
        let now = self.desk.now / 100 * 100;
        let age = self.settings.retention_ms.unwrap_or(u64::MAX);
        self.records.retain(|one| {
            let old = one.ttl != Some(u64::MAX) && one.at.saturating_add(age) <= now;
            let over = one.ttl.is_some_and(|ttl| one.at.saturating_add(ttl) <= now);
            !old && !over
        });
    }

    fn remove(&mut self, which: usize) {
        let offset = self.records.get(which).map_or(1_000, |one| one.offset);
        let had = self.records.len();
        self.records.retain(|one| one.offset != offset);
        let partition = at("l", 0);
        let reply = self.desk.log(LogRequest::Remove { partition, offset });
        let removed = (had - self.records.len()) as u64;
        assert!(matches!(reply, LogReply::Removed(Ok(got)) if got == removed));
    }

    fn purge(&mut self, keys: Option<usize>, before: Option<u64>, keep: u64) {
        let filter = keys.map(pattern);
        let before = before.map(|by| self.next.saturating_sub(by));
        let fits = |one: &&Record| {
            filter
                .as_ref()
                .is_none_or(|keys| keys.fits(one.key.as_bytes()))
        };
        let wanted: Vec<u64> = self
            .records
            .iter()
            .filter(fits)
            .map(|one| one.offset)
            .collect();
        let stay = wanted.len().saturating_sub(keep as usize);
        let gone: Vec<u64> = wanted[..stay]
            .iter()
            .copied()
            .filter(|offset| before.is_none_or(|before| *offset < before))
            .collect();
        self.records.retain(|one| !gone.contains(&one.offset));
        let reply = self.desk.log(LogRequest::Purge(Purge {
            partition: at("l", 0),
            keys: filter,
            before,
            keep,
        }));
        assert!(
            matches!(reply, LogReply::Removed(Ok(got)) if got == gone.len() as u64),
            "{reply:?} {gone:?}"
        );
    }

    fn restart(&mut self) {
        let mut expected = Vec::new();
        self.desk.engine.put_logs(&mut expected);
        self.desk.engine.put_holes(&mut expected);
        let (engine, shelf) = self.history.recover_with(&self.desk, false, options());
        let mut recovered = Vec::new();
        engine.put_logs(&mut recovered);
        engine.put_holes(&mut recovered);
        assert_eq!(recovered, expected);
        assert_eq!(live(&shelf), live(&self.desk.shelf));
        (self.desk.engine, self.desk.shelf) = (engine, shelf);
        for session in 1..=4 {
            let session = SessionId(session);
            self.desk.engine.attach(session, &name("/")).unwrap();
        }
    }

    fn find(&mut self, which: WhichRecord) -> Option<(u64, String)> {
        let place = Place::Record(which);
        let LogReply::Offsets(mut found) = self
            .desk
            .log(LogRequest::FindOffsets(vec![(at("l", 0), place)]))
        else {
            panic!("offsets");
        };
        let found = found.remove(0).unwrap()?;
        Some((found.offset, bytes(&found.run.unwrap().content)))
    }

    fn check(&mut self) {
        let records = self.records.clone();
        let state = LogRequest::State {
            partition: at("l", 0),
            removed: true,
        };
        let LogReply::State(Ok(state)) = self.desk.log(state) else {
            panic!("a state");
        };
        let (_, state) = *state;
        let start = records.first().map_or(self.next, |one| one.offset);
        assert_eq!((state.start, state.next), (start, self.next));
        assert_eq!(state.records, records.len() as u64);
        assert_eq!(state.removed, self.next - start - records.len() as u64);
        assert_eq!(state.removed_offsets.len() as u64, state.removed);
        let listed = LogRequest::ListKeys(ListKeys {
            partition: at("l", 0),
            filter: pattern(0),
            after: None,
            is_count: false,
        });
        let LogReply::Keys(Ok(listed)) = self.desk.log(listed) else {
            panic!("keys");
        };
        for (key, count) in &listed.keys {
            let held = records.iter().filter(|one| one.key.as_bytes() == key);
            assert_eq!(held.count() as u64, *count);
        }
        let slice = self.desk.read(read_of("l", 0, start)).unwrap();
        let got: Vec<_> = slice
            .runs
            .iter()
            .map(|run| (run.offset, bytes(&run.content)))
            .collect();
        let held: Vec<_> = records
            .iter()
            .map(|one| (one.offset, one.body.clone()))
            .collect();
        assert_eq!(got, held);
        self.check_finds(&records);
    }

    fn check_finds(&mut self, records: &[Record]) {
        let shown = |one: &Record| (one.offset, one.body.clone());
        for keys in (0..3)
            .map(pattern)
            .chain(KEYS.map(|key| LiveFilter::exact(key.as_bytes())))
        {
            let fitting = |one: &&Record| keys.fits(one.key.as_bytes());
            let last = records.iter().rev().find(fitting).map(shown);
            let which = WhichRecord::LastOf {
                keys: keys.clone(),
                before: None,
            };
            assert_eq!(self.find(which), last);
            let from = self.next / 2;
            let next = records
                .iter()
                .filter(fitting)
                .find(|one| one.offset >= from);
            let which = WhichRecord::NextOf {
                keys: Some(keys.clone()),
                from,
            };
            assert_eq!(self.find(which), next.map(shown));
        }
        for offset in self.next.saturating_sub(3)..self.next {
            let held = records.iter().find(|one| one.offset == offset).map(shown);
            assert_eq!(self.find(WhichRecord::At(offset)), held);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_keyed_log_holds_what_it_promises(
        settings in settings(),
        steps in prop::collection::vec(steps(), 1..60),
    ) {
        let mut world = World {
            desk: Desk::with(options()),
            history: History::default(),
            settings: settings.clone(),
            records: Vec::new(),
            ids: Vec::new(),
            next: 0,
            number: 0,
        };
        world.desk.declare_log("l", settings).unwrap();
        for step in &steps {
            world.step(step);
            world.check();
        }
        world.step(&Step::Restart);
        world.check();
    }
}
