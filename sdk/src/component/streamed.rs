//! `usher:service/streamed-handler`: a request in one call, and a body in parts.

use std::cell::RefCell;
use std::fmt;

use super::bindings::exports::usher::service::buffered_handler::{Method, Request, Response};
use super::bindings::exports::usher::service::streamed_handler as wit;
use super::buffered::complete;
use super::database::Import;
use super::exported::Component;
use crate::answer::{Answer, Chunks, Streamed};
use crate::http::BufferedRequest;
use crate::service::Service;

/// The rest of a body. Its type is erased, because the export has one type for all services.
pub struct Body(RefCell<Box<ReadChunk>>);

type ReadChunk = dyn FnMut() -> Result<Option<Vec<u8>>, ()>;

impl<S: Service> wit::Guest for Component<S>
where
    <S::Streamed as Streamed>::Chunks<Import>: 'static,
{
    type Chunks = Body;

    fn handle(request: Request) -> (Response, Option<wit::Chunks>) {
        let is_head = matches!(request.method, Method::Head);
        let streamed = match S::handle(&BufferedRequest::from(request), &Import) {
            Answer::Buffered(response) => return (complete(response, is_head), None),
            Answer::Streamed(streamed) => streamed,
        };
        match streamed.open(&Import) {
            Ok(mut chunks) => {
                // A response to `head` with an empty body would have a length of 0.
                let head = complete(chunks.head(), false);
                let read = move || chunks.read().map_err(drop);
                let body = Body(RefCell::new(Box::new(read)));
                (head, Some(wit::Chunks::new(body)))
            }
            Err(response) => (complete(response, is_head), None),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Body").finish_non_exhaustive()
    }
}

impl wit::GuestChunks for Body {
    fn next(&self) -> Result<Option<Vec<u8>>, ()> {
        self.0.borrow_mut()()
    }
}
