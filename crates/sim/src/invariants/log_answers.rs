//! Requests about logs and groups are answered once, as they were asked, and refused for a reason only.

use std::fmt::Debug;

use polybus_model::LogError;

use crate::logs::Partition;
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "log_answers";

/// Nobody waits for this answer.
pub(crate) fn unasked(actor: usize, number: u64) -> Verdict {
    fault(format!("client {actor} of logs did not ask {number}"))
}

/// A number is given to one producer only.
pub(crate) fn check_producer(given: &[u64], number: u64) -> Verdict {
    match given.contains(&number) {
        true => fault(format!("producer {number} is there twice")),
        false => Ok(()),
    }
}

/// There are as many answers as questions.
pub(crate) fn check_count(asked: usize, answered: usize) -> Verdict {
    match asked == answered {
        true => Ok(()),
        false => fault(format!("{answered} answers to {asked} questions")),
    }
}

/// An answer that does not fit the question. `may_be`: the disk is full or has failed.
pub(crate) fn unexpected(asked: &impl Debug, answer: &impl Debug, may_be: bool) -> Verdict {
    match may_be {
        true => Ok(()),
        false => fault(format!("{answer:?} to {asked:?}")),
    }
}

/// A partition's part of a request was refused.
pub(crate) fn refused(partition: &Partition, run: usize, error: &LogError) -> Verdict {
    let name = &partition.name;
    fault(format!("{name:?}, run {run}: refused for {error:?}"))
}

/// All is written and read, and a client still waits.
pub(crate) fn unanswered(asked: impl std::fmt::Display) -> Verdict {
    fault(format!("this is never answered: {asked}"))
}

fn fault(detail: String) -> Verdict {
    Err(Violation::new(NAME, detail))
}
