//! A back end that returns what was recorded, to whoever asks the same.
//!
//! It stands behind the gate like any other, and its policy permits every statement: whether a
//! statement may run was decided when it was recorded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::database::backend::{Backend, BackendCursor, BackendPool, BackendTransaction};
use crate::database::budget::Budget;
use crate::database::policy::Policy;
use crate::database::statement::{Effect, Statement};
use crate::database::tape::{Call, Operation, Outcome};
use crate::database::{Error, Isolation, OpenError, Row, Rows, SqlDialect, Value, failure};

/// Permits everything.
static POSTGRES: Policy = Policy::new(SqlDialect::Postgres, usize::MAX, |_, _, _| {
    Ok(Effect::Writes)
});
static SQLITE: Policy = Policy::new(SqlDialect::Sqlite, usize::MAX, |_, _, _| Ok(Effect::Writes));

/// The recorded calls, of which each is returned once. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Playback {
    dialect: SqlDialect,
    calls: Arc<Mutex<Calls>>,
}

#[derive(Debug, Default)]
struct Calls {
    /// The recorded calls, until they are returned.
    recorded: Vec<Option<Call>>,
    /// Where the one is that followed the last that was returned.
    next: usize,
    /// Whether a statement with another text is taken for the recorded one, because the text is not
    /// masked and what the component makes of masked values is.
    texts_differ: bool,
    transactions: u32,
    cursors: u32,
}

/// What a statement without a recorded outcome gets.
const NOT_RECORDED: &str = "the recording has no outcome for this call";

impl Playback {
    pub(super) fn new(dialect: SqlDialect) -> Self {
        let calls = Arc::default();
        Self { dialect, calls }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the outcomes of these calls from now on.
    pub(super) fn load(&self, calls: Vec<Call>, texts_differ: bool) {
        *self.calls() = Calls {
            recorded: calls.into_iter().map(Some).collect(),
            texts_differ,
            ..Calls::default()
        };
    }

    fn outcome(
        &self,
        transaction: u32,
        cursor: u32,
        operation: &Operation,
    ) -> Result<Outcome, Error> {
        match self.calls().take(transaction, cursor, operation) {
            None | Some(Outcome::Unfinished) => Err(failure::unavailable(NOT_RECORDED)),
            Some(Outcome::Failed(error)) => Err(error),
            Some(outcome) => Ok(outcome),
        }
    }

    fn query(&self, transaction: u32, operation: &Operation) -> Result<Rows, Error> {
        match self.outcome(transaction, 0, operation)? {
            Outcome::Rows(rows) => Ok(rows),
            _ => Err(failure::unavailable(NOT_RECORDED)),
        }
    }

    fn execute(&self, transaction: u32, operation: &Operation) -> Result<u64, Error> {
        match self.outcome(transaction, 0, operation)? {
            Outcome::Affected(count) => Ok(count),
            _ => Err(failure::unavailable(NOT_RECORDED)),
        }
    }
}

impl Calls {
    /// Takes the outcome of the recorded call that is most like this one: the one that follows the
    /// last, if it is equal, or else the first that is equal, or the first of the same statement.
    fn take(&mut self, transaction: u32, cursor: u32, operation: &Operation) -> Option<Outcome> {
        let of_same = |call: &Call| call.transaction == transaction && call.cursor == cursor;
        let is_equal =
            |call: &Call| of_same(call) && likeness(&call.operation, operation) == Likeness::Equal;
        let is_like = |call: &Call| likeness(&call.operation, operation) >= Likeness::Statement;
        let is_of_kind = |call: &Call| likeness(&call.operation, operation) == Likeness::Kind;
        let follows = self.recorded.get(self.next).and_then(Option::as_ref);
        let at = if follows.is_some_and(is_equal) {
            Some(self.next)
        } else {
            self.find(&is_equal)
                .or_else(|| self.find(&|call| of_same(call) && is_like(call)))
                .or_else(|| self.find(&is_like))
                .or_else(|| self.find(&is_of_kind).filter(|_| self.texts_differ))
        };
        let at = at?;
        self.next = at + 1;
        let call = self.recorded.get_mut(at).and_then(Option::take);
        call.map(|call| call.outcome)
    }

    fn find(&self, fits: &dyn Fn(&Call) -> bool) -> Option<usize> {
        let mut calls = self.recorded.iter();
        calls.position(|call| call.as_ref().is_some_and(fits))
    }
}

/// How much two calls have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    None,
    /// They are of one kind.
    Kind,
    /// They have the same statement, and other parameters.
    Statement,
    Equal,
}

/// How much two calls have in common.
pub(super) fn likeness(one: &Operation, other: &Operation) -> Likeness {
    match (one, other) {
        (Operation::Query(text, params), Operation::Query(other_text, other_params))
        | (Operation::Execute(text, params), Operation::Execute(other_text, other_params))
        | (Operation::Open(text, params), Operation::Open(other_text, other_params)) => {
            if text != other_text {
                Likeness::Kind
            } else if same_values(params, other_params) {
                Likeness::Equal
            } else {
                Likeness::Statement
            }
        }
        (Operation::Next { at_most }, Operation::Next { at_most: other }) if at_most == other => {
            Likeness::Equal
        }
        (Operation::Next { .. }, Operation::Next { .. }) => Likeness::Statement,
        (
            Operation::Begin {
                isolation,
                read_only,
            },
            Operation::Begin {
                isolation: other,
                read_only: other_read_only,
            },
        ) => {
            if isolation == other && read_only == other_read_only {
                Likeness::Equal
            } else {
                Likeness::Statement
            }
        }
        (Operation::Commit, Operation::Commit)
        | (Operation::Rollback, Operation::Rollback)
        | (Operation::Drop, Operation::Drop) => Likeness::Equal,
        _ => Likeness::None,
    }
}

/// Whether two lists of values are the same. NaN is the same as NaN.
fn same_values(one: &[Value], other: &[Value]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| match (one, other) {
                (Value::Null, Value::Null) => true,
                (Value::Boolean(one), Value::Boolean(other)) => one == other,
                (Value::Integer(one), Value::Integer(other))
                | (Value::Timestamp(one), Value::Timestamp(other)) => one == other,
                (Value::Real(one), Value::Real(other)) => one.to_bits() == other.to_bits(),
                (Value::Text(one), Value::Text(other))
                | (Value::Decimal(one), Value::Decimal(other))
                | (Value::Json(one), Value::Json(other)) => one == other,
                (Value::Bytes(one), Value::Bytes(other)) => one == other,
                (Value::Uuid(one), Value::Uuid(other)) => one == other,
                _ => false,
            })
}

#[async_trait]
impl Backend for Playback {
    fn policy(&self) -> &'static Policy {
        match self.dialect {
            SqlDialect::Postgres => &POSTGRES,
            SqlDialect::Sqlite => &SQLITE,
        }
    }

    fn pool(&self) -> Result<Box<dyn BackendPool>, OpenError> {
        Ok(Box::new(self.clone()))
    }

    async fn check(&self) -> Result<(), OpenError> {
        Ok(())
    }
}

#[async_trait]
impl BackendPool for Playback {
    async fn query(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        _: &Budget,
    ) -> Result<Rows, Error> {
        self.query(
            0,
            &Operation::Query(statement.text.to_string(), params.to_vec()),
        )
    }

    async fn execute(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        _: &Budget,
    ) -> Result<u64, Error> {
        self.execute(
            0,
            &Operation::Execute(statement.text.to_string(), params.to_vec()),
        )
    }

    async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
        _: &Budget,
    ) -> Result<Box<dyn BackendTransaction>, Error> {
        // A begin that failed has no number.
        let number = self.calls().transactions + 1;
        let operation = Operation::Begin {
            isolation,
            read_only,
        };
        self.outcome(number, 0, &operation)?;
        self.calls().transactions = number;
        Ok(Box::new(PlayedTransaction {
            playback: self.clone(),
            number,
        }))
    }

    async fn open(
        &self,
        statement: &Arc<Statement>,
        params: Vec<Value>,
        _: &Budget,
    ) -> Result<Box<dyn BackendCursor>, Error> {
        let number = self.calls().cursors + 1;
        let operation = Operation::Open(statement.text.to_string(), params);
        match self.outcome(0, number, &operation)? {
            Outcome::Columns(columns) => {
                self.calls().cursors = number;
                Ok(Box::new(PlayedCursor {
                    playback: self.clone(),
                    number,
                    columns,
                }))
            }
            _ => Err(failure::unavailable(NOT_RECORDED)),
        }
    }
}

/// A transaction of a recording.
#[derive(Debug)]
struct PlayedTransaction {
    playback: Playback,
    number: u32,
}

#[async_trait]
impl BackendTransaction for PlayedTransaction {
    async fn query(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        _: &Budget,
    ) -> Result<Rows, Error> {
        let operation = Operation::Query(statement.text.to_string(), params.to_vec());
        self.playback.query(self.number, &operation)
    }

    async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        _: &Budget,
    ) -> Result<u64, Error> {
        let operation = Operation::Execute(statement.text.to_string(), params.to_vec());
        self.playback.execute(self.number, &operation)
    }

    async fn commit(self: Box<Self>, _: &Budget) -> Result<(), Error> {
        let outcome = self.playback.outcome(self.number, 0, &Operation::Commit);
        outcome.map(drop)
    }

    async fn rollback(self: Box<Self>, _: &Budget) -> Result<(), Error> {
        let outcome = self.playback.outcome(self.number, 0, &Operation::Rollback);
        outcome.map(drop)
    }
}

/// A cursor of a recording.
#[derive(Debug)]
struct PlayedCursor {
    playback: Playback,
    number: u32,
    columns: Vec<String>,
}

#[async_trait]
impl BackendCursor for PlayedCursor {
    fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    async fn next(&mut self, at_most: u32, _: &Budget) -> Result<Vec<Row>, Error> {
        let operation = Operation::Next { at_most };
        match self.playback.outcome(0, self.number, &operation)? {
            Outcome::Batch(rows) => Ok(rows),
            _ => Err(failure::unavailable(NOT_RECORDED)),
        }
    }
}
