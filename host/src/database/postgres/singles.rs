//! Statements that are their own transaction.
//!
//! Each goes to a [lane](super::lanes). What takes long there, for a lock or for itself, is undone by the server and run again on
//! a [connection of its own](super::exclusive); what is known to take long goes there at once.

use std::sync::Arc;

use super::exclusive::Exclusives;
use super::lanes::Lanes;
use super::run::Want;
use crate::database::budget::Budget;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// A statement that takes longer than this, in microseconds, does not stand before others.
const SLOW: u32 = 20_000;

/// The connections of one core, as a single statement sees them.
#[derive(Clone, Debug)]
pub(super) struct Singles {
    pub(super) lanes: Lanes,
    pub(super) exclusives: Exclusives,
}

impl Singles {
    /// Runs a statement alone.
    pub(super) async fn run<W: Want>(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<W::Answer, Error> {
        if !is_slow(statement) {
            match self.lanes.run::<W>(statement, params, budget).await {
                Err(error) if is_put_off(&error) && !budget.is_over() => {}
                answer => return answer,
            }
        }
        // Boxed, like all that is rare here: a call's size is that of its largest part, and it is moved about.
        Box::pin(self.exclusives.run::<W>(statement, params, budget)).await
    }
}

/// Whether a statement is known to take long.
pub(super) fn is_slow(statement: &Statement) -> bool {
    statement.is_slower_than(SLOW)
}

/// Whether a shared connection had no more patience, so that nothing has come of the statement.
fn is_put_off(error: &Error) -> bool {
    match error {
        Error::Timeout => true,
        // lock_not_available; where the statement itself asked not to wait, it gets the same answer again.
        Error::Refused(refusal) => refusal.code == "55P03",
        _ => false,
    }
}
