//! Adopting a table `users` that another program created.
//!
//! [`Adoption`] reads the catalogue and changes nothing. A finding is a change, which is safe and
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
pub mod postgres;
pub mod sqlite;
mod state;

use usher_sdk::database::{Dialect, Error, Statements};
use usher_sdk::migrations::{self, Plan, Progress};

/// Adopts a table `users`.
#[derive(Clone, Copy, Debug)]
pub struct Adoption;

impl migrations::Adoption for Adoption {
    fn inspect(
        database: &impl Statements,
        dialect: Dialect,
        progress: Progress,
    ) -> Result<Plan, Error> {
        match dialect {
            Dialect::Postgres => postgres::inspect(database, progress.into()),
            Dialect::Sqlite => sqlite::inspect(database, progress.into()),
        }
    }
}
