//! Which deliveries have left for the peer. The broker bounds what is on the way to a session; this tells it what arrived
//! at the socket, in few and large reports.

use std::collections::VecDeque;

/// Deliveries are counted together up to so many bytes.
const GRAIN_BYTES: usize = 32 * 1024;
/// So much is always reported.
const REPORT_BYTES: usize = 256 * 1024;
/// So much is reported when nothing is left to write.
const REPORT_BYTES_IDLE: usize = 64 * 1024;

/// The deliveries on their way.
#[derive(Debug, Default)]
pub(super) struct Drains {
    /// Up to which outbound position, so many bytes of messages.
    ahead: VecDeque<(u64, usize)>,
    /// Outbound bytes written, ever.
    written: u64,
    /// Bytes of messages that were written and not reported.
    unreported: usize,
}

impl Drains {
    /// So many bytes of messages are in the outbound bytes, of which so many wait now.
    pub(super) fn delivered(&mut self, message_bytes: usize, outbound_bytes: usize) {
        let position = self.written + outbound_bytes as u64;
        match self.ahead.back_mut() {
            Some((last, bytes)) if *bytes < GRAIN_BYTES => {
                *last = position;
                *bytes += message_bytes;
            }
            _ => self.ahead.push_back((position, message_bytes)),
        }
        self.wrote(0);
    }

    /// So many outbound bytes were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
        while let Some((_, bytes)) = self
            .ahead
            .pop_front_if(|(position, _)| *position <= self.written)
        {
            self.unreported += bytes;
        }
    }

    /// What to report now, if it is time.
    pub(super) fn report(&mut self) -> Option<usize> {
        let least = if self.ahead.is_empty() {
            REPORT_BYTES_IDLE
        } else {
            REPORT_BYTES
        };
        (self.unreported >= least).then(|| std::mem::take(&mut self.unreported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_what_was_written_in_large_steps() {
        let mut drains = Drains::default();
        let mut outbound = 0;
        for _ in 0..100 {
            outbound += 10_100;
            drains.delivered(10_000, outbound);
        }
        let mut reported = 0;
        let mut reports = 0;
        while outbound > 0 {
            let step = outbound.min(5_000);
            outbound -= step;
            drains.wrote(step);
            if let Some(bytes) = drains.report() {
                assert!(bytes >= REPORT_BYTES || outbound == 0);
                reported += bytes;
                reports += 1;
            }
        }
        assert_eq!(reported, 1_000_000);
        assert!(reports <= 4, "{reports}");
    }

    #[test]
    fn small_amounts_wait_and_dropped_deliveries_count_at_once() {
        let mut drains = Drains::default();
        drains.delivered(10_000, 10_100);
        drains.wrote(10_100);
        assert_eq!(drains.report(), None);
        drains.delivered(60_000, 0);
        assert_eq!(drains.report(), Some(70_000));
    }
}
