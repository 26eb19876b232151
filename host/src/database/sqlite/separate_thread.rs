//! Runs work with a leased connection on a separate thread.
//!
//! The work is stopped at the deadline or when its caller is dropped. Its thread always returns the
//! lease, so a connection is never used by two threads.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::connection::Conn;
use super::control::Control;
use super::lease::Lease;
use super::workers;
use crate::database::budget::Budget;
use crate::database::failure;
use crate::database::types::Error;

/// Work on a separate thread. Dropping it stops the work.
struct Task<T> {
    control: Arc<Control>,
    run: u64,
    output: oneshot::Receiver<T>,
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.control.stop(self.run);
    }
}

/// Runs work until the deadline. Its output is awaited even after that, because it may have had an
/// effect.
pub(super) async fn run<T: Send + 'static>(
    lease: Lease,
    budget: &Budget,
    work: impl FnOnce(&Conn) -> T + Send + 'static,
) -> Result<(Lease, T), Error> {
    let (control, interrupt) = {
        let conn = lease.conn()?;
        (Arc::clone(conn.control()), conn.interrupt_handle())
    };
    let run = control.start_on_worker(budget.deadline);
    let output = workers::run(move || {
        let done = work(lease.conn()?);
        Ok((lease, done))
    });
    let mut task = Task {
        control,
        run,
        output,
    };
    let ended = if let Some(ended) = budget.race(&mut task.output).await {
        ended
    } else {
        // SQLite does not call the progress handler within one long instruction.
        interrupt.interrupt();
        (&mut task.output).await
    };
    ended.unwrap_or_else(|error| {
        Err(failure::unavailable(format!(
            "the work on the database was given up: {error}"
        )))
    })
}

/// Runs work to its end, even if the caller is dropped. Only its waits for locks end at the
/// deadline.
pub(super) async fn run_to_completion<T: Send + 'static>(
    lease: Lease,
    budget: &Budget,
    work: impl FnOnce(&Conn) -> T + Send + 'static,
) -> Result<T, Error> {
    // The host's own statements are not interrupted.
    lease.conn()?.control().start(budget.deadline);
    let ended = workers::run(move || Ok(work(lease.conn()?))).await;
    ended.unwrap_or(Err(Error::InDoubt))
}
