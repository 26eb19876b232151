//! Cursors: results that are read in batches, from a portal in a transaction of its own.
//!
//! A task owns the connection and fetches rows on request, so neither the server nor the host holds
//! more than one batch. Rows of a batch that exceed the caller's limit stay on the connection until
//! the next call. When the cursor is dropped, the task ends and rolls the transaction back.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::TryStreamExt as _;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Portal, RowStream, Transaction};

use super::dedicated_connection::DedicatedConnection;
use super::outcome::{self, Failure};
use super::run::{self, Prepared};
use super::session::Session;
use super::transaction_block;
use crate::database::budget::{Budget, Meter};
use crate::database::collector::Collector;
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Error, Row, Value};

/// Rows per fetch: enough to hide the round trip.
const BATCH_SIZE: u32 = 256;

/// The server must not end a cursor that waits for its reader: the host limits each fetch, and
/// drops a cursor whose reader stops. TCP keepalives tell the server when the host is gone.
const NO_TIMEOUTS: &str = "SET LOCAL idle_in_transaction_session_timeout = 0; \
    SET LOCAL statement_timeout = 0; \
    SET LOCAL tcp_keepalives_idle = 10; \
    SET LOCAL tcp_keepalives_interval = 5; \
    SET LOCAL tcp_keepalives_count = 4";

type Batch = Result<Vec<Row>, Error>;

struct FetchRequest {
    max_rows: u32,
    budget: Budget,
    reply: oneshot::Sender<Batch>,
}

/// An open cursor.
#[derive(Debug)]
pub(crate) struct Cursor {
    columns: Arc<[String]>,
    requests: mpsc::Sender<FetchRequest>,
    /// Whether the last row or an error was returned.
    is_finished: bool,
}

impl std::fmt::Debug for FetchRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchRequest")
            .field("max_rows", &self.max_rows)
            .finish_non_exhaustive()
    }
}

impl Cursor {
    pub(super) async fn open(
        connection: DedicatedConnection,
        statement: Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let (columns_sender, columns) = oneshot::channel();
        let (requests, receiver) = mpsc::channel(1);
        let connector = connection.connector();
        // The task also cleans up after the cursor is dropped.
        let task = serve(connection, statement, params, columns_sender, receiver);
        connector.spawn_cleanup(&Handle::current(), task);
        match budget.race(columns).await {
            Some(Ok(columns)) => Ok(Self {
                columns: columns?,
                requests,
                is_finished: false,
            }),
            Some(Err(_)) => Err(failure::unavailable("the cursor's connection was closed")),
            None => Err(Error::Timeout),
        }
    }

    pub(crate) fn columns(&self) -> Vec<String> {
        self.columns.to_vec()
    }

    pub(crate) async fn next(&mut self, max_rows: u32, budget: &Budget) -> Batch {
        if self.is_finished || max_rows == 0 {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        let request = FetchRequest {
            max_rows,
            budget: budget.clone(),
            reply,
        };
        let answer = async {
            self.requests.send(request).await.ok()?;
            answer.await.ok()
        };
        let batch = match budget.race(answer).await {
            Some(Some(batch)) => batch,
            Some(None) => Err(failure::unavailable("the cursor's connection was closed")),
            None => Err(Error::Timeout),
        };
        self.is_finished = !matches!(&batch, Ok(rows) if !rows.is_empty());
        batch
    }
}

async fn serve(
    mut connection: DedicatedConnection,
    statement: Arc<Statement>,
    params: Vec<Value>,
    columns: oneshot::Sender<Result<Arc<[String]>, Error>>,
    requests: mpsc::Receiver<FetchRequest>,
) {
    let read_only = connection.connector().read_only;
    let Some(session) = connection.session_mut() else {
        return;
    };
    let end = read(session, read_only, &statement, &params, columns, requests).await;
    if let Some((reply, result)) = end {
        match &result {
            Ok(()) => {
                // A session that cannot be reset is closed when the connection is dropped.
                if session.reset().await {
                    connection.record_settled();
                    connection.return_to_pool();
                }
            }
            Err(error) => connection.record_refusal(error),
        }
        // The last reply is sent only now, so that its receiver finds the connection free.
        reply.send(result.map(|()| Vec::new())).ok();
    }
}

/// Serves the cursor until its last row. Returns the result of its transaction and where to send
/// it, or `None` if the cursor ended early; then the state of the connection is unknown.
async fn read(
    session: &mut Session,
    read_only: bool,
    statement: &Statement,
    params: &[Value],
    mut columns_sender: oneshot::Sender<Result<Arc<[String]>, Error>>,
    mut requests: mpsc::Receiver<FetchRequest>,
) -> Option<(oneshot::Sender<Batch>, Result<(), Error>)> {
    let open = async {
        let failed = |error: tokio_postgres::Error| outcome::failure(&error, false).error;
        let prepared = transaction_block::prepare(session, &statement.text)
            .await
            .map_err(failed)?;
        let prepared = Prepared::new(prepared, statement.is_packed);
        prepared.check(params)?;
        let set_local = session.commands().set_local().map(ToOwned::to_owned);
        let transaction = session.client_mut().build_transaction();
        let transaction = if read_only {
            transaction.read_only(true)
        } else {
            transaction
        };
        let transaction = transaction.start().await.map_err(failed)?;
        if let Some(set_local) = set_local {
            transaction
                .batch_execute(&set_local)
                .await
                .map_err(failed)?;
        }
        transaction
            .batch_execute(NO_TIMEOUTS)
            .await
            .map_err(failed)?;
        let portal = transaction
            .bind_raw(&prepared.statement, run::numbered(params))
            .await
            .map_err(failed)?;
        Ok((prepared, transaction, portal))
    };
    let opened = tokio::select! {
        opened = open => Some(opened),
        () = columns_sender.closed() => None,
    };
    let (prepared, transaction, portal) = match opened? {
        Err(error) => {
            columns_sender.send(Err(error)).ok();
            return None;
        }
        Ok((prepared, transaction, portal)) => {
            let columns = Arc::clone(&prepared.columns);
            columns_sender.send(Ok(columns)).ok()?;
            (prepared, transaction, portal)
        }
    };
    let mut reader = PortalReader::default();
    while let Some(FetchRequest {
        max_rows,
        budget,
        mut reply,
    }) = requests.recv().await
    {
        let fetched = tokio::select! {
            fetched = reader.next(
                &transaction, &portal, max_rows, budget.meter(), prepared.collector()
            ) => fetched,
            () = reply.closed() => return None,
        };
        match fetched {
            Ok(rows) if rows.is_empty() => {
                let committed = transaction.commit().await;
                return Some((
                    reply,
                    committed.map_err(|error| outcome::failure(&error, statement.writes).error),
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

/// Fetches batches from a portal, and keeps rows that did not fit into the last call.
#[derive(Default)]
struct PortalReader {
    /// The batch that is being read, and how many of the requested rows are missing.
    batch: Option<(Pin<Box<RowStream>>, u32)>,
    /// The row that exceeded the limit of the last call.
    excess: Option<tokio_postgres::Row>,
    /// An error that followed the rows of the last call.
    failure: Option<Failure>,
    /// Whether the server has sent its last row.
    is_finished: bool,
}

impl PortalReader {
    /// The next rows, up to `max_rows` and within the limit; none at the end.
    async fn next(
        &mut self,
        transaction: &Transaction<'_>,
        portal: &Portal,
        max_rows: u32,
        mut meter: Meter,
        mut rows: Collector,
    ) -> Result<Vec<Row>, Failure> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        while (rows.len() as u64) < u64::from(max_rows) {
            let row = match self.excess.take() {
                Some(row) => row,
                None => {
                    let left =
                        max_rows.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
                    // Another batch is fetched only if it is likely to fit.
                    let batch_size = if meter.is_half_empty() {
                        0
                    } else {
                        left.min(BATCH_SIZE)
                    };
                    match self.row(transaction, portal, batch_size).await {
                        Ok(Some(row)) => row,
                        Ok(None) => break,
                        Err(failure) if rows.len() == 0 => return Err(failure),
                        Err(failure) => {
                            self.failure = Some(failure);
                            break;
                        }
                    }
                }
            };
            match meter.take(row.len(), row.raw_size_bytes()) {
                Ok(()) => run::read(&row, &mut rows)?,
                Err(error) if rows.len() == 0 => return Err(run::failed_after_response(error)),
                Err(_) => {
                    self.excess = Some(row);
                    break;
                }
            }
        }
        Ok(rows.finish())
    }

    /// The next row of the batch, or the first of another batch of this size.
    async fn row(
        &mut self,
        transaction: &Transaction<'_>,
        portal: &Portal,
        batch_size: u32,
    ) -> Result<Option<tokio_postgres::Row>, Failure> {
        let failed = |error: tokio_postgres::Error| outcome::failure(&error, false);
        loop {
            if let Some((stream, missing)) = &mut self.batch {
                if let Some(row) = stream.try_next().await.map_err(failed)? {
                    *missing = missing.saturating_sub(1);
                    return Ok(Some(row));
                }
                self.is_finished = *missing > 0;
                self.batch = None;
            }
            if self.is_finished || batch_size == 0 {
                return Ok(None);
            }
            let count = i32::try_from(batch_size).unwrap_or(i32::MAX);
            let stream = transaction.query_portal_raw(portal, count).await;
            self.batch = Some((Box::pin(stream.map_err(failed)?), batch_size));
        }
    }
}
