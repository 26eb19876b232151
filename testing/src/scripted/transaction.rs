//! A transaction over a script, which goes the way PostgreSQL's does.

use std::sync::Arc;

use async_trait::async_trait;
use usher::database::backend::BackendTransaction;
use usher::database::budget::Budget;
use usher::database::statement::Statement;
use usher::database::{Error, Rows, Value, failure};

use super::fault::Fault;
use super::log::Event;
use super::rule::Answer;
use super::script::Script;

/// A transaction that has begun. Dropping it rolls it back, and the log says so.
#[derive(Debug)]
pub(crate) struct ScriptedTransaction {
    script: Script,
    number: u64,
    state: State,
    /// Whether something ran in it that may write, so that a lost COMMIT leaves doubt.
    wrote: bool,
}

/// What has become of a transaction.
#[derive(Clone, Debug)]
enum State {
    Whole,
    /// A statement was refused or timed out: PostgreSQL takes no more, and COMMIT would roll back.
    Aborted,
    /// The connection is lost, and with it the transaction.
    Lost(Error),
    /// Its end was asked for.
    Ended,
}

impl ScriptedTransaction {
    pub(super) fn new(script: Script, number: u64) -> Self {
        Self {
            script,
            number,
            state: State::Whole,
            wrote: false,
        }
    }

    async fn run<T>(
        &mut self,
        statement: &Statement,
        params: &[Value],
        budget: &Budget,
        read: impl FnOnce(Answer) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let over = match &self.state {
            State::Lost(error) => Some(error.clone()),
            State::Aborted => {
                let message = "current transaction is aborted, commands are ignored until end of transaction block";
                Some(failure::refused("25P02", message, None, None))
            }
            State::Whole | State::Ended => None,
        };
        if let Some(error) = over {
            self.script
                .note(self.number, Event::statement(statement, params));
            return Err(error);
        }
        self.wrote |= statement.writes;
        let answer = match self
            .script
            .run(Some(self.number), statement, params, budget)
            .await
        {
            Ok(answer) => read(answer),
            // Nothing in a transaction takes effect before COMMIT, so what is lost here is known not to have happened.
            Err(fault) => Err(fault.error(false)),
        };
        match &answer {
            Err(Error::Refused(_) | Error::Timeout) => self.state = State::Aborted,
            Err(error @ (Error::Unavailable(_) | Error::InDoubt)) => {
                self.state = State::Lost(error.clone());
                self.script.note(self.number, Event::Lost);
            }
            _ => {}
        }
        answer
    }

    /// Ends it, where `doubtful` says whether an answer that does not come leaves doubt.
    async fn end(&mut self, how: Event, doubtful: bool, budget: &Budget) -> Result<(), Error> {
        self.state = State::Ended;
        match self.script.control(self.number, how, budget).await {
            Ok(()) => Ok(()),
            // A COMMIT cannot be cancelled.
            Err(Fault::Late) if doubtful => Err(Error::InDoubt),
            Err(fault) => Err(fault.error(doubtful)),
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
        self.run(statement, params, budget, |answer| answer.rows(budget))
            .await
    }

    async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        self.run(statement, params, budget, Answer::count).await
    }

    async fn commit(mut self: Box<Self>, budget: &Budget) -> Result<(), Error> {
        match &self.state {
            State::Lost(error) => Err(error.clone()),
            State::Aborted => {
                self.end(Event::Rollback, false, budget).await?;
                // What PostgreSQL says to any statement in this state; to COMMIT it says ROLLBACK, as if all were well.
                Err(failure::refused(
                    "25P02",
                    "current transaction is aborted, and was rolled back",
                    None,
                    None,
                ))
            }
            State::Whole | State::Ended => {
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
        if matches!(self.state, State::Whole | State::Aborted) {
            self.script.note(self.number, Event::Dropped);
        }
    }
}
