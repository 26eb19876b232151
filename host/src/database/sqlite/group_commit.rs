//! Group commit: single-statement writes of many requests that share one flush to disk.
//!
//! A write to a file enters a queue that all cores share. One thread leases the writer, begins a
//! transaction, takes what waits by then, runs each statement in a [savepoint of its
//! own](super::group_transaction), and commits once. It goes on until the queue is empty, and never
//! waits for more writes to come, so one client alone is as fast as without groups.
//!
//! - A write returns its result only after the COMMIT that holds it has returned.
//! - A statement that fails has no effect, and its neighbours notice nothing. If the whole
//!   transaction is rolled back, each of its writes runs again, alone, for its own result.
//! - If the outcome of the COMMIT is unknown, each write of the group is `in-doubt`.
//! - A write that does not begin within `--pool-wait` leaves the queue and is `overloaded`. One
//!   whose caller is gone is not begun, or is stopped while its statement runs.
//! - Transactions and other writes lease the same connection. The thread returns it after a group
//!   if one of them waits, and then waits for it like them, first come, first served.
//!
//! Only an `INSERT`, `UPDATE` or `DELETE` that has run before and was short takes part.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::connection::Conn;
use super::error::Failure;
use super::execution::{Executed, Output};
use super::group_transaction::{GroupCommands, GroupOutcome};
use super::lease::{Lease, Shared};
use super::workers;
use super::write_queue::{QueuedWrite, Replied, ReplyChannel, Stopper, WriteQueue};
use crate::database::budget::Budget;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// The most writes in one group.
const MAX_GROUP_SIZE: usize = 128;

/// How long one statement of a group may run before the group is rolled back, and each of its
/// writes runs alone.
const GROUP_LIMIT: Duration = Duration::from_millis(20);

/// How long the thread sleeps while another process holds the file's lock.
const BUSY_INTERVAL: Duration = Duration::from_millis(1);

/// Runs a write in the next group.
pub(super) async fn run(
    shared: &Arc<Shared>,
    statement: &Arc<Statement>,
    params: &[Value],
    output: Output,
    budget: &Budget,
    core: &ReplyChannel,
) -> Result<Executed, Error> {
    let (write, wait) = QueuedWrite::new(statement, params, output, budget, core.clone());
    if shared.queue.push(write) {
        GroupThread::start(Arc::clone(shared));
    }
    let begins_by = budget.deadline.min(budget.began + shared.config.pool_wait);
    wait.result(begins_by, budget).await
}

/// The thread that takes the writes. If it ends early, those that wait are given up: they have not
/// begun.
struct GroupThread {
    shared: Option<Arc<Shared>>,
    runtime: Handle,
}

impl Drop for GroupThread {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.queue.give_up();
        }
    }
}

impl GroupThread {
    fn start(shared: Arc<Shared>) {
        let this = Self {
            shared: Some(shared),
            runtime: Handle::current(),
        };
        workers::spawn(move || this.run_groups(), Replied::send_all);
    }

    /// Runs groups until the queue is empty. Returns the results of the last group, which are sent
    /// once the connection is returned, so that it is closed with its database.
    fn run_groups(mut self) -> Vec<Replied> {
        let Some(shared) = self.shared.clone() else {
            return Vec::new();
        };
        loop {
            let lease = match shared.writer_on_thread(&self.runtime) {
                Ok(lease) => lease,
                Err(error) => {
                    Replied::send_all(shared.queue.refuse(&error));
                    if shared.queue.end_thread() {
                        self.shared = None;
                        return Vec::new();
                    }
                    continue;
                }
            };
            let last = lease.run_groups(&shared);
            drop(lease);
            if shared.queue.end_thread() {
                self.shared = None;
                drop(shared);
                return last;
            }
            Replied::send_all(last);
        }
    }
}

impl Lease {
    /// Runs groups until none waits, or until the connection has to be returned for others. Returns
    /// the results of the last one.
    fn run_groups(&self, shared: &Shared) -> Vec<Replied> {
        let Ok(conn) = self.conn() else {
            return Vec::new();
        };
        let stopper = Stopper::new(conn);
        let mut commands = None;
        loop {
            let replies = run_group(&shared.queue, conn, &stopper, &mut commands);
            let is_usable = conn.clean();
            if !is_usable || !shared.queue.has_waiting() || shared.is_writer_awaited() {
                return replies;
            }
            Replied::send_all(replies);
        }
    }
}

/// Begins a transaction and takes the writes that wait by then. Writes are taken here alone, since
/// without a transaction each would be committed by its own statement. Returns none if no write
/// waits, and the results if none can be written.
fn begin_and_take(
    queue: &WriteQueue,
    conn: &Conn,
    mut commands: Option<&mut GroupCommands<'_>>,
) -> Result<Vec<QueuedWrite>, Vec<Replied>> {
    while queue.has_waiting() {
        let begun = match &mut commands {
            Some(commands) => commands.begin(conn),
            None => conn.begin(),
        };
        match begun {
            Ok(()) => return Ok(queue.take(MAX_GROUP_SIZE)),
            // The writes stay in the queue, where each waits no longer than `--pool-wait`.
            Err(Failure::Busy) => std::thread::sleep(BUSY_INTERVAL),
            Err(failure) => return Err(queue.refuse(&failure.outside_transaction(false))),
        }
    }
    Ok(Vec::new())
}

/// Runs the next group and returns its results.
fn run_group<'c>(
    queue: &WriteQueue,
    conn: &'c Conn,
    stopper: &Arc<Stopper>,
    commands: &mut Option<GroupCommands<'c>>,
) -> Vec<Replied> {
    let mut group = match begin_and_take(queue, conn, commands.as_mut()) {
        Ok(group) => group,
        Err(replies) => return replies,
    };
    if group.len() <= 1 {
        // Alone, a write needs no savepoint and has its whole time.
        let alone = group.pop();
        return alone
            .map(|write| write.run_and_commit(conn, stopper))
            .into_iter()
            .collect();
    }
    let prepared = match commands {
        Some(commands) => Ok(commands),
        none => GroupCommands::prepare(conn).map(|prepared| none.insert(prepared)),
    };
    let outcome = match prepared {
        Ok(commands) => commands.commit(conn, &group, |write| {
            write.run(conn, stopper, Some(Instant::now() + GROUP_LIMIT))
        }),
        Err(_) => GroupOutcome::RolledBack(None),
    };
    let mut again = Vec::new();
    let mut replies = Vec::with_capacity(group.len());
    match outcome {
        GroupOutcome::Known(results) => {
            for (write, result) in group.into_iter().zip(results) {
                match result {
                    Some(result) => replies.push(write.reply(result)),
                    None => again.push(write),
                }
            }
        }
        GroupOutcome::RolledBack(cause) => {
            conn.clean();
            again = group;
            if let Some(cause) = cause {
                // The others do not wait for it a second time.
                let cause = again.remove(cause);
                again.push(cause);
            }
        }
    }
    for write in again {
        // Results that are known are not delayed by writes that run alone.
        Replied::send_all(std::mem::take(&mut replies));
        replies.push(write.run_alone(conn, stopper));
    }
    replies
}
