//! Logs once that the database is unavailable, and once that it is available again, however many
//! connections and requests find out.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time between two lines for a lost database, so that an unstable one does not fill
/// the log.
const LOST_INTERVAL: Duration = Duration::from_secs(1);

/// The same for connections that fail while others are open.
const FURTHER_INTERVAL: Duration = Duration::from_secs(10);

/// The longest reason in a line, in bytes.
const MAX_REASON: usize = 1 << 10;

/// The availability of the database, from the connections of this process.
#[derive(Debug, Default)]
pub(super) struct Availability {
    state: Mutex<LogState>,
    open_connections: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct LogState {
    /// Whether failures are logged. During the start they are returned as errors.
    is_logging: bool,
    outage: Option<Outage>,
    lost_logged_at: Option<Instant>,
    further_logged_at: Option<Instant>,
    /// The reason of the last failure.
    reason: String,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    is_logged: bool,
}

/// Counts an open connection until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionCount(Arc<AtomicUsize>);

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum LogLine {
    Lost,
    /// A connection failed while others are open.
    NoFurther,
    AvailableAfter(Duration),
}

impl Availability {
    fn state(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count_connection(&self) -> ConnectionCount {
        self.open_connections.fetch_add(1, Relaxed);
        ConnectionCount(Arc::clone(&self.open_connections))
    }

    /// Why the last connection failed.
    pub(super) fn reason(&self) -> String {
        self.state().reason.clone()
    }

    pub(super) fn start_logging(&self) {
        self.state().is_logging = true;
    }

    pub(super) fn record_failure(&self, reason: &str) {
        let reason = truncate(reason);
        let line = {
            let mut state = self.state();
            reason.clone_into(&mut state.reason);
            state.record_failure(Instant::now(), self.open_connections.load(Relaxed))
        };
        match line {
            Some(LogLine::Lost) => tracing::warn!(
                "the database cannot be reached: {reason}; it is tried again for each request"
            ),
            Some(_) => tracing::warn!("no further connection to the database: {reason}"),
            None => {}
        }
    }

    pub(super) fn record_success(&self) {
        if let Some(LogLine::AvailableAfter(after)) = self.state().record_success(Instant::now()) {
            tracing::info!(
                "the database is reached again, after {:.1} s",
                after.as_secs_f64()
            );
        }
    }
}

impl LogState {
    fn record_failure(&mut self, now: Instant, open_connections: usize) -> Option<LogLine> {
        if !self.is_logging {
            return None;
        }
        let is_too_soon = |last: Option<Instant>, interval: Duration| {
            last.is_some_and(|last| now.saturating_duration_since(last) < interval)
        };
        if open_connections > 0 && self.outage.is_none() {
            if is_too_soon(self.further_logged_at, FURTHER_INTERVAL) {
                return None;
            }
            self.further_logged_at = Some(now);
            return Some(LogLine::NoFurther);
        }
        let outage = self.outage.get_or_insert(Outage {
            since: now,
            is_logged: false,
        });
        if outage.is_logged || is_too_soon(self.lost_logged_at, LOST_INTERVAL) {
            return None;
        }
        outage.is_logged = true;
        self.lost_logged_at = Some(now);
        Some(LogLine::Lost)
    }

    fn record_success(&mut self, now: Instant) -> Option<LogLine> {
        let outage = self.outage.take()?;
        outage
            .is_logged
            .then(|| LogLine::AvailableAfter(now.saturating_duration_since(outage.since)))
    }
}

/// The start of a text, at most as long as the longest reason.
pub(super) fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_REASON)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_and_available_database_are_logged_once_each() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut state = LogState::default();
        assert_eq!(state.record_failure(at(0), 0), None, "not logging yet");
        assert_eq!(state.record_success(at(1)), None);
        state.is_logging = true;
        assert_eq!(state.record_failure(at(2), 3), Some(LogLine::NoFurther));
        assert_eq!(state.record_failure(at(3), 3), None);
        assert_eq!(state.record_failure(at(4), 0), Some(LogLine::Lost));
        assert_eq!(state.record_failure(at(60), 0), None, "already logged");
        assert_eq!(
            state.record_success(at(64)),
            Some(LogLine::AvailableAfter(Duration::from_mins(1)))
        );
        assert_eq!(state.record_success(at(65)), None);
    }

    #[test]
    fn long_reason_is_truncated_between_characters() {
        assert_eq!(truncate("short"), "short");
        assert_eq!(truncate(&"ä".repeat(1000)).len(), 1024);
        assert_eq!(truncate(&format!("a{}", "ä".repeat(1000))).len(), 1023);
    }
}
