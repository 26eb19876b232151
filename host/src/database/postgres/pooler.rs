//! What a connection pooler says in its own name, and how it is noticed.
//!
//! PgBouncer reports most of what goes wrong with SQLSTATE 08P01 and tells it apart by its text alone;
//! Odyssey, PgCat and others have taken over these texts.

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::connect::{Connector, Unreachable};
use super::link::{Kind, Link};

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

/// Whether a connection could not be made because a pooler is there, and was not expected.
pub(super) fn is_noticed(unreachable: &Unreachable) -> bool {
    match unreachable {
        Unreachable::Pooled | Unreachable::Unfit(_) => true,
        other => other
            .refusal()
            .is_some_and(|error| says(error, &["unsupported startup parameter"])),
    }
}

/// Whether a pooler really hands out a server session for as long as a connection lasts: two that are
/// open at the same time have different ones then, and keep them.
pub(super) async fn is_session_pooling(
    connector: &Connector,
    link: &Link,
) -> Result<(), Unreachable> {
    let other = connector.connect(Kind::Shared).await?;
    let mut seen = Vec::new();
    for link in [link, &other, link, &other] {
        let process = link
            .simple_query("SELECT pg_catalog.pg_backend_pid()")
            .await
            .map_err(Unreachable::Failed)?
            .iter()
            .find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
                _ => None,
            });
        seen.push(process);
    }
    match &seen[..] {
        [a, b, c, d] if a == c && b == d && a != b => Ok(()),
        _ => Err(Unreachable::Unfit(
            "the connection pooler hands out server sessions for each transaction, or fewer than two: \
             say --database-pooler transaction"
                .to_owned(),
        )),
    }
}
