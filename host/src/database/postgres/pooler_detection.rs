//! Detects a connection pooler, and checks its mode.
//!
//! A wrong mode must never go unnoticed: statements would run in sessions without their settings.

use tokio_postgres::SimpleQueryMessage;

use super::connect::Connector;
use super::connect_error::ConnectError;
use super::pooler_errors;
use super::session::{ConnectionKind, Session};

/// Whether a direct connection failed because there is a pooler.
pub(super) fn is_pooler(error: &ConnectError) -> bool {
    match error {
        ConnectError::UnexpectedPooler | ConnectError::WrongSession(_) => true,
        other => other
            .server_error()
            .is_some_and(pooler_errors::is_unsupported_parameter),
    }
}

/// Fails unless the pooler is in session mode, in which two open connections have different server
/// processes and keep them.
pub(super) async fn check_session_mode(
    connector: &Connector,
    session: &Session,
) -> Result<(), ConnectError> {
    let other = connector.connect(ConnectionKind::Shared).await?;
    let mut processes = Vec::new();
    for session in [session, &other, session, &other] {
        let process = session
            .simple_query("SELECT pg_catalog.pg_backend_pid()")
            .await
            .map_err(ConnectError::SetUp)?
            .iter()
            .find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
                _ => None,
            });
        processes.push(process);
    }
    match &processes[..] {
        [a, b, c, d] if a == c && b == d && a != b => Ok(()),
        _ => Err(ConnectError::WrongSession(
            "the connection pooler assigns a server session to each transaction, or has fewer than \
             two: set --database-pooler transaction"
                .to_owned(),
        )),
    }
}
