//! The body of a response on a stream of HTTP/2.
//!
//! The library takes a part of a body once the client has room for a byte of it, and keeps the
//! rest. So a body is handed over in small parts: what is left of it is counted as the request's,
//! and a client without room is noticed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};

use super::body::Body;
use super::streams::Stream;

/// The most that is handed over at once: a frame of the usual size.
const PART: usize = 16 << 10;

/// The body of a response on a stream.
#[derive(Debug)]
pub(super) struct StreamBody {
    body: Body,
    /// What was taken from the body and not handed over.
    rest: Bytes,
    /// Whether nothing follows, whatever the component has made.
    has_ended: bool,
    stream: Stream,
}

impl StreamBody {
    /// The response on a stream. One to HEAD has the length of a body, and none; hyper sees to that
    /// for HTTP/1 alone.
    pub(super) fn of(
        mut response: Response<Body>,
        is_head: bool,
        stream: Stream,
    ) -> Response<Self> {
        let status = response.status();
        let has_none = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if is_head
            && !has_none
            && let Some(length) = response.body().size_hint().exact()
        {
            let length = HeaderValue::from(length);
            let headers = response.headers_mut();
            headers.entry(CONTENT_LENGTH).or_insert(length);
        }
        response.map(|body| {
            let body = Self {
                body,
                rest: Bytes::new(),
                has_ended: is_head || has_none,
                stream,
            };
            if !body.is_end_stream() {
                // A client may have no room from the beginning.
                body.stream.handed_over();
            }
            body
        })
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        if http_body::Body::is_end_stream(self) {
            self.stream.complete();
        } else if !self.rest.is_empty() {
            self.body.cut_short();
        }
    }
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        this.stream.continues();
        if this.has_ended {
            return Poll::Ready(None);
        }
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                // An error is not the client's, either.
                end => {
                    this.has_ended = true;
                    return Poll::Ready(end);
                }
            }
        }
        let part = this.rest.split_to(this.rest.len().min(PART));
        this.stream.handed_over();
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.has_ended {
            return SizeHint::with_exact(0);
        }
        match self.body.size_hint().exact() {
            Some(exact) => SizeHint::with_exact(exact + self.rest.len() as u64),
            None => SizeHint::default(),
        }
    }
}
