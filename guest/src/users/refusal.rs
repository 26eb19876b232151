//! Maps an error of the database to an error of the operation, by SQLSTATE (PostgreSQL,
//! Appendix A). The host maps SQLite's codes to the same ones.
//!
//! A constraint, trigger or limit that this service does not know is not a fault of the service:
//! the client learns whether another body could succeed (422) or not (409). What passes with time
//! is 503. Everything else is for the operator to fix, and is 500.

use super::error::Error;
use super::sql;
use usher_sdk::database::{self, Refusal};

impl From<database::Error> for Error {
    fn from(error: database::Error) -> Self {
        use database::Error as E;
        match error {
            E::Unavailable(_) | E::Overloaded => Self::Unavailable,
            E::Timeout => Self::Timeout,
            E::InDoubt => Self::InDoubt,
            E::Refused(refusal) => from_refusal(&refusal),
            // The policy denies these statements only while the host has the database read-only.
            E::Denied(_) => Self::Unavailable,
            E::Invalid(_) | E::TooLarge(_) => Self::Internal(error.to_string()),
        }
    }
}

/// Only the service's own key is recognised here; [`key`](super::key) queries the catalogue for
/// any other.
fn from_refusal(refusal: &Refusal) -> Error {
    let code = refusal.code.as_str();
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        ("23", "23505") if refusal.constraint.as_deref() == Some(sql::EMAIL_KEY) => {
            Error::EmailTaken
        }
        // foreign_key_violation; restrict_violation, for ON DELETE RESTRICT since PostgreSQL 18.
        ("23", "23503" | "23001") => Error::Referenced,
        // not_null_violation, check_violation, of a column or rule of another program.
        ("23", "23502" | "23514") => Error::Unacceptable,
        // unique_violation, exclusion_violation, integrity_constraint_violation.
        ("23", _) => Error::Conflict,
        // sequence_generator_limit_exceeded, numeric_value_out_of_range, division_by_zero: the
        // client sends no numbers, so that no other body would succeed.
        ("22", "2200H" | "22003" | "22012") => internal(refusal),
        // Text too long for its column, or characters outside the database's encoding.
        ("22", _) => Error::Unacceptable,
        // with_check_option_violation: `users` is a view that filters rows.
        ("44", _) => Error::Unacceptable,
        // raise_exception, by a trigger. SQLite's RAISE is mapped to it.
        ("P0", "P0001") => Error::Conflict,
        // statement_completion_unknown.
        ("40", "40003") => Error::InDoubt,
        // transaction_integrity_constraint_violation.
        ("40", "40002") => Error::Conflict,
        // serialization_failure, deadlock_detected, after all retries.
        ("40", _) => Error::Unavailable,
        // transaction_timeout.
        ("25", "25P04") => Error::Timeout,
        // read_only_sql_transaction, idle_in_transaction_session_timeout: may pass on another
        // server or at another time.
        ("25", "25006" | "25P03") => Error::Unavailable,
        // insufficient_privilege, until it is granted.
        ("42", "42501") => Error::Unavailable,
        // invalid_sql_statement_name, duplicate_prepared_statement: a pooler switched the session.
        ("26", "26000") | ("42", "42P05") => Error::Unavailable,
        // program_limit_exceeded: the value is too large for an index of another program.
        ("54", "54000") => Error::Unacceptable,
        // object_in_use, lock_not_available.
        ("55", "55006" | "55P03") => Error::Unavailable,
        // Connection, authorization, resources, operator intervention, system, snapshot.
        ("08" | "28" | "53" | "57" | "58" | "72", _) => Error::Unavailable,
        // Missing objects (42), unsupported features (0A), aborted transactions (25), failing
        // routines (2F, 38, 39, P0), program limits (54), object states (55), corruption (XX), and
        // unknown codes.
        _ => internal(refusal),
    }
}

fn internal(refusal: &Refusal) -> Error {
    Error::Internal(format!(
        "the database refused: {} ({})",
        refusal.message, refusal.code
    ))
}

#[cfg(test)]
mod tests {
    use super::{Error, from_refusal};
    use usher_sdk::database::{Refusal, RefusalKind};

    fn mapped(code: &str) -> Error {
        from_refusal(&Refusal {
            kind: RefusalKind::Other,
            code: code.into(),
            message: "no".into(),
            constraint: None,
            column: None,
        })
    }

    #[test]
    fn constraint_of_another_program_maps_to_conflict_or_unacceptable() {
        for (code, expected) in [
            ("23503", Error::Referenced),
            ("23001", Error::Referenced),
            ("23505", Error::Conflict),
            ("23P01", Error::Conflict),
            ("23000", Error::Conflict),
            ("23502", Error::Unacceptable),
            ("23514", Error::Unacceptable),
            ("22001", Error::Unacceptable),
            ("22P05", Error::Unacceptable),
            ("54000", Error::Unacceptable),
            ("44000", Error::Unacceptable),
            ("P0001", Error::Conflict),
        ] {
            assert_eq!(mapped(code), expected, "{code}");
        }
    }

    #[test]
    fn transient_sqlstate_maps_to_unavailable() {
        for code in [
            "08006", "25006", "28P01", "40001", "40P01", "42501", "53100", "53300", "55P03",
            "57014", "57P01", "58030", "26000", "42P05",
        ] {
            assert_eq!(mapped(code), Error::Unavailable, "{code}");
        }
        assert_eq!(mapped("40003"), Error::InDoubt);
        assert_eq!(mapped("25P04"), Error::Timeout);
    }

    #[test]
    fn sqlstate_for_the_operator_maps_to_internal() {
        for code in [
            "0A000", "2200H", "22003", "25P02", "42P01", "42703", "54001", "55000", "P0002",
            "XX000", "XX001", "", "x", "é",
        ] {
            assert!(matches!(mapped(code), Error::Internal(_)), "{code}");
        }
    }
}
