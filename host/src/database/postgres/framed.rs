//! A statement in a transaction of its own, which brings its settings along: `BEGIN` and the settings,
//! the statement, `COMMIT`, all in one write. Behind a pooler that hands out a server session for each
//! transaction there is no other way for a setting to hold.

use futures_util::future::join3;
use tokio_postgres::Client;

use super::link::Link;
use super::outcome::{self, Failure};
use super::run::{Prepared, Want};
use crate::database::budget::Budget;
use crate::database::types::{Error, Value};

/// Runs a statement alone, in a transaction of its own where it needs one.
pub(super) async fn run<W: Want>(
    link: &Link,
    prepared: &Prepared,
    params: &[Value],
    writes: bool,
    budget: &Budget,
) -> Result<W::Answer, Failure> {
    let Some(begin) = &link.words().alone else {
        return W::run(link, prepared, params, writes, budget).await;
    };
    // Boxed, since it is not to make the statement of a direct connection larger.
    Box::pin(async move {
        let (opened, answer, ended) = join3(
            control(link, begin, writes),
            W::run(link, prepared, params, writes, budget),
            control(link, "COMMIT", writes),
        )
        .await;
        outcome_of(opened, answer, ended, writes)
    })
    .await
}

/// Prepares a statement under the settings it will run with.
pub(super) async fn prepare(
    link: &Link,
    text: &str,
) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
    let Some(begin) = &link.words().alone else {
        return link.prepare(text).await;
    };
    let (opened, prepared, _) = join3(
        link.batch_execute(begin),
        link.prepare(text),
        link.batch_execute("ROLLBACK"),
    )
    .await;
    match (opened, prepared) {
        // Without a transaction the statement was looked at nevertheless.
        (Err(error), Err(_)) => Err(error),
        (_, prepared) => prepared,
    }
}

/// One of the host's own statements.
pub(super) async fn control(client: &Client, text: &str, writes: bool) -> Result<(), Failure> {
    client
        .batch_execute(text)
        .await
        .map_err(|error| outcome::failure(&error, writes))
}

/// What became of a statement, from what became of its `BEGIN`, of itself, and of its `COMMIT`.
fn outcome_of<T>(
    begun: Result<(), Failure>,
    answer: Result<T, Failure>,
    ended: Result<(), Failure>,
    writes: bool,
) -> Result<T, Failure> {
    match (begun, answer, ended) {
        // It was refused, and with it everything behind it.
        (Err(failure), Err(_), _) => Err(failure),
        (Ok(()), Err(failure), _) => Err(failure),
        // Without a transaction the statement stood for itself; a read was answered in any case.
        (_, Ok(answer), Ok(())) => Ok(answer),
        (Err(_), Ok(answer), _) => Ok(answer),
        (Ok(()), Ok(answer), Err(_)) if !writes => Ok(answer),
        // Cancelled: nothing says whether before or after the fact.
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
    fn a_write_counts_as_done_only_once_it_is_committed() {
        let refused = || failed(failure::refused("23505", "taken", None, None), true);
        let aborted = || failed(failure::refused("25P02", "aborted", None, None), true);
        let lost = || failed(Error::InDoubt, false);
        let late = || failed(Error::Timeout, true);
        let told = |begun, answer, ended, writes| match outcome_of(begun, answer, ended, writes) {
            Ok(()) => "done".to_owned(),
            Err(failure) => match failure.error {
                Error::Refused(refusal) => refusal.code,
                other => format!("{other:?}"),
            },
        };
        for (begun, answer, ended, writes, wanted) in [
            (Ok(()), Ok(()), Ok(()), true, "done"),
            (Ok(()), Err(refused()), Ok(()), true, "23505"),
            (Ok(()), Ok(()), Err(refused()), true, "23505"),
            (Ok(()), Ok(()), Err(late()), true, "Error::InDoubt"),
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
            assert_eq!(told(begun, answer, ended, writes), wanted);
        }
    }
}
