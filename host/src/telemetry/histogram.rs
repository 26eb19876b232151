//! Histograms of durations, with the same buckets everywhere.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds. One more bucket has no bound.
pub(crate) const BOUNDS: [u64; 15] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// A duration in whole microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A histogram that one core writes.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// The sum of all durations, in microseconds.
    micros: AtomicU64,
}

impl Histogram {
    /// Counts a duration in microseconds.
    pub(crate) fn observe(&self, micros: u64) {
        // Nearly every statement waits for nothing.
        if micros == 0 {
            self.buckets[0].fetch_add(1, Relaxed);
            return;
        }
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        self.micros.fetch_add(micros, Relaxed);
    }
}

/// The sums over several histograms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durations {
    /// By [`BOUNDS`], not cumulative; the last bucket has no bound.
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    /// The sum of all durations, in microseconds.
    pub(crate) micros: u64,
}

impl Durations {
    pub(crate) fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.load(Relaxed);
        }
        self.micros += histogram.micros.load(Relaxed);
    }

    /// How many durations were counted.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_counted_in_the_first_bucket_that_holds_it() {
        for (micros, bucket) in [
            (0, 0),
            (100, 0),
            (101, 1),
            (10_000_000, 14),
            (10_000_001, 15),
            (u64::MAX, 15),
        ] {
            let histogram = Histogram::default();
            histogram.observe(micros);
            let mut sums = Durations::default();
            sums.add(&histogram);
            assert_eq!(sums.buckets[bucket], 1, "{micros} µs");
            assert_eq!((sums.count(), sums.micros), (1, micros));
        }
    }
}
