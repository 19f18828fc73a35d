//! One reader's window on one partition: what of it is settled, with whom the rest is, and how often it was tried.
//!
//! What always holds: what lies below `floor` is settled, what lies from `next` on was never handed out; a record is leased
//! to one holder at a time; what is settled stays so.

use std::ops::Range;

use polybus_model::{Lent, Millis};

use super::span::{Failure, Span, Spans, State};

/// How a lease ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Settlement {
    /// Done with.
    Accept,
    /// Back, at once or at that time.
    Release {
        /// It stays an attempt; else it never was.
        counted: bool,
        /// When it may be handed out again.
        due: Option<Millis>,
    },
    /// Refused for good.
    Reject,
}

/// A window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    spans: Spans,
    next: u64,
    attempts_max: Option<u32>,
    /// Settled since the journal was last told
    pub(super) settled: Vec<Range<u64>>,
    /// of it some that a reader settled: the rest would be passed over again.
    pub(super) is_news: bool,
    /// Came back since the journal was last told.
    pub(super) returned: Vec<Range<u64>>,
    /// There may be more to hand out, or to bury, than when this was last looked at.
    pub(super) stirred: bool,
}

impl Window {
    /// A window of which everything below `start` is settled.
    pub(crate) fn new(start: u64) -> Self {
        Self {
            next: start,
            ..Self::default()
        }
    }

    /// Nothing below is of interest any more.
    pub(crate) fn floor(&self) -> u64 {
        self.spans.first().unwrap_or(self.next)
    }

    /// The first record that was never handed out.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Records handed out before that are not settled.
    pub(crate) const fn unsettled(&self) -> u64 {
        self.spans.unsettled()
    }

    /// Of these the ones with readers.
    pub(crate) const fn leased(&self) -> u64 {
        self.spans.leased()
    }

    /// Records that are back to be handed out again at once.
    pub(crate) fn ready(&self) -> u64 {
        let ready = self
            .spans
            .iter()
            .filter(|(_, span)| span.state == State::Ready);
        ready.map(|(first, span)| span.end - first).sum()
    }

    /// Whether any record is.
    pub(crate) fn is_any_ready(&self) -> bool {
        self.spans.is_any_ready()
    }

    /// Records that were handed out more than once and are not settled.
    pub(crate) fn tried_again(&self) -> u64 {
        let again = self.spans.iter().filter(|(_, span)| span.attempts > 1);
        again.map(|(first, span)| span.end - first).sum()
    }

    /// Whether a record is settled.
    pub(crate) fn is_settled(&self, offset: u64) -> bool {
        offset < self.next && self.spans.within(offset..offset + 1).next().is_none()
    }

    /// How often a record that is not settled was handed out.
    pub(crate) fn attempts(&self, offset: u64) -> u32 {
        let span = self.spans.within(offset..offset + 1).next();
        span.map_or(0, |(_, span)| span.attempts)
    }

    /// Until when a record is leased.
    pub(crate) fn leased_until(&self, offset: u64) -> Option<Millis> {
        let (_, span) = self.spans.within(offset..offset + 1).next()?;
        match span.state {
            State::Leased { until, .. } => Some(until),
            _ => None,
        }
    }

    /// How often a record may be handed out.
    pub(crate) const fn set_attempts_max(&mut self, most: Option<u32>) {
        self.attempts_max = most;
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.spans.deadline()
    }

    /// Leases that are over come back, counted; what waited long enough is ready. True if there was any.
    pub(crate) fn tick(&mut self, now: Millis) -> bool {
        let mut any = false;
        while let Some((first, span)) = self.spans.due(now) {
            any = true;
            self.stirred = true;
            match span.state {
                State::Leased { .. } => self.give_back(first, span, true, None),
                _ => {
                    let ready = State::Ready;
                    let ready = Span {
                        state: ready,
                        ..span
                    };
                    self.spans.set(first, Some(ready), span.end);
                }
            }
        }
        any
    }

    /// The first records at or behind an offset that may be handed out, with the attempts that they had; where they were
    /// never handed out, they have no end but the partition's.
    pub(crate) fn candidate(&self, from: u64) -> Lent {
        match self.spans.ready(from) {
            Some((first, span)) => Lent {
                first,
                end: span.end,
                attempts: span.attempts,
            },
            None => Lent {
                first: from.max(self.next),
                end: u64::MAX,
                attempts: 0,
            },
        }
    }

    /// Leases what of a range is ready or fresh, and adds it to `lent`. What was never handed out and lies before the range is
    /// passed over.
    pub(crate) fn lend(
        &mut self,
        range: Range<u64>,
        holder: u64,
        until: Millis,
        lent: &mut Vec<Lent>,
    ) {
        if range.is_empty() {
            return;
        }
        if range.end > self.next {
            self.pass_over(self.next..range.start);
            let fresh = Span {
                end: range.end,
                attempts: 0,
                state: State::Ready,
            };
            self.spans
                .set(self.next.max(range.start), Some(fresh), range.end);
            self.next = range.end;
        }
        let ready: Vec<_> = self.spans.within(range).collect();
        for (first, span) in ready {
            if span.state != State::Ready {
                continue;
            }
            let attempts = span.attempts.saturating_add(1);
            let leased = Span {
                attempts,
                state: State::Leased { holder, until },
                ..span
            };
            self.spans.set(first, Some(leased), span.end);
            lent.push(Lent {
                first,
                end: span.end,
                attempts,
            });
        }
    }

    /// Leases records that were never handed out, and passes over what lies before them.
    pub(crate) fn lend_fresh(&mut self, range: Range<u64>, until: Millis) {
        if range.is_empty() || range.start < self.next {
            return;
        }
        self.pass_over(self.next..range.start);
        let leased = Span {
            end: range.end,
            attempts: 1,
            state: State::Leased { holder: 0, until },
        };
        self.spans.set(range.start, Some(leased), range.end);
        self.next = range.end;
    }

    /// What lies before an offset was handed out, to be settled at once, or passed over.
    pub(crate) fn hand_out_settled(&mut self, end: u64) {
        if end > self.next {
            push(&mut self.settled, self.next..end);
            self.is_news = true;
            self.next = end;
        }
    }

    /// What of a range is ready or fresh is of no interest to the reader, or there is no such record: it counts as
    /// settled.
    pub(crate) fn pass_over(&mut self, range: Range<u64>) {
        let within: Vec<_> = self.spans.within(range.clone()).collect();
        for (first, span) in within {
            if span.state == State::Ready {
                self.end(first..span.end, false);
            }
        }
        if range.start <= self.next && range.end > self.next {
            self.note_settled(self.next..range.end, false);
            self.next = range.end;
        }
    }

    /// The log begins here now: what lies before is gone, with whomever it is.
    pub(crate) fn trim(&mut self, start: u64) {
        let within: Vec<_> = self.spans.within(0..start).collect();
        for (first, span) in within {
            self.end(first..span.end, false);
        }
        if start > self.next {
            self.note_settled(self.next..start, false);
            self.next = start;
        }
    }

    /// Whether all records of a range are leased to that holder.
    pub(crate) fn holds(&self, range: Range<u64>, holder: u64) -> bool {
        let mut at = range.start;
        for (first, span) in self.spans.within(range.clone()) {
            let is_its = matches!(span.state, State::Leased { holder: one, .. } if one == holder);
            if first != at || !is_its {
                return false;
            }
            at = span.end;
        }
        at >= range.end
    }

    /// Ends the leases of a holder in a range; without one, of all whom the records were ever handed out to, even where
    /// their leases are over. Gives how many records that were.
    pub(crate) fn settle(
        &mut self,
        range: Range<u64>,
        holder: Option<u64>,
        settlement: Settlement,
    ) -> u64 {
        let within: Vec<_> = self.spans.within(range).collect();
        let mut count = 0;
        for (first, span) in within {
            let may = match (span.state, holder) {
                (State::Leased { holder: one, .. }, Some(holder)) => one == holder,
                (State::Leased { .. }, None) => true,
                (State::Ready | State::Waiting { .. }, None) => span.attempts > 0,
                _ => false,
            };
            if !may {
                continue;
            }
            count += span.end - first;
            match settlement {
                Settlement::Accept => self.end(first..span.end, true),
                Settlement::Reject => self.fail(first, span, Failure::Rejected),
                Settlement::Release { counted, due } => self.give_back(first, span, counted, due),
            }
        }
        count
    }

    /// Lets the leases of a holder in a range (without one: of whoever has them) last until then. Gives how many.
    pub(crate) fn extend(&mut self, range: Range<u64>, holder: Option<u64>, until: Millis) -> u64 {
        let within: Vec<_> = self.spans.within(range).collect();
        let mut count = 0;
        for (first, span) in within {
            let State::Leased { holder: one, .. } = span.state else {
                continue;
            };
            if holder.is_some_and(|holder| holder != one) {
                continue;
            }
            count += span.end - first;
            let state = State::Leased { holder: one, until };
            self.spans
                .set(first, Some(Span { state, ..span }), span.end);
        }
        count
    }

    /// A holder is gone: what it had comes back. Gives how many records that were.
    pub(crate) fn release_all(&mut self, holder: u64, counted: bool) -> u64 {
        let release = Settlement::Release { counted, due: None };
        self.settle(0..self.next, Some(holder), release)
    }

    /// Records that failed, for the caller to bury; each is given once.
    pub(crate) fn take_failed(&mut self) -> Option<(Lent, Failure)> {
        let (first, span) = self.spans.failed()?;
        let State::Failed(failure) = span.state else {
            return None;
        };
        let state = State::Burying(failure);
        self.spans
            .set(first, Some(Span { state, ..span }), span.end);
        let lent = Lent {
            first,
            end: span.end,
            attempts: span.attempts,
        };
        Some((lent, failure))
    }

    /// Records that were taken to be buried are settled,
    pub(crate) fn bury(&mut self, range: Range<u64>) {
        let within: Vec<_> = self.spans.within(range).collect();
        for (first, span) in within {
            if matches!(span.state, State::Burying(_)) {
                self.end(first..span.end, true);
            }
        }
    }

    /// or could not be, and are to be taken again.
    pub(crate) fn fail_again(&mut self, range: Range<u64>) {
        let within: Vec<_> = self.spans.within(range).collect();
        for (first, span) in within {
            if let State::Burying(failure) = span.state {
                self.fail(first, span, failure);
            }
        }
    }

    fn give_back(&mut self, first: u64, span: Span, counted: bool, due: Option<Millis>) {
        let was_out = matches!(span.state, State::Leased { .. });
        let attempts = match counted || !was_out {
            true => span.attempts,
            false => span.attempts.saturating_sub(1),
        };
        let span = Span { attempts, ..span };
        if counted && self.attempts_max.is_some_and(|most| attempts >= most) {
            return self.fail(first, span, Failure::Exhausted);
        }
        let state = due.map_or(State::Ready, |due| State::Waiting { due });
        self.spans
            .set(first, Some(Span { state, ..span }), span.end);
        self.note_returned(first..span.end);
    }

    fn fail(&mut self, first: u64, span: Span, failure: Failure) {
        let state = State::Failed(failure);
        self.spans
            .set(first, Some(Span { state, ..span }), span.end);
        self.note_returned(first..span.end);
    }

    fn end(&mut self, range: Range<u64>, is_news: bool) {
        self.spans.set(range.start, None, range.end);
        self.note_settled(range, is_news);
    }

    fn note_settled(&mut self, range: Range<u64>, is_news: bool) {
        self.is_news |= is_news;
        self.stirred |= is_news;
        push(&mut self.settled, range);
    }

    fn note_returned(&mut self, range: Range<u64>) {
        self.stirred = true;
        push(&mut self.returned, range);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Span)> {
        self.spans.iter()
    }

    pub(super) fn within(&self, range: Range<u64>) -> impl Iterator<Item = (u64, Span)> {
        self.spans.within(range)
    }

    /// At recovery: a range was settled.
    pub(super) fn recover_settled(&mut self, range: Range<u64>) {
        self.reach(range.clone());
        self.spans.set(range.start, None, range.end);
    }

    /// At recovery: records came back.
    pub(super) fn recover_returned(&mut self, first: u64, span: Span) {
        self.reach(first..span.end);
        self.spans.set(first, Some(span), span.end);
    }

    /// What lies before a range that was handed out was handed out too.
    fn reach(&mut self, range: Range<u64>) {
        if range.end > self.next {
            let ready = Span {
                end: range.start,
                attempts: 0,
                state: State::Ready,
            };
            self.spans.set(self.next, Some(ready), range.start);
            self.next = range.end;
        }
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        self.spans.check();
        assert!(self.spans.iter().all(|(_, span)| span.end <= self.next));
    }
}

/// Adds a range to a list, in one with the last one where they meet.
fn push(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

/// Sorts ranges and joins those that meet or overlap.
pub(super) fn merge(ranges: &mut Vec<Range<u64>>) {
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, kept| {
        let joins = next.start <= kept.end;
        if joins {
            kept.end = kept.end.max(next.end);
        }
        joins
    });
}
