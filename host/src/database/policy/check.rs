//! The policies, one for each dialect.

use super::{postgres, sqlite};
use crate::database::config::Allowed;
use crate::database::statement::{Caller, Effect};
use crate::database::types::{Error, SqlDialect};

/// Checks one statement of a caller. The operator may allow functions in addition.
pub type Check = fn(&str, Caller, &Allowed) -> Result<Effect, Error>;

/// The rules for the statements of a dialect.
#[derive(Debug)]
pub struct Policy {
    /// The dialect that components see.
    pub dialect: SqlDialect,
    /// The longest text, in bytes, that is checked on a core's own thread. A longer one takes long,
    /// and is checked on a separate thread.
    pub short: usize,
    check: Check,
}

/// The policy of PostgreSQL. A text of 2 KiB takes some hundred microseconds.
pub static POSTGRES: Policy = Policy::new(SqlDialect::Postgres, 2048, postgres::check);

/// The policy of SQLite.
pub static SQLITE: Policy = Policy::new(SqlDialect::Sqlite, usize::MAX, sqlite::check);

impl Policy {
    /// A policy for another back end.
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
    /// `denied` with the rule, `invalid` if the text is not one statement, or `refused` if the
    /// database cannot parse it.
    pub fn check(&self, text: &str, caller: Caller, allowed: &Allowed) -> Result<Effect, Error> {
        (self.check)(text, caller, allowed)
    }
}
