//! The body of a response from the guest or the host.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::connection_state::Streamed;
use crate::recording::Capture;
use crate::sandbox::{CallError, GuestBody};
use crate::telemetry::request::{Blame, CountedRequest};

/// The body of a response from the guest or the host. When it is dropped, its request is over.
#[derive(Debug)]
pub struct Body {
    content: Content,
    /// The request that it responds to, unless it is one of an operator.
    request: Option<CountedRequest>,
    /// The mark on the connection of a response that is incomplete.
    streamed: Option<Streamed>,
}

#[derive(Debug)]
enum Content {
    /// The guest's, and what records it.
    Guest(GuestBody, Option<Box<Capture>>),
    /// The host's, until it is read.
    Full(Option<Bytes>),
}

impl Body {
    /// The body of a guest's response, and what records it while it is read.
    pub(super) fn guest(body: GuestBody, capture: Option<Box<Capture>>) -> Self {
        Self {
            content: Content::Guest(body, capture),
            request: None,
            streamed: None,
        }
    }

    /// The body of a response of the host.
    pub(super) fn full(bytes: Bytes) -> Self {
        Self {
            content: Content::Full(Some(bytes)),
            request: None,
            streamed: None,
        }
    }

    /// Whether the guest may still be writing it.
    pub(super) fn is_streaming(&self) -> bool {
        matches!(self.content, Content::Guest(GuestBody::Streaming { .. }, _))
    }

    /// Whether it comes from the host.
    pub(super) fn is_of_host(&self) -> bool {
        matches!(self.content, Content::Full(_))
    }

    /// Marks the connection's response as incomplete until this body is dropped.
    pub(super) fn streams(mut self, streamed: Streamed) -> Self {
        self.streamed = Some(streamed);
        self
    }

    /// Records that the client did not take all of it.
    pub(super) fn cut_short(&self) {
        if let Some(request) = &self.request {
            request.cut_short(Blame::Client);
        }
    }

    /// Records the request as over when this body is dropped.
    pub(super) fn ends(mut self, request: CountedRequest) -> Self {
        self.request = Some(request);
        self
    }
}

/// Records a part of a body, or its end.
#[cold]
fn record(capture: &mut Capture, frame: Option<&Result<Frame<Bytes>, Failed>>) {
    match frame {
        Some(Ok(frame)) => capture.read(frame.data_ref().map_or(0, Bytes::len)),
        Some(Err(error)) => capture.failed(error.downcast_ref::<CallError>()),
        None => capture.complete(),
    }
}

/// Why a body is incomplete.
type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Drop for Body {
    fn drop(&mut self) {
        if let (Content::Guest(GuestBody::Streaming { is_complete, .. }, _), Some(request)) =
            (&self.content, &self.request)
            && !is_complete
            && !request.is_head()
        {
            request.cut_short(Blame::Client);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = match &mut self.content {
            Content::Guest(body, capture) => {
                let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
                if let Some(capture) = capture {
                    record(capture, frame.as_ref());
                }
                frame
            }
            Content::Full(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
        };
        if let (Some(Ok(frame)), Some(request)) = (&frame, &self.request)
            && let Some(data) = frame.data_ref()
        {
            request.sent(data.len());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Guest(body, _) => body.is_end_stream(),
            Content::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Guest(body, _) => body.size_hint(),
            Content::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}
