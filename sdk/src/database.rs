//! The database capability as a trait: the component imports it, and tests substitute it.
//!
//! The types mirror `wit/deps/usher-database.wit`, which documents each in full. Parameters are
//! borrowed, so that the strings of a request are stored without a copy.

/// A parameter of a statement. It must fit the type that the statement expects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Param<'a> {
    /// NULL, which fits every type.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text without U+0000.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A UUID, as its high and low 64 bits.
    Uuid(u64, u64),
    /// A point in time, in microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// A decimal number: digits with an optional sign and point.
    Decimal(&'a str),
    /// JSON, as its text.
    Json(&'a str),
}

impl<T: Into<Self>> From<Option<T>> for Param<'_> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<&'a Vec<u8>> for Param<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<bool> for Param<'_> {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<f64> for Param<'_> {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

macro_rules! integer_params {
    ($($type:ty)+) => {$(
        impl From<$type> for Param<'_> {
            fn from(value: $type) -> Self {
                Self::Integer(i64::from(value))
            }
        }
    )+};
}

integer_params!(i8 i16 i32 i64 u8 u16 u32);

/// One SQL value of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A floating-point number, including NaN and the infinities.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A UUID, as its high and low 64 bits.
    Uuid(u64, u64),
    /// A point in time, in microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// A decimal number as text, or `NaN`, `Infinity`, `-Infinity`.
    Decimal(String),
    /// JSON, as its text.
    Json(String),
}

impl Value {
    /// The value as a parameter.
    #[must_use]
    pub fn param(&self) -> Param<'_> {
        match self {
            Self::Null => Param::Null,
            Self::Boolean(value) => Param::Boolean(*value),
            Self::Integer(value) => Param::Integer(*value),
            Self::Real(value) => Param::Real(*value),
            Self::Text(value) => Param::Text(value),
            Self::Bytes(value) => Param::Bytes(value),
            Self::Uuid(high, low) => Param::Uuid(*high, *low),
            Self::Timestamp(value) => Param::Timestamp(*value),
            Self::Decimal(value) => Param::Decimal(value),
            Self::Json(value) => Param::Json(value),
        }
    }
}

impl From<Param<'_>> for Value {
    fn from(param: Param<'_>) -> Self {
        match param {
            Param::Null => Self::Null,
            Param::Boolean(value) => Self::Boolean(value),
            Param::Integer(value) => Self::Integer(value),
            Param::Real(value) => Self::Real(value),
            Param::Text(value) => Self::Text(value.to_owned()),
            Param::Bytes(value) => Self::Bytes(value.to_owned()),
            Param::Uuid(high, low) => Self::Uuid(high, low),
            Param::Timestamp(value) => Self::Timestamp(value),
            Param::Decimal(value) => Self::Decimal(value.to_owned()),
            Param::Json(value) => Self::Json(value.to_owned()),
        }
    }
}

/// The rows of a result, in the order in which the database returned them.
pub type Rows = Vec<Vec<Value>>;

/// A result with the names of its columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The names, in order.
    pub columns: Vec<String>,
    /// The rows, each with a value for each column.
    pub rows: Rows,
}

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
    /// The column, if the database names one.
    pub column: Option<String>,
}

/// The kinds of error that a service is expected to handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// A unique constraint is violated.
    UniqueViolation,
    /// The referenced row does not exist, or the row is still referenced.
    ForeignKeyViolation,
    /// A NOT NULL constraint is violated.
    NotNullViolation,
    /// A CHECK constraint is violated.
    CheckViolation,
    /// The transaction conflicted with a concurrent one. It had no effect and can be retried.
    SerializationFailure,
    /// Any other. See the SQLSTATE.
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
