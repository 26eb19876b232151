//! What differs while a component's migrations run: their statements have no timeout, and the host
//! logs what they wait for.
//!
//! All later statements queue behind a migration that waits for a table's lock. So its transaction
//! has a short `lock_timeout` ([`super::backend::BackendPool::begin_migration`]); when that
//! expires, it is rolled back, the others run, and it is tried again.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::statement::Statement;
use super::types::Error;

/// The state of running migrations: the gate writes it, and the task that called them reads it.
#[derive(Debug, Default)]
pub(crate) struct Migration {
    running: Mutex<Option<(Arc<Statement>, Instant)>>,
    lock_timed_out: AtomicBool,
}

impl Migration {
    /// In effect none: the caller of the migrations limits all of them together.
    pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_hours(24 * 365);

    /// Notes a running statement, if migrations run it.
    pub(super) fn watch(this: Option<&Arc<Self>>, statement: &Arc<Statement>) -> Option<Watched> {
        let this = Arc::clone(this?);
        this.set(Some((Arc::clone(statement), Instant::now())));
        Some(Watched(this))
    }

    /// Notes the end of a statement, and whether it timed out on a lock.
    pub(super) fn finish(watched: Option<Watched>, error: Option<&Error>) {
        let Some(watched) = watched else { return };
        if let (Watched(this), Some(Error::Refused(refusal))) = (&watched, error)
            && refusal.code == "55P03"
        {
            this.lock_timed_out.store(true, Relaxed);
        }
        drop(watched);
    }

    /// The running statement and its start.
    pub(crate) fn running(&self) -> Option<(Arc<Statement>, Instant)> {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether a statement timed out on a lock.
    pub(crate) fn has_lock_timed_out(&self) -> bool {
        self.lock_timed_out.load(Relaxed)
    }

    fn set(&self, running: Option<(Arc<Statement>, Instant)>) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = running;
    }
}

/// A running statement. Dropping it notes the end.
#[derive(Debug)]
pub(super) struct Watched(Arc<Migration>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
