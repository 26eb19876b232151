//! Converts errors of tokio-postgres into what is known about a statement's outcome.
//!
//! A write is `in-doubt` whenever it may have taken effect. Errors for the guest never name
//! addresses, roles or databases.

use std::error::Error as _;

use tokio_postgres::error::{DbError, SqlState};

use super::availability::truncate;
use super::limits::ROW_OVERHEAD;
use super::values::ParameterError;
use super::{guard, messages, pooler_errors};
use crate::database::failure;
use crate::database::types::Error;

/// An error, and what it means for its connection and statement.
pub(super) struct Failure {
    pub(super) error: Error,
    /// Whether the server has answered, so that the connection is still usable.
    pub(super) answered: bool,
    /// Whether the statement may have reached the server.
    pub(super) ran: bool,
}

/// The cause of an error, without the library's context.
pub(super) fn reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(refusal) => format!("{} ({})", refusal.message(), refusal.code().code()),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// The failure of a statement on an open connection. Of a lost connection only the log has the
/// reason.
pub(super) fn failure(error: &tokio_postgres::Error, writes: bool) -> Failure {
    if let Some(refusal) = error.as_db_error() {
        if pooler_errors::ends_session(refusal) {
            return session_ended(refusal, writes);
        }
        let code = refusal.code();
        let error = if let Some(limit) = guard::exceeded_limit(refusal) {
            // A write has run before its result is found to be too large.
            if writes {
                Error::InDoubt
            } else {
                failure::too_large(limit.saturating_sub(ROW_OVERHEAD))
            }
        } else if writes && messages::is_changed_result(refusal.message()) {
            // The write has run, but its result was replaced by the error.
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
    if let Some(parameter_error) = error
        .source()
        .and_then(|source| source.downcast_ref::<ParameterError>())
    {
        return Failure {
            error: failure::invalid(parameter_error.0.clone()),
            answered: true,
            ran: false,
        };
    }
    // A value that cannot be converted is an error without a lost connection.
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
    tracing::debug!("a connection was lost: {}", truncate(&reason(error)));
    Failure {
        error: failure::lost(writes, CONNECTION_LOST),
        answered: false,
        ran: true,
    }
}

const CONNECTION_LOST: &str = "the connection to the database was lost";

const SESSION_ENDED: &str = "the database ended the connection";

/// The failure for an error with which the server or a pooler ends the session.
fn session_ended(refusal: &DbError, writes: bool) -> Failure {
    let code = refusal.code();
    tracing::debug!(
        "the database ended a connection: {} ({})",
        truncate(refusal.message()),
        code.code()
    );
    let (error, ran) = if pooler_errors::is_full(refusal) || *code == SqlState::TOO_MANY_CONNECTIONS
    {
        (Error::Overloaded, false)
    } else if *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        || *code == SqlState::IDLE_SESSION_TIMEOUT
        || *code == SqlState::CANNOT_CONNECT_NOW
        || pooler_errors::has_no_server(refusal)
    {
        // The server was waiting for a statement, or there is no server, so the statement was not
        // read.
        (failure::unavailable(SESSION_ENDED), false)
    } else {
        // A write may have taken effect.
        (failure::lost(writes, SESSION_ENDED), true)
    };
    Failure {
        error,
        answered: false,
        ran,
    }
}
