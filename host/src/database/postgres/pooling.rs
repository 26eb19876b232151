//! How a connection pooler is noticed, and which kind it is.

use tokio_postgres::SimpleQueryMessage;

use super::cause::Unreachable;
use super::connect::Connector;
use super::link::{Kind, Link};
use super::pooler;

/// Whether a connection could not be made because a pooler is there, and was not expected.
pub(super) fn is_noticed(unreachable: &Unreachable) -> bool {
    match unreachable {
        Unreachable::Pooled | Unreachable::Unfit(_) => true,
        other => other.refusal().is_some_and(pooler::is_choosy),
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
