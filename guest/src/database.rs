//! The database capability, as a trait: what the component imports, and what a test can stand in for.
//!
//! The types mirror `wit/database.wit`, where each is documented in full; parameters are borrowed, since the strings of a
//! request need not be copied to be stored.

/// One SQL value given to a statement.
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
    /// A value of a kind that no statement of this service asks for.
    Other,
}

/// The rows of a result, in the order in which the database gave them.
pub type Rows = Vec<Vec<Value>>;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No connection: nothing happened.
    Unavailable(String),
    /// No connection came free in time: nothing happened.
    Overloaded,
    /// The deadline passed and the statement was cancelled: it has no effect.
    Timeout,
    /// The connection was lost after a write was sent: the outcome is unknown.
    InDoubt,
    /// The host's policy refuses this statement.
    Denied(String),
    /// Wrong parameters, or more than one statement.
    Invalid(String),
    /// The result is over the host's limit, in bytes.
    TooLarge(u64),
    /// The database itself said no.
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

/// What the database said when it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind, for the service to act on.
    pub kind: RefusalKind,
    /// The SQLSTATE.
    pub code: String,
    /// The message, in the database's words.
    pub message: String,
    /// The violated constraint, where the database names one.
    pub constraint: Option<String>,
}

/// The refusals that this service acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// A row with this key exists.
    UniqueViolation,
    /// It lost against a concurrent transaction. It took no effect, and another try may pass.
    SerializationFailure,
    /// Any other.
    Other,
}

/// The SQL that the database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// Something that runs one statement at a time.
pub trait Statements {
    /// Runs one statement and gives its rows.
    ///
    /// # Errors
    /// As [`Error`] says.
    fn query(&self, statement: &str, params: &[Param<'_>]) -> Result<Rows, Error>;

    /// Runs one statement and gives the number of rows it affected.
    ///
    /// # Errors
    /// As [`Error`] says.
    fn execute(&self, statement: &str, params: &[Param<'_>]) -> Result<u64, Error>;
}

/// A database. Each statement run on it directly is a transaction of its own.
pub trait Database: Statements {
    /// A transaction, rolled back when dropped without [`Transaction::commit`].
    type Transaction: Transaction;
    /// A result that is read bit by bit. Dropping it ends the query.
    type Cursor: Cursor;

    /// Which SQL to write where the dialects differ.
    fn dialect(&self) -> Dialect;

    /// Begins a transaction that may write, each of whose statements sees what was committed when it began.
    ///
    /// # Errors
    /// As [`Error`] says.
    fn begin(&self) -> Result<Self::Transaction, Error>;

    /// Runs one statement, whose rows are what the database held when it began, however long they take to read.
    ///
    /// # Errors
    /// As [`Error`] says.
    fn open(&self, statement: &str, params: &[Param<'_>]) -> Result<Self::Cursor, Error>;
}

/// A result that is read bit by bit.
pub trait Cursor {
    /// The next rows, no more than so many, and as many as the host's limit for one result has room for. None means the end.
    ///
    /// # Errors
    /// As [`Error`] says. There are no rows after one.
    fn next(&mut self, at_most: u32) -> Result<Rows, Error>;
}

/// A transaction.
pub trait Transaction: Statements {
    /// Makes its effects last.
    ///
    /// # Errors
    /// After [`Error::InDoubt`] it is unknown whether the transaction took effect; after any other error it did not.
    fn commit(self) -> Result<(), Error>;
}
