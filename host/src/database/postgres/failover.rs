//! Failover: finds out which connections lead to a server that has become read-only.
//!
//! A write that is refused because its server is read-only retires its connection. If a connection
//! opened after that leads to a server that accepts writes, all older connections are outdated.
//! Otherwise the database is read-only, and a new connection is tried at most once per
//! [`ATTEMPT_INTERVAL`].

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::database::types::Error;

/// The shortest time between two attempts to find a server that accepts writes.
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);

/// SQLSTATE `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";

/// Whether a write was refused because the server is read-only.
pub(super) fn is_read_only(error: &Error) -> bool {
    matches!(error, Error::Refused(refusal) if refusal.code == READ_ONLY)
}

/// Times are nanoseconds since the epoch, so that a check is one load.
#[derive(Debug)]
pub(super) struct Failover {
    epoch: Instant,
    /// Connections opened before are outdated.
    outdated_before: AtomicU64,
    /// The last attempt to find a server that accepts writes, or zero if it has succeeded.
    attempted_at: AtomicU64,
}

impl Failover {
    pub(super) fn new() -> Self {
        Self {
            epoch: Instant::now(),
            outdated_before: AtomicU64::new(0),
            attempted_at: AtomicU64::new(0),
        }
    }

    fn nanoseconds(&self, time: Instant) -> u64 {
        let since = time.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn is_outdated(&self, opened_at: Instant) -> bool {
        let outdated_before = self.outdated_before.load(Relaxed);
        outdated_before > 0 && self.nanoseconds(opened_at) < outdated_before
    }

    /// Whether the caller should open a connection to find a server that accepts writes.
    pub(super) fn attempt(&self, now: Instant) -> bool {
        let now = self.nanoseconds(now).max(1);
        let last = self.attempted_at.load(Relaxed);
        let interval = u64::try_from(ATTEMPT_INTERVAL.as_nanos()).unwrap_or(u64::MAX);
        let is_due = (last == 0 || now.saturating_sub(last) >= interval)
            && self
                .attempted_at
                .compare_exchange(last, now, Relaxed, Relaxed)
                .is_ok();
        if is_due && last == 0 {
            tracing::warn!(
                "the database has become read-only; new connections are tried until one accepts \
                 writes"
            );
        }
        is_due
    }

    /// Records a connection to a server that accepts writes.
    pub(super) fn record_success(&self, opened_at: Instant) {
        if self.attempted_at.load(Relaxed) > 0 && self.attempted_at.swap(0, Relaxed) > 0 {
            self.outdated_before
                .fetch_max(self.nanoseconds(opened_at), Relaxed);
            tracing::info!("the database accepts writes again; older connections are replaced");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_connections_are_outdated_after_attempt_finds_writable_server() {
        let failover = Failover::new();
        let old = failover.epoch + Duration::from_secs(1);
        failover.record_success(old);
        assert!(!failover.is_outdated(failover.epoch), "no attempt was made");
        assert!(failover.attempt(old + Duration::from_secs(1)));
        assert!(
            !failover.attempt(old + Duration::from_millis(1900)),
            "too soon"
        );
        assert!(failover.attempt(old + Duration::from_secs(2)));
        let new = old + Duration::from_secs(3);
        failover.record_success(new);
        assert!(failover.is_outdated(old));
        assert!(!failover.is_outdated(new));
        assert!(
            failover.attempt(new),
            "the next failover starts a new attempt"
        );
    }
}
