//! Results that are read bit by bit.
//!
//! From a file a thread steps the statement, as far as it is asked to and no further; what the cursor shows is what the database
//! held when it began, and writers go on meanwhile. In memory a reader keeps writers out, so there it reads from a copy of the
//! database, in a temporary file as far as it is large. The result of a statement that writes is kept aside, since it is to be
//! committed whether or not its rows are read.

use std::collections::VecDeque;
use std::sync::Arc;

use rusqlite::CachedStatement;
use tokio::sync::{mpsc, oneshot};

use super::connection::Conn;
use super::control::Control;
use super::error::Failure;
use super::lease::Lease;
use super::values::{self, Columns};
use crate::database::budget::{Budget, Meter};
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Error, Row, Rows, Value};

/// A result that is being read. Dropping it ends the query.
#[derive(Debug)]
pub(crate) struct Cursor {
    columns: Arc<[String]>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Aside(VecDeque<Row>),
    Live(Live),
    /// All was read, or there was an error.
    End,
}

/// A thread with a statement, and what it is told.
#[derive(Debug)]
struct Live {
    asks: mpsc::Sender<Ask>,
    control: Arc<Control>,
    run: u64,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.control.stop(self.run);
    }
}

#[derive(Debug)]
struct Ask {
    at_most: u32,
    meter: Meter,
    answer: oneshot::Sender<Result<Batch, Error>>,
}

#[derive(Debug)]
struct Batch {
    rows: Vec<Row>,
    end: bool,
}

impl Cursor {
    /// One over a result that is there already.
    pub(super) fn aside(rows: Rows) -> Self {
        Self {
            columns: rows.columns,
            source: Source::Aside(rows.rows.into()),
        }
    }

    /// One over a statement that only reads.
    pub(super) async fn live(
        lease: Lease,
        statement: Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Self, Error> {
        let control = Arc::clone(lease.conn()?.control());
        let run = control.arm(budget.deadline);
        let (asks, asked) = mpsc::channel(1);
        let live = Live { asks, control, run };
        let (ready, begun) = oneshot::channel();
        let meter = budget.meter();
        tokio::task::spawn_blocking(move || {
            if let Ok(conn) = lease.conn() {
                serve(conn, &statement, &params, &meter, ready, asked);
            }
        });
        let columns = begun.await.map_err(|_| gone())??;
        Ok(Self {
            columns,
            source: Source::Live(live),
        })
    }

    pub(crate) fn columns(&self) -> Vec<String> {
        self.columns.to_vec()
    }

    pub(crate) async fn next(&mut self, at_most: u32, budget: &Budget) -> Result<Vec<Row>, Error> {
        if at_most == 0 {
            return Ok(Vec::new());
        }
        // Left at the end where this call is given up halfway: its rows would be missing from the next.
        match std::mem::replace(&mut self.source, Source::End) {
            Source::Aside(mut aside) => {
                let rows = from_aside(&mut aside, at_most, budget.meter())?;
                self.source = Source::Aside(aside);
                Ok(rows)
            }
            Source::Live(mut live) => {
                live.run = live.control.arm(budget.deadline);
                let (answer, answered) = oneshot::channel();
                let ask = Ask {
                    at_most,
                    meter: budget.meter(),
                    answer,
                };
                live.asks.send(ask).await.map_err(|_| gone())?;
                let batch = answered.await.map_err(|_| gone())??;
                if !batch.end {
                    self.source = Source::Live(live);
                }
                Ok(batch.rows)
            }
            Source::End => Ok(Vec::new()),
        }
    }
}

fn gone() -> Error {
    failure::unavailable("the query was given up")
}

fn from_aside(
    aside: &mut VecDeque<Row>,
    at_most: u32,
    mut meter: Meter,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    while let Some(row) = aside.front() {
        if rows.len() as u64 >= u64::from(at_most) {
            break;
        }
        let bytes = row.iter().map(values::size).sum();
        match meter.take(row.len(), bytes) {
            Ok(()) => rows.extend(aside.pop_front()),
            Err(error) if rows.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(rows)
}

/// Steps a statement as it is asked to.
fn serve(
    conn: &Conn,
    statement: &Statement,
    params: &[Value],
    meter: &Meter,
    ready: oneshot::Sender<Result<Arc<[String]>, Error>>,
    asked: mpsc::Receiver<Ask>,
) {
    let begun = conn
        .limit_values(false)
        .and_then(|()| conn.prepare(statement, params));
    match begun {
        Ok((mut prepared, is_small)) => {
            step(conn, &mut prepared, meter, ready, asked);
            if !is_small {
                prepared.discard();
            }
        }
        Err(failure) => {
            // Nobody to tell where the receiver is gone.
            let _gone = ready.send(Err(conn.failed(failure, false).alone(false)));
        }
    }
}

fn step(
    conn: &Conn,
    prepared: &mut CachedStatement<'_>,
    meter: &Meter,
    ready: oneshot::Sender<Result<Arc<[String]>, Error>>,
    mut asked: mpsc::Receiver<Ask>,
) {
    let tell = |failure: Failure| conn.failed(failure, false).alone(false);
    // The first step is made now: with it the statement sees what the database holds, and no change after it.
    let (mut rows, columns, mut next) = loop {
        let mut rows = prepared.raw_query();
        let first = match rows.next() {
            Ok(Some(row)) => {
                let columns = Columns::of(row.as_ref(), meter);
                columns
                    .map_err(Failure::from)
                    .and_then(|columns| columns.read(row, None).map(|row| (columns, Some(row))))
            }
            Ok(None) => {
                drop(rows);
                let columns = Columns::of(prepared, meter);
                let _gone = ready.send(columns.map(|columns| columns.names));
                while let Some(ask) = asked.blocking_recv() {
                    let _gone = ask.answer.send(Ok(Batch {
                        rows: Vec::new(),
                        end: true,
                    }));
                }
                return;
            }
            Err(error) => Err(error.into()),
        };
        match first {
            Ok((columns, first)) => break (rows, columns, first),
            Err(Failure::Busy) if !conn.control().is_over() => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(failure) => {
                let _gone = ready.send(Err(tell(failure)));
                return;
            }
        }
    };
    if ready.send(Ok(Arc::clone(&columns.names))).is_err() {
        return;
    }
    while let Some(Ask {
        at_most,
        mut meter,
        answer,
    }) = asked.blocking_recv()
    {
        let mut batch = Vec::new();
        let filled = loop {
            let Some((row, bytes)) = next.take() else {
                break Ok(true);
            };
            if let Err(error) = meter.take(row.len(), bytes) {
                if batch.is_empty() {
                    break Err(error);
                }
                next = Some((row, bytes));
                break Ok(false);
            }
            batch.push(row);
            let stepped = rows.next().map_err(Failure::from);
            match stepped.and_then(|row| row.map(|row| columns.read(row, None)).transpose()) {
                Ok(row) => next = row,
                Err(failure) => break Err(tell(failure)),
            }
            if batch.len() as u64 >= u64::from(at_most) {
                break Ok(next.is_none());
            }
        };
        let ended = !matches!(filled, Ok(false));
        let _gone = answer.send(filled.map(|end| Batch { rows: batch, end }));
        if ended {
            break;
        }
    }
}
