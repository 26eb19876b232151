//! What every session begins with.
//!
//! There are two kinds of connections. On one of its own a statement has the time it was given. On a shared one it stands before
//! the statements of others, so the server cancels it after [`SHARED_STATEMENT`], or [`SHARED_LOCK`] of waiting for somebody's
//! lock: it is undone then, and run again on a connection of its own.

use std::time::Duration;

use crate::database::Config;

/// How long a statement may run on a shared connection.
const SHARED_STATEMENT: Duration = Duration::from_millis(250);

/// How long a statement on a shared connection waits for a lock.
pub(super) const SHARED_LOCK: Duration = Duration::from_millis(20);

/// The session of a connection that a statement has to itself.
pub(super) fn own(session: &tokio_postgres::Config, config: &Config) -> tokio_postgres::Config {
    with_timeouts(session, config, config.statement_timeout)
}

/// The session of a connection that statements share.
pub(super) fn shared(session: &tokio_postgres::Config, config: &Config) -> tokio_postgres::Config {
    let statement_timeout = config.statement_timeout.min(SHARED_STATEMENT);
    let mut shared = with_timeouts(session, config, statement_timeout);
    let options = shared.get_options().unwrap_or_default();
    let options = format!("{options} -c lock_timeout={}", SHARED_LOCK.as_millis());
    shared.options(options);
    shared
}

/// What every session is told at its start, so that nothing has to be asked later.
fn with_timeouts(
    session: &tokio_postgres::Config,
    config: &Config,
    statement_timeout: Duration,
) -> tokio_postgres::Config {
    let mut session = session.clone();
    if session.get_application_name().is_none() {
        session.application_name("usher");
    }
    let mut options = session
        .get_options()
        .map(|options| format!("{options} "))
        .unwrap_or_default();
    options.push_str(&format!(
        "-c statement_timeout={} -c idle_in_transaction_session_timeout={} -c standard_conforming_strings=on",
        statement_timeout.as_millis().max(1),
        config.idle_transaction_timeout.as_millis().max(1),
    ));
    if config.read_only {
        options.push_str(" -c default_transaction_read_only=on");
    }
    session.options(options);
    session
}
