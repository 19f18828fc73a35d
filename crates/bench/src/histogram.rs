//! Latencies, counted in buckets that are at most 1.6 % wide.
//!
//! ```text
//! value = | leading one | 6 bits | the rest is dropped |      bucket = (place of the leading one, the 6 bits)
//! ```

use serde::Serialize;

/// Bits kept below the leading one.
const FINE: u32 = 6;
const PER_POWER: usize = 1 << FINE;
const BUCKETS: usize = (64 - FINE as usize + 1) * PER_POWER;

/// Counts of nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    max_ns: u64,
}

/// What a histogram says, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Latency {
    /// Half are at most this.
    pub p50_us: f64,
    /// 99 of 100 are at most this.
    pub p99_us: f64,
    /// 999 of 1,000 are at most this.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS].into_boxed_slice(),
            total: 0,
            max_ns: 0,
        }
    }
}

impl Histogram {
    /// Counts one.
    #[inline]
    pub fn record(&mut self, value_ns: u64) {
        self.record_many(value_ns, 1);
    }

    /// Counts several of the same value.
    #[inline]
    pub fn record_many(&mut self, value_ns: u64, count: u64) {
        if let Some(bucket) = self.counts.get_mut(bucket_of(value_ns)) {
            *bucket += count;
            self.total += count;
            self.max_ns = self.max_ns.max(value_ns);
        }
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// The value that `share` (0 to 1) of all do not exceed; 0 if nothing was counted.
    #[must_use]
    pub fn quantile_ns(&self, share: f64) -> u64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_edge(bucket).min(self.max_ns);
            }
        }
        self.max_ns
    }

    /// The usual quantiles; none if nothing was counted.
    #[must_use]
    pub fn latency(&self) -> Option<Latency> {
        let us = |share| self.quantile_ns(share) as f64 / 1e3;
        (self.total > 0).then(|| Latency {
            p50_us: us(0.5),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: self.max_ns as f64 / 1e3,
        })
    }
}

#[inline]
const fn bucket_of(value: u64) -> usize {
    if value < PER_POWER as u64 {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - FINE;
    (shift as usize + 1) * PER_POWER + (value >> shift) as usize - PER_POWER
}

const fn upper_edge(bucket: usize) -> u64 {
    if bucket < PER_POWER {
        return bucket as u64;
    }
    let shift = bucket / PER_POWER - 1;
    let fine = (bucket % PER_POWER + PER_POWER) as u128;
    let edge = ((fine + 1) << shift) - 1;
    if edge > u64::MAX as u128 {
        u64::MAX
    } else {
        edge as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_within_its_bucket() {
        for value in (0..63)
            .flat_map(|bit| [1_u64 << bit, (1 << bit) + 1, (1 << bit) - 1])
            .chain([u64::MAX])
        {
            let edge = upper_edge(bucket_of(value));
            assert!(edge >= value, "{value} {edge}");
            assert!(edge as f64 <= value as f64 * 1.017, "{value} {edge}");
        }
    }

    #[test]
    fn quantiles_of_a_thousand() {
        let mut histogram = Histogram::default();
        for value in 1..=1000 {
            histogram.record(value * 1000);
        }
        let latency = histogram.latency().unwrap();
        assert!((latency.p50_us - 500.0).abs() < 9.0, "{latency:?}");
        assert!((latency.p99_us - 990.0).abs() < 17.0, "{latency:?}");
        assert!((latency.max_us - 1000.0).abs() < 0.1, "{latency:?}");
    }

    #[test]
    fn nothing_counted_says_nothing() {
        assert_eq!(Histogram::default().latency(), None);
    }
}
