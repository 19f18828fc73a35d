//! What a publisher waits for: when each unconfirmed publish was sent, in a ring by delivery tag.

use crate::error::BenchError;
use crate::histogram::Histogram;

#[derive(Debug)]
pub(crate) struct Confirms {
    /// When the publish with this tag (modulo) was sent; 0: confirmed.
    sent_ns: Box<[u64]>,
    mask: u64,
    window: u64,
    next_tag: u64,
    /// All below are confirmed.
    lowest: u64,
    in_flight: u64,
    pub(crate) histogram: Histogram,
}

impl Confirms {
    pub(crate) fn new(window: u32) -> Self {
        let room = (u64::from(window.max(1)) * 4).next_power_of_two();
        Self {
            sent_ns: vec![0; room as usize].into_boxed_slice(),
            mask: room - 1,
            window: window.max(1).into(),
            next_tag: 1,
            lowest: 1,
            in_flight: 0,
            histogram: Histogram::default(),
        }
    }

    /// How many may be sent now.
    pub(crate) fn room(&self) -> u64 {
        let span = self.next_tag - self.lowest;
        (self.window - self.in_flight).min(self.mask + 1 - span)
    }

    pub(crate) const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Notes a publish. `at_ns` is not 0.
    #[inline]
    pub(crate) fn sent(&mut self, at_ns: u64) {
        if let Some(slot) = self.sent_ns.get_mut((self.next_tag & self.mask) as usize) {
            *slot = at_ns;
        }
        self.next_tag += 1;
        self.in_flight += 1;
    }

    /// Takes a confirm; gives how many publishes it confirms.
    #[inline]
    pub(crate) fn confirm(
        &mut self,
        tag: u64,
        multiple: bool,
        now_ns: u64,
    ) -> Result<u64, BenchError> {
        if tag >= self.next_tag || tag == 0 {
            return Err(BenchError::Wrong(format!(
                "publish {tag} is confirmed and was never sent"
            )));
        }
        let first = if multiple { self.lowest } else { tag };
        let mut fresh = 0;
        for tag in first..=tag {
            if let Some(slot) = self.sent_ns.get_mut((tag & self.mask) as usize)
                && *slot != 0
            {
                self.histogram.record(now_ns.saturating_sub(*slot));
                *slot = 0;
                fresh += 1;
            }
        }
        if fresh == 0 {
            return Err(BenchError::Wrong(format!(
                "publish {tag} is confirmed twice"
            )));
        }
        self.in_flight -= fresh;
        while self.lowest < self.next_tag
            && self.sent_ns.get((self.lowest & self.mask) as usize) == Some(&0)
        {
            self.lowest += 1;
        }
        Ok(fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_and_multiple_in_any_order() {
        let mut confirms = Confirms::new(4);
        for _ in 0..4 {
            confirms.sent(1);
        }
        assert_eq!(confirms.room(), 0);
        assert_eq!(confirms.confirm(3, false, 5).unwrap(), 1);
        assert_eq!(confirms.confirm(2, true, 5).unwrap(), 2);
        assert_eq!((confirms.room(), confirms.in_flight()), (3, 1));
        assert_eq!(confirms.confirm(4, true, 5).unwrap(), 1);
        assert_eq!(confirms.lowest, 5);
    }

    #[test]
    fn confirms_out_of_thin_air_are_wrong() {
        let mut confirms = Confirms::new(4);
        confirms.sent(1);
        assert!(confirms.confirm(2, false, 5).is_err());
        assert!(confirms.confirm(1, false, 5).is_ok());
        assert!(confirms.confirm(1, false, 5).is_err());
    }

    #[test]
    fn one_that_is_never_confirmed_stops_the_rest() {
        let mut confirms = Confirms::new(2);
        confirms.sent(1);
        let mut sent = 1;
        while confirms.room() > 0 {
            confirms.sent(1);
            sent += 1;
            confirms.confirm(sent, false, 2).unwrap();
        }
        assert_eq!(sent, 8);
    }
}
