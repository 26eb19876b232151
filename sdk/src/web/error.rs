//! Why a call of the database failed, before it is a problem.

use super::row::RowError;
use crate::database::{Error as DatabaseError, RefusalKind};

/// Why a call of the database failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The database failed.
    Database(DatabaseError),
    /// A row cannot be read as the struct.
    Row(RowError),
    /// There is no row, and one was asked for.
    NoRow,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Row(error) => error.fmt(f),
            Self::NoRow => f.write_str("there is no such row"),
        }
    }
}

impl std::error::Error for Error {}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl From<RowError> for Error {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

/// An answer of one's own to an error that the database returned, in place of the general one.
pub trait OnRefusal<T> {
    /// Maps errors of this kind.
    ///
    /// # Errors
    /// What `problem` returns for an error of this kind; any other error as a problem.
    fn on_refusal<P: From<Error>>(
        self,
        kind: RefusalKind,
        problem: impl FnOnce() -> P,
    ) -> Result<T, P>;

    /// Maps the violation of this constraint, for a table with several of a kind.
    ///
    /// # Errors
    /// What `problem` returns for this constraint; any other error as a problem.
    fn on_constraint<P: From<Error>>(self, name: &str, problem: impl FnOnce() -> P)
    -> Result<T, P>;
}

impl<T> OnRefusal<T> for Result<T, Error> {
    fn on_refusal<P: From<Error>>(
        self,
        kind: RefusalKind,
        problem: impl FnOnce() -> P,
    ) -> Result<T, P> {
        self.map_err(|error| match error {
            Error::Database(DatabaseError::Refused(refusal)) if refusal.kind == kind => problem(),
            error => error.into(),
        })
    }

    fn on_constraint<P: From<Error>>(
        self,
        name: &str,
        problem: impl FnOnce() -> P,
    ) -> Result<T, P> {
        self.map_err(|error| match error {
            Error::Database(DatabaseError::Refused(refusal))
                if refusal.constraint.as_deref() == Some(name) =>
            {
                problem()
            }
            error => error.into(),
        })
    }
}
