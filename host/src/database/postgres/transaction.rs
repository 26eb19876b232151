//! A transaction on a dedicated connection.
//!
//! A refused statement aborts the transaction, as in PostgreSQL. A lost connection rolls it back;
//! only a COMMIT that is not answered leaves a transaction with writes `in-doubt`.

use std::sync::Arc;
use std::time::Duration;

use super::dedicated::DedicatedConnections;
use super::dedicated_connection::DedicatedConnection;
use super::outcome::Failure;
use super::run::{Fetch, FetchCount, FetchRows};
use crate::database::budget::Budget;
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Error, Isolation, Rows, Value};

/// How long a statement of migrations waits for a lock. Other statements queue behind a waiting
/// one, so after this time it lets them pass and tries again.
const MIGRATION_LOCK: Duration = Duration::from_secs(1);

/// PostgreSQL's error for a statement in an aborted transaction.
fn aborted() -> Error {
    failure::refused(
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
        None,
        None,
    )
}

#[derive(Debug)]
enum TransactionState {
    Open,
    /// A statement or its result was refused: no further statement runs, and COMMIT fails.
    Aborted,
    /// The connection was lost, and the transaction with it.
    Lost(Error),
}

/// A transaction. Dropping it rolls it back.
#[derive(Debug)]
pub(crate) struct Transaction {
    connection: DedicatedConnection,
    state: TransactionState,
    /// Whether a statement ran that may write, so that a lost COMMIT is in doubt.
    wrote: bool,
}

impl Transaction {
    /// Begins a transaction of migrations. Its settings last until its end, also behind a pooler.
    pub(super) async fn begin_migration(
        pool: &DedicatedConnections,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let settings = format!(
            "; SET LOCAL statement_timeout = 0; \
             SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = {}",
            MIGRATION_LOCK.as_millis()
        );
        Self::begin_with(pool, isolation, read_only, &settings, budget).await
    }

    pub(super) async fn begin(
        pool: &DedicatedConnections,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Self, Error> {
        Self::begin_with(pool, isolation, read_only, "", budget).await
    }

    /// Begins a transaction and applies settings in the same write.
    async fn begin_with(
        pool: &DedicatedConnections,
        isolation: Isolation,
        read_only: bool,
        settings: &str,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let mut may_retry = true;
        loop {
            let mut connection = pool.get(budget).await?;
            let mut begin = connection
                .session()
                .map_err(|failure| failure.error)?
                .commands()
                .begin(Some(isolation), read_only);
            begin.push_str(settings);
            match connection.send_command(&begin, false, budget).await {
                Ok(()) => {
                    connection.record_begin(read_only);
                    return Ok(Self {
                        connection,
                        state: TransactionState::Open,
                        wrote: false,
                    });
                }
                // The connection was lost while it was idle in the pool.
                Err(failure) if !failure.answered && may_retry && !budget.is_over() => {
                    may_retry = false;
                    budget.retried();
                }
                Err(failure) => return Err(failure.error),
            }
        }
    }

    pub(crate) async fn query(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        self.run::<FetchRows>(statement, params, budget).await
    }

    pub(crate) async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        self.run::<FetchCount>(statement, params, budget).await
    }

    async fn run<F: Fetch>(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<F::Output, Error> {
        match &self.state {
            TransactionState::Open => {}
            TransactionState::Aborted => return Err(aborted()),
            TransactionState::Lost(error) => return Err(error.clone()),
        }
        self.wrote |= statement.writes;
        // Nothing takes effect before COMMIT, so a statement that is lost here is not in doubt.
        self.connection
            .run::<F>(statement, params, false, budget)
            .await
            .map_err(|failure| self.record_failure(failure, statement))
    }

    /// Prepares a statement without running it. If that is refused, the transaction is aborted.
    pub(crate) async fn prepare(
        &mut self,
        statement: &Arc<Statement>,
        budget: &Budget,
    ) -> Result<(), Error> {
        self.connection
            .prepare(statement, budget)
            .await
            .map_err(|failure| self.record_failure(failure, statement))
    }

    fn record_failure(&mut self, failure: Failure, statement: &Statement) -> Error {
        if !failure.answered {
            self.state = TransactionState::Lost(failure.error.clone());
        } else if matches!(
            failure.error,
            Error::Refused(_) | Error::Timeout | Error::TooLarge(_)
        ) || (failure.ran && statement.writes)
        {
            // The server has aborted the transaction, or has run a write whose result could not be
            // returned.
            self.state = TransactionState::Aborted;
        }
        failure.error
    }

    pub(crate) async fn commit(self, budget: &Budget) -> Result<(), Error> {
        match self.state {
            TransactionState::Lost(error) => return Err(error),
            TransactionState::Aborted => {
                self.end("ROLLBACK", false, budget).await?;
                // PostgreSQL answers COMMIT with ROLLBACK and no error.
                return Err(aborted());
            }
            TransactionState::Open => {}
        }
        let wrote = self.wrote;
        self.end("COMMIT", wrote, budget).await
    }

    pub(crate) async fn rollback(self, budget: &Budget) -> Result<(), Error> {
        match self.state {
            TransactionState::Lost(error) => Err(error),
            TransactionState::Open | TransactionState::Aborted => {
                self.end("ROLLBACK", false, budget).await
            }
        }
    }

    async fn end(self, command: &str, writes: bool, budget: &Budget) -> Result<(), Error> {
        let mut connection = self.connection;
        // A connection that was lost before the command is sent is not in doubt.
        if connection.is_lost() {
            return Err(failure::unavailable(
                "the connection was lost, and the transaction with it",
            ));
        }
        let (result, is_clean) = connection.end_transaction(command, writes, budget).await;
        // A refused COMMIT (deferred constraint, serialization failure) ends the transaction too.
        let is_answered = result.as_ref().err().is_none_or(|failure| failure.answered);
        if is_answered && is_clean {
            connection.return_to_pool();
        }
        result.map_err(|failure| failure.error)
    }
}
