//! A list of any length as newline-delimited JSON, read from PostgreSQL while it is sent.

use std::error::Error;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream::{Stream, try_unfold};
use tokio_postgres::RowStream;

use super::store::User;

/// The size at which a chunk is sent, in bytes: Usher's.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks of whole lines.
pub(super) type Lines = Pin<Box<dyn Stream<Item = Result<Bytes, Failed>> + Send>>;

/// Why the list ends early.
type Failed = Box<dyn Error + Send + Sync>;

/// The rows as lines. `connection` is held until the last one is read.
pub(super) fn lines(rows: RowStream, connection: impl Send + 'static) -> Lines {
    let begin = Some((Box::pin(rows), connection));
    Box::pin(try_unfold(begin, async |state| {
        let Some((mut rows, connection)) = state else {
            return Ok(None);
        };
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + (CHUNK_BYTES >> 4));
        while chunk.len() < CHUNK_BYTES {
            let Some(row) = rows.try_next().await? else {
                return Ok((!chunk.is_empty()).then(|| (chunk.into(), None)));
            };
            serde_json::to_writer(&mut chunk, &User::try_from(row)?)?;
            chunk.push(b'\n');
        }
        Ok(Some((chunk.into(), Some((rows, connection)))))
    }))
}
