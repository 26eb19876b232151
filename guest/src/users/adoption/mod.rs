//! Adopting a table `users` that another program created.
//!
//! [`inspect`] reads the catalogue and changes nothing. A finding is a change, which is safe and
//! will be made; an obstacle, which only the operator can resolve; or advice. A single obstacle
//! prevents all changes. A table that already fits has no findings, so that every start inspects
//! it and detects later alterations.
//!
//! Safe changes are: widening a type, adding what is missing if every row allows it, and advancing
//! a sequence. An object that already fits is kept under any name.
//!
//! Every statement finds the table by the search path, as the service's other statements do, so
//! that no name is ever put into a text.

mod catalogue;
mod plan;
pub mod postgres;
pub mod sqlite;

use crate::database::{Dialect, Error, Statements};

pub use plan::{Finding, FindingKind, Plan, State};

/// Inspects the table `users`, if there is one, and the database around it.
///
/// # Errors
/// When the database fails.
pub fn inspect(database: &impl Statements, dialect: Dialect, state: State) -> Result<Plan, Error> {
    match dialect {
        Dialect::Postgres => postgres::inspect(database, state),
        Dialect::Sqlite => sqlite::inspect(database, state),
    }
}
