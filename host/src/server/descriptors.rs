//! The limit on open files.
//!
//! Idle clients must not take the descriptors that the database needs. So the soft limit is raised
//! to the hard one at start, as daemons do, and the number of connections leaves enough for the
//! rest.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files beside those of connections and databases: standard streams, listeners and a reserve.
const OWN_FILES: u64 = 64;

/// Open files of each core: its event queue, and SQLite's readers with two files each.
const FILES_PER_CORE: u64 = 40;

/// Raises the soft limit to the hard one and returns it; `None` if there is no limit.
pub(crate) fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current?;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if maximum.is_none_or(|maximum| maximum > current) {
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => return maximum,
            Err(error) => tracing::debug!("the limit of open files stays {current}: {error}"),
        }
    }
    Some(current)
}

/// How many of the requested connections the limit allows.
pub(crate) fn connections(
    requested: usize,
    limit: Option<u64>,
    cores: usize,
    database_connections: usize,
) -> usize {
    let Some(limit) = limit else { return requested };
    // A connection to PostgreSQL may need a second one, for a cancel request.
    let needed = OWN_FILES + FILES_PER_CORE * cores as u64 + 2 * database_connections as u64;
    // If the limit is very low, clients get a quarter of it.
    let left = limit.saturating_sub(needed).max(limit / 4).max(1);
    requested.min(usize::try_from(left).unwrap_or(usize::MAX))
}

/// The shortest and the longest pause of a listener after an error.
const MIN_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The shortest time between two log lines about errors of `accept`.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Pauses after errors of `accept`, so that the listener does not spin, and logs them.
#[derive(Debug, Default)]
pub(crate) struct AcceptBackoff {
    pause: Duration,
    logged: Option<Instant>,
}

impl AcceptBackoff {
    /// A connection was accepted.
    pub(crate) fn reset(&mut self) {
        self.pause = Duration::ZERO;
    }

    /// Waits after an error.
    pub(crate) async fn wait(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionAborted {
            // The client disconnected before `accept`.
            return;
        }
        if self.logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            self.logged = Some(Instant::now());
            tracing::warn!(
                "connections cannot be accepted for now: {error}; they wait until others have \
                 closed, or raise the limit on open files (ulimit -n)"
            );
        }
        self.pause = (self.pause * 2).clamp(MIN_PAUSE, MAX_PAUSE);
        tokio::time::sleep(self.pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_database() {
        assert_eq!(connections(10_000, None, 2, 16), 10_000);
        assert_eq!(connections(10_000, Some(1 << 20), 2, 16), 10_000);
        assert_eq!(connections(100, Some(1024), 2, 16), 100);
        assert_eq!(connections(10_000, Some(1024), 2, 16), 1024 - 64 - 80 - 32);
        assert_eq!(connections(10_000, Some(128), 8, 16), 32);
        assert_eq!(connections(10_000, Some(2), 8, 16), 1);
    }

    #[test]
    fn soft_limit_is_raised_to_the_hard_one() {
        let raised = raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((raised, now.current), (now.maximum, now.maximum));
    }
}
