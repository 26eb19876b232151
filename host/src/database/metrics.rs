//! What the gate counts for `/metrics`: statements by outcome and duration, transactions by
//! outcome.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::types::Error;

/// The upper bounds of the histogram's buckets, in microseconds. One more bucket has no bound.
pub(crate) const BOUNDS: [u64; 15] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// How a statement ended: one of the first two, or the name of an error of `usher:database`.
pub(crate) const OUTCOMES: [&str; 10] = [
    "ok",
    // The request ended first: the client left, or the component was stopped.
    "abandoned",
    "unavailable",
    "overloaded",
    "timeout",
    "in-doubt",
    "denied",
    "invalid",
    "too-large",
    "refused",
];

/// How a transaction ended, in the order of [`TransactionOutcome`].
pub(crate) const TRANSACTION_OUTCOMES: [&str; 4] =
    ["committed", "rolled-back", "in-doubt", "abandoned"];

/// The outcome's index in [`OUTCOMES`].
fn outcome<T>(result: &Result<T, Error>) -> usize {
    match result {
        Ok(_) => 0,
        Err(Error::Unavailable(_)) => 2,
        Err(Error::Overloaded) => 3,
        Err(Error::Timeout) => 4,
        Err(Error::InDoubt) => 5,
        Err(Error::Denied(_)) => 6,
        Err(Error::Invalid(_)) => 7,
        Err(Error::TooLarge(_)) => 8,
        Err(Error::Refused(_)) => 9,
    }
}

/// The counters of one core's gates. Only that core writes them, so they are not contended.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By [`OUTCOMES`].
    statements: [AtomicU64; OUTCOMES.len()],
    /// By [`BOUNDS`], of statements that reached the back end; the last bucket has no bound.
    durations: [AtomicU64; BOUNDS.len() + 1],
    /// The sum of all durations, in microseconds.
    micros: AtomicU64,
    transactions_begun: AtomicU64,
    /// By [`TRANSACTION_OUTCOMES`].
    transactions_ended: [AtomicU64; TRANSACTION_OUTCOMES.len()],
}

impl Metrics {
    /// Counts a statement that the gate rejected.
    pub(super) fn rejected(&self, error: Error) -> Error {
        self.statements[outcome::<()>(&Err(error.clone()))].fetch_add(1, Relaxed);
        error
    }

    /// Measures a statement from `began` until it is finished or dropped.
    pub(super) fn start(&self, began: Instant) -> RunningStatement<'_> {
        RunningStatement {
            metrics: self,
            began,
            outcome: 1,
        }
    }

    fn count(&self, outcome: usize, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.statements[outcome].fetch_add(1, Relaxed);
        self.durations[BOUNDS.partition_point(|bound| *bound < micros)].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    pub(super) fn transaction_began(&self) {
        self.transactions_begun.fetch_add(1, Relaxed);
    }

    pub(super) fn transaction_ended(&self, outcome: TransactionOutcome) {
        self.transactions_ended[outcome as usize].fetch_add(1, Relaxed);
    }
}

/// How a transaction ended: see [`TRANSACTION_OUTCOMES`].
#[derive(Clone, Copy, Debug)]
pub(super) enum TransactionOutcome {
    Committed,
    /// By the component, or because COMMIT returned an error.
    RolledBack,
    InDoubt,
    /// Dropped without COMMIT or ROLLBACK.
    Abandoned,
}

/// A statement at the back end. If it is dropped before it finishes, it counts as abandoned.
#[derive(Debug)]
pub(super) struct RunningStatement<'m> {
    metrics: &'m Metrics,
    began: Instant,
    outcome: usize,
}

impl RunningStatement<'_> {
    /// Counts the outcome and returns the result.
    pub(super) fn finish<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.outcome = outcome(&result);
        result
    }
}

impl Drop for RunningStatement<'_> {
    fn drop(&mut self) {
        self.metrics.count(self.outcome, self.began.elapsed());
    }
}

/// The sums over several cores.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// By [`OUTCOMES`].
    pub(crate) statements: [u64; OUTCOMES.len()],
    /// By [`BOUNDS`], not cumulative; the last bucket has no bound.
    pub(crate) durations: [u64; BOUNDS.len() + 1],
    /// The sum of all durations, in microseconds.
    pub(crate) micros: u64,
    /// By [`TRANSACTION_OUTCOMES`].
    pub(crate) transactions_ended: [u64; TRANSACTION_OUTCOMES.len()],
    pub(crate) open_transactions: u64,
}

impl Totals {
    pub(super) fn add(&mut self, metrics: &Metrics) {
        fn add(sums: &mut [u64], counters: &[AtomicU64]) {
            for (sum, counter) in sums.iter_mut().zip(counters) {
                *sum += counter.load(Relaxed);
            }
        }
        let mut ended = [0; TRANSACTION_OUTCOMES.len()];
        // Read before those begun, so that one that begins meanwhile never makes the difference
        // negative.
        add(&mut ended, &metrics.transactions_ended);
        self.open_transactions += metrics
            .transactions_begun
            .load(Relaxed)
            .saturating_sub(ended.iter().sum());
        for (sum, count) in self.transactions_ended.iter_mut().zip(ended) {
            *sum += count;
        }
        add(&mut self.statements, &metrics.statements);
        add(&mut self.durations, &metrics.durations);
        self.micros += metrics.micros.load(Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statement_is_counted_by_outcome_and_duration_bucket() {
        let metrics = Metrics::default();
        let results: [(Result<(), Error>, &str); 3] = [
            (Ok(()), "ok"),
            (Err(Error::InDoubt), "in-doubt"),
            (Err(Error::TooLarge(1)), "too-large"),
        ];
        for (result, name) in results {
            let index = outcome(&result);
            assert_eq!(OUTCOMES[index], name);
            drop(metrics.start(Instant::now()).finish(result));
            assert_eq!(metrics.statements[index].load(Relaxed), 1, "{name}");
        }
        drop(metrics.start(Instant::now()));
        assert!(matches!(
            metrics.rejected(Error::Denied("no".into())),
            Error::Denied(_)
        ));
        let mut totals = Totals::default();
        totals.add(&metrics);
        assert_eq!(totals.statements, [1, 1, 0, 0, 0, 1, 1, 0, 1, 0]);
        assert_eq!(
            totals.durations.iter().sum::<u64>(),
            4,
            "a rejected statement has no duration"
        );

        for (micros, bucket) in [
            (0, 0),
            (100, 0),
            (101, 1),
            (10_000_000, 14),
            (10_000_001, 15),
            (u64::MAX, 15),
        ] {
            let metrics = Metrics::default();
            metrics.count(0, Duration::from_micros(micros));
            assert_eq!(metrics.durations[bucket].load(Relaxed), 1, "{micros} µs");
        }
    }

    #[test]
    fn transaction_without_outcome_counts_as_open() {
        let metrics = Metrics::default();
        (0..4).for_each(|_| metrics.transaction_began());
        metrics.transaction_ended(TransactionOutcome::Committed);
        metrics.transaction_ended(TransactionOutcome::RolledBack);
        metrics.transaction_ended(TransactionOutcome::Abandoned);
        let mut totals = Totals::default();
        totals.add(&metrics);
        totals.add(&metrics);
        assert_eq!(
            (totals.open_transactions, totals.transactions_ended),
            (2, [2, 2, 0, 2])
        );
    }
}
