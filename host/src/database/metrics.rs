//! What the choke point counts, for `/metrics`: statements by outcome and duration, transactions by their end.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::types::Error;

/// The upper bounds of the histogram's buckets, in microseconds. What takes longer is in none but the last, unbounded one.
pub(crate) const BOUNDS: [u64; 15] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// How a statement ended: an error of `usher:database` by its name there, or one of the first two.
pub(crate) const OUTCOMES: [&str; 10] = [
    "ok",
    // Its request ended first: the client left, or the component was stopped.
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

/// How a transaction ended.
pub(crate) const ENDS: [&str; 4] = ["committed", "rolled-back", "in-doubt", "abandoned"];

fn outcome<T>(answer: &Result<T, Error>) -> usize {
    match answer {
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

/// The counters of one core's sessions. They are written by that core alone, so counting contends with nothing.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By [`OUTCOMES`].
    statements: [AtomicU64; OUTCOMES.len()],
    /// By [`BOUNDS`], of those statements that reached the database; the last one has no bound.
    durations: [AtomicU64; BOUNDS.len() + 1],
    /// All durations together, in microseconds.
    micros: AtomicU64,
    begun: AtomicU64,
    /// By [`ENDS`].
    ended: [AtomicU64; ENDS.len()],
}

impl Metrics {
    /// Counts a statement that was not let through.
    pub(super) fn stopped(&self, error: Error) -> Error {
        self.statements[outcome::<()>(&Err(error.clone()))].fetch_add(1, Relaxed);
        error
    }

    /// Begins to measure a statement that goes to the database, as of `began`.
    pub(super) fn run(&self, began: Instant) -> Run<'_> {
        Run {
            metrics: self,
            began,
            outcome: 1,
        }
    }

    fn ran(&self, outcome: usize, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.statements[outcome].fetch_add(1, Relaxed);
        self.durations[BOUNDS.partition_point(|bound| *bound < micros)].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    pub(super) fn begun(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    /// Counts the end of a transaction, by its place in [`ENDS`].
    pub(super) fn ended(&self, how: End) {
        self.ended[how as usize].fetch_add(1, Relaxed);
    }
}

/// The end of a transaction: see [`ENDS`].
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Committed,
    /// By the component, or by a COMMIT that gave an error.
    RolledBack,
    InDoubt,
    /// Dropped with neither.
    Abandoned,
}

/// A statement on its way. Dropped without an answer it was abandoned.
#[derive(Debug)]
pub(super) struct Run<'m> {
    metrics: &'m Metrics,
    began: Instant,
    outcome: usize,
}

impl Run<'_> {
    /// Counts it by its answer, which is passed on.
    pub(super) fn end<T>(mut self, answer: Result<T, Error>) -> Result<T, Error> {
        self.outcome = outcome(&answer);
        answer
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.metrics.ran(self.outcome, self.began.elapsed());
    }
}

/// What several cores have counted, together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// By [`OUTCOMES`].
    pub(crate) statements: [u64; OUTCOMES.len()],
    /// By [`BOUNDS`], each without those of smaller bounds; the last one has no bound.
    pub(crate) durations: [u64; BOUNDS.len() + 1],
    /// All durations together, in microseconds.
    pub(crate) micros: u64,
    /// By [`ENDS`].
    pub(crate) ended: [u64; ENDS.len()],
    /// Transactions that are open.
    pub(crate) open: u64,
}

impl Totals {
    pub(super) fn add(&mut self, metrics: &Metrics) {
        fn add(sums: &mut [u64], counters: &[AtomicU64]) {
            for (sum, counter) in sums.iter_mut().zip(counters) {
                *sum += counter.load(Relaxed);
            }
        }
        let mut ended = [0; ENDS.len()];
        // The ends first: a transaction that begins meanwhile is one more that is open, and never one too few.
        add(&mut ended, &metrics.ended);
        self.open += metrics
            .begun
            .load(Relaxed)
            .saturating_sub(ended.iter().sum());
        for (sum, count) in self.ended.iter_mut().zip(ended) {
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
    fn every_outcome_has_its_name_and_every_duration_its_bucket() {
        let metrics = Metrics::default();
        let answers: [(Result<(), Error>, &str); 3] = [
            (Ok(()), "ok"),
            (Err(Error::InDoubt), "in-doubt"),
            (Err(Error::TooLarge(1)), "too-large"),
        ];
        for (answer, name) in answers {
            let at = outcome(&answer);
            assert_eq!(OUTCOMES[at], name);
            drop(metrics.run(Instant::now()).end(answer));
            assert_eq!(metrics.statements[at].load(Relaxed), 1, "{name}");
        }
        drop(metrics.run(Instant::now()));
        assert!(matches!(
            metrics.stopped(Error::Denied("no".into())),
            Error::Denied(_)
        ));
        let mut totals = Totals::default();
        totals.add(&metrics);
        assert_eq!(totals.statements, [1, 1, 0, 0, 0, 1, 1, 0, 1, 0]);
        assert_eq!(
            totals.durations.iter().sum::<u64>(),
            4,
            "what was not let through took no time"
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
            metrics.ran(0, Duration::from_micros(micros));
            assert_eq!(metrics.durations[bucket].load(Relaxed), 1, "{micros} µs");
        }
    }

    #[test]
    fn transactions_that_are_open_are_those_that_have_not_ended() {
        let metrics = Metrics::default();
        (0..4).for_each(|_| metrics.begun());
        metrics.ended(End::Committed);
        metrics.ended(End::RolledBack);
        metrics.ended(End::Abandoned);
        let mut totals = Totals::default();
        totals.add(&metrics);
        totals.add(&metrics);
        assert_eq!((totals.open, totals.ended), (2, [2, 2, 0, 2]));
    }
}
