//! Single-statement execution: a statement outside any transaction of the component.
//!
//! A statement runs on a [shared connection](super::shared). If the server cancels it there because
//! it ran or waited too long, it had no effect and is retried on a
//! [dedicated connection](super::dedicated). A statement known to be slow starts there.

use std::sync::Arc;

use super::dedicated::DedicatedConnections;
use super::run::Fetch;
use super::shared::SharedConnections;
use crate::database::budget::Budget;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// A statement that takes longer than this, in microseconds, is slow.
const SLOW_MICROS: u32 = 20_000;

/// Runs single statements on the connections of one core.
#[derive(Clone, Debug)]
pub(super) struct SingleStatements {
    pub(super) shared: SharedConnections,
    pub(super) dedicated: DedicatedConnections,
}

impl SingleStatements {
    pub(super) async fn run<F: Fetch>(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<F::Output, Error> {
        if !is_slow(statement) {
            match self.shared.run::<F>(statement, params, budget).await {
                Err(error) if is_cancelled(&error) && !budget.is_over() => budget.retried(),
                result => return result,
            }
        }
        // Boxed, because a future is as large as its largest branch, and this one is rare.
        Box::pin(self.dedicated.run::<F>(statement, params, budget)).await
    }
}

/// Whether the statement is known to be slow.
pub(super) fn is_slow(statement: &Statement) -> bool {
    statement.is_slower_than(SLOW_MICROS)
}

/// Whether a timeout of the shared connection has cancelled the statement.
fn is_cancelled(error: &Error) -> bool {
    match error {
        Error::Timeout => true,
        // lock_not_available; a statement with NOWAIT receives it again.
        Error::Refused(refusal) => refusal.code == "55P03",
        _ => false,
    }
}
