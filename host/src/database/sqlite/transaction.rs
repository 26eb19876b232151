//! Transactions: a connection to oneself, until the end.
//!
//! As in PostgreSQL, a refusal ends a transaction: what follows is refused with 25P02, and so is its commit. Here it is rolled back
//! at once, so that the next writer need not wait for a guest to notice.

use std::sync::Arc;
use std::time::Instant;

use super::connection::{Answer, Conn, State, Want};
use super::error::{Failure, aborted};
use super::lease::{Lease, apart, to_the_end};
use super::{inline, is_quick};
use crate::database::backend::{Budget, Statement};
use crate::database::{Error, Rows, Value};

/// A transaction that has begun. Dropping it rolls it back.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// None once it was refused something.
    lease: Option<Lease>,
    /// There is no disk to wait for.
    quick: bool,
}

impl Transaction {
    /// Begins on this connection.
    pub(super) async fn begin(
        lease: Lease,
        read_only: bool,
        quick: bool,
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
        Ok(Self {
            lease: Some(lease),
            quick,
        })
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
        let lease = self.lease.take().ok_or_else(aborted)?;
        // A read that is stopped can be run again; with a write that is stopped the transaction would be lost.
        if !statement.writes && is_quick(statement) {
            let conn = lease.conn()?;
            let before = conn.state();
            let done = inline(conn, statement, params, want, budget);
            let again = matches!(done, Err(Failure::Interrupted))
                && conn.state() == before
                && !budget.is_over();
            if !again {
                let (answer, lives) = judged(conn, before, done, statement);
                if lives {
                    self.lease = Some(lease);
                } else {
                    self.give_back(lease);
                }
                return answer;
            }
        }
        let (statement, params) = (Arc::clone(statement), params.to_vec());
        let work = move |conn: &Conn| {
            let before = conn.state();
            let done = conn.answer(&statement, &params, want, Instant::now());
            let (answer, lives) = judged(conn, before, done, &statement);
            if !lives {
                conn.clean();
            }
            (answer, lives)
        };
        let (lease, (answer, lives)) = apart(lease, budget, work).await?;
        if lives {
            self.lease = Some(lease);
        }
        answer
    }

    /// Rolls back, where there is a disk on a thread that may wait for it.
    fn give_back(&self, lease: Lease) {
        if self.quick {
            drop(lease);
        } else {
            lease.give_back_apart();
        }
    }

    pub(crate) async fn commit(mut self, budget: &Budget) -> Result<(), Error> {
        let lease = self.lease.take().ok_or_else(aborted)?;
        let committed = if self.quick {
            lease.conn()?.commit()
        } else {
            to_the_end(lease, budget, |conn| conn.patiently(Conn::commit)).await?
        };
        committed.map_err(|failure| failure.within(true))
    }

    pub(crate) async fn rollback(mut self, budget: &Budget) -> Result<(), Error> {
        let Some(lease) = self.lease.take() else {
            return Ok(());
        };
        if self.quick {
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
        if let Some(lease) = self.lease.take() {
            self.give_back(lease);
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
