//! What the gate counts for `/metrics`: statements by outcome and duration, transactions by
//! outcome.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::types::Error;
use crate::telemetry::histogram::{Durations, Histogram, micros};

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

/// The index of `abandoned` in [`OUTCOMES`].
pub(super) const ABANDONED: usize = 1;

/// How a transaction ended, in the order of [`TransactionOutcome`].
pub(crate) const TRANSACTION_OUTCOMES: [&str; 4] =
    ["committed", "rolled-back", "in-doubt", "abandoned"];

/// The outcome's index in [`OUTCOMES`].
pub(super) fn outcome<T>(result: &Result<T, Error>) -> usize {
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
    /// Of statements that reached the back end.
    durations: Histogram,
    /// How long statements and transactions waited for a connection.
    pub(super) waits: Histogram,
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

    /// Counts a statement that reached the back end.
    pub(super) fn ran(&self, outcome: usize, time: Duration) {
        self.statements[outcome].fetch_add(1, Relaxed);
        self.durations.observe(micros(time));
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

/// The connections of one core, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// How many there may be.
    pub max: u64,
    /// How many are open and used by a statement or a transaction.
    pub in_use: u64,
    /// How many are open and not used.
    pub idle: u64,
    /// How many of those open are shared by statements of several requests.
    pub shared: u64,
    /// How many calls wait for a connection.
    pub waiting: u64,
}

impl Connections {
    pub(super) fn add(&mut self, other: &Self) {
        self.max += other.max;
        self.in_use += other.in_use;
        self.idle += other.idle;
        self.shared += other.shared;
        self.waiting += other.waiting;
    }
}

/// The sums over several cores.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// By [`OUTCOMES`].
    pub(crate) statements: [u64; OUTCOMES.len()],
    /// Of statements that reached the back end.
    pub(crate) durations: Durations,
    /// Of waits for a connection.
    pub(crate) waits: Durations,
    pub(crate) connections: Connections,
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
        self.durations.add(&metrics.durations);
        self.waits.add(&metrics.waits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statement_is_counted_by_outcome_and_duration() {
        let metrics = Metrics::default();
        let results: [(Result<(), Error>, &str); 3] = [
            (Ok(()), "ok"),
            (Err(Error::InDoubt), "in-doubt"),
            (Err(Error::TooLarge(1)), "too-large"),
        ];
        for (result, name) in results {
            let index = outcome(&result);
            assert_eq!(OUTCOMES[index], name);
            metrics.ran(index, Duration::ZERO);
            assert_eq!(metrics.statements[index].load(Relaxed), 1, "{name}");
        }
        metrics.ran(ABANDONED, Duration::ZERO);
        assert!(matches!(
            metrics.rejected(Error::Denied("no".into())),
            Error::Denied(_)
        ));
        let mut totals = Totals::default();
        totals.add(&metrics);
        assert_eq!(totals.statements, [1, 1, 0, 0, 0, 1, 1, 0, 1, 0]);
        assert_eq!(
            totals.durations.count(),
            4,
            "a rejected statement has no duration"
        );
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
