//! Cursors: results that are read in batches.
//!
//! A cursor shows the database as it was when the cursor was opened. Its separate thread steps the
//! statement as far as batches are requested. In a file, writers continue meanwhile; in memory,
//! where a reader excludes the writer, the cursor reads from a temporary copy. The result of a
//! statement that writes is buffered, because the statement commits even if its rows are not read.
//! After an error a cursor returns no more rows.

use std::collections::VecDeque;
use std::sync::Arc;

use rusqlite::CachedStatement;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use tokio::sync::{mpsc, oneshot};

use super::connection::Conn;
use super::control::Control;
use super::error::Failure;
use super::lease::Lease;
use super::values::Columns;
use super::workers;
use crate::database::budget::{Budget, Meter};
use crate::database::collector::Collector;
use crate::database::failure;
use crate::database::packed;
use crate::database::statement::Statement;
use crate::database::types::{Error, Row, Rows, Value};
use crate::database::value_ref::bytes_of;

/// A result that is read in batches. Dropping it ends the query.
#[derive(Debug)]
pub(crate) struct Cursor {
    columns: Arc<[String]>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Buffered(VecDeque<Row>),
    Thread(CursorThread),
    /// All rows were read, or a call returned an error.
    End,
}

/// The separate thread of a cursor.
#[derive(Debug)]
struct CursorThread {
    requests: mpsc::Sender<BatchRequest>,
    control: Arc<Control>,
    run: u64,
}

impl Drop for CursorThread {
    fn drop(&mut self) {
        self.control.stop(self.run);
    }
}

#[derive(Debug)]
struct BatchRequest {
    at_most: u32,
    meter: Meter,
    reply: oneshot::Sender<Result<Batch, Error>>,
}

#[derive(Debug)]
struct Batch {
    rows: Vec<Row>,
    is_last: bool,
}

impl Cursor {
    /// A cursor over a buffered result.
    pub(super) fn buffered(rows: Rows) -> Self {
        let unpacked = packed::unpack(rows.columns.len(), &rows.rows);
        Self {
            columns: rows.columns,
            source: Source::Buffered(unpacked.into()),
        }
    }

    /// A cursor over a statement that only reads.
    pub(super) async fn open(
        lease: Lease,
        statement: Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let control = Arc::clone(lease.conn()?.control());
        let run = control.start_on_worker(budget.deadline);
        let (requests, receiver) = mpsc::channel(1);
        let thread = CursorThread {
            requests,
            control,
            run,
        };
        let (opened, columns) = oneshot::channel();
        let meter = budget.meter();
        workers::run(move || {
            if let Ok(conn) = lease.conn() {
                serve(conn, &statement, &params, &meter, opened, receiver);
            }
        });
        let columns = columns.await.map_err(|_| thread_ended())??;
        Ok(Self {
            columns,
            source: Source::Thread(thread),
        })
    }

    pub(crate) fn columns(&self) -> Vec<String> {
        self.columns.to_vec()
    }

    pub(crate) async fn next(&mut self, at_most: u32, budget: &Budget) -> Result<Vec<Row>, Error> {
        if at_most == 0 {
            return Ok(Vec::new());
        }
        // If this call is dropped or fails, the cursor stays at its end, so that no rows are
        // skipped.
        match std::mem::replace(&mut self.source, Source::End) {
            Source::Buffered(mut buffer) => {
                let rows = take_batch(&mut buffer, at_most, budget.meter())?;
                self.source = Source::Buffered(buffer);
                Ok(rows)
            }
            Source::Thread(mut thread) => {
                thread.run = thread.control.start_on_worker(budget.deadline);
                let (reply, batch) = oneshot::channel();
                let request = BatchRequest {
                    at_most,
                    meter: budget.meter(),
                    reply,
                };
                let sent = thread.requests.send(request).await;
                sent.map_err(|_| thread_ended())?;
                let batch = batch.await.map_err(|_| thread_ended())??;
                if !batch.is_last {
                    self.source = Source::Thread(thread);
                }
                Ok(batch.rows)
            }
            Source::End => Ok(Vec::new()),
        }
    }
}

fn thread_ended() -> Error {
    failure::unavailable("the query was given up")
}

/// The next rows of a buffered result, as many as the meter has room for.
fn take_batch(
    buffer: &mut VecDeque<Row>,
    at_most: u32,
    mut meter: Meter,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    while let Some(row) = buffer.front() {
        if rows.len() as u64 >= u64::from(at_most) {
            break;
        }
        let bytes = bytes_of(row);
        match meter.take(row.len(), bytes) {
            Ok(()) => rows.extend(buffer.pop_front()),
            Err(error) if rows.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(rows)
}

/// Runs the thread of a cursor: reports the columns to `opened`, then replies to requests.
fn serve(
    conn: &Conn,
    statement: &Statement,
    params: &[Value],
    meter: &Meter,
    opened: oneshot::Sender<Result<Arc<[String]>, Error>>,
    requests: mpsc::Receiver<BatchRequest>,
) {
    let begun = conn
        .limit_values(false)
        .and_then(|()| conn.prepare(statement, params));
    match begun {
        Ok((mut prepared, is_small)) => {
            run(conn, statement, &mut prepared, meter, opened, requests);
            if !is_small {
                prepared.discard();
            }
        }
        Err(failure) => {
            // The send fails if the cursor was dropped.
            let _dropped = opened.send(Err(resolve(conn, failure)));
        }
    }
}

fn resolve(conn: &Conn, failure: Failure) -> Error {
    conn.resolve(failure, false).outside_transaction(false)
}

/// Reports the columns of a prepared statement, then replies to requests until its last row.
fn run(
    conn: &Conn,
    statement: &Statement,
    prepared: &mut CachedStatement<'_>,
    meter: &Meter,
    opened: oneshot::Sender<Result<Arc<[String]>, Error>>,
    mut requests: mpsc::Receiver<BatchRequest>,
) {
    // The first step fixes the snapshot, so it is made before the cursor is reported as open.
    let (mut rows, columns) = loop {
        let mut rows = prepared.raw_query();
        let columns = match rows.next() {
            Ok(Some(row)) => Columns::of(row.as_ref(), meter).map_err(Failure::from),
            Ok(None) => {
                drop(rows);
                let columns = Columns::of(prepared, meter);
                let _dropped = opened.send(columns.map(|columns| columns.names));
                while let Some(request) = requests.blocking_recv() {
                    let _dropped = request.reply.send(Ok(Batch {
                        rows: Vec::new(),
                        is_last: true,
                    }));
                }
                return;
            }
            Err(error) => Err(error.into()),
        };
        match columns {
            Ok(columns) => break (rows, columns),
            Err(Failure::Busy) if !conn.control().is_over() => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(failure) => {
                let _dropped = opened.send(Err(resolve(conn, failure)));
                return;
            }
        }
    };
    if opened.send(Ok(Arc::clone(&columns.names))).is_err() {
        return;
    }
    while let Some(BatchRequest {
        at_most,
        meter,
        reply,
    }) = requests.blocking_recv()
    {
        let batch = next_batch(
            conn,
            &columns,
            &mut rows,
            statement.is_packed,
            at_most,
            meter,
        );
        let has_more = batch.as_ref().is_ok_and(|batch| !batch.is_last);
        let _dropped = reply.send(batch);
        if !has_more {
            break;
        }
    }
}

/// Reads the row at which the statement stands, and those that follow, as many as the meter has
/// room for.
fn next_batch(
    conn: &Conn,
    columns: &Columns,
    rows: &mut rusqlite::Rows<'_>,
    is_packed: bool,
    at_most: u32,
    mut meter: Meter,
) -> Result<Batch, Error> {
    let mut batch = Collector::new(columns.names.len(), is_packed);
    let is_last = loop {
        let Some(row) = rows.get() else {
            break true;
        };
        match columns.read(row, &mut meter, &mut batch) {
            Ok(()) => {}
            // The next batch begins with it.
            Err(Failure::Error(Error::TooLarge(_) | Error::Overloaded)) if batch.len() > 1 => {
                batch.undo_row();
                break false;
            }
            Err(failure) => return Err(resolve(conn, failure)),
        }
        if let Err(error) = rows.next() {
            return Err(resolve(conn, error.into()));
        }
        if batch.len() as u64 >= u64::from(at_most) {
            break rows.get().is_none();
        }
    };
    Ok(Batch {
        rows: batch.finish(),
        is_last,
    })
}
