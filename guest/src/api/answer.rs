//! The response to a request, complete or streamed.

use super::http::Response;
use super::ndjson::NdjsonList;
use crate::database::Database;
use crate::users;

/// The response to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A complete response.
    Buffered(Response),
    /// A list to be read from the database while it is sent.
    Ndjson(NdjsonList),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Buffered(response)
    }
}

impl Answer {
    /// The complete response, for a caller with enough memory for it.
    ///
    /// # Errors
    /// When the database fails after the first batch of a list.
    pub fn into_response(self, database: &impl Database) -> Result<Response, users::Error> {
        let list = match self {
            Self::Buffered(response) => return Ok(response),
            Self::Ndjson(list) => list,
        };
        let mut reader = match list.open(database) {
            Ok(reader) => reader,
            Err(response) => return Ok(response),
        };
        let mut body = Vec::new();
        while let Some(chunk) = reader.read()? {
            body.extend(chunk);
        }
        Ok(Response {
            body: body.into(),
            ..reader.head()
        })
    }
}
