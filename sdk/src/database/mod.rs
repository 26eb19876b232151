//! The database capability as a trait: the component imports it, and tests substitute it.
//!
//! The types mirror `wit/deps/usher-database.wit`, which documents each in full. Parameters are
//! borrowed, so that the strings of a request are stored without a copy.
//!
//! | module | contents |
//! |---|---|
//! | `value` | parameters, values, rows |
//! | `error` | why a call failed |
//! | `packed` | the rows of a result as a host passes them in one value |
//! | `records` | the rows of a result, read without a copy of their texts |

mod error;
mod packed;
mod records;
mod value;

pub use error::{Error, Refusal, RefusalKind};
#[cfg(target_arch = "wasm32")]
pub(crate) use packed::is_asked;
pub use records::{Record, Records};
pub use value::{Param, Rows, Table, Value};

/// The SQL dialect of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// Runs one statement at a time.
pub trait Statements {
    /// Runs one statement and returns its rows.
    ///
    /// # Errors
    /// See [`Error`].
    fn query(&self, statement: &str, params: &[Param<'_>]) -> Result<Rows, Error>;

    /// As [`query`](Self::query), with the names of the columns. The default has none: enough for
    /// the double of a service that reads rows by position.
    ///
    /// # Errors
    /// See [`Error`].
    fn query_table(&self, statement: &str, params: &[Param<'_>]) -> Result<Table, Error> {
        let rows = self.query(statement, params)?;
        Ok(Table {
            columns: Vec::new(),
            rows,
        })
    }

    /// As [`query`](Self::query), for a result of many rows: their texts are not copied.
    ///
    /// # Errors
    /// See [`Error`].
    fn query_records(&self, statement: &str, params: &[Param<'_>]) -> Result<Records, Error> {
        self.query(statement, params).map(Records::from)
    }

    /// Runs one statement and returns the number of rows it affected.
    ///
    /// # Errors
    /// See [`Error`].
    fn execute(&self, statement: &str, params: &[Param<'_>]) -> Result<u64, Error>;
}

/// A database. Each statement run on it directly is a transaction of its own.
pub trait Database: Statements {
    /// A transaction, rolled back when dropped without [`Transaction::commit`].
    type Transaction: Transaction;
    /// A result that is read in batches. Dropping it ends the query.
    type Cursor: Cursor;

    /// The dialect, for statements that differ between databases.
    fn dialect(&self) -> Dialect;

    /// Begins a read-write transaction at isolation level read committed.
    ///
    /// # Errors
    /// See [`Error`].
    fn begin(&self) -> Result<Self::Transaction, Error>;

    /// Runs one statement. All rows come from the snapshot in which it began, however long
    /// reading them takes.
    ///
    /// # Errors
    /// See [`Error`].
    fn open(&self, statement: &str, params: &[Param<'_>]) -> Result<Self::Cursor, Error>;
}

/// A result that is read in batches.
pub trait Cursor {
    /// The names of the columns, in order. The default has none, as in
    /// [`Statements::query_table`].
    fn columns(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the next rows: at most this many, and no more than the host's result limit holds.
    /// No rows means the end.
    ///
    /// # Errors
    /// See [`Error`]. No rows follow after an error.
    fn next(&mut self, at_most: u32) -> Result<Rows, Error>;

    /// As [`next`](Self::next), without a copy of the rows' texts.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    fn next_records(&mut self, at_most: u32) -> Result<Records, Error> {
        self.next(at_most).map(Records::from)
    }
}

/// A transaction.
pub trait Transaction: Statements {
    /// Commits.
    ///
    /// # Errors
    /// After [`Error::InDoubt`] it is unknown whether the transaction took effect; after any
    /// other error it did not.
    fn commit(self) -> Result<(), Error>;
}
