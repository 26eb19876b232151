//! The errors of `usher:database`, made in one place so that equal causes read equally on every back end.

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

/// Nothing was done: the database cannot be reached.
pub fn unavailable(why: impl Into<String>) -> Error {
    Error::Unavailable(why.into())
}

/// Policy refuses the statement.
pub fn denied(why: impl Into<String>) -> Error {
    Error::Denied(why.into())
}

/// The statement or its parameters are wrong.
pub fn invalid(why: impl Into<String>) -> Error {
    Error::Invalid(why.into())
}

/// The result is larger than so many bytes.
pub fn too_large(limit: u64) -> Error {
    Error::TooLarge(limit)
}

/// What is known when a connection is lost, or a deadline passes, under a statement that was sent.
pub fn lost(writes: bool, why: impl Into<String>) -> Error {
    if writes {
        Error::InDoubt
    } else {
        Error::Unavailable(why.into())
    }
}

/// A refusal by its SQLSTATE (PostgreSQL, Appendix A).
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

/// What is wrong with the number of parameters, if anything is.
///
/// # Errors
/// `invalid` where it is not the one that is wanted.
pub fn parameter_count(given: usize, wanted: usize) -> Result<(), Error> {
    if given == wanted {
        return Ok(());
    }
    let plural = if wanted == 1 { "" } else { "s" };
    Err(invalid(format!(
        "the statement has {wanted} parameter{plural}, and {given} were given"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_a_program_acts_on_has_its_kind() {
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
