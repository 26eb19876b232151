//! Open files: as many as the system allows, and some of them kept for what serves connections.
//!
//! A client's connection takes one, and idle clients must not take those that the database needs. So the soft limit is raised to
//! the hard one at start, as daemons do, and connections are no more than leaves enough over.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process has open beside connections and databases: standard streams, listeners, and some to spare.
const OWN: u64 = 64;

/// What each core needs: its event queue, and SQLite's readers with two files each.
const FOR_A_CORE: u64 = 40;

/// Raises the limit as far as it goes, and gives it; none where there is none.
pub(crate) fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current?;
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    if maximum.is_none_or(|maximum| maximum > current) {
        match setrlimit(Resource::Nofile, wanted) {
            Ok(()) => return maximum,
            Err(error) => tracing::debug!("the limit of open files stays {current}: {error}"),
        }
    }
    Some(current)
}

/// How many connections there is room for, of so many that are asked for.
pub(crate) fn connections(
    asked: usize,
    limit: Option<u64>,
    cores: usize,
    database_connections: usize,
) -> usize {
    let Some(limit) = limit else { return asked };
    // A connection to PostgreSQL may have a second one beside it, which cancels its statement.
    let needed = OWN + FOR_A_CORE * cores as u64 + 2 * database_connections as u64;
    // Where the limit is very low, clients and the rest share it.
    let left = limit.saturating_sub(needed).max(limit / 4).max(1);
    asked.min(usize::try_from(left).unwrap_or(usize::MAX))
}

/// How long a listener waits after an error that does not go away by itself.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// How often it is said that connections cannot be accepted.
const SAID: Duration = Duration::from_secs(30);

/// What goes wrong while a listener accepts: waited out without a busy loop, and said now and then.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    pause: Duration,
    said: Option<Instant>,
}

impl Trouble {
    /// A connection was accepted.
    pub(crate) fn is_over(&mut self) {
        self.pause = Duration::ZERO;
    }

    /// Waits after an error.
    pub(crate) async fn wait(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionAborted {
            // A client that left before it was accepted.
            return;
        }
        if self.said.is_none_or(|said| said.elapsed() >= SAID) {
            self.said = Some(Instant::now());
            tracing::warn!(
                "connections cannot be accepted for now: {error}; they wait until others have closed, or raise what the system \
                 allows (ulimit -n)"
            );
        }
        self.pause = (self.pause * 2).clamp(SHORTEST, LONGEST);
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
