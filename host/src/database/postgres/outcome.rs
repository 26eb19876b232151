//! What tokio-postgres reports, as what is known of a statement's outcome.

use std::error::Error as _;

use tokio_postgres::error::{DbError, SqlState};

use super::limits::FRAMING;
use super::reach::cut;
use super::values::Misfit;
use super::{guard, messages, pooler};
use crate::database::failure;
use crate::database::types::Error;

/// What an error means for the connection it came on.
pub(super) struct Failure {
    pub(super) error: Error,
    /// Whether the server answered, so that the connection is as good as before.
    pub(super) answered: bool,
    /// Whether the statement reached the server at all.
    pub(super) ran: bool,
}

/// The cause of an error, without the library's own words around it.
pub(super) fn reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(refusal) => format!("{} ({})", refusal.message(), refusal.code().code()),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// An error of a statement that was to run, on a connection that was open.
///
/// What a guest is told of a lost connection says nothing of addresses, roles and databases, which a
/// server or a pooler may name; the log has it.
pub(super) fn failure(error: &tokio_postgres::Error, writes: bool) -> Failure {
    if let Some(refusal) = error.as_db_error() {
        if pooler::ends_session(refusal) {
            return ended(refusal, writes);
        }
        let code = refusal.code();
        let error = if let Some(limit) = guard::exceeded(refusal) {
            // As above: a write may have been through before its result was seen to be too large.
            if writes {
                Error::InDoubt
            } else {
                failure::too_large(limit.saturating_sub(FRAMING))
            }
        } else if writes && messages::is_changed_result(refusal.message()) {
            // It ran, and what came of it cannot be told.
            Error::InDoubt
        } else if *code == SqlState::QUERY_CANCELED {
            Error::Timeout
        } else if *code == SqlState::SYNTAX_ERROR && refusal.message().contains("multiple commands")
        {
            failure::invalid("more than one statement: send them one by one")
        } else {
            failure::refused(
                code.code(),
                refusal.message(),
                refusal.constraint().map(ToOwned::to_owned),
                refusal.column().map(ToOwned::to_owned),
            )
        };
        return Failure {
            error,
            answered: true,
            ran: true,
        };
    }
    if let Some(misfit) = error
        .source()
        .and_then(|source| source.downcast_ref::<Misfit>())
    {
        return Failure {
            error: failure::invalid(misfit.0.clone()),
            answered: true,
            ran: false,
        };
    }
    // A value that could not be read, or that is too long to be sent, says so without any loss of the connection.
    let source = error.source();
    if source.is_some_and(|source| source.downcast_ref::<std::io::Error>().is_none())
        && !error.is_closed()
    {
        return Failure {
            error: failure::invalid(reason(error)),
            answered: true,
            ran: false,
        };
    }
    tracing::debug!("a connection was lost: {}", cut(&reason(error)));
    Failure {
        error: failure::lost(writes, LOST),
        answered: false,
        ran: true,
    }
}

const LOST: &str = "the connection to the database was lost";

const ENDED: &str = "the database ended the connection";

/// An error that is the server's last word on a connection, or a pooler's.
fn ended(refusal: &DbError, writes: bool) -> Failure {
    let code = refusal.code();
    tracing::debug!(
        "the database ended a connection: {} ({})",
        cut(refusal.message()),
        code.code()
    );
    let (error, ran) = if pooler::is_full(refusal) || *code == SqlState::TOO_MANY_CONNECTIONS {
        (Error::Overloaded, false)
    } else if *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        || *code == SqlState::IDLE_SESSION_TIMEOUT
        || *code == SqlState::CANNOT_CONNECT_NOW
        || pooler::has_no_server(refusal)
    {
        // Said while the server waits for a statement, or before there is a server: what was on its
        // way then has not been read.
        (failure::unavailable(ENDED), false)
    } else {
        // A write may have been through already.
        (failure::lost(writes, ENDED), true)
    };
    Failure {
        error,
        answered: false,
        ran,
    }
}
