//! The check of a run: what each queue delivered of each publisher, against what was sent.

use crate::error::BenchError;
use crate::ring::{Stamp, lanes};
use crate::workload::{Routing, Workload};

/// What was seen of one lane.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Seen {
    next: u64,
    count: u64,
    /// Of all numbers, so that with several consumers a loss beside a duplicate is found too.
    sum: u64,
}

/// What was seen of one queue by one consumer.
#[derive(Clone, Debug)]
pub(crate) struct QueueLedger {
    queue: u32,
    is_strict: bool,
    has_stamps: bool,
    by_publisher: Vec<Seen>,
}

impl QueueLedger {
    pub(crate) fn new(workload: &Workload, queue: u32) -> Self {
        Self {
            queue,
            is_strict: workload.is_one_consumer_each(),
            has_stamps: workload.body_bytes >= 8,
            by_publisher: vec![Seen::default(); workload.publishers.max(1) as usize],
        }
    }

    pub(crate) const fn queue(&self) -> u32 {
        self.queue
    }

    /// Notes a delivery by the start of its body.
    #[inline]
    pub(crate) fn delivered(&mut self, body: &[u8]) -> Result<(), BenchError> {
        if !self.has_stamps {
            if let Some(seen) = self.by_publisher.first_mut() {
                seen.count += 1;
            }
            return Ok(());
        }
        let Some(stamp) = Stamp::read(body) else {
            return Err(self.wrong("a body was cut short"));
        };
        let is_strict = self.is_strict;
        let Some(seen) = self.by_publisher.get_mut(usize::from(stamp.publisher)) else {
            return Err(self.wrong("a body has changed"));
        };
        if stamp.number < seen.next || (is_strict && stamp.number > seen.next) {
            let next = seen.next;
            return Err(self.wrong(&format!(
                "message {} of publisher {} came where {next} was due",
                stamp.number, stamp.publisher
            )));
        }
        seen.next = stamp.number + 1;
        seen.count += 1;
        seen.sum = seen.sum.wrapping_add(stamp.number);
        Ok(())
    }

    fn wrong(&self, what: &str) -> BenchError {
        BenchError::Wrong(format!("queue {}: {what}", self.queue))
    }
}

/// Checks that each queue got all that was sent to it, once. `sent` has each publisher's count by lane.
pub(crate) fn check(
    workload: &Workload,
    sent: &[Vec<u64>],
    ledgers: &[QueueLedger],
) -> Result<(), BenchError> {
    for queue in 0..workload.queues {
        let lane = lane_of(workload, queue);
        let sent_here = |publisher: usize| -> u64 {
            let numbers = sent.get(publisher);
            numbers.and_then(|n| n.get(lane)).copied().unwrap_or(0)
        };
        let of_queue = || ledgers.iter().filter(|ledger| ledger.queue == queue);
        if workload.body_bytes < 8 {
            let wanted: u64 = (0..sent.len()).map(sent_here).sum();
            let got: u64 = of_queue()
                .flat_map(|ledger| &ledger.by_publisher)
                .map(|seen| seen.count)
                .sum();
            compare(queue, "all publishers", wanted, got)?;
            continue;
        }
        for publisher in 0..sent.len() {
            let wanted = sent_here(publisher);
            let seen = || of_queue().filter_map(|ledger| ledger.by_publisher.get(publisher));
            let got = seen().map(|seen| seen.count).sum();
            compare(queue, &format!("publisher {publisher}"), wanted, got)?;
            let sum = seen().fold(0_u64, |sum, seen| sum.wrapping_add(seen.sum));
            let of_all = u128::from(wanted) * u128::from(wanted.saturating_sub(1)) / 2;
            if sum != of_all as u64 {
                return Err(BenchError::Wrong(format!(
                    "queue {queue}: of publisher {publisher} some messages came twice and some never"
                )));
            }
        }
    }
    Ok(())
}

fn compare(queue: u32, whose: &str, wanted: u64, got: u64) -> Result<(), BenchError> {
    if wanted == got {
        return Ok(());
    }
    Err(BenchError::Wrong(format!(
        "queue {queue}: of {whose} {wanted} messages were sent and {got} came"
    )))
}

fn lane_of(workload: &Workload, queue: u32) -> usize {
    match workload.routing {
        Routing::Fanout => 0,
        _ => (queue as usize).min(lanes(workload)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(publisher: u64, number: u64) -> [u8; 8] {
        (publisher << 48 | number).to_be_bytes()
    }

    fn after(workload: &Workload, numbers: &[u64]) -> Result<(), BenchError> {
        let mut ledger = QueueLedger::new(workload, 0);
        for number in numbers {
            ledger.delivered(&body(0, *number))?;
        }
        check(workload, &[vec![3]], &[ledger])
    }

    #[test]
    fn finds_loss_doubles_and_disorder() {
        let workload = Workload::default();
        assert!(after(&workload, &[0, 1, 2]).is_ok());
        for wrong in [
            &[0, 1][..],
            &[0, 2],
            &[0, 0, 1, 2],
            &[1, 0, 2],
            &[0, 1, 2, 3],
        ] {
            assert!(after(&workload, wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn several_consumers_share_a_queue() {
        let workload = Workload {
            consumers: 2,
            ..Workload::default()
        };
        let mut one = QueueLedger::new(&workload, 0);
        let mut two = QueueLedger::new(&workload, 0);
        one.delivered(&body(0, 0)).unwrap();
        two.delivered(&body(0, 1)).unwrap();
        one.delivered(&body(0, 2)).unwrap();
        let both = [one.clone(), two.clone()];
        assert!(check(&workload, &[vec![3]], &both).is_ok());
        let mut doubled = QueueLedger::new(&workload, 0);
        doubled.delivered(&body(0, 0)).unwrap();
        assert!(check(&workload, &[vec![3]], &[one, doubled]).is_err());
    }
}
