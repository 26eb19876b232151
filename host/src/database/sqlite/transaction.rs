//! Transactions on a leased connection.
//!
//! As in PostgreSQL, a refusal aborts a transaction: later calls and the commit are refused with
//! 25P02, and an idle transaction is rolled back after a timeout. Unlike there, an aborted
//! transaction is rolled back at once, because all other writers wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::connection::{Conn, ConnState};
use super::error::{Failure, aborted};
use super::execution::{Executed, Output};
use super::inline::{self, is_short};
use super::lease::Lease;
use super::separate_thread;
use crate::database::budget::Budget;
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Error, Rows, Value};

/// A transaction that has begun. Dropping it rolls it back.
#[derive(Debug)]
pub(crate) struct Transaction {
    state: Arc<TransactionState>,
    idle_timer: AbortHandle,
}

/// The state that a transaction shares with its idle timer.
#[derive(Debug)]
struct TransactionState {
    stage: Mutex<Stage>,
    /// The database is in memory, so that no call waits for a disk.
    is_memory: bool,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each transaction, and it is not moved"
)]
enum Stage {
    /// No call runs since this moment.
    Idle(Lease, Instant),
    /// A call has the connection.
    Busy,
    /// A statement was refused, or a call was dropped before it returned.
    Aborted,
    /// It was idle for longer than this.
    Expired(Duration),
}

impl TransactionState {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection for one call.
    fn take(&self) -> Result<Lease, Error> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Busy) {
            Stage::Idle(lease, _) => Ok(lease),
            Stage::Busy | Stage::Aborted => {
                *stage = Stage::Aborted;
                Err(aborted())
            }
            Stage::Expired(limit) => {
                *stage = Stage::Expired(limit);
                Err(failure::unavailable(format!(
                    "the transaction did nothing for {limit:?} and was rolled back"
                )))
            }
        }
    }

    fn put(&self, lease: Lease) {
        *self.stage() = Stage::Idle(lease, Instant::now());
    }

    /// Rolls back and returns the connection, on a separate thread if that may wait for a disk.
    fn roll_back(&self, lease: Lease) {
        if self.is_memory {
            drop(lease);
        } else {
            lease.return_on_separate_thread();
        }
    }

    /// Rolls back once the transaction has been idle for `limit`.
    async fn time_idle(self: Arc<Self>, limit: Duration) {
        let mut due = Instant::now() + limit;
        loop {
            tokio::time::sleep_until(due.into()).await;
            let mut stage = self.stage();
            due = match &*stage {
                Stage::Idle(_, since) => *since + limit,
                // A statement has its own deadline.
                Stage::Busy => Instant::now() + limit,
                Stage::Aborted | Stage::Expired(_) => return,
            };
            if due > Instant::now() {
                continue;
            }
            let ended = std::mem::replace(&mut *stage, Stage::Expired(limit));
            drop(stage);
            if let Stage::Idle(lease, _) = ended {
                self.roll_back(lease);
            }
            return;
        }
    }
}

impl Transaction {
    /// Begins on this connection.
    pub(super) async fn begin(
        lease: Lease,
        read_only: bool,
        is_memory: bool,
        idle: Duration,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let start = move |conn: &Conn| {
            if read_only {
                conn.begin_reading()
            } else {
                conn.begin()
            }
        };
        let (lease, begun) = if is_memory {
            let begun = start(lease.conn()?);
            (lease, begun)
        } else {
            let work = move |conn: &Conn| conn.retry_while_busy(start);
            separate_thread::run(lease, budget, work).await?
        };
        // A lock that another process holds counts as a connection that did not become free.
        begun.map_err(|failure| match failure {
            Failure::Interrupted => Error::Overloaded,
            other => other.outside_transaction(false),
        })?;
        let state = Arc::new(TransactionState {
            stage: Mutex::new(Stage::Idle(lease, Instant::now())),
            is_memory,
        });
        let idle_timer = tokio::spawn(Arc::clone(&state).time_idle(idle)).abort_handle();
        Ok(Self { state, idle_timer })
    }

    pub(crate) async fn query(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        self.run(statement, params, Output::Rows(budget.clone()), budget)
            .await
            .map(|executed| executed.rows)
    }

    pub(crate) async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        self.run(statement, params, Output::Count, budget)
            .await
            .map(|executed| executed.affected)
    }

    async fn run(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        output: Output,
        budget: &Budget,
    ) -> Result<Executed, Error> {
        let lease = self.state.take()?;
        // A stopped read can run again, but a stopped write would end the transaction.
        if !statement.writes && is_short(statement) {
            let conn = lease.conn()?;
            let before = conn.state();
            let executed = inline::execute(conn, statement, params, &output, budget);
            let runs_again = matches!(executed, Err(Failure::Interrupted | Failure::TooBig))
                && conn.state() == before
                && !budget.is_over();
            if !runs_again {
                let (result, is_open) = outcome(conn, before, executed, statement);
                if is_open {
                    self.state.put(lease);
                } else {
                    self.state.roll_back(lease);
                }
                return result;
            }
        }
        let (statement, params) = (Arc::clone(statement), params.to_vec());
        let work = move |conn: &Conn| {
            let before = conn.state();
            let executed = conn
                .limit_values(false)
                .and_then(|()| conn.execute(&statement, &params, &output, Instant::now()));
            let (result, is_open) = outcome(conn, before, executed, &statement);
            if !is_open {
                conn.clean();
            }
            (result, is_open)
        };
        let (lease, (result, is_open)) = separate_thread::run(lease, budget, work).await?;
        if is_open {
            self.state.put(lease);
        }
        result
    }

    /// Compiles a statement without running it.
    pub(crate) async fn prepare(
        &mut self,
        statement: &Arc<Statement>,
        budget: &Budget,
    ) -> Result<(), Error> {
        let lease = self.state.take()?;
        let statement = Arc::clone(statement);
        let work = move |conn: &Conn| conn.compile(&statement);
        let (lease, compiled) = separate_thread::run(lease, budget, work).await?;
        self.state.put(lease);
        compiled.map_err(|failure| failure.in_transaction(false))
    }

    pub(crate) async fn commit(self, budget: &Budget) -> Result<(), Error> {
        let lease = self.state.take()?;
        let committed = if self.state.is_memory {
            lease.conn()?.commit()
        } else {
            let work = |conn: &Conn| conn.retry_while_busy(Conn::commit);
            separate_thread::run_to_completion(lease, budget, work).await?
        };
        committed.map_err(|failure| failure.in_transaction(true))
    }

    pub(crate) async fn rollback(self, budget: &Budget) -> Result<(), Error> {
        let lease = match self.state.take() {
            Ok(lease) => lease,
            // It was rolled back when it was aborted.
            Err(Error::Refused(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.state.is_memory {
            drop(lease);
            return Ok(());
        }
        let work = |conn: &Conn| {
            conn.clean();
        };
        separate_thread::run_to_completion(lease, budget, work).await
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.idle_timer.abort();
        if let Ok(lease) = self.state.take() {
            self.state.roll_back(lease);
        }
    }
}

/// The result of a statement, and whether its transaction stays open: it does after an error that
/// was found before the statement began.
fn outcome(
    conn: &Conn,
    before: ConnState,
    executed: Result<Executed, Failure>,
    statement: &Statement,
) -> (Result<Executed, Error>, bool) {
    let result = executed.map_err(|failure| failure.in_transaction(statement.writes));
    let is_open = match &result {
        Ok(_) => true,
        Err(Error::Invalid(_) | Error::Denied(_)) => conn.state() == before,
        Err(_) => false,
    };
    (result, is_open)
}
