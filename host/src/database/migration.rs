//! What is otherwise while a component's migrations run: their statements have the time they need, and what they wait for is told.
//!
//! Who asks for a table's lock has everybody else wait behind it. So a transaction of migrations waits for a lock only for a moment
//! (`lock_timeout`, as [`super::backend::BackendPool::begin_migration`] sets it); refused, it ends, lets the others through, and is begun anew.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::statement::Statement;
use super::types::Error;

/// What is known of migrations at work. The host sees it from outside, the session writes it.
#[derive(Debug, Default)]
pub(crate) struct Migration {
    running: Mutex<Option<(Arc<Statement>, Instant)>>,
    lock_refused: AtomicBool,
}

impl Migration {
    /// A statement has as long as there is: the whole is bounded by whoever called the migrations.
    pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_hours(24 * 365);

    /// Notes what runs, where migrations are what runs.
    pub(super) fn watch(this: Option<&Arc<Self>>, statement: &Arc<Statement>) -> Option<Watched> {
        let this = Arc::clone(this?);
        this.set(Some((Arc::clone(statement), Instant::now())));
        Some(Watched(this))
    }

    /// Notes what came of it. The statement runs no more from here on.
    pub(super) fn note(watched: Option<Watched>, error: Option<&Error>) {
        let Some(watched) = watched else { return };
        if let (Watched(this), Some(Error::Refused(refusal))) = (&watched, error)
            && refusal.code == "55P03"
        {
            this.lock_refused.store(true, Relaxed);
        }
        drop(watched);
    }

    /// The statement that is running, and since when.
    pub(crate) fn running(&self) -> Option<(Arc<Statement>, Instant)> {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether a lock was not given in time.
    pub(crate) fn is_lock_refused(&self) -> bool {
        self.lock_refused.load(Relaxed)
    }

    fn set(&self, running: Option<(Arc<Statement>, Instant)>) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = running;
    }
}

/// A statement that is running. Dropped, it is not any more.
#[derive(Debug)]
pub(super) struct Watched(Arc<Migration>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
