//! Runs of records in the same state, in the order of their offsets, and beside them the indexes that find the next
//! of a state without a search.
//!
//! What always holds: spans do not overlap, are not empty, and two that meet differ; a span is in exactly the index that its
//! state says; `unsettled` and `leased` count records.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use polybus_model::Millis;

/// Why a record is not to be handed out any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// It was handed out as often as the group allows.
    Exhausted,
    /// A reader refused it for good.
    Rejected,
}

/// What records are in; settled ones are in no span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// To be handed out.
    Ready,
    /// To be handed out, when it is time.
    Waiting { due: Millis },
    /// With a reader, until then.
    Leased { holder: u64, until: Millis },
    /// Failed, and not yet taken by the one who buries it
    Failed(Failure),
    /// or taken.
    Burying(Failure),
}

/// Records in the same state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// The first offset behind it.
    pub(super) end: u64,
    /// How often they were handed out, this lease included.
    pub(super) attempts: u32,
    pub(super) state: State,
}

/// All spans of a window.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans {
    /// By their first offset.
    all: BTreeMap<u64, Span>,
    ready: BTreeSet<u64>,
    /// Those that wait or are leased, by when that is over.
    timed: BTreeSet<(Millis, u64)>,
    failed: BTreeSet<u64>,
    unsettled: u64,
    leased: u64,
}

impl Spans {
    pub(super) const fn unsettled(&self) -> u64 {
        self.unsettled
    }

    pub(super) const fn leased(&self) -> u64 {
        self.leased
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.all.first_key_value().map(|(first, _)| *first)
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.timed.first().map(|(due, _)| *due)
    }

    /// One whose time has come.
    pub(super) fn due(&self, now: Millis) -> Option<(u64, Span)> {
        let (due, first) = self.timed.first()?;
        let span = self.all.get(first).filter(|_| *due <= now)?;
        Some((*first, *span))
    }

    /// The first one that failed and nobody buries.
    pub(super) fn failed(&self) -> Option<(u64, Span)> {
        let first = self.failed.first()?;
        Some((*first, *self.all.get(first)?))
    }

    /// Whether any record is ready.
    pub(super) fn is_any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The first records at or behind an offset that are ready.
    pub(super) fn ready(&self, from: u64) -> Option<(u64, Span)> {
        // The span that holds the offset starts before it.
        let holding = self.all.range(..from).next_back();
        if let Some((_, span)) = holding.filter(|(_, span)| span.end > from)
            && span.state == State::Ready
        {
            return Some((from, *span));
        }
        let first = self.ready.range(from..).next()?;
        Some((*first, *self.all.get(first)?))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Span)> {
        self.all.iter().map(|(first, span)| (*first, *span))
    }

    /// The parts of a range that are in spans.
    pub(super) fn within(&self, range: Range<u64>) -> impl Iterator<Item = (u64, Span)> {
        let before = self.all.range(..range.start).next_back();
        let before = before.filter(|(_, span)| span.end > range.start);
        let from = before.map_or(range.start, |(first, _)| *first);
        let all = self.all.range(from..range.end.max(from));
        let cut = all.map(move |(first, span)| {
            let end = span.end.min(range.end);
            (range.start.max(*first), Span { end, ..*span })
        });
        cut.filter(|(first, span)| *first < span.end)
    }

    /// Writes what part of a range is in, over whatever it was in; none settles it.
    pub(super) fn set(&mut self, first: u64, span: Option<Span>, end: u64) {
        if first >= end {
            return;
        }
        self.split(first);
        self.split(end);
        while let Some(inside) = self.all.range(first..end).next().map(|(at, _)| *at) {
            self.remove(inside);
        }
        let Some(mut span) = span else { return };
        span.end = end;
        let mut first = first;
        let before = self
            .all
            .range(..first)
            .next_back()
            .map(|(at, one)| (*at, *one));
        if let Some((at, one)) = before
            && one.end == first
            && alike(&one, &span)
        {
            self.remove(at);
            first = at;
        }
        if let Some(behind) = self.all.get(&end).copied()
            && alike(&behind, &span)
        {
            self.remove(end);
            span.end = behind.end;
        }
        self.insert(first, span);
    }

    /// Lets a span start at an offset, if it is in one.
    fn split(&mut self, at: u64) {
        let holding = self.all.range(..at).next_back();
        let Some((first, span)) = holding.map(|(first, span)| (*first, *span)) else {
            return;
        };
        if span.end > at {
            self.remove(first);
            self.insert(first, Span { end: at, ..span });
            self.insert(at, span);
        }
    }

    fn insert(&mut self, first: u64, span: Span) {
        let len = span.end - first;
        self.unsettled += len;
        match span.state {
            State::Ready => {
                self.ready.insert(first);
            }
            State::Waiting { due } => {
                self.timed.insert((due, first));
            }
            State::Leased { until, .. } => {
                self.leased += len;
                self.timed.insert((until, first));
            }
            State::Failed(_) => {
                self.failed.insert(first);
            }
            State::Burying(_) => {}
        }
        self.all.insert(first, span);
    }

    fn remove(&mut self, first: u64) {
        let Some(span) = self.all.remove(&first) else {
            return;
        };
        let len = span.end - first;
        self.unsettled -= len;
        match span.state {
            State::Ready => {
                self.ready.remove(&first);
            }
            State::Waiting { due } => {
                self.timed.remove(&(due, first));
            }
            State::Leased { until, .. } => {
                self.leased -= len;
                self.timed.remove(&(until, first));
            }
            State::Failed(_) => {
                self.failed.remove(&first);
            }
            State::Burying(_) => {}
        }
    }

    /// Whether all is as the head of this module says.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let (mut unsettled, mut leased, mut last) = (0, 0, None::<(u64, Span)>);
        let (mut ready, mut timed, mut failed) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (first, span) in self.iter() {
            assert!(first < span.end);
            if let Some((_, before)) = last {
                assert!(before.end <= first);
                assert!(before.end < first || !alike(&before, &span), "they are one");
            }
            unsettled += span.end - first;
            match span.state {
                State::Ready => assert!(ready.insert(first)),
                State::Waiting { due } => assert!(timed.insert((due, first))),
                State::Leased { until, .. } => {
                    leased += span.end - first;
                    assert!(timed.insert((until, first)));
                }
                State::Failed(_) => assert!(failed.insert(first)),
                State::Burying(_) => {}
            }
            last = Some((first, span));
        }
        assert_eq!((unsettled, leased), (self.unsettled, self.leased));
        assert_eq!(
            (&ready, &timed, &failed),
            (&self.ready, &self.timed, &self.failed)
        );
    }
}

fn alike(one: &Span, other: &Span) -> bool {
    one.attempts == other.attempts && one.state == other.state
}
