//! Why a call of the database failed.

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
