//! The database capability as a trait: the component imports it, and tests substitute it.
//!
//! The types mirror `wit/deps/usher-database.wit`, which documents each in full. Parameters are
//! borrowed, so that the strings of a request are stored without a copy.

/// Makes a constant of each statement text, and `STATEMENTS`, which lists them by name.
///
/// No statement is assembled at run time: the component can declare all of them to its host.
macro_rules! statements {
    ($($(#[$about:meta])* $name:ident = $text:expr;)+) => {
        $($(#[$about])* pub const $name: &str = $text;)+

        /// All statements of this module, by name.
        pub const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}
pub(crate) use statements;

/// A parameter of a statement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Param<'a> {
    /// NULL.
    Null,
    /// An integer that fits the type the statement expects.
    Integer(i64),
    /// Text without U+0000.
    Text(&'a str),
}

impl<'a> From<Option<&'a str>> for Param<'a> {
    fn from(value: Option<&'a str>) -> Self {
        value.map_or(Self::Null, Self::Text)
    }
}

impl From<Option<i64>> for Param<'_> {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Integer)
    }
}

/// One SQL value of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// Text.
    Text(String),
    /// A value of a type that no statement of this service selects.
    Other,
}

/// The rows of a result, in the order in which the database returned them.
pub type Rows = Vec<Vec<Value>>;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No connection. The statement had no effect.
    Unavailable(String),
    /// No connection came free in time. The statement had no effect.
    Overloaded,
    /// The statement was cancelled at its deadline and had no effect.
    Timeout,
    /// The connection was lost after a write was sent. The outcome is unknown.
    InDoubt,
    /// The host's policy refuses this statement.
    Denied(String),
    /// Wrong parameters, or more than one statement.
    Invalid(String),
    /// The result is larger than the host's limit, which is given in bytes.
    TooLarge(u64),
    /// The database returned an error.
    Refused(Refusal),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the database is not reachable: {why}"),
            Self::Overloaded => f.write_str("no database connection came free in time"),
            Self::Timeout => f.write_str("the statement was cancelled at its deadline"),
            Self::InDoubt => f.write_str(
                "the connection was lost and whether the statement took effect is unknown",
            ),
            Self::Denied(why) => write!(f, "the host refuses the statement: {why}"),
            Self::Invalid(why) => write!(f, "the statement or its parameters are wrong: {why}"),
            Self::TooLarge(limit) => write!(f, "the result is over the limit of {limit} bytes"),
            Self::Refused(refusal) => {
                write!(
                    f,
                    "the database refused: {} ({})",
                    refusal.message, refusal.code
                )
            }
        }
    }
}

impl std::error::Error for Error {}

/// An error that the database returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of error it is.
    pub kind: RefusalKind,
    /// The SQLSTATE.
    pub code: String,
    /// The database's message.
    pub message: String,
    /// The violated constraint, if the database names one.
    pub constraint: Option<String>,
}

/// The kinds of error that this service handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// A unique constraint is violated.
    UniqueViolation,
    /// The transaction conflicted with a concurrent one. It had no effect and can be retried.
    SerializationFailure,
    /// Any other.
    Other,
}

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
    /// Returns the next rows: at most this many, and no more than the host's result limit holds.
    /// No rows means the end.
    ///
    /// # Errors
    /// See [`Error`]. No rows follow after an error.
    fn next(&mut self, at_most: u32) -> Result<Rows, Error>;
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
