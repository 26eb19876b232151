//! Results read bit by bit: a portal in a transaction of its own, driven by a task that owns the connection.
//!
//! Rows are fetched as they are asked for, so neither the server nor the host holds more than one helping; and of a helping that is too
//! large for one call, the rest stays on the connection until it is asked for. The task ends when the cursor is dropped, and takes
//! the transaction with it.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::TryStreamExt as _;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Portal, RowStream, Transaction};

use super::exclusive::Connection;
use super::framed;
use super::link::Link;
use super::outcome::{self, Failure};
use super::run::{self, Prepared};
use crate::database::budget::{Budget, Meter};
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Error, Row, Value};

/// Rows fetched at once: enough for the round trip not to show.
const HELPING: u32 = 256;

/// A cursor waits for its reader, which the server must not take for idleness or slowness: each fetch is timed by the host, and a
/// cursor whose reader stops is dropped by it. Where the host itself vanishes, the server finds out by asking.
const UNTIMED: &str = "SET LOCAL idle_in_transaction_session_timeout = 0; \
    SET LOCAL statement_timeout = 0; \
    SET LOCAL tcp_keepalives_idle = 10; \
    SET LOCAL tcp_keepalives_interval = 5; \
    SET LOCAL tcp_keepalives_count = 4";

type Helping = Result<Vec<Row>, Error>;

struct Ask {
    at_most: u32,
    budget: Budget,
    reply: oneshot::Sender<Helping>,
}

/// An open cursor.
#[derive(Debug)]
pub(crate) struct Cursor {
    columns: Arc<[String]>,
    asks: mpsc::Sender<Ask>,
    /// Whether the end was reached, or an error.
    over: bool,
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ask")
            .field("at_most", &self.at_most)
            .finish_non_exhaustive()
    }
}

impl Cursor {
    pub(super) async fn open(
        connection: Connection,
        statement: Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let (opened, opening) = oneshot::channel();
        let (asks, asked) = mpsc::channel(1);
        let connector = connection.connector();
        // What is left of it when the cursor is dropped is seen to by this task.
        let driven = drive(connection, statement, params, opened, asked);
        connector.tidy(&Handle::current(), driven);
        match budget.race(opening).await {
            Some(Ok(columns)) => Ok(Self {
                columns: columns?,
                asks,
                over: false,
            }),
            Some(Err(_)) => Err(failure::unavailable("the cursor's connection was closed")),
            None => Err(Error::Timeout),
        }
    }

    pub(crate) fn columns(&self) -> Vec<String> {
        self.columns.to_vec()
    }

    pub(crate) async fn next(&mut self, at_most: u32, budget: &Budget) -> Helping {
        if self.over || at_most == 0 {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        let ask = Ask {
            at_most,
            budget: *budget,
            reply,
        };
        let asked = async {
            self.asks.send(ask).await.ok()?;
            answer.await.ok()
        };
        let helping = match budget.race(asked).await {
            Some(Some(helping)) => helping,
            Some(None) => Err(failure::unavailable("the cursor's connection was closed")),
            None => Err(Error::Timeout),
        };
        self.over = !matches!(&helping, Ok(rows) if !rows.is_empty());
        helping
    }
}

async fn drive(
    mut connection: Connection,
    statement: Arc<Statement>,
    params: Vec<Value>,
    opened: oneshot::Sender<Result<Arc<[String]>, Error>>,
    asked: mpsc::Receiver<Ask>,
) {
    let read_only = connection.connector().read_only;
    let Some(link) = connection.link_mut() else {
        return;
    };
    if let Some((reply, ended)) = read(link, read_only, &statement, &params, opened, asked).await {
        match &ended {
            Ok(()) => {
                // What is not at its beginning is closed, once it is dropped.
                if link.reset().await {
                    connection.settled();
                    connection.give_back();
                }
            }
            Err(error) => connection.refused(error),
        }
        // Told last, so that whoever has read to the end finds the connection free again.
        reply.send(ended.map(|()| Vec::new())).ok();
    }
}

/// Serves the cursor to its end: what became of its transaction, and whom to tell. Nothing where it was left early; the connection
/// is then in doubt.
async fn read(
    link: &mut Link,
    read_only: bool,
    statement: &Statement,
    params: &[Value],
    mut opened: oneshot::Sender<Result<Arc<[String]>, Error>>,
    mut asked: mpsc::Receiver<Ask>,
) -> Option<(oneshot::Sender<Helping>, Result<(), Error>)> {
    let open = async {
        let failed = |error: tokio_postgres::Error| outcome::failure(&error, false).error;
        let prepared = framed::prepare(link, &statement.text)
            .await
            .map_err(failed)?;
        let prepared = Prepared::new(prepared);
        prepared.check(params)?;
        let local = link.words().local().map(ToOwned::to_owned);
        let transaction = link.client_mut().build_transaction();
        let transaction = if read_only {
            transaction.read_only(true)
        } else {
            transaction
        };
        let transaction = transaction.start().await.map_err(failed)?;
        if let Some(local) = local {
            transaction.batch_execute(&local).await.map_err(failed)?;
        }
        transaction.batch_execute(UNTIMED).await.map_err(failed)?;
        let portal = transaction
            .bind_raw(&prepared.statement, run::numbered(params))
            .await
            .map_err(failed)?;
        Ok((prepared.columns, transaction, portal))
    };
    let result = tokio::select! {
        result = open => Some(result),
        () = opened.closed() => None,
    };
    let (transaction, portal) = match result? {
        Err(error) => {
            opened.send(Err(error)).ok();
            return None;
        }
        Ok((columns, transaction, portal)) => {
            opened.send(Ok(columns)).ok()?;
            (transaction, portal)
        }
    };
    let mut fetching = Fetching::default();
    while let Some(Ask {
        at_most,
        budget,
        mut reply,
    }) = asked.recv().await
    {
        let fetched = tokio::select! {
            fetched = fetching.next(&transaction, &portal, at_most, budget.meter()) => fetched,
            () = reply.closed() => return None,
        };
        match fetched {
            Ok(rows) if rows.is_empty() => {
                let ended = transaction.commit().await;
                return Some((
                    reply,
                    ended.map_err(|error| outcome::failure(&error, statement.writes).error),
                ));
            }
            Ok(rows) => reply.send(Ok(rows)).ok()?,
            Err(failure) => {
                reply.send(Err(failure.error)).ok();
                return None;
            }
        }
    }
    None
}

/// What has been fetched and not been given yet.
#[derive(Default)]
struct Fetching {
    /// A helping that is being read, and how many rows of it are to come where there are so many.
    helping: Option<(Pin<Box<RowStream>>, u32)>,
    /// The row that had no room in the last call.
    over: Option<tokio_postgres::Row>,
    /// What came in place of a row, after others that were given first.
    failed: Option<Failure>,
    /// Whether the server has given its last row.
    ended: bool,
}

impl Fetching {
    /// Up to so many rows, and as many as there is room for; none at the end.
    async fn next(
        &mut self,
        transaction: &Transaction<'_>,
        portal: &Portal,
        at_most: u32,
        mut meter: Meter,
    ) -> Result<Vec<Row>, Failure> {
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        let mut rows = Vec::new();
        while (rows.len() as u64) < u64::from(at_most) {
            let row = match self.over.take() {
                Some(row) => row,
                None => {
                    let left =
                        at_most.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
                    // Another helping is begun only where it is likely to have room.
                    let more = if meter.is_half_empty() {
                        0
                    } else {
                        left.min(HELPING)
                    };
                    match self.row(transaction, portal, more).await {
                        Ok(Some(row)) => row,
                        Ok(None) => break,
                        Err(failure) if rows.is_empty() => return Err(failure),
                        Err(failure) => {
                            self.failed = Some(failure);
                            break;
                        }
                    }
                }
            };
            match meter.take(row.len(), row.raw_size_bytes()) {
                Ok(()) => rows.push(run::lift(&row)?),
                Err(error) if rows.is_empty() => return Err(run::after_an_answer(error)),
                Err(_) => {
                    self.over = Some(row);
                    break;
                }
            }
        }
        Ok(rows)
    }

    /// The next row of the helping at hand, or the first of another one of so many.
    async fn row(
        &mut self,
        transaction: &Transaction<'_>,
        portal: &Portal,
        more: u32,
    ) -> Result<Option<tokio_postgres::Row>, Failure> {
        let failed = |error: tokio_postgres::Error| outcome::failure(&error, false);
        loop {
            if let Some((stream, missing)) = &mut self.helping {
                if let Some(row) = stream.try_next().await.map_err(failed)? {
                    *missing = missing.saturating_sub(1);
                    return Ok(Some(row));
                }
                self.ended = *missing > 0;
                self.helping = None;
            }
            if self.ended || more == 0 {
                return Ok(None);
            }
            let count = i32::try_from(more).unwrap_or(i32::MAX);
            let stream = transaction.query_portal_raw(portal, count).await;
            self.helping = Some((Box::pin(stream.map_err(failed)?), more));
        }
    }
}
