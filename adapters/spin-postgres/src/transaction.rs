//! A transaction on a connection of its own.
//!
//! A refused statement aborts it, as in PostgreSQL. A lost connection rolls it back; only a COMMIT
//! that is not answered leaves a transaction with writes `in-doubt`.

use std::cell::{Cell, RefCell};

use adapter_common::database::types::{Error, Rows, Value};
use adapter_common::database::{failure, policy};

use crate::address;
use crate::bindings::exports::usher::database::database::Isolation;
use crate::bindings::spin::postgres::postgres::{Connection, ParameterValue};
use crate::outcome::{After, Failure};
use crate::single;
use crate::values;

/// The server ends the session of a transaction that an instance has left open. A component that
/// lives sends its next statement within less.
const LIMIT_IDLE: &str = "SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// What is known of the transaction.
enum State {
    Open,
    /// No further statement runs, and it cannot be committed.
    Aborted,
    /// Its connection is lost.
    Lost(Error),
}

/// A transaction. Dropping it rolls it back.
pub(crate) struct Transaction {
    connection: Connection,
    state: RefCell<State>,
    /// Whether a statement ran that may write, so that a lost COMMIT is in doubt.
    has_written: Cell<bool>,
    has_ended: Cell<bool>,
}

impl Transaction {
    pub(crate) fn begin(isolation: Isolation, read_only: bool) -> Result<Self, Error> {
        let level = match isolation {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
            Isolation::Serializable => "SERIALIZABLE",
        };
        let access = if read_only { "READ ONLY" } else { "READ WRITE" };
        let begin = format!("BEGIN ISOLATION LEVEL {level} {access}");
        let connection = single::open(&address::for_transactions()?)?;
        // An instance that was ended may have left a transaction on it.
        for command in ["ROLLBACK", &begin, LIMIT_IDLE] {
            single::execute_on(&connection, command, &[], false)
                .map_err(|failure| failure.error)?;
        }
        Ok(Self {
            connection,
            state: RefCell::new(State::Open),
            has_written: Cell::new(false),
            has_ended: Cell::new(false),
        })
    }

    pub(crate) fn query(&self, statement: &str, params: Vec<Value>) -> Result<Rows, Error> {
        self.run(statement, params, single::query_on)
    }

    pub(crate) fn execute(&self, statement: &str, params: Vec<Value>) -> Result<u64, Error> {
        self.run(statement, params, single::execute_on)
    }

    fn run<T>(
        &self,
        statement: &str,
        params: Vec<Value>,
        call: impl FnOnce(&Connection, &str, &[ParameterValue], bool) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let writes = policy::check(statement)?;
        let params = values::parameters(params)?;
        match &*self.state.borrow() {
            State::Open => {}
            State::Aborted => return Err(aborted()),
            State::Lost(error) => return Err(error.clone()),
        }
        // Nothing takes effect before COMMIT, so a statement that is lost here is not in doubt.
        let result = call(&self.connection, statement, &params, false);
        match result {
            Ok(done) => {
                self.has_written.set(self.has_written.get() || writes);
                Ok(done)
            }
            Err(Failure { error, after }) => {
                let next = match after {
                    After::NotRun => State::Open,
                    After::Refused | After::Ran => State::Aborted,
                    After::Lost => State::Lost(error.clone()),
                };
                *self.state.borrow_mut() = next;
                Err(error)
            }
        }
    }

    pub(crate) fn commit(self) -> Result<(), Error> {
        match self.state.replace(State::Aborted) {
            State::Open => self.end("COMMIT", self.has_written.get()),
            // PostgreSQL answers COMMIT with ROLLBACK and no error.
            State::Aborted => {
                self.end("ROLLBACK", false)?;
                Err(aborted())
            }
            State::Lost(error) => {
                self.has_ended.set(true);
                Err(error)
            }
        }
    }

    pub(crate) fn rollback(self) -> Result<(), Error> {
        match self.state.replace(State::Aborted) {
            State::Open | State::Aborted => self.end("ROLLBACK", false),
            State::Lost(error) => {
                self.has_ended.set(true);
                Err(error)
            }
        }
    }

    fn end(&self, command: &str, writes: bool) -> Result<(), Error> {
        self.has_ended.set(true);
        single::execute_on(&self.connection, command, &[], writes)
            .map(drop)
            .map_err(|failure| failure.error)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.has_ended.get() && !matches!(*self.state.borrow(), State::Lost(_)) {
            // If that fails, the transaction has ended with its connection, or the next one that
            // takes the connection ends it.
            let _ = self.end("ROLLBACK", false);
        }
    }
}

/// PostgreSQL's error for a statement in an aborted transaction.
fn aborted() -> Error {
    failure::refused(
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
        None,
        None,
    )
}
