//! The response to a request, complete or streamed.

use crate::database::Database;
use crate::http::Response;

/// The response to a request, or what streams it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<S> {
    /// A complete response.
    Buffered(Response),
    /// A response whose body is read from the database while it is sent. No statement has run.
    Streamed(S),
}

impl<S> From<Response> for Answer<S> {
    fn from(response: Response) -> Self {
        Self::Buffered(response)
    }
}

/// A response whose body is read from the database while it is sent.
pub trait Streamed {
    /// Why a chunk cannot be read.
    type Error;
    /// The chunks of the body, of which the first is fetched.
    type Chunks<D: Database>: Chunks<Error = Self::Error>;

    /// Fetches the first part of the body. Until then a failure still has a status of its own.
    ///
    /// # Errors
    /// The response to send instead.
    fn open<D: Database>(&self, database: &D) -> Result<Self::Chunks<D>, Response>;
}

/// The body of a response, a chunk at a time.
pub trait Chunks {
    /// Why a chunk cannot be read.
    type Error;

    /// The response without its body.
    fn head(&self) -> Response;

    /// Returns the next chunk, or `None` at the end of the body.
    ///
    /// # Errors
    /// When the database fails. The status is already sent by then, so that the sender must abort
    /// the body: no client may take a truncated one for complete.
    fn read(&mut self) -> Result<Option<Vec<u8>>, Self::Error>;
}

impl<S: Streamed> Answer<S> {
    /// The complete response, for a caller with enough memory for it.
    ///
    /// # Errors
    /// When the database fails after the first chunk of a streamed body.
    pub fn into_response(self, database: &impl Database) -> Result<Response, S::Error> {
        let streamed = match self {
            Self::Buffered(response) => return Ok(response),
            Self::Streamed(streamed) => streamed,
        };
        let mut chunks = match streamed.open(database) {
            Ok(chunks) => chunks,
            Err(response) => return Ok(response),
        };
        let mut body = Vec::new();
        while let Some(chunk) = chunks.read()? {
            body.extend(chunk);
        }
        Ok(Response {
            body: body.into(),
            ..chunks.head()
        })
    }
}
