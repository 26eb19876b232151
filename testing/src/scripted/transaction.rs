//! A transaction over a script, with the states of a transaction in PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use usher::database::backend::BackendTransaction;
use usher::database::budget::Budget;
use usher::database::statement::Statement;
use usher::database::{Error, Rows, Value, failure};

use super::fault::Fault;
use super::log::Event;
use super::rule::Outcome;
use super::script::Script;

/// A transaction that has begun. Dropping it rolls it back and is logged.
#[derive(Debug)]
pub(crate) struct ScriptedTransaction {
    script: Script,
    number: u64,
    state: State,
    /// Whether a statement that may write ran in it, so that a lost COMMIT is in doubt.
    wrote: bool,
}

/// The state of a transaction.
#[derive(Clone, Debug)]
enum State {
    Open,
    /// A statement was refused or timed out: PostgreSQL refuses further statements, and COMMIT
    /// rolls back.
    Aborted,
    /// The connection is lost, and with it the transaction.
    Lost(Error),
    /// The component has ended it.
    Ended,
}

impl ScriptedTransaction {
    pub(super) fn new(script: Script, number: u64) -> Self {
        Self {
            script,
            number,
            state: State::Open,
            wrote: false,
        }
    }

    async fn run<T>(
        &mut self,
        statement: &Statement,
        params: &[Value],
        budget: &Budget,
        read: impl FnOnce(Outcome) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let over = match &self.state {
            State::Lost(error) => Some(error.clone()),
            State::Aborted => {
                let message = "current transaction is aborted, commands are ignored until end of \
                    transaction block";
                Some(failure::refused("25P02", message, None, None))
            }
            State::Open | State::Ended => None,
        };
        if let Some(error) = over {
            self.script
                .note(self.number, Event::statement(statement, params));
            return Err(error);
        }
        self.wrote |= statement.writes;
        let outcome = match self
            .script
            .run(Some(self.number), statement, params, budget)
            .await
        {
            Ok(outcome) => read(outcome),
            // Nothing in a transaction takes effect before COMMIT, so a lost connection is not in
            // doubt.
            Err(fault) => Err(fault.error(false)),
        };
        match &outcome {
            Err(Error::Refused(_) | Error::Timeout) => self.state = State::Aborted,
            Err(error @ (Error::Unavailable(_) | Error::InDoubt)) => {
                self.state = State::Lost(error.clone());
                self.script.note(self.number, Event::Lost);
            }
            _ => {}
        }
        outcome
    }

    /// Ends it, where `in_doubt` is whether a missing result is in doubt.
    async fn end(&mut self, how: Event, in_doubt: bool, budget: &Budget) -> Result<(), Error> {
        self.state = State::Ended;
        match self.script.control(self.number, how, budget).await {
            Ok(()) => Ok(()),
            // A COMMIT cannot be cancelled.
            Err(Fault::Late) if in_doubt => Err(Error::InDoubt),
            Err(fault) => Err(fault.error(in_doubt)),
        }
    }
}

#[async_trait]
impl BackendTransaction for ScriptedTransaction {
    async fn query(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        self.run(statement, params, budget, |outcome| outcome.rows(budget))
            .await
    }

    async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        self.run(statement, params, budget, Outcome::count).await
    }

    async fn commit(mut self: Box<Self>, budget: &Budget) -> Result<(), Error> {
        match &self.state {
            State::Lost(error) => Err(error.clone()),
            State::Aborted => {
                self.end(Event::Rollback, false, budget).await?;
                // PostgreSQL's error for any statement in this state. To COMMIT it returns ROLLBACK
                // without an error.
                Err(failure::refused(
                    "25P02",
                    "current transaction is aborted, and was rolled back",
                    None,
                    None,
                ))
            }
            State::Open | State::Ended => {
                let wrote = self.wrote;
                self.end(Event::Commit, wrote, budget).await
            }
        }
    }

    async fn rollback(mut self: Box<Self>, budget: &Budget) -> Result<(), Error> {
        match &self.state {
            State::Lost(error) => Err(error.clone()),
            _ => self.end(Event::Rollback, false, budget).await,
        }
    }
}

impl Drop for ScriptedTransaction {
    fn drop(&mut self) {
        if matches!(self.state, State::Open | State::Aborted) {
            self.script.note(self.number, Event::Dropped);
        }
    }
}
