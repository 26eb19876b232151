//! Runs one statement outside any transaction of the component.
//!
//! Behind a pooler in transaction mode, settings last only until the end of a transaction. There
//! the statement runs in a transaction block of its own: `BEGIN` with the settings, the statement,
//! `COMMIT`, all in one write. A write counts as done only once its COMMIT has succeeded.

use futures_util::future::join3;
use tokio_postgres::Client;

use super::outcome::{self, Failure};
use super::run::{Fetch, Prepared};
use super::session::Session;
use crate::database::budget::Budget;
use crate::database::types::{Error, Value};

/// Runs a statement, in a transaction block if the session needs one.
pub(super) async fn run<F: Fetch>(
    session: &Session,
    prepared: &Prepared,
    params: &[Value],
    writes: bool,
    budget: &Budget,
) -> Result<F::Output, Failure> {
    let Some(begin) = &session.commands().begin_single else {
        return F::run(session, prepared, params, writes, budget).await;
    };
    // Boxed, so that the future of a direct connection stays small.
    Box::pin(async move {
        let (opened, result, committed) = join3(
            send_command(session, begin, writes),
            F::run(session, prepared, params, writes, budget),
            send_command(session, "COMMIT", writes),
        )
        .await;
        outcome_of(opened, result, committed, writes)
    })
    .await
}

/// Prepares a statement under the settings with which it will run.
pub(super) async fn prepare(
    session: &Session,
    text: &str,
) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
    let Some(begin) = &session.commands().begin_single else {
        return session.prepare(text).await;
    };
    let (opened, prepared, _) = join3(
        session.batch_execute(begin),
        session.prepare(text),
        session.batch_execute("ROLLBACK"),
    )
    .await;
    match (opened, prepared) {
        (Err(error), Err(_)) => Err(error),
        // Preparing succeeds without a transaction too.
        (_, prepared) => prepared,
    }
}

/// Sends a command of the host, such as `BEGIN`.
pub(super) async fn send_command(
    client: &Client,
    command: &str,
    writes: bool,
) -> Result<(), Failure> {
    client
        .batch_execute(command)
        .await
        .map_err(|error| outcome::failure(&error, writes))
}

/// The result of a statement, from those of its `BEGIN`, itself and its `COMMIT`.
fn outcome_of<T>(
    begun: Result<(), Failure>,
    result: Result<T, Failure>,
    committed: Result<(), Failure>,
    writes: bool,
) -> Result<T, Failure> {
    match (begun, result, committed) {
        // The refused BEGIN has made the statement fail too.
        (Err(failure), Err(_), _) => Err(failure),
        (Ok(()), Err(failure), _) => Err(failure),
        // If BEGIN failed, the statement was a transaction of its own.
        (_, Ok(output), Ok(())) => Ok(output),
        (Err(_), Ok(output), _) => Ok(output),
        // The result of a read is valid without a COMMIT.
        (Ok(()), Ok(output), Err(_)) if !writes => Ok(output),
        // Cancelled, before or after the commit.
        (Ok(()), Ok(_), Err(failure)) if matches!(failure.error, Error::Timeout) => Err(Failure {
            error: Error::InDoubt,
            ..failure
        }),
        (Ok(()), Ok(_), Err(failure)) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::failure;

    fn failed(error: Error, answered: bool) -> Failure {
        Failure {
            error,
            answered,
            ran: true,
        }
    }

    #[test]
    fn write_in_transaction_block_is_done_only_after_commit() {
        let refused = || failed(failure::refused("23505", "taken", None, None), true);
        let aborted = || failed(failure::refused("25P02", "aborted", None, None), true);
        let lost = || failed(Error::InDoubt, false);
        let cancelled = || failed(Error::Timeout, true);
        let outcome =
            |begun, result, committed, writes| match outcome_of(begun, result, committed, writes) {
                Ok(()) => "done".to_owned(),
                Err(failure) => match failure.error {
                    Error::Refused(refusal) => refusal.code,
                    other => format!("{other:?}"),
                },
            };
        for (begun, result, committed, writes, expected) in [
            (Ok(()), Ok(()), Ok(()), true, "done"),
            (Ok(()), Err(refused()), Ok(()), true, "23505"),
            (Ok(()), Ok(()), Err(refused()), true, "23505"),
            (Ok(()), Ok(()), Err(cancelled()), true, "Error::InDoubt"),
            (Ok(()), Ok(()), Err(lost()), true, "Error::InDoubt"),
            (Ok(()), Ok(()), Err(lost()), false, "done"),
            (Err(refused()), Err(aborted()), Ok(()), true, "23505"),
            (
                Err(lost()),
                Err(lost()),
                Err(lost()),
                true,
                "Error::InDoubt",
            ),
            (Err(refused()), Ok(()), Ok(()), true, "done"),
        ] {
            assert_eq!(outcome(begun, result, committed, writes), expected);
        }
    }
}
