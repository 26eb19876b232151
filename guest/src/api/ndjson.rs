//! A list of any length as newline-delimited JSON (`application/x-ndjson`): one user per line.
//!
//! Users pass from the database to the client a batch at a time. A batch is bounded in bytes, and
//! the next one is fetched only once the client has taken the previous one, so that memory stays
//! bounded on both sides of the component boundary.

use super::error::Error;
use super::query::ListQuery;
use super::representation::{ListFormat, list_capacity};
use crate::users::{self, Batch, Reader};
use usher_sdk::answer::{self, Chunks, Streamed};
use usher_sdk::database::{Cursor, Database};
use usher_sdk::http::Response;

/// The response to a request.
pub type Answer = answer::Answer<NdjsonList>;

/// The media type.
pub const NDJSON: &str = "application/x-ndjson";

/// The size at which a chunk is sent, even if more users were fetched.
const CHUNK_BYTES: usize = 64 << 10;

/// A list that is not opened yet: no statement has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NdjsonList {
    query: ListQuery,
    /// Whether `Accept` decided that the list is NDJSON.
    negotiated: bool,
}

impl NdjsonList {
    pub(super) fn new(query: ListQuery, negotiated: bool) -> Self {
        Self { query, negotiated }
    }
}

impl Streamed for NdjsonList {
    type Error = users::Error;
    type Chunks<D: Database> = NdjsonReader<D::Cursor>;

    fn open<D: Database>(&self, database: &D) -> Result<NdjsonReader<D::Cursor>, Response> {
        let failed = |error| Response::from(Error::Failed(error));
        let mut reader = users::read(database, &self.query.selection).map_err(failed)?;
        let fetched = reader.read().map_err(failed)?;
        Ok(NdjsonReader {
            reader,
            fetched,
            written: 0,
            etags: self.query.etags,
            negotiated: self.negotiated,
        })
    }
}

/// A list whose first batch is fetched.
#[derive(Debug)]
pub struct NdjsonReader<C> {
    reader: Reader<C>,
    /// The batch that was fetched last.
    fetched: Batch,
    /// How many of its users are written.
    written: usize,
    etags: bool,
    negotiated: bool,
}

impl<C: Cursor> Chunks for NdjsonReader<C> {
    type Error = users::Error;

    fn head(&self) -> Response {
        let head = Response {
            content_type: Some(NDJSON),
            ..Response::empty(200)
        };
        if self.negotiated {
            head.with("vary", "accept")
        } else {
            head
        }
    }

    /// Returns the next lines, each with its newline.
    fn read(&mut self) -> Result<Option<Vec<u8>>, users::Error> {
        let mut users = self.fetched.users(self.written)?;
        if users.is_empty() {
            self.fetched = self.reader.read()?;
            self.written = 0;
            users = self.fetched.users(0)?;
        }
        if users.is_empty() {
            return Ok(None);
        }
        let mut lines = String::with_capacity(list_capacity(&users, CHUNK_BYTES, self.etags));
        let format = ListFormat::new(self.etags, self.fetched.texts());
        for user in users {
            format.write(user, &mut lines);
            lines.push('\n');
            self.written += 1;
            if lines.len() >= CHUNK_BYTES {
                break;
            }
        }
        Ok(Some(lines.into_bytes()))
    }
}
