//! Says once that the database is away, and once that it is back, however many connections and
//! requests notice it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After one loss was told, for how long another one is not, so that a database that comes and goes
/// does not fill the log.
const QUIET: Duration = Duration::from_secs(1);

/// The same for connections that cannot be made beside others.
const QUIET_BESIDE_OTHERS: Duration = Duration::from_secs(10);

/// The longest reason that is told, in bytes.
const REASON: usize = 1 << 10;

/// Whether the database can be reached, as this process sees it.
#[derive(Debug, Default)]
pub(super) struct Reach {
    state: Mutex<State>,
    /// Connections that are open.
    open: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether it is served from. Before that, who starts the host is told.
    serving: bool,
    away: Option<Away>,
    /// When a loss was last told.
    lost: Option<Instant>,
    /// When it was last told that no further connection can be made.
    no_further: Option<Instant>,
    reason: String,
}

#[derive(Debug)]
struct Away {
    since: Instant,
    told: bool,
}

/// An open connection, counted for as long as this lives.
#[derive(Debug)]
pub(super) struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What is to be told.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Lost,
    /// Others are open.
    NoFurther,
    Back(Duration),
}

impl Reach {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection.
    pub(super) fn open(&self) -> Open {
        self.open.fetch_add(1, Relaxed);
        Open(Arc::clone(&self.open))
    }

    /// Why a connection could last not be made.
    pub(super) fn reason(&self) -> String {
        self.state().reason.clone()
    }

    /// From now on losses are told.
    pub(super) fn serve(&self) {
        self.state().serving = true;
    }

    /// A connection could not be made.
    pub(super) fn failed(&self, reason: &str) {
        let reason = cut(reason);
        let line = {
            let mut state = self.state();
            reason.clone_into(&mut state.reason);
            state.failed(Instant::now(), self.open.load(Relaxed))
        };
        match line {
            Some(Line::Lost) => tracing::warn!(
                "the database cannot be reached: {reason}; it is tried again for each request"
            ),
            Some(_) => tracing::warn!("no further connection to the database: {reason}"),
            None => {}
        }
    }

    /// A connection was made.
    pub(super) fn made(&self) {
        if let Some(Line::Back(after)) = self.state().made(Instant::now()) {
            tracing::info!(
                "the database is reached again, after {:.1} s",
                after.as_secs_f64()
            );
        }
    }
}

impl State {
    fn failed(&mut self, now: Instant, open: usize) -> Option<Line> {
        if !self.serving {
            return None;
        }
        let is_quiet = |told: Option<Instant>, quiet: Duration| {
            told.is_some_and(|told| now.saturating_duration_since(told) < quiet)
        };
        if open > 0 && self.away.is_none() {
            if is_quiet(self.no_further, QUIET_BESIDE_OTHERS) {
                return None;
            }
            self.no_further = Some(now);
            return Some(Line::NoFurther);
        }
        let away = self.away.get_or_insert(Away {
            since: now,
            told: false,
        });
        if away.told || is_quiet(self.lost, QUIET) {
            return None;
        }
        away.told = true;
        self.lost = Some(now);
        Some(Line::Lost)
    }

    fn made(&mut self, now: Instant) -> Option<Line> {
        let away = self.away.take()?;
        away.told
            .then(|| Line::Back(now.saturating_duration_since(away.since)))
    }
}

/// At most so much of a text as is told.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(REASON)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_and_a_return_are_told_once_each() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut state = State::default();
        assert_eq!(state.failed(at(0), 0), None, "it is not served from yet");
        assert_eq!(state.made(at(1)), None);
        state.serving = true;
        assert_eq!(state.failed(at(2), 3), Some(Line::NoFurther));
        assert_eq!(state.failed(at(3), 3), None);
        assert_eq!(state.failed(at(4), 0), Some(Line::Lost));
        assert_eq!(state.failed(at(60), 0), None, "it was told");
        assert_eq!(state.made(at(64)), Some(Line::Back(Duration::from_mins(1))));
        assert_eq!(state.made(at(65)), None);
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"ä".repeat(1000)).len(), 1024);
        assert_eq!(cut(&format!("a{}", "ä".repeat(1000))).len(), 1023);
    }
}
