//! Runs one prepared statement on one connection, and reads its result.
//!
//! A result is read within the budget's limit. A write whose result cannot be returned is
//! `in-doubt`, because it may have taken effect.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use tokio_postgres::{Client, RowStream};

use super::outcome::{self, Failure};
use super::values::{self, Cell, Param};
use crate::database::budget::{Budget, Meter};
use crate::database::collector::Collector;
use crate::database::failure;
use crate::database::types::{Error, Rows, Value};

/// A statement that one connection has prepared.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) statement: tokio_postgres::Statement,
    pub(super) columns: Arc<[String]>,
    is_packed: bool,
    /// The error for a column whose type is not supported.
    unsupported: Option<String>,
}

impl Prepared {
    /// The statement, whose rows are packed if it asks for that.
    pub(super) fn new(statement: tokio_postgres::Statement, is_packed: bool) -> Self {
        let unsupported = statement
            .columns()
            .iter()
            .find(|column| !values::is_supported(column.type_()))
            .map(|column| {
                let (name, type_name) = (column.name(), column.type_().name());
                format!(
                    "the column {name} has the type {type_name}, which has no value here: cast \
                     it, to text for one"
                )
            });
        let columns = statement
            .columns()
            .iter()
            .map(|column| column.name().to_owned())
            .collect();
        Self {
            statement,
            columns,
            is_packed,
            unsupported,
        }
    }

    /// For the rows of a run.
    pub(super) fn collector(&self) -> Collector {
        Collector::new(self.columns.len(), self.is_packed)
    }

    /// Finds errors before the statement runs.
    pub(super) fn check(&self, params: &[Value]) -> Result<(), Error> {
        failure::parameter_count(params.len(), self.statement.params().len())?;
        match &self.unsupported {
            Some(why) => Err(failure::invalid(why.clone())),
            None => Ok(()),
        }
    }
}

/// What a statement returns to its caller: its rows, or their number.
pub(super) trait Fetch: 'static {
    type Output: Send;

    fn run(
        client: &Client,
        prepared: &Prepared,
        params: &[Value],
        writes: bool,
        budget: &Budget,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}

pub(super) struct FetchRows;

pub(super) struct FetchCount;

impl Fetch for FetchRows {
    type Output = Rows;

    async fn run(
        client: &Client,
        prepared: &Prepared,
        params: &[Value],
        writes: bool,
        budget: &Budget,
    ) -> Result<Rows, Failure> {
        let sent = client
            .query_raw(&prepared.statement, numbered(params))
            .await;
        let stream = sent.map_err(|error| outcome::failure(&error, writes))?;
        let mut rows = prepared.collector();
        collect(stream, &mut budget.meter(), writes, &mut rows).await?;
        Ok(Rows {
            columns: Arc::clone(&prepared.columns),
            rows: rows.finish(),
        })
    }
}

impl Fetch for FetchCount {
    type Output = u64;

    async fn run(
        client: &Client,
        prepared: &Prepared,
        params: &[Value],
        writes: bool,
        _: &Budget,
    ) -> Result<u64, Failure> {
        client
            .execute_raw(&prepared.statement, numbered(params))
            .await
            .map_err(|error| outcome::failure(&error, writes))
    }
}

pub(super) fn numbered(params: &[Value]) -> impl ExactSizeIterator<Item = Param<'_>> {
    params.iter().enumerate().map(|(index, value)| Param {
        number: index + 1,
        value,
    })
}

/// Reads a result to its end, within its limit.
pub(super) async fn collect(
    stream: RowStream,
    meter: &mut Meter,
    writes: bool,
    rows: &mut Collector,
) -> Result<(), Failure> {
    let mut stream = pin!(stream);
    while let Some(row) = stream
        .try_next()
        .await
        .map_err(|error| outcome::failure(&error, writes))?
    {
        let values = meter
            .take(row.len(), row.raw_size_bytes())
            .map_err(failed_after_response)
            .and_then(|()| read(&row, rows));
        match values {
            Ok(()) => {}
            Err(failure) => {
                // The server may still refuse a write, so its last message counts.
                while writes
                    && stream
                        .try_next()
                        .await
                        .map_err(|error| outcome::failure(&error, writes))?
                        .is_some()
                {}
                // A write has run without a result that can be returned.
                let error = if writes {
                    Error::InDoubt
                } else {
                    failure.error
                };
                return Err(Failure { error, ..failure });
            }
        }
    }
    Ok(())
}

/// Adds a row to a result.
pub(super) fn read(row: &tokio_postgres::Row, rows: &mut Collector) -> Result<(), Failure> {
    rows.begin_row();
    for column in 0..row.len() {
        let cell: Cell<'_> = row
            .try_get(column)
            .map_err(|error| failed_after_response(failure::invalid(outcome::reason(&error))))?;
        rows.put(cell.0);
    }
    Ok(())
}

/// A failure of the host after the server's response.
pub(super) fn failed_after_response(error: Error) -> Failure {
    Failure {
        error,
        answered: true,
        ran: true,
    }
}
