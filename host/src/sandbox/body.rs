//! The body of a guest's response, as the server reads it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::call::GuestTask;
use super::report;
use crate::telemetry::RequestInfo;
use crate::wasi_http::body::Pipe;

/// The body of a guest's response.
#[derive(Debug)]
pub enum GuestBody {
    /// The body is complete, as nearly all are.
    Buffered(Option<Bytes>),
    /// The guest writes the body while it is read.
    Streaming {
        /// The source of the body.
        pipe: Pipe,
        /// The guest, unless it returned before its response was read.
        guest: Option<GuestTask>,
        /// The request, for the log lines about it.
        request: Arc<RequestInfo>,
        /// Whether the body has ended, with an error or without.
        is_complete: bool,
    },
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let (pipe, guest, request, is_complete) = match &mut *self {
            Self::Buffered(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                return Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Streaming {
                pipe,
                guest,
                request,
                is_complete,
            } => (pipe, guest, request, is_complete),
        };
        match std::task::ready!(pipe.poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            // The guest finishes its body before it returns. The response is complete only once the
            // guest has returned, so a failure until then ends the body with an error.
            end => {
                if let Some(Err(incomplete)) = &end {
                    report::cut_short(incomplete, request);
                }
                if let Some(running) = guest {
                    let outcome = std::task::ready!(running.poll_returned(cx));
                    *guest = None;
                    if let Err(error) = outcome {
                        report::cut_short(&error, request);
                        *is_complete = true;
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                *is_complete = true;
                Poll::Ready(end.map(|incomplete| incomplete.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Buffered(bytes) if bytes.as_ref().is_none_or(Bytes::is_empty))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Buffered(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Streaming { .. } => SizeHint::default(),
        }
    }
}
