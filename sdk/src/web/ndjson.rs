//! A list of any length as newline-delimited JSON (`application/x-ndjson`): one row per line.
//!
//! Rows pass from the database to the client a batch at a time. A batch is bounded in bytes, and
//! the next one is fetched only once the client has taken the previous one, so that memory stays
//! bounded on both sides of the component boundary.

use serde::Serialize;

use super::error::Error;
use super::problem::Problem;
use super::row::{FromRow, Row, RowError};
use crate::answer::{Chunks, Streamed};
use crate::database::{Cursor, Database, Param, Rows, Value};
use crate::http::Response;

/// The target size of a chunk, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// The size of the first batch, before anything is known of the rows' sizes.
const FIRST_BATCH: u32 = 16;

/// The maximum number of rows in a batch.
const BATCH_LIMIT: u32 = 256;

/// A list that is not opened yet: no statement has run.
#[derive(Clone, Debug)]
pub struct Ndjson {
    statement: &'static str,
    params: Vec<Value>,
    write: Write,
}

/// Writes a row as a line.
type Write = fn(&mut Row<'_>, &mut Vec<u8>) -> Result<(), WriteError>;

enum WriteError {
    Row(RowError),
    Json(serde_json::Error),
}

impl Ndjson {
    /// The rows of a statement, each read as a `T`. All come from the snapshot in which the
    /// statement begins, however long reading them takes.
    #[must_use]
    pub fn of<T: FromRow + Serialize>(statement: &'static str, params: &[Param<'_>]) -> Self {
        Self {
            statement,
            params: params.iter().map(|&param| param.into()).collect(),
            write: |row, out| {
                let value = T::from_row(row).map_err(WriteError::Row)?;
                serde_json::to_writer(&mut *out, &value).map_err(WriteError::Json)?;
                out.push(b'\n');
                Ok(())
            },
        }
    }
}

impl Streamed for Ndjson {
    type Error = Problem;
    type Chunks<D: Database> = NdjsonChunks<D::Cursor>;

    fn open<D: Database>(&self, database: &D) -> Result<NdjsonChunks<D::Cursor>, Response> {
        let params: Vec<Param<'_>> = self.params.iter().map(Value::param).collect();
        let failed = |error| Response::from(Problem::from(Error::Database(error)));
        let cursor = database.open(self.statement, &params).map_err(failed)?;
        let mut chunks = NdjsonChunks {
            columns: cursor.columns(),
            cursor,
            write: self.write,
            batch: FIRST_BATCH,
            first: None,
        };
        let rows = chunks.cursor.next(FIRST_BATCH).map_err(failed)?;
        chunks.first = Some(chunks.lines(rows).map_err(Response::from)?);
        Ok(chunks)
    }
}

/// A list whose first chunk is fetched.
#[derive(Debug)]
pub struct NdjsonChunks<C> {
    cursor: C,
    columns: Vec<String>,
    write: Write,
    /// The size of the next batch, in rows.
    batch: u32,
    first: Option<Vec<u8>>,
}

impl<C: Cursor> NdjsonChunks<C> {
    /// The lines of these rows. Sizes the next batch by their average length.
    fn lines(&mut self, rows: Rows) -> Result<Vec<u8>, Problem> {
        let count = rows.len();
        let mut lines = Vec::new();
        for values in rows {
            let mut row = Row::new(&self.columns, values);
            (self.write)(&mut row, &mut lines).map_err(|error| match error {
                WriteError::Row(error) => Problem::from(error),
                WriteError::Json(error) => Problem::new(500).detail(error.to_string()),
            })?;
        }
        if let Some(average) = lines.len().checked_div(count) {
            self.batch = u32::try_from(CHUNK_BYTES / average.max(1))
                .unwrap_or(BATCH_LIMIT)
                .clamp(1, BATCH_LIMIT);
        }
        Ok(lines)
    }
}

impl<C: Cursor> Chunks for NdjsonChunks<C> {
    type Error = Problem;

    fn head(&self) -> Response {
        Response {
            content_type: Some("application/x-ndjson"),
            ..Response::empty(200)
        }
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        let chunk = match self.first.take() {
            Some(chunk) => chunk,
            None => {
                let rows = self.cursor.next(self.batch)?;
                self.lines(rows)?
            }
        };
        // Every row is a line, so that no lines mean no rows.
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}
