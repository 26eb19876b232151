//! What a connection pooler says in its own name.
//!
//! PgBouncer reports most of what goes wrong with SQLSTATE 08P01 and tells it apart by its text alone;
//! Odyssey, PgCat and others have taken over these texts.

use tokio_postgres::error::{DbError, Severity, SqlState};

/// Whether this error ends the session, whoever sent it.
pub(super) fn ends_session(error: &DbError) -> bool {
    matches!(
        error.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    ) || matches!(error.severity(), "FATAL" | "PANIC")
}

fn says(error: &DbError, texts: &[&str]) -> bool {
    *error.code() == SqlState::PROTOCOL_VIOLATION
        && texts.iter().any(|text| error.message().contains(text))
}

/// Whether the pooler has no room, so that nothing reached a server.
pub(super) fn is_full(error: &DbError) -> bool {
    says(
        error,
        &["no more connections allowed", "query_wait_timeout"],
    )
}

/// Whether the pooler has, while it answers clients, no server to hand on a statement to.
pub(super) fn has_no_server(error: &DbError) -> bool {
    says(
        error,
        &[
            "server login has been failing",
            "cannot connect to server",
            "server_login_retry",
            "pooler is shutting down",
        ],
    )
}

/// Whether a refusal to connect may pass by waiting.
pub(super) fn may_pass(error: &DbError) -> bool {
    let lasts = [
        "unsupported startup parameter",
        "no such",
        "authentication failed",
        "login rejected",
        "statement pooling",
    ];
    *error.code() == SqlState::PROTOCOL_VIOLATION && !says(error, &lasts)
}

/// Whether the pooler takes only parameters that it knows.
pub(super) fn is_choosy(error: &DbError) -> bool {
    says(error, &["unsupported startup parameter"])
}
