//! A list of any length as newline-delimited JSON (`application/x-ndjson`): one user per line.
//!
//! Users pass from the database to the client a batch at a time. A batch is bounded in bytes, and
//! the next one is fetched only once the client has taken the previous one, so that memory stays
//! bounded on both sides of the component boundary.

use super::error::Error;
use super::http::Response;
use super::representation::{json_capacity, write_user};
use crate::database::{Cursor, Database};
use crate::users::{self, Reader, Selection, User};

/// The media type.
pub const NDJSON: &str = "application/x-ndjson";

/// The size at which a chunk is sent, even if more users were fetched.
const CHUNK_BYTES: usize = 64 << 10;

/// A list that is not opened yet: no statement has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NdjsonList(Selection<'static>);

impl NdjsonList {
    pub(super) fn new(selection: Selection<'static>) -> Self {
        Self(selection)
    }

    /// Fetches the first batch. Until then a failure still has a status of its own.
    ///
    /// # Errors
    /// The response to send instead.
    pub fn open<D: Database>(&self, database: &D) -> Result<NdjsonReader<D::Cursor>, Response> {
        let failed = |error| Response::from(Error::Failed(error));
        let mut reader = users::read(database, &self.0).map_err(failed)?;
        let fetched = reader.read().map_err(failed)?.into_iter();
        Ok(NdjsonReader { reader, fetched })
    }
}

/// A list whose first batch is fetched.
#[derive(Debug)]
pub struct NdjsonReader<C> {
    reader: Reader<C>,
    /// Fetched users that are not written yet.
    fetched: std::vec::IntoIter<User>,
}

impl<C: Cursor> NdjsonReader<C> {
    /// The response without its body, whose chunks [`read`](Self::read) returns.
    #[must_use]
    pub fn head(&self) -> Response {
        Response {
            content_type: Some(NDJSON),
            ..Response::empty(200)
        }
        .with("vary", "accept")
    }

    /// Returns the next lines, each with its newline, or `None` at the end of the list.
    ///
    /// # Errors
    /// When the database fails. The status is already sent by then, so that the sender must abort
    /// the body: no client may take a truncated list for a complete one.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>, users::Error> {
        if self.fetched.as_slice().is_empty() {
            self.fetched = self.reader.read()?.into_iter();
        }
        let fetched = self.fetched.as_slice();
        if fetched.is_empty() {
            return Ok(None);
        }
        let mut lines = String::with_capacity(json_capacity(fetched, CHUNK_BYTES));
        for user in self.fetched.by_ref() {
            write_user(&user, &mut lines);
            lines.push('\n');
            if lines.len() >= CHUNK_BYTES {
                break;
            }
        }
        Ok(Some(lines.into_bytes()))
    }
}
