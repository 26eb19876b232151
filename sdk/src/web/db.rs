//! The database as a handler has it.

use std::cell::Cell;

use super::error::Error;
use super::problem::Problem;
use super::row::{FromRow, Row};
use crate::database::{Database, Dialect, Error as DatabaseError, Param, Statements, Table};
use crate::retry::{self, Failed};

/// Statements on a database or in a transaction. Their texts are constants, which the component
/// declares to its host.
pub trait Query {
    /// Runs a statement and returns its rows as they are.
    ///
    /// # Errors
    /// When the database fails.
    fn query_table(&self, statement: &'static str, params: &[Param<'_>]) -> Result<Table, Error>;

    /// Runs a statement and returns the number of rows it affected.
    ///
    /// # Errors
    /// When the database fails.
    fn execute(&self, statement: &'static str, params: &[Param<'_>]) -> Result<u64, Error>;

    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    /// When the database fails, or a row has other columns than `T`.
    fn query_as<T: FromRow>(
        &self,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<T>, Error> {
        rows(self.query_table(statement, params)?).collect()
    }

    /// Runs a statement and returns its first row, if there is one.
    ///
    /// # Errors
    /// As [`query_as`](Self::query_as).
    fn query_optional<T: FromRow>(
        &self,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> Result<Option<T>, Error> {
        rows(self.query_table(statement, params)?)
            .next()
            .transpose()
    }

    /// Runs a statement and returns its first row.
    ///
    /// # Errors
    /// As [`query_as`](Self::query_as); [`Error::NoRow`], which becomes a 404, if there is none.
    fn query_one<T: FromRow>(
        &self,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> Result<T, Error> {
        self.query_optional(statement, params)?.ok_or(Error::NoRow)
    }
}

/// The rows of a result, each read as it is asked for.
fn rows<T: FromRow>(Table { columns, rows }: Table) -> impl Iterator<Item = Result<T, Error>> {
    let read = move |values| T::from_row(&mut Row::new(&columns, values)).map_err(Error::Row);
    rows.into_iter().map(read)
}

/// The database. A statement on it is its own transaction, and runs again after a serialization
/// failure.
#[derive(Clone, Copy)]
pub struct Db<'d>(&'d dyn Erased);

impl std::fmt::Debug for Db<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Db")
    }
}

/// Any [`Database`], so that handlers are plain functions. A call of the host costs far more than
/// the call through this.
trait Erased {
    fn dialect(&self) -> Dialect;
    fn statements(&self) -> &dyn Statements;
    fn transaction(&self, work: &Work<'_>) -> Result<(), Failed<Problem>>;
}

type Work<'w> = dyn Fn(&dyn Statements) -> Result<(), Failed<Problem>> + 'w;

impl<D: Database> Erased for D {
    fn dialect(&self) -> Dialect {
        Database::dialect(self)
    }

    fn statements(&self) -> &dyn Statements {
        self
    }

    fn transaction(&self, work: &Work<'_>) -> Result<(), Failed<Problem>> {
        retry::transaction(self, |transaction| work(transaction))
    }
}

impl<'d> Db<'d> {
    /// The database behind this trait.
    pub fn new(database: &'d impl Database) -> Self {
        Self(database)
    }

    /// The dialect, for statements that differ between databases.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    /// Runs `work` in a transaction at isolation level read committed, and commits it if `work`
    /// returns `Ok`. After a serialization failure the work runs again, so it must have no effects
    /// outside the transaction.
    ///
    /// # Errors
    /// When the work or the database fails. Unless the problem says that the outcome is unknown,
    /// the transaction had no effect.
    pub fn transaction<T>(
        &self,
        work: impl Fn(&Transaction<'_>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let done = Cell::new(None);
        let outcome = self
            .0
            .transaction(&|statements| match work(&Transaction(statements))
                .map_err(Problem::into_conflict)
            {
                Ok(result) => {
                    done.set(Some(result));
                    Ok(())
                }
                Err(Ok(conflict)) => Err(Failed::Database(conflict)),
                Err(Err(problem)) => Err(Failed::Work(problem)),
            });
        match (outcome, done.into_inner()) {
            (Ok(()), Some(result)) => Ok(result),
            // The work stores its result whenever it succeeds.
            (Ok(()), None) => Err(Problem::new(500)),
            (Err(Failed::Database(error)), _) => Err(error.into()),
            (Err(Failed::Work(problem)), _) => Err(problem),
        }
    }
}

impl Query for Db<'_> {
    fn query_table(&self, statement: &'static str, params: &[Param<'_>]) -> Result<Table, Error> {
        let once = || self.0.statements().query_table(statement, params);
        Ok(retry::retry(once, retry::is_serialization_failure)?)
    }

    fn execute(&self, statement: &'static str, params: &[Param<'_>]) -> Result<u64, Error> {
        let once = || self.0.statements().execute(statement, params);
        Ok(retry::retry(once, retry::is_serialization_failure)?)
    }
}

/// A transaction. It is rolled back unless the work in it returns `Ok`.
#[derive(Clone, Copy)]
pub struct Transaction<'t>(&'t dyn Statements);

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transaction")
    }
}

impl Query for Transaction<'_> {
    fn query_table(&self, statement: &'static str, params: &[Param<'_>]) -> Result<Table, Error> {
        self.0.query_table(statement, params).map_err(Error::from)
    }

    fn execute(&self, statement: &'static str, params: &[Param<'_>]) -> Result<u64, Error> {
        let done: Result<u64, DatabaseError> = self.0.execute(statement, params);
        done.map_err(Error::from)
    }
}
