//! A transaction, which has a connection to itself.

use std::sync::Arc;
use std::time::Duration;

use super::exclusive::{Connection, Exclusives};
use super::run::{Want, WantCount, WantRows};
use crate::database::budget::Budget;
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Error, Isolation, Rows, Value};

/// How long a statement of migrations waits for a lock. Whoever comes after it waits behind it, for no longer than this; then
/// it lets them through and tries again.
const MIGRATION_LOCK: Duration = Duration::from_secs(1);

/// What PostgreSQL says to a statement in a transaction that is aborted.
fn aborted() -> Error {
    failure::refused(
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
        None,
        None,
    )
}

/// What has become of a transaction.
#[derive(Debug)]
enum State {
    Whole,
    /// A statement was refused, or its result was: nothing more is taken, and nothing committed.
    Aborted,
    /// The connection is lost, and with it the transaction.
    Lost(Error),
}

/// A transaction. Dropping it rolls it back.
#[derive(Debug)]
pub(crate) struct Transaction {
    connection: Connection,
    state: State,
    /// Whether something ran in it that may write, so that a lost COMMIT leaves doubt.
    wrote: bool,
}

impl Transaction {
    /// Begins a transaction of migrations. What is said here holds until its end, also behind a pooler.
    pub(super) async fn begin_migration(
        exclusives: &Exclusives,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let also = format!(
            "; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = {}",
            MIGRATION_LOCK.as_millis()
        );
        Self::begin_with(exclusives, isolation, read_only, &also, budget).await
    }

    /// Begins a transaction.
    pub(super) async fn begin(
        exclusives: &Exclusives,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Self, Error> {
        Self::begin_with(exclusives, isolation, read_only, "", budget).await
    }

    /// `also` is said in the same breath.
    async fn begin_with(
        exclusives: &Exclusives,
        isolation: Isolation,
        read_only: bool,
        also: &str,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let mut again = true;
        loop {
            let mut connection = exclusives.get(budget).await?;
            let mut begin = connection
                .link()
                .map_err(|failure| failure.error)?
                .words()
                .begin(Some(isolation), read_only);
            begin.push_str(also);
            match connection.control(&begin, false, budget).await {
                Ok(()) => {
                    connection.begun(read_only);
                    return Ok(Self {
                        connection,
                        state: State::Whole,
                        wrote: false,
                    });
                }
                // The pool gave a connection that had been lost while nobody used it: the next one may be well.
                Err(failure) if !failure.answered && again && !budget.is_over() => again = false,
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
        self.run::<WantRows>(statement, params, budget).await
    }

    pub(crate) async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        self.run::<WantCount>(statement, params, budget).await
    }

    async fn run<W: Want>(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<W::Answer, Error> {
        match &self.state {
            State::Whole => {}
            State::Aborted => return Err(aborted()),
            State::Lost(error) => return Err(error.clone()),
        }
        self.wrote |= statement.writes;
        // Nothing in a transaction takes effect before COMMIT, so whatever is lost here is known not to have happened.
        self.connection
            .run::<W>(statement, params, false, budget)
            .await
            .map_err(|failure| {
                if !failure.answered {
                    self.state = State::Lost(failure.error.clone());
                } else if matches!(
                    failure.error,
                    Error::Refused(_) | Error::Timeout | Error::TooLarge(_)
                ) || (failure.ran && statement.writes)
                {
                    // The server takes no more, or has done what nobody knows the outcome of.
                    self.state = State::Aborted;
                }
                failure.error
            })
    }

    pub(crate) async fn commit(self, budget: &Budget) -> Result<(), Error> {
        match self.state {
            State::Lost(error) => return Err(error),
            State::Aborted => {
                self.end("ROLLBACK", false, budget).await?;
                // To COMMIT PostgreSQL says ROLLBACK, as if all were well.
                return Err(aborted());
            }
            State::Whole => {}
        }
        let wrote = self.wrote;
        self.end("COMMIT", wrote, budget).await
    }

    pub(crate) async fn rollback(self, budget: &Budget) -> Result<(), Error> {
        match self.state {
            State::Lost(error) => Err(error),
            State::Whole | State::Aborted => self.end("ROLLBACK", false, budget).await,
        }
    }

    async fn end(self, how: &str, writes: bool, budget: &Budget) -> Result<(), Error> {
        let mut connection = self.connection;
        // What was lost before this is sent is known to be undone.
        if connection.is_lost() {
            return Err(failure::unavailable(
                "the connection was lost, and the transaction with it",
            ));
        }
        let (ended, is_clean) = connection.end(how, writes, budget).await;
        // A COMMIT that is refused (a deferred constraint, a serialization failure) has ended the
        // transaction.
        let answered = ended.as_ref().err().is_none_or(|failure| failure.answered);
        if answered && is_clean {
            connection.give_back();
        }
        ended.map_err(|failure| failure.error)
    }
}
