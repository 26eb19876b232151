//! What one request asks of its database, and what it gets: the calls as the guest makes them, with
//! the outcomes as the guest receives them.
//!
//! A tape is kept only for a request that is recorded. It has a limit on its size, after which it
//! notes nothing more.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::packed;
use super::types::{Error, Isolation, Row, Rows, Value};
use super::value_ref;

/// A call of a guest on its database, with its arguments.
#[derive(Clone, Debug)]
pub enum Operation {
    /// A statement, for its rows.
    Query(String, Vec<Value>),
    /// A statement, for the number of affected rows.
    Execute(String, Vec<Value>),
    /// A cursor over the rows of a statement.
    Open(String, Vec<Value>),
    /// The next rows of a cursor.
    Next {
        /// How many at most.
        at_most: u32,
    },
    /// A transaction.
    Begin {
        /// Its isolation.
        isolation: Isolation,
        /// Whether it is read-only.
        read_only: bool,
    },
    /// The transaction's commit.
    Commit,
    /// The transaction's rollback.
    Rollback,
    /// Nothing more of the transaction, which rolls it back.
    Drop,
}

impl Operation {
    pub(super) fn query(text: &str, params: &[Value]) -> Self {
        Self::Query(text.to_owned(), params.to_vec())
    }

    pub(super) fn execute(text: &str, params: &[Value]) -> Self {
        Self::Execute(text.to_owned(), params.to_vec())
    }

    pub(super) fn open(text: &str, params: &[Value]) -> Self {
        Self::Open(text.to_owned(), params.to_vec())
    }

    /// The statement and its parameters, if it is one.
    pub fn statement(&self) -> Option<(&str, &[Value])> {
        match self {
            Self::Query(text, params) | Self::Execute(text, params) | Self::Open(text, params) => {
                Some((text, params))
            }
            _ => None,
        }
    }

    fn bytes(&self) -> usize {
        self.statement()
            .map_or(0, |(text, params)| text.len() + bytes_of(params))
    }
}

/// What a guest gets.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Nothing: it was ended before.
    Unfinished,
    /// Success.
    Done,
    /// The rows of a query.
    Rows(Rows),
    /// The number of affected rows.
    Affected(u64),
    /// A cursor with these columns.
    Columns(Vec<String>),
    /// The next rows of a cursor.
    Batch(Vec<Row>),
    /// An error.
    Failed(Error),
}

impl Outcome {
    /// The outcome of a call with this result.
    pub(super) fn of<T>(result: &Result<T, Error>, done: impl FnOnce(&T) -> Self) -> Self {
        match result {
            Ok(value) => done(value),
            Err(error) => Self::Failed(error.clone()),
        }
    }

    /// A result. Packed rows are noted as values, which a reader of the recording understands.
    pub(super) fn rows(rows: &Rows) -> Self {
        Self::Rows(Rows {
            columns: Arc::clone(&rows.columns),
            rows: packed::unpack(rows.columns.len(), &rows.rows),
        })
    }

    /// The next rows of a cursor of so many columns, likewise.
    pub(super) fn batch(columns: usize, rows: &[Row]) -> Self {
        Self::Batch(packed::unpack(columns, rows))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.rows.iter().map(|row| bytes_of(row)).sum(),
            Self::Batch(rows) => rows.iter().map(|row| bytes_of(row)).sum(),
            _ => 0,
        }
    }
}

/// The memory of values.
fn bytes_of(values: &[Value]) -> usize {
    mem::size_of_val(values) + value_ref::bytes_of(values)
}

/// A call and its outcome.
#[derive(Clone, Debug)]
pub struct Call {
    /// The transaction, numbered from 1 in the order of their beginnings; 0 for none.
    pub transaction: u32,
    /// The cursor, numbered likewise; 0 for none.
    pub cursor: u32,
    /// What the guest called, and with what.
    pub operation: Operation,
    /// What came back.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// The calls of one request.
#[derive(Debug)]
pub struct Tape(Mutex<State>);

#[derive(Debug)]
struct State {
    calls: Vec<Call>,
    bytes: usize,
    /// The most bytes that it takes.
    limit: usize,
    is_full: bool,
    transactions: u32,
    cursors: u32,
}

/// The calls that a tape has noted.
#[derive(Debug)]
pub struct TapeContents {
    /// The calls in order.
    pub calls: Vec<Call>,
    /// Their size.
    pub bytes: usize,
    /// Whether calls are missing, because they were more than the tape takes.
    pub is_full: bool,
}

impl Tape {
    /// An empty tape for so many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            calls: Vec::new(),
            bytes: 0,
            limit: bytes,
            is_full: false,
            transactions: 0,
            cursors: 0,
        })))
    }

    /// No panic leaves the state half changed, so a poisoned lock is usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the calls off the tape.
    pub fn take(&self) -> TapeContents {
        let mut state = self.state();
        TapeContents {
            calls: mem::take(&mut state.calls),
            bytes: mem::take(&mut state.bytes),
            is_full: state.is_full,
        }
    }
}

impl State {
    /// Whether so many bytes more fit. If they do not, what was noted is worth nothing.
    fn takes(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        if self.bytes > self.limit {
            self.is_full = true;
        }
        if self.is_full {
            (self.calls, self.bytes) = (Vec::new(), 0);
        }
        !self.is_full
    }
}

/// A call until its outcome is known. Without a tape, nothing of it is noted.
#[derive(Debug, Default)]
#[must_use = "its outcome is noted by `end`"]
pub(super) struct PendingCall(Option<Box<Running>>);

#[derive(Debug)]
struct Running {
    tape: Arc<Tape>,
    began: Instant,
}

impl PendingCall {
    /// Notes a call that begins. Its outcome is unknown until [`end`](Self::end).
    #[cold]
    pub(super) fn on(tape: &Arc<Tape>, operation: Operation) -> Self {
        let mut state = tape.state();
        if state.takes(mem::size_of::<Call>() + operation.bytes()) {
            state.calls.push(Call {
                transaction: 0,
                cursor: 0,
                operation,
                outcome: Outcome::Unfinished,
                took: Duration::ZERO,
            });
        }
        drop(state);
        Self(Some(Box::new(Running {
            tape: Arc::clone(tape),
            began: Instant::now(),
        })))
    }

    /// A guest makes one call at a time, so the call is the last one.
    fn change<T: Default>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let running = self.0.as_ref();
        running.map_or_else(T::default, |running| change(&mut running.tape.state()))
    }

    /// Gives the call's transaction a number, which is 0 without a tape.
    pub(super) fn begin_transaction(&mut self) -> u32 {
        self.change(|state| {
            state.transactions += 1;
            if let Some(call) = state.calls.last_mut() {
                call.transaction = state.transactions;
            }
            state.transactions
        })
    }

    /// Gives the call's cursor a number, which is 0 without a tape.
    pub(super) fn open_cursor(&mut self) -> u32 {
        self.change(|state| {
            state.cursors += 1;
            if let Some(call) = state.calls.last_mut() {
                call.cursor = state.cursors;
            }
            state.cursors
        })
    }

    /// The call is one in this transaction.
    pub(super) fn in_transaction(self, number: u32) -> Self {
        self.change(|state| {
            if let Some(call) = state.calls.last_mut() {
                call.transaction = number;
            }
        });
        self
    }

    /// The call is one of this cursor.
    pub(super) fn of_cursor(self, number: u32) -> Self {
        self.change(|state| {
            if let Some(call) = state.calls.last_mut() {
                call.cursor = number;
            }
        });
        self
    }

    /// Notes the outcome.
    pub(super) fn end(self, outcome: impl FnOnce() -> Outcome) {
        if let Some(running) = self.0 {
            running.end(outcome());
        }
    }
}

impl Running {
    #[cold]
    fn end(self, outcome: Outcome) {
        let took = self.began.elapsed();
        let mut state = self.tape.state();
        if state.takes(outcome.bytes())
            && let Some(call) = state.calls.last_mut()
        {
            (call.outcome, call.took) = (outcome, took);
        }
    }
}
