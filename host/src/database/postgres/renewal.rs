//! Which connections are outdated: a session may be well and yet lead to a server that takes no more
//! writes, because another one does now.
//!
//! A write that is refused for that reason retires its connection. The next one that is opened
//! decides: if its server takes writes, every older connection is outdated. If not, the database only
//! reads, and a connection is tried once in [`PAUSE`] at the most.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::database::types::Error;

/// The time between two attempts to find a server that takes writes.
const PAUSE: Duration = Duration::from_secs(1);

/// SQLSTATE `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";

/// Whether the server refused to write at all.
pub(super) fn is_read_only(error: &Error) -> bool {
    matches!(error, Error::Refused(refusal) if refusal.code == READ_ONLY)
}

/// Times are nanoseconds since the beginning, so that a look costs one load.
#[derive(Debug)]
pub(super) struct Renewal {
    beginning: Instant,
    /// Connections born before are outdated.
    renewed: AtomicU64,
    /// When a server that takes writes was last looked for; none where one was found since.
    attempted: AtomicU64,
}

impl Renewal {
    pub(super) fn new() -> Self {
        Self {
            beginning: Instant::now(),
            renewed: AtomicU64::new(0),
            attempted: AtomicU64::new(0),
        }
    }

    fn nanoseconds(&self, time: Instant) -> u64 {
        let since = time.saturating_duration_since(self.beginning);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn is_outdated(&self, born: Instant) -> bool {
        let renewed = self.renewed.load(Relaxed);
        renewed > 0 && self.nanoseconds(born) < renewed
    }

    /// Whether it is time to look for a server that takes writes.
    pub(super) fn attempt(&self, now: Instant) -> bool {
        let now = self.nanoseconds(now).max(1);
        let last = self.attempted.load(Relaxed);
        let pause = u64::try_from(PAUSE.as_nanos()).unwrap_or(u64::MAX);
        let is_time = (last == 0 || now.saturating_sub(last) >= pause)
            && self
                .attempted
                .compare_exchange(last, now, Relaxed, Relaxed)
                .is_ok();
        if is_time && last == 0 {
            tracing::warn!(
                "the database takes no writes any more; new connections are tried until one does"
            );
        }
        is_time
    }

    /// A connection was opened to a server that takes writes.
    pub(super) fn found(&self, born: Instant) {
        if self.attempted.load(Relaxed) > 0 && self.attempted.swap(0, Relaxed) > 0 {
            self.renewed.fetch_max(self.nanoseconds(born), Relaxed);
            tracing::info!(
                "the database takes writes again: connections opened before are replaced"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_connections_are_outdated_once_a_server_that_takes_writes_was_looked_for_and_found() {
        let renewal = Renewal::new();
        let old = renewal.beginning + Duration::from_secs(1);
        renewal.found(old);
        assert!(!renewal.is_outdated(renewal.beginning), "nobody had looked");
        assert!(renewal.attempt(old + Duration::from_secs(1)));
        assert!(
            !renewal.attempt(old + Duration::from_millis(1900)),
            "too soon"
        );
        assert!(renewal.attempt(old + Duration::from_secs(2)));
        let new = old + Duration::from_secs(3);
        renewal.found(new);
        assert!(renewal.is_outdated(old));
        assert!(!renewal.is_outdated(new));
        assert!(renewal.attempt(new), "the next loss is another one");
    }
}
