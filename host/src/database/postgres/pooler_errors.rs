//! Errors that a connection pooler returns in its own name.
//!
//! PgBouncer returns SQLSTATE 08P01 for most of its errors, so only the text distinguishes them.
//! Odyssey, PgCat and others use the same texts.

use tokio_postgres::error::{DbError, Severity, SqlState};

/// Whether this error ends the session.
pub(super) fn ends_session(error: &DbError) -> bool {
    matches!(
        error.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    ) || matches!(error.severity(), "FATAL" | "PANIC")
}

fn is_one_of(error: &DbError, texts: &[&str]) -> bool {
    *error.code() == SqlState::PROTOCOL_VIOLATION
        && texts.iter().any(|text| error.message().contains(text))
}

/// Whether the pooler is full, so that nothing reached a server.
pub(super) fn is_full(error: &DbError) -> bool {
    is_one_of(
        error,
        &["no more connections allowed", "query_wait_timeout"],
    )
}

/// Whether the pooler has no server for a statement.
pub(super) fn has_no_server(error: &DbError) -> bool {
    is_one_of(
        error,
        &[
            "server login has been failing",
            "cannot connect to server",
            "server_login_retry",
            "pooler is shutting down",
        ],
    )
}

/// Whether a refused connection may be accepted later.
pub(super) fn may_pass(error: &DbError) -> bool {
    let permanent = [
        "unsupported startup parameter",
        "no such",
        "authentication failed",
        "login rejected",
        "statement pooling",
    ];
    *error.code() == SqlState::PROTOCOL_VIOLATION && !is_one_of(error, &permanent)
}

/// Whether the pooler refuses a start-up parameter.
pub(super) fn is_unsupported_parameter(error: &DbError) -> bool {
    is_one_of(error, &["unsupported startup parameter"])
}
