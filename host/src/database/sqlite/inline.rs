//! What runs on a core's own thread, for a moment.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::connection::{Answer, Conn, Want};
use super::error::Failure;
use crate::database::budget::Budget;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// How long a statement may keep a core from everything else.
const INLINE: Duration = Duration::from_millis(2);

/// What usually takes longer than this is not even begun on a core's own thread, in microseconds.
const SLOW: u32 = 1000;

/// Whether a statement may be begun on a core's own thread: it has run elsewhere, and was quick.
pub(super) fn is_quick(statement: &Statement) -> bool {
    (1..SLOW).contains(&statement.micros.load(Relaxed))
}

/// Runs a statement on this thread, for a moment.
pub(super) fn inline(
    conn: &Conn,
    statement: &Statement,
    params: &[Value],
    want: Want,
    budget: &Budget,
) -> Result<Answer, Failure> {
    inline_since(Instant::now(), conn, statement, params, want, budget)
}

/// The same, where it is known what time it is.
pub(super) fn inline_since(
    began: Instant,
    conn: &Conn,
    statement: &Statement,
    params: &[Value],
    want: Want,
    budget: &Budget,
) -> Result<Answer, Failure> {
    conn.control().arm(budget.deadline.min(began + INLINE));
    conn.limit_values(true)?;
    conn.answer(statement, params, want, began)
}

/// What came of it; none where it is to be run again on a thread that may wait.
pub(super) fn settled(
    done: Result<Answer, Failure>,
    statement: &Statement,
    budget: &Budget,
) -> Option<Result<Answer, Error>> {
    match done {
        Err(Failure::Interrupted | Failure::Busy | Failure::TooBig) if !budget.is_over() => None,
        done => Some(done.map_err(|failure| failure.alone(statement.writes))),
    }
}
