//! The answers that a connection waits for, in the order of its requests.
//!
//! ```text
//! request -> Step::Ask (numbered questions) -> the broker's answers -> Step::Ask ... -> Step::Done -> written when first in line
//! ```
//! A request asks as soon as it is read, whatever those before it wait for; its answer is written when theirs are.

use std::collections::VecDeque;

use polybus_model::{
    AccessReply, AccessRequest, GroupReply, GroupRequest, Guarded, LogReply, LogRequest, Operations,
};
use polybus_session::Outbound;

use super::core::Core;
use crate::codec::{Api, Message, write_response};

/// A question for the broker.
#[derive(Debug)]
pub(super) enum Ask {
    Log(LogRequest),
    Group(GroupRequest),
    Access(AccessRequest),
}

/// The broker's answer.
#[derive(Debug)]
pub(super) enum Answer {
    Log(LogReply),
    Group(GroupReply),
    Access(AccessReply),
}

/// What to do with the answers: one for each question, in the order in which they were asked.
pub(super) type Then = Box<dyn FnOnce(&mut Core, Vec<Answer>) -> Step + Send>;

/// What a request came to so far.
pub(super) enum Step {
    /// Ask, at least one question, and go on with the answers.
    Ask(Vec<Ask>, Then),
    /// Answer the peer.
    Done(Box<dyn Body>),
    /// It wants no answer.
    Silent,
    /// The connection is to be closed: the protocol has no words for it. The text is for the log.
    Close(String),
}

impl Step {
    /// Answers with this.
    pub(super) fn answer(body: impl Body + 'static) -> Self {
        Self::Done(Box::new(body))
    }

    /// Asks about logs.
    pub(super) fn log(
        request: LogRequest,
        then: impl FnOnce(&mut Core, LogReply) -> Self + Send + 'static,
    ) -> Self {
        Self::Ask(
            vec![Ask::Log(request)],
            Box::new(move |core, answers| match answers.into_iter().next() {
                Some(Answer::Log(reply)) => then(core, reply),
                _ => Self::misunderstood(),
            }),
        )
    }

    /// Asks about groups.
    pub(super) fn group(
        request: GroupRequest,
        then: impl FnOnce(&mut Core, GroupReply) -> Self + Send + 'static,
    ) -> Self {
        Self::Ask(
            vec![Ask::Group(request)],
            Box::new(move |core, answers| match answers.into_iter().next() {
                Some(Answer::Group(reply)) => then(core, reply),
                _ => Self::misunderstood(),
            }),
        )
    }

    /// Asks about access.
    pub(super) fn access(
        request: AccessRequest,
        then: impl FnOnce(&mut Core, AccessReply) -> Self + Send + 'static,
    ) -> Self {
        Self::Ask(
            vec![Ask::Access(request)],
            Box::new(move |core, answers| match answers.into_iter().next() {
                Some(Answer::Access(reply)) => then(core, reply),
                _ => Self::misunderstood(),
            }),
        )
    }

    /// Asks what the session may do with these resources.
    pub(super) fn allowed(
        resources: Vec<(Guarded, String)>,
        then: impl FnOnce(&mut Core, Vec<Operations>) -> Self + Send + 'static,
    ) -> Self {
        Self::access(
            AccessRequest::Allowed(resources),
            |core, reply| match reply {
                AccessReply::Allowed(operations) => then(core, operations),
                _ => Self::misunderstood(),
            },
        )
    }

    /// Asks several questions about logs; with none, goes on at once.
    pub(super) fn logs(
        core: &mut Core,
        requests: Vec<LogRequest>,
        then: impl FnOnce(&mut Core, Vec<LogReply>) -> Self + Send + 'static,
    ) -> Self {
        if requests.is_empty() {
            return then(core, Vec::new());
        }
        Self::Ask(
            requests.into_iter().map(Ask::Log).collect(),
            Box::new(move |core, answers| {
                let replies = answers
                    .into_iter()
                    .filter_map(|answer| match answer {
                        Answer::Log(reply) => Some(reply),
                        Answer::Group(_) | Answer::Access(_) => None,
                    })
                    .collect();
                then(core, replies)
            }),
        )
    }

    /// An answer of another sort than the question: the broker has a fault.
    pub(super) fn misunderstood() -> Self {
        Self::Close("the broker's answer is not one to the question".to_owned())
    }
}

/// An answer's body.
pub(super) trait Body: Send {
    /// Appends the whole frame.
    fn write(&self, out: &mut Outbound, version: i16, correlation: i32);

    /// Says that the client is not read for so long, if it does not say longer.
    fn hold_back(&mut self, throttle_ms: i32);
}

impl<M: Message + Send> Body for M {
    fn write(&self, out: &mut Outbound, version: i16, correlation: i32) {
        write_response(out.staged(), version, correlation, self);
    }

    fn hold_back(&mut self, throttle_ms: i32) {
        Message::hold_back(self, throttle_ms);
    }
}

/// One request that is not answered yet.
struct Entry {
    api: Api,
    version: i16,
    correlation: i32,
    /// Bytes that its answer may come to.
    bytes: usize,
    state: State,
}

enum State {
    /// Waits for the answers to the questions from number `first` on.
    Waiting {
        first: u64,
        answers: Vec<Option<Answer>>,
        missing: usize,
        then: Then,
    },
    Ready(Box<dyn Body>),
    Silent,
}

/// A request's name tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub(super) api: Api,
    pub(super) version: i16,
    pub(super) correlation: i32,
    /// Bytes that its answer may come to.
    pub(super) bytes: usize,
}

/// All requests that are not answered yet, the oldest first.
#[derive(Default)]
pub(super) struct Pending {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Pending {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes that the answers may come to.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a request and what it came to so far.
    pub(super) fn push(&mut self, core: &mut Core, tag: Tag, step: Step) -> Result<(), String> {
        let step = match step {
            // First in line: no need to stand in it.
            Step::Done(body) if self.entries.is_empty() => {
                write(core, body, tag.version, tag.correlation);
                return Ok(());
            }
            step => step,
        };
        let state = state_of(core, step)?;
        self.bytes += tag.bytes;
        self.entries.push_back(Entry {
            api: tag.api,
            version: tag.version,
            correlation: tag.correlation,
            bytes: tag.bytes,
            state,
        });
        self.write(core);
        Ok(())
    }

    /// Takes an answer of the broker; writes what can be written now.
    pub(super) fn handle_answer(
        &mut self,
        core: &mut Core,
        number: u64,
        answer: Answer,
    ) -> Result<(), String> {
        let place = |entry: &mut Entry| match &mut entry.state {
            State::Waiting { first, answers, .. } => {
                let at = usize::try_from(number.checked_sub(*first)?).ok()?;
                (at < answers.len()).then_some(at)
            }
            _ => None,
        };
        let found = self
            .entries
            .iter_mut()
            .find_map(|entry| place(entry).map(|at| (entry, at)));
        let Some((entry, at)) = found else {
            return Ok(());
        };
        if let State::Waiting {
            answers, missing, ..
        } = &mut entry.state
        {
            if let Some(slot) = answers.get_mut(at)
                && slot.is_none()
            {
                *slot = Some(answer);
                *missing -= 1;
            }
            if *missing > 0 {
                return Ok(());
            }
        }
        if let State::Waiting { answers, then, .. } =
            std::mem::replace(&mut entry.state, State::Silent)
        {
            let step = then(core, answers.into_iter().flatten().collect());
            entry.state = state_of(core, step)?;
        }
        self.write(core);
        Ok(())
    }

    /// Writes the answers that are first in line and ready.
    fn write(&mut self, core: &mut Core) {
        while let Some(entry) = self
            .entries
            .pop_front_if(|entry| !matches!(entry.state, State::Waiting { .. }))
        {
            self.bytes -= entry.bytes;
            if let State::Ready(body) = entry.state {
                write(core, body, entry.version, entry.correlation);
            }
        }
    }
}

/// Writes an answer. Whatever it answers, it says how long the client is not read for the time that it has taken.
fn write(core: &mut Core, mut body: Box<dyn Body>, version: i16, correlation: i32) {
    let throttle_ms = core.throttle.time_ms(core.now);
    if throttle_ms > 0 {
        body.hold_back(throttle_ms);
    }
    body.write(&mut core.out, version, correlation);
}

fn state_of(core: &mut Core, step: Step) -> Result<State, String> {
    match step {
        Step::Ask(asks, then) => {
            let missing = asks.len();
            let first = core.ask(asks);
            Ok(State::Waiting {
                first,
                answers: std::iter::repeat_with(|| None).take(missing).collect(),
                missing,
                then,
            })
        }
        Step::Done(body) => Ok(State::Ready(body)),
        Step::Silent => Ok(State::Silent),
        Step::Close(reason) => Err(reason),
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|entry| (entry.api, entry.version)))
            .finish()
    }
}
