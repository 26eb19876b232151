//! Running one prepared statement on one connection.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use tokio_postgres::{Client, RowStream};

use super::outcome::{self, Failure};
use super::values::{self, Cell, Param};
use crate::database::budget::{Budget, Meter};
use crate::database::failure;
use crate::database::types::{Error, Row, Rows, Value};

/// A statement as one connection knows it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) statement: tokio_postgres::Statement,
    pub(super) columns: Arc<[String]>,
    /// A column that no value can be made of.
    unfit: Option<String>,
}

impl Prepared {
    pub(super) fn new(statement: tokio_postgres::Statement) -> Self {
        let unfit = statement.columns().iter().find(|column| !values::can_give(column.type_())).map(|column| {
            format!("the column {} has the type {}, which has no value here: cast it, to text for one", column.name(), column.type_().name())
        });
        let columns = statement
            .columns()
            .iter()
            .map(|column| column.name().to_owned())
            .collect();
        Self {
            statement,
            columns,
            unfit,
        }
    }

    /// What can be known to be wrong before anything runs.
    pub(super) fn check(&self, params: &[Value]) -> Result<(), Error> {
        failure::parameter_count(params.len(), self.statement.params().len())?;
        match &self.unfit {
            Some(why) => Err(failure::invalid(why.clone())),
            None => Ok(()),
        }
    }
}

/// What a caller wants of a statement: its rows, or their number.
pub(super) trait Want: 'static {
    type Answer: Send;

    fn run(
        client: &Client,
        prepared: &Prepared,
        params: &[Value],
        writes: bool,
        budget: &Budget,
    ) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

pub(super) struct WantRows;

pub(super) struct WantCount;

impl Want for WantRows {
    type Answer = Rows;

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
        let mut rows = Vec::new();
        collect(stream, &mut budget.meter(), writes, &mut rows).await?;
        Ok(Rows {
            columns: Arc::clone(&prepared.columns),
            rows,
        })
    }
}

impl Want for WantCount {
    type Answer = u64;

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
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let mut stream = pin!(stream);
    while let Some(row) = stream
        .try_next()
        .await
        .map_err(|error| outcome::failure(&error, writes))?
    {
        let lifted = meter
            .take(row.len(), row.raw_size_bytes())
            .map_err(after_an_answer)
            .and_then(|()| lift(&row));
        match lifted {
            Ok(row) => rows.push(row),
            Err(failure) => {
                // The server may yet refuse what writes, and so undo it: only its last word tells.
                while writes
                    && stream
                        .try_next()
                        .await
                        .map_err(|error| outcome::failure(&error, writes))?
                        .is_some()
                {}
                // It has run, and what came of it cannot be told: nobody is to take that for nothing.
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

/// The values of a row.
pub(super) fn lift(row: &tokio_postgres::Row) -> Result<Row, Failure> {
    let mut values = Vec::with_capacity(row.len());
    for column in 0..row.len() {
        let cell: Cell = row
            .try_get(column)
            .map_err(|error| after_an_answer(failure::invalid(outcome::reason(&error))))?;
        values.push(cell.0);
    }
    Ok(values)
}

/// What the host makes of an answer that came.
pub(super) fn after_an_answer(error: Error) -> Failure {
    Failure {
        error,
        answered: true,
        ran: true,
    }
}
