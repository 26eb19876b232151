//! What a refusal of the database means for whoever asked (PostgreSQL, Appendix A; SQLite's codes come as the same ones).
//!
//! A constraint, trigger or limit that this service does not know is no fault of the service: the client is told that his change cannot be
//! made, with a status that says whether another body could help (422) or not (409). What may pass by waiting is 503. What remains is
//! the operator's to mend, and is 500.

use super::Error;
use crate::database::Refusal;
use crate::sql;

/// The error for a refusal. Which key a `unique_violation` is about is decided in [`key`](super::key), as far as it takes the catalogue.
pub(super) fn told(refusal: &Refusal) -> Error {
    let code = refusal.code.as_str();
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        ("23", "23505") if refusal.constraint.as_deref() == Some(sql::EMAIL_KEY) => {
            Error::EmailTaken
        }
        // foreign_key_violation, and restrict_violation, as PostgreSQL 18 has it for ON DELETE RESTRICT.
        ("23", "23503" | "23001") => Error::Referenced,
        // not_null_violation, check_violation: of a column or a rule that only another program knows.
        ("23", "23502" | "23514") => Error::Unacceptable,
        // unique_violation, exclusion_violation, integrity_constraint_violation.
        ("23", _) => Error::Conflict,
        // sequence_generator_limit_exceeded, numeric_value_out_of_range, division_by_zero: no value was given that could be another.
        ("22", "2200H" | "22003" | "22012") => internal(refusal),
        // A text that is too long for its column, or has characters that the database's encoding lacks.
        ("22", _) => Error::Unacceptable,
        // with_check_option_violation: `users` is a view that shows not every row.
        ("44", _) => Error::Unacceptable,
        // raise_exception: a trigger says no. SQLite's RAISE comes as the same.
        ("P0", "P0001") => Error::Conflict,
        // statement_completion_unknown.
        ("40", "40003") => Error::InDoubt,
        // transaction_integrity_constraint_violation.
        ("40", "40002") => Error::Conflict,
        // serialization_failure, deadlock_detected, after as many attempts as it is worth.
        ("40", _) => Error::Unavailable,
        // transaction_timeout.
        ("25", "25P04") => Error::Timeout,
        // read_only_sql_transaction, idle_in_transaction_session_timeout: another server, or another moment, may be well.
        ("25", "25006" | "25P03") => Error::Unavailable,
        // insufficient_privilege: until it is granted.
        ("42", "42501") => Error::Unavailable,
        // invalid_sql_statement_name, duplicate_prepared_statement: the session is not the one in which it was prepared.
        ("26", "26000") | ("42", "42P05") => Error::Unavailable,
        // program_limit_exceeded: a value that an index of another program cannot hold.
        ("54", "54000") => Error::Unacceptable,
        // object_in_use, lock_not_available.
        ("55", "55006" | "55P03") => Error::Unavailable,
        // Connection, authorization, resources, operator intervention, system, snapshot: they pass.
        ("08" | "28" | "53" | "57" | "58" | "72", _) => Error::Unavailable,
        // Wrong or missing objects (42), what a feature does not allow (0A), aborted transactions (25), routines that fail (2F, 38, 39,
        // P0), limits of the program itself (54), states of objects (55), damage (XX), and what is not known.
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
    use super::told;
    use crate::database::{Refusal, RefusalKind};
    use crate::users::Error;

    fn of(code: &str) -> Error {
        told(&Refusal {
            kind: RefusalKind::Other,
            code: code.into(),
            message: "no".into(),
            constraint: None,
        })
    }

    #[test]
    fn constraint_of_another_program_is_a_conflict_or_unacceptable() {
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
            assert_eq!(of(code), expected, "{code}");
        }
    }

    #[test]
    fn what_passes_by_waiting_is_unavailable() {
        for code in [
            "08006", "25006", "28P01", "40001", "40P01", "42501", "53100", "53300", "55P03",
            "57014", "57P01", "58030", "26000", "42P05",
        ] {
            assert_eq!(of(code), Error::Unavailable, "{code}");
        }
        assert_eq!(of("40003"), Error::InDoubt);
        assert_eq!(of("25P04"), Error::Timeout);
    }

    #[test]
    fn what_the_operator_has_to_mend_is_internal() {
        for code in [
            "0A000", "2200H", "22003", "25P02", "42P01", "42703", "54001", "55000", "P0002",
            "XX000", "XX001", "", "x", "é",
        ] {
            assert!(matches!(of(code), Error::Internal(_)), "{code}");
        }
    }
}
