//! Runs short statements on a core's own thread.
//!
//! A statement keeps the core for at most [`INLINE_TIME`]. If it is not finished by then, it had no
//! effect and runs again on a separate thread.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::connection::Conn;
use super::error::Failure;
use super::execution::{Executed, Output};
use crate::database::budget::Budget;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// The longest time that a statement may block a core.
const INLINE_TIME: Duration = Duration::from_millis(2);

/// Statements whose average is at least this, in microseconds, run on a separate thread.
const SLOW_MICROS: u32 = 1000;

/// Whether a statement may run on a core's own thread: it has run before, and was short.
pub(super) fn is_short(statement: &Statement) -> bool {
    (1..SLOW_MICROS).contains(&statement.micros.load(Relaxed))
}

/// Runs a statement on this thread.
pub(super) fn execute(
    conn: &Conn,
    statement: &Statement,
    params: &[Value],
    output: &Output,
    budget: &Budget,
) -> Result<Executed, Failure> {
    execute_since(Instant::now(), conn, statement, params, output, budget)
}

/// Runs a statement on this thread; `began` is the current time.
pub(super) fn execute_since(
    began: Instant,
    conn: &Conn,
    statement: &Statement,
    params: &[Value],
    output: &Output,
    budget: &Budget,
) -> Result<Executed, Failure> {
    conn.control()
        .start(budget.deadline.min(began + INLINE_TIME));
    conn.limit_values(true)?;
    conn.execute(statement, params, output, began)
}

/// The result, or none if the statement has to run again on a separate thread.
pub(super) fn final_result(
    executed: Result<Executed, Failure>,
    statement: &Statement,
    budget: &Budget,
) -> Option<Result<Executed, Error>> {
    match executed {
        Err(Failure::Interrupted | Failure::Busy | Failure::TooBig) if !budget.is_over() => {
            budget.retried();
            None
        }
        executed => Some(executed.map_err(|failure| failure.outside_transaction(statement.writes))),
    }
}
