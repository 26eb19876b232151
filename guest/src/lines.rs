//! Users one JSON object per line (`application/x-ndjson`), however many there are.
//!
//! They go from the database to the client a helping at a time: nobody on the way holds more than that, and the next is asked for
//! once the client has taken what came before.

use crate::database::{Cursor, Database};
use crate::error::Error;
use crate::http::Response;
use crate::routes::write_user;
use crate::users::{self, Reader, Selection, User};

/// The media type.
pub const NDJSON: &str = "application/x-ndjson";

/// Users that are fetched at once. So many lines make a write of some kilobytes, beside which its own cost does not show.
const HELPING: u32 = 256;

/// Users to be given line by line. Nothing has been asked of the database yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines(pub(crate) Selection<'static>);

impl Lines {
    /// Asks the database for the first of them: whatever goes wrong until then still has a status of its own.
    ///
    /// # Errors
    /// The answer to be given in their place.
    pub fn open<D: Database>(&self, database: &D) -> Result<Open<D::Cursor>, Response> {
        let failed = |error| Response::from(Error::Failed(error));
        let mut reader = users::read(database, &self.0).map_err(failed)?;
        let first = reader.next(HELPING).map_err(failed)?;
        Ok(Open { reader, first })
    }
}

/// Lines of which the first are at hand.
#[derive(Debug)]
pub struct Open<C> {
    reader: Reader<C>,
    first: Vec<User>,
}

impl<C: Cursor> Open<C> {
    /// The answer, whose body is to follow: [`next`](Self::next) by next.
    #[must_use]
    pub fn head(&self) -> Response {
        Response {
            content_type: Some(NDJSON),
            ..Response::empty(200)
        }
        .with("vary", "accept")
    }

    /// The next lines, each with its end; none at the end of the list.
    ///
    /// # Errors
    /// As the database fails. It is too late for a status by then: the body must be cut off, so that nobody takes what came of the
    /// list for the whole of it.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, users::Error> {
        let mut users = std::mem::take(&mut self.first);
        if users.is_empty() {
            users = self.reader.next(HELPING)?;
        }
        if users.is_empty() {
            return Ok(None);
        }
        let text: usize = users
            .iter()
            .map(|user| user.name.len() + user.email.len() + 48)
            .sum();
        let mut lines = String::with_capacity(text);
        for user in &users {
            write_user(user, &mut lines);
            lines.push('\n');
        }
        Ok(Some(lines.into_bytes()))
    }
}
