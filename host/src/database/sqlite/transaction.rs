//! Transactions: a connection to oneself, until the end.
//!
//! As in PostgreSQL, a refusal ends a transaction: what follows is refused with 25P02, and so is its commit. Here it is rolled back
//! at once, so that the next writer need not wait for a guest to notice.

use std::sync::Arc;

use super::connection::{Answer, Conn, Want, aborted};
use super::error::Failure;
use super::lease::{Lease, apart, to_the_end};
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
    pub(super) async fn begin(lease: Lease, read_only: bool, quick: bool, budget: &Budget) -> Result<Self, Error> {
        let start = move |conn: &Conn| if read_only { conn.begin_reading() } else { conn.begin() };
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
        Ok(Self { lease: Some(lease), quick })
    }

    pub(crate) async fn query(&mut self, statement: &Arc<Statement>, params: &[Value], budget: &Budget) -> Result<Rows, Error> {
        self.run(statement, params, Want::Rows(*budget), budget).await.map(|answer| answer.rows)
    }

    pub(crate) async fn execute(&mut self, statement: &Arc<Statement>, params: &[Value], budget: &Budget) -> Result<u64, Error> {
        self.run(statement, params, Want::Count, budget).await.map(|answer| answer.affected)
    }

    async fn run(&mut self, statement: &Arc<Statement>, params: &[Value], want: Want, budget: &Budget) -> Result<Answer, Error> {
        let lease = self.lease.take().ok_or_else(aborted)?;
        let (statement, params) = (Arc::clone(statement), params.to_vec());
        let work = move |conn: &Conn| {
            let before = conn.state();
            let answer = conn.answer(&statement, &params, want).map_err(|failure| failure.within(statement.writes));
            // What was found wrong before the statement began has changed nothing. Otherwise the transaction is over.
            let lives = match &answer {
                Ok(_) => true,
                Err(Error::Invalid(_) | Error::Denied(_)) => conn.state() == before,
                Err(_) => false,
            };
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
        let Some(lease) = self.lease.take() else { return Ok(()) };
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
        match self.lease.take() {
            Some(lease) if !self.quick => lease.give_back_apart(),
            lease => drop(lease),
        }
    }
}
