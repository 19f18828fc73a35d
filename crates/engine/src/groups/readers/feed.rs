//! Handing out: which record is next, whether it may go now, and to whom it goes.

use bytes::Bytes;
use polybus_model::{HandedRecord, Message, Millis, Notice, Pull, Unpinned};

use super::fetch::Fetched;
use super::outlet::Audience;
use super::precedence::Work;
use crate::groups::{Settlement, Window};
use crate::turn::Turn;
use crate::{Engine, Store};

/// Records that one reader hands out in one turn; the rest follows in the next.
const HANDED_PER_TURN: usize = 1_024;
/// A listener that answers for how far it has come is asked after so many bytes,
pub(super) const FLOW_ASKED_BYTES: usize = 128 * 1024;
/// and gets no more after so many, until it answers.
pub(super) const FLOW_BYTES_MAX: usize = 512 * 1024;

/// What an attempt to hand out a record came to.
enum Step {
    /// There may be more to do.
    More,
    /// Nothing more can be done now.
    Done,
}

/// To whom the next record goes.
struct Outlet {
    key: Bytes,
    /// A pull asked for it.
    is_pull: bool,
}

/// The record that is next.
struct Next {
    offset: u64,
    is_fresh: bool,
}

/// It with its message, and the time of its append.
struct Picked {
    next: Next,
    message: Message,
    time: Millis,
}

impl Engine {
    /// Hands out what a reader has, as long as there is somebody to hand it to.
    pub(super) fn feed(&mut self, number: u64, turn: &mut Turn<'_, impl Store>) {
        let now = self.time(turn);
        self.bury_failed(number, turn);
        let mut left = HANDED_PER_TURN;
        while left > 0 {
            left -= self.hand_run(number, now, left, turn).min(left);
            if left == 0 || matches!(self.hand_next(number, now, turn), Step::Done) {
                break;
            }
            left -= 1;
        }
        self.tell_pulls(number, turn);
        if let Some(reader) = self.readers.all.get_mut(&number) {
            if left == 0 {
                reader.next_due = Some(now);
            }
            let namespace = reader.namespace;
            self.send_records(namespace, turn);
        }
    }

    fn hand_next(&mut self, number: u64, now: Millis, turn: &mut Turn<'_, impl Store>) -> Step {
        let Some(outlet) = self.outlet_of(number, now) else {
            return Step::Done;
        };
        let Some(next) = self.next_record(number) else {
            if let Some(reader) = self.readers.all.get_mut(&number) {
                reader.pulls.end_of_records(&mut self.readers.told);
                self.readers.await_more(number);
            }
            return Step::Done;
        };
        let (message, time) = match self.fetch(number, next.offset, turn) {
            Fetched::Here(message, time) => (message, time),
            Fetched::Gone => {
                let passed = next.offset..next.offset + 1;
                self.windows.act(number, |window| window.pass_over(passed));
                return Step::More;
            }
            Fetched::Coming => return Step::Done,
        };
        let picked = Picked {
            next,
            message,
            time,
        };
        if !self.may_go(number, &picked, &outlet, now) {
            return match outlet.is_pull {
                // A pull ended for its bytes: there may be another one. If it is too early, there is none to hand out to now.
                true => Step::More,
                false => Step::Done,
            };
        }
        if outlet.is_pull && !self.pin_front(number, now, turn) {
            return Step::More;
        }
        self.hand_out(number, &picked, &outlet, now, turn)
    }

    /// To whom a reader hands out now, if it may.
    fn outlet_of(&mut self, number: u64, now: Millis) -> Option<Outlet> {
        if self.readers.all.get(&number)?.settings.groups.is_some() && !self.elect(number) {
            self.readers.await_more(number);
            return None;
        }
        let reader = self.readers.all.get_mut(&number)?;
        let (namespace, topic) = (reader.namespace, reader.settings.topic.clone());
        let is_paused = reader
            .settings
            .paused_until
            .is_some_and(|until| until > now);
        let outlet = match &reader.settings.push {
            Some(push) => Outlet {
                key: push.key.clone(),
                is_pull: false,
            },
            None => Outlet {
                key: reader.pulls.front()?.key.clone(),
                is_pull: true,
            },
        };
        let audience = self.audience(namespace, &topic, &outlet.key);
        let reader = self.readers.all.get_mut(&number)?;
        if !outlet.is_pull {
            reader.hears(audience != Audience::Nobody, now);
        }
        match audience {
            Audience::Nobody if outlet.is_pull => {
                reader.pulls.end_front();
                return self.outlet_of_next_pull(number, now);
            }
            Audience::Nobody => return None,
            Audience::Full(session) => {
                self.readers.parked.entry(session).or_default().push(number);
                return None;
            }
            Audience::Ready => {}
        }
        let must_wait = is_paused
            || reader.next_due.is_some_and(|due| due > now)
            || (reader.flow.is_asked && reader.flow.bytes > FLOW_BYTES_MAX);
        (!must_wait).then_some(outlet)
    }

    /// Brings the pull that gets the next record to the front. False if none may have it now.
    fn elect(&mut self, number: u64) -> bool {
        let pending = self.pending_of(number);
        let leased = self.windows.get(number).map_or(0, Window::unsettled);
        let reader = self.readers.all.get_mut(&number);
        reader.is_some_and(|reader| reader.elect(|| Work { pending, leased }))
    }

    /// The pull that was first has nobody who listens to its key: so may others.
    fn outlet_of_next_pull(&mut self, number: u64, now: Millis) -> Option<Outlet> {
        let reader = self.readers.all.get_mut(&number)?;
        let (namespace, topic) = (reader.namespace, reader.settings.topic.clone());
        let mut pulls = std::mem::take(&mut reader.pulls);
        pulls.end_unheard(|key| self.audience(namespace, &topic, key) != Audience::Nobody);
        let reader = self.readers.all.get_mut(&number)?;
        reader.pulls = pulls;
        reader.active(now);
        // All that are left are heard: this goes no deeper.
        match reader.pulls.is_empty() {
            true => None,
            false => self.outlet_of(number, now),
        }
    }

    /// The record to hand out next, if there is one and it may be leased.
    fn next_record(&mut self, number: u64) -> Option<Next> {
        let reader = self.readers.all.get(&number)?;
        let partition = self.logs.partition(reader.at)?;
        let keys = &partition.keyed.as_ref()?.keys;
        let (start, end) = (partition.start, partition.end);
        if self.windows.get(number)?.floor() < start {
            self.windows.act(number, |window| window.trim(start));
        }
        loop {
            let window = self.windows.get(number)?;
            let candidate = window.candidate(0);
            if candidate.end < u64::MAX {
                if keys.key_of(candidate.first).is_some() {
                    return Some(Next {
                        offset: candidate.first,
                        is_fresh: false,
                    });
                }
                let there = keys.next_from(candidate.first).unwrap_or(u64::MAX);
                let passed = candidate.first..there.min(candidate.end);
                self.windows.act(number, |window| window.pass_over(passed));
                continue;
            }
            let most = reader.settings.leased_max.unwrap_or(u64::MAX);
            if !reader.settles_at_once() && window.unsettled() >= most {
                return None;
            }
            let found = reader.next_wanted(keys, candidate.first, end);
            let Some(offset) = found else {
                if candidate.first < end {
                    let passed = candidate.first..end;
                    self.windows.act(number, |window| window.pass_over(passed));
                }
                return None;
            };
            return Some(Next {
                offset,
                is_fresh: true,
            });
        }
    }

    /// Whether a record may go at this moment: by its pace, and by what is left of a pull.
    fn may_go(&mut self, number: u64, picked: &Picked, outlet: &Outlet, now: Millis) -> bool {
        let Picked {
            next,
            message,
            time,
        } = picked;
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return false;
        };
        if reader.settings.keeps_pace && next.is_fresh {
            let since = reader.pace.map_or(0, |before| time.saturating_sub(before));
            let due = reader
                .delivered_at
                .map_or(now, |at| at.saturating_add(since));
            if due > now {
                reader.next_due = Some(due);
                return false;
            }
        }
        if outlet.is_pull {
            let bytes = size(message);
            let Some(pull) = reader.pulls.front() else {
                return false;
            };
            let Some(left) = pull.bytes_left else {
                return true;
            };
            if pull.cost(bytes) > left {
                let notice = Notice::BytesOver {
                    records: pull.left,
                    bytes: left,
                };
                let told = (pull.key.clone(), notice);
                reader.pulls.end_front();
                self.readers.told.push(told);
                return false;
            }
        }
        true
    }

    fn hand_out(
        &mut self,
        number: u64,
        picked: &Picked,
        outlet: &Outlet,
        now: Millis,
        turn: &mut Turn<'_, impl Store>,
    ) -> Step {
        let Picked {
            next,
            message,
            time,
        } = picked;
        let offset = next.offset;
        let pending = self.pending_of(number);
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return Step::Done;
        };
        let tried = self
            .windows
            .get(number)
            .map_or(0, |window| window.attempts(offset));
        let until = now.saturating_add(reader.lease_ms(tried + 1));
        let mut lent = Vec::new();
        self.windows.act(number, |window| {
            window.lend(offset..offset + 1, 0, until, &mut lent);
        });
        let attempts = lent.first().map_or(1, |one| one.attempts);
        reader.sequence += 1;
        reader.delivered_at = Some(now);
        reader.pace = Some(*time);
        if next.is_fresh {
            reader.pending.count = pending.saturating_sub(1);
            reader.pending.floor = offset + 1;
        }
        let is_settled = reader.settles_at_once();
        if !is_settled {
            reader.handed.entry(offset).or_insert(reader.sequence);
        }
        let record = HandedRecord {
            message: message.clone(),
            offset,
            attempts,
            sequence: reader.sequence,
            time: *time,
            pending: reader.pending.count,
        };
        self.hand(number, &outlet.key, record, turn);
        if is_settled {
            self.settle_window(number, offset..offset + 1, Settlement::Accept, turn);
        }
        self.account(number, message, now, turn);
        Step::More
    }

    /// What a delivery means for the pull, the flow and the pace.
    fn account(
        &mut self,
        number: u64,
        message: &Message,
        now: Millis,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return;
        };
        let bytes = size(message);
        if let Some(rate) = reader.settings.bits_per_second.filter(|rate| *rate > 0) {
            let wait = bytes.saturating_mul(8_000) / rate;
            reader.next_due = Some(now.saturating_add(wait)).filter(|_| wait > 0);
        }
        reader.active(now);
        if let Some(push) = &reader.settings.push {
            reader.heartbeat_due = push.heartbeat_ms.map(|every| now.saturating_add(every));
        }
        if reader.count_handed(bytes) {
            self.ask_flow(number, turn);
        }
    }

    /// A listener has come so far as it was asked.
    pub(super) fn flow_answered(&mut self, number: u64) {
        if let Some(reader) = self.readers.all.get_mut(&number) {
            reader.flow = super::reader::Flow::default();
            self.readers.touch(number);
        }
    }

    /// A session asks for records.
    pub(super) fn pull(&mut self, number: u64, pull: &Pull, turn: &mut Turn<'_, impl Store>) {
        // Only who does not wait has to know what there is.
        let available = match pull.no_wait {
            true => self.available(number),
            false => 0,
        };
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return;
        };
        let result = match (reader.settings.push.is_some(), reader.admit(pull, turn.now)) {
            (true, _) => Err(Some(Notice::Pushes)),
            (false, Err(why)) => Err(Some(Notice::Misplaced(why))),
            (false, Ok(())) => {
                let limits = reader.settings.pulls;
                reader.pulls.add(pull, &limits, available, turn.now)
            }
        };
        reader.active(turn.now);
        let (namespace, topic) = (reader.namespace, reader.settings.topic.clone());
        match result {
            Ok(()) => self.readers.touch(number),
            Err(Some(notice)) => self.notify(namespace, &topic, &pull.key, notice, turn),
            Err(None) => {}
        }
        self.readers.arm(number);
    }

    /// Something of a reader is due.
    pub(super) fn ring_reader(&mut self, number: u64, turn: &mut Turn<'_, impl Store>) {
        let now = turn.now;
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return;
        };
        if reader.idle_deadline().is_some_and(|due| due <= now) {
            self.delete_reader(number, turn);
            return;
        }
        if reader.next_due.is_some_and(|due| due <= now) {
            reader.next_due = None;
        }
        let is_silent = reader.pin_deadline().is_some_and(|due| due <= now);
        if reader.settings.paused_until.is_some_and(|due| due <= now) {
            reader.settings.paused_until = None;
        }
        let mut beats = Vec::new();
        reader.pulls.tick(now, &mut self.readers.told, &mut beats);
        if let Some(push) = &reader.settings.push
            && reader.heartbeat_due.is_some_and(|due| due <= now)
        {
            reader.heartbeat_due = push.heartbeat_ms.map(|every| now.saturating_add(every));
            beats.push(push.key.clone());
        }
        let (namespace, topic) = (reader.namespace, reader.settings.topic.clone());
        let (sequence, stalled) = (reader.sequence, reader.flow.is_asked);
        let offset = self.windows.get(number).map_or(0, |window| window.next());
        for key in beats {
            let beat = Notice::Heartbeat {
                sequence,
                offset,
                stalled,
            };
            self.notify(namespace, &topic, &key, beat, turn);
        }
        self.tell_pulls(number, turn);
        if is_silent {
            self.unpin(number, Unpinned::Silent, turn);
        }
        self.readers.touch(number);
    }

    /// Tells the listeners of pulls that ended why.
    fn tell_pulls(&mut self, number: u64, turn: &mut Turn<'_, impl Store>) {
        let Some(reader) = self.readers.all.get(&number) else {
            return;
        };
        let (namespace, topic) = (reader.namespace, reader.settings.topic.clone());
        for (key, notice) in std::mem::take(&mut self.readers.told) {
            self.notify(namespace, &topic, &key, notice, turn);
        }
    }

    /// Records that could be handed out at this moment, whoever asks.
    fn available(&mut self, number: u64) -> u64 {
        let ready = self.windows.get(number).map_or(0, |window| window.ready());
        ready + self.pending_of(number)
    }

    /// Records that a reader wants and never handed out.
    pub(super) fn pending_of(&mut self, number: u64) -> u64 {
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return 0;
        };
        let Some(partition) = self.logs.partition(reader.at) else {
            return 0;
        };
        let (Some(keyed), Some(window)) = (&partition.keyed, self.windows.get(number)) else {
            return 0;
        };
        reader.count_pending(&keyed.keys, window.next(), partition.end)
    }
}

/// What a record counts for: key, headers and body.
pub(super) fn size(message: &Message) -> u64 {
    (message.key().len() + message.properties().len() + message.body().len()) as u64
}
