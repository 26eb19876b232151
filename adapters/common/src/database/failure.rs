//! The constructors of `usher:database`'s errors, as in the host's module of this name.

use super::types::{Error, Refusal, RefusalKind};

/// The database cannot be reached, and the statement had no effect.
pub fn unavailable(why: impl Into<String>) -> Error {
    Error::Unavailable(why.into())
}

/// Policy denies the statement.
pub fn denied(why: impl Into<String>) -> Error {
    Error::Denied(why.into())
}

/// The statement or its parameters are wrong.
pub fn invalid(why: impl Into<String>) -> Error {
    Error::Invalid(why.into())
}

/// The result is larger than `limit` bytes.
pub fn too_large(limit: u64) -> Error {
    Error::TooLarge(limit)
}

/// The database refused, with this SQLSTATE (PostgreSQL, Appendix A).
pub fn refused(
    code: impl Into<String>,
    message: impl Into<String>,
    constraint: Option<String>,
    column: Option<String>,
) -> Error {
    let code = code.into();
    let kind = match code.as_str() {
        "23505" => RefusalKind::UniqueViolation,
        "23503" => RefusalKind::ForeignKeyViolation,
        "23502" => RefusalKind::NotNullViolation,
        "23514" => RefusalKind::CheckViolation,
        "40001" | "40P01" => RefusalKind::SerializationFailure,
        _ => RefusalKind::Other,
    };
    Error::Refused(Refusal {
        kind,
        code,
        message: message.into(),
        constraint,
        column,
    })
}

/// Checks the number of parameters.
///
/// # Errors
/// `invalid` if it is wrong.
pub fn parameter_count(given: usize, expected: usize) -> Result<(), Error> {
    if given == expected {
        return Ok(());
    }
    let plural = if expected == 1 { "" } else { "s" };
    Err(invalid(format!(
        "the statement has {expected} parameter{plural}, and {given} were given"
    )))
}
