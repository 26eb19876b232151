//! The constructors and texts of `usher:database`'s errors, the same for every back end.

use std::fmt;

use super::types::{Error, Refusal, RefusalKind};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the database is not reachable: {why}"),
            Self::Overloaded => f.write_str("no database connection came free in time"),
            Self::Timeout => f.write_str("the statement was cancelled at its deadline"),
            Self::InDoubt => f.write_str(
                "the connection was lost, and whether the statement took effect is unknown",
            ),
            Self::Denied(why) => write!(f, "the statement is denied: {why}"),
            Self::Invalid(why) => write!(f, "the statement or its parameters are wrong: {why}"),
            Self::TooLarge(limit) => write!(f, "the result is over the limit of {limit} bytes"),
            Self::Refused(refusal) => write!(
                f,
                "the database refused: {} ({})",
                refusal.message, refusal.code
            ),
        }
    }
}

impl std::error::Error for Error {}

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

/// What an error says, without its kind.
pub fn message(error: Error) -> String {
    match error {
        Error::Denied(why) | Error::Invalid(why) | Error::Unavailable(why) => why,
        Error::Refused(refusal) => refusal.message,
        other => other.to_string(),
    }
}

/// The result is larger than `limit` bytes.
pub fn too_large(limit: u64) -> Error {
    Error::TooLarge(limit)
}

/// The connection was lost, or the deadline passed, after a statement was sent.
pub fn lost(writes: bool, why: impl Into<String>) -> Error {
    if writes {
        Error::InDoubt
    } else {
        Error::Unavailable(why.into())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstate_maps_to_refusal_kind() {
        for (code, expected) in [
            ("23505", RefusalKind::UniqueViolation),
            ("23503", RefusalKind::ForeignKeyViolation),
            ("23502", RefusalKind::NotNullViolation),
            ("23514", RefusalKind::CheckViolation),
            ("40001", RefusalKind::SerializationFailure),
            ("40P01", RefusalKind::SerializationFailure),
            ("42601", RefusalKind::Other),
            ("23P01", RefusalKind::Other),
        ] {
            let Error::Refused(refusal) = refused(code, "no", Some("a".into()), Some("b".into()))
            else {
                panic!("{code} is a refusal");
            };
            assert_eq!((refusal.kind, refusal.code.as_str()), (expected, code));
            assert_eq!(
                (refusal.constraint.as_deref(), refusal.column.as_deref()),
                (Some("a"), Some("b"))
            );
        }
    }
}
