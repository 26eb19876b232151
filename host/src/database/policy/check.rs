//! The policies there are, one for each dialect.

use super::{postgres, sqlite};
use crate::database::config::Allowed;
use crate::database::statement::{Caller, Effect};
use crate::database::types::{Error, SqlDialect};

/// Decides about one statement, on somebody's behalf, with what an operator allows beyond the lists.
pub type Check = fn(&str, Caller, &Allowed) -> Result<Effect, Error>;

/// What may be said to a database, and in which dialect.
#[derive(Debug)]
pub struct Policy {
    /// The dialect, as a component is told.
    pub dialect: SqlDialect,
    /// A text of so many bytes is checked where it is needed; a longer one takes long, and is checked by another thread.
    pub short: usize,
    check: Check,
}

/// PostgreSQL's. A text of 2 KiB takes some hundred microseconds.
pub static POSTGRES: Policy = Policy::new(SqlDialect::Postgres, 2048, postgres::check);

/// SQLite's.
pub static SQLITE: Policy = Policy::new(SqlDialect::Sqlite, usize::MAX, sqlite::check);

impl Policy {
    /// A policy of another back end's.
    pub const fn new(dialect: SqlDialect, short: usize, check: Check) -> Self {
        Self {
            dialect,
            short,
            check,
        }
    }

    /// Checks a statement.
    ///
    /// # Errors
    /// `denied` with the rule, `invalid` for text that is no single statement, `refused` for what the database cannot parse.
    pub fn check(&self, text: &str, caller: Caller, allowed: &Allowed) -> Result<Effect, Error> {
        (self.check)(text, caller, allowed)
    }
}
