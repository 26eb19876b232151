//! Transactions: a connection to oneself, until the end.
//!
//! As in PostgreSQL, a refusal ends a transaction: what follows is refused with 25P02, and so is its commit. Here it is rolled back
//! at once, so that the next writer need not wait for a guest to notice. And as there, one that does nothing for too long is ended
//! from outside, since all other writers wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::connection::{Answer, Conn, State, Want};
use super::error::{Failure, aborted};
use super::inline::{inline, is_quick};
use super::lease::{Lease, apart, to_the_end};
use crate::database::budget::Budget;
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Error, Rows, Value};

/// A transaction that has begun. Dropping it rolls it back.
#[derive(Debug)]
pub(crate) struct Transaction {
    watched: Arc<Watched>,
    watch: AbortHandle,
}

/// What the calls of a transaction share with who watches that it goes on.
#[derive(Debug)]
struct Watched {
    stage: Mutex<Stage>,
    /// There is no disk to wait for.
    quick: bool,
}

/// How far a transaction is.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each transaction, and it stays where it is"
)]
enum Stage {
    /// It has done nothing since then.
    Idle(Lease, Instant),
    /// A call has the connection.
    Busy,
    /// It was refused something, or a call was given up halfway.
    Aborted,
    /// It did nothing for longer than this.
    Expired(Duration),
}

impl Watched {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, for one call.
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

    /// Rolls back, where there is a disk on a thread that may wait for it.
    fn give_back(&self, lease: Lease) {
        if self.quick {
            drop(lease);
        } else {
            lease.give_back_apart();
        }
    }

    /// Rolls back once nothing has been done for this long.
    async fn watch(self: Arc<Self>, limit: Duration) {
        let mut due = Instant::now() + limit;
        loop {
            tokio::time::sleep_until(due.into()).await;
            let mut stage = self.stage();
            due = match &*stage {
                Stage::Idle(_, since) => *since + limit,
                // A statement has its own time.
                Stage::Busy => Instant::now() + limit,
                Stage::Aborted | Stage::Expired(_) => return,
            };
            if due > Instant::now() {
                continue;
            }
            let ended = std::mem::replace(&mut *stage, Stage::Expired(limit));
            drop(stage);
            if let Stage::Idle(lease, _) = ended {
                self.give_back(lease);
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
        quick: bool,
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
        let (lease, begun) = if quick {
            let begun = start(lease.conn()?);
            (lease, begun)
        } else {
            apart(lease, budget, move |conn| conn.patiently(start)).await?
        };
        // A lock that was not given is a connection that was not free.
        begun.map_err(|failure| match failure {
            Failure::Interrupted => Error::Overloaded,
            other => other.alone(false),
        })?;
        let watched = Arc::new(Watched {
            stage: Mutex::new(Stage::Idle(lease, Instant::now())),
            quick,
        });
        let watch = tokio::spawn(Arc::clone(&watched).watch(idle)).abort_handle();
        Ok(Self { watched, watch })
    }

    pub(crate) async fn query(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        self.run(statement, params, Want::Rows(*budget), budget)
            .await
            .map(|answer| answer.rows)
    }

    pub(crate) async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        self.run(statement, params, Want::Count, budget)
            .await
            .map(|answer| answer.affected)
    }

    async fn run(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        want: Want,
        budget: &Budget,
    ) -> Result<Answer, Error> {
        let lease = self.watched.take()?;
        // A read that is stopped can be run again; with a write that is stopped the transaction would be lost.
        if !statement.writes && is_quick(statement) {
            let conn = lease.conn()?;
            let before = conn.state();
            let done = inline(conn, statement, params, want, budget);
            let again = matches!(done, Err(Failure::Interrupted | Failure::TooBig))
                && conn.state() == before
                && !budget.is_over();
            if !again {
                let (answer, lives) = judged(conn, before, done, statement);
                if lives {
                    self.watched.put(lease);
                } else {
                    self.watched.give_back(lease);
                }
                return answer;
            }
        }
        let (statement, params) = (Arc::clone(statement), params.to_vec());
        let work = move |conn: &Conn| {
            let before = conn.state();
            let done = conn
                .limit_values(false)
                .and_then(|()| conn.answer(&statement, &params, want, Instant::now()));
            let (answer, lives) = judged(conn, before, done, &statement);
            if !lives {
                conn.clean();
            }
            (answer, lives)
        };
        let (lease, (answer, lives)) = apart(lease, budget, work).await?;
        if lives {
            self.watched.put(lease);
        }
        answer
    }

    pub(crate) async fn commit(self, budget: &Budget) -> Result<(), Error> {
        let lease = self.watched.take()?;
        let committed = if self.watched.quick {
            lease.conn()?.commit()
        } else {
            to_the_end(lease, budget, |conn| conn.patiently(Conn::commit)).await?
        };
        committed.map_err(|failure| failure.within(true))
    }

    pub(crate) async fn rollback(self, budget: &Budget) -> Result<(), Error> {
        let lease = match self.watched.take() {
            Ok(lease) => lease,
            // It was rolled back when it was refused something.
            Err(Error::Refused(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.watched.quick {
            drop(lease);
            return Ok(());
        }
        to_the_end(lease, budget, |conn| {
            conn.clean();
        })
        .await
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.watch.abort();
        if let Ok(lease) = self.watched.take() {
            self.watched.give_back(lease);
        }
    }
}

/// What to tell of a statement, and whether its transaction lives on: what was found wrong before it began has changed nothing.
fn judged(
    conn: &Conn,
    before: State,
    done: Result<Answer, Failure>,
    statement: &Statement,
) -> (Result<Answer, Error>, bool) {
    let answer = done.map_err(|failure| failure.within(statement.writes));
    let lives = match &answer {
        Ok(_) => true,
        Err(Error::Invalid(_) | Error::Denied(_)) => conn.state() == before,
        Err(_) => false,
    };
    (answer, lives)
}
