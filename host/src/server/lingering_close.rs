//! How a client's connection is closed, so that the client can tell what it has received.
//!
//! Two responses need more than a plain close:
//!
//! - A close-delimited response (HTTP/1.0, RFC 9112, 6.3) looks complete after any orderly close,
//!   so an incomplete one must end with a reset.
//! - A response before the end of its request would be lost by a close at once: the system would
//!   answer the rest of the request with a reset, which discards what the client has not read (RFC
//!   9112, 9.6). So the rest is read and discarded, within [`LIMIT`] and [`SILENCE`].

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::CONNECTION;
use http::{Response, Version};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::body::Body;

/// How a connection has to be closed. The service writes it, [`super::connection_io`] reads it.
#[derive(Debug, Default)]
pub(crate) struct CloseState {
    is_close_delimited: AtomicBool,
    has_unread_request: AtomicBool,
}

impl CloseState {
    /// Records what a response requires, before it is written.
    pub(crate) fn observe(&self, version: Version, response: &Response<Body>) {
        let body = response.body();
        if body.is_streaming() {
            if version < Version::HTTP_11 {
                self.is_close_delimited.store(true, Relaxed);
            }
        } else if body.is_of_host() && response.headers().contains_key(CONNECTION) {
            // The host sends `Connection: close` only if it has not read all of the request.
            self.has_unread_request.store(true, Relaxed);
        }
    }

    /// Whether a close-delimited response has begun.
    pub(crate) fn is_close_delimited(&self) -> bool {
        self.is_close_delimited.load(Relaxed)
    }

    /// Whether a response has begun before all of its request was read.
    pub(crate) fn has_unread_request(&self) -> bool {
        self.has_unread_request.load(Relaxed)
    }

    /// Records that hyper has responded to a request that it could not parse.
    pub(crate) fn hyper_responded(&self) {
        self.has_unread_request.store(true, Relaxed);
    }
}

/// How long a client may go on sending a request after its response.
const LIMIT: Duration = Duration::from_secs(30);

/// How long the client may send nothing without closing its side.
const SILENCE: Duration = Duration::from_secs(5);

/// Reads and discards the rest of a request.
#[derive(Debug)]
pub(crate) struct Discard {
    latest: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Discard {
    pub(crate) fn new() -> Self {
        Self {
            latest: Instant::now() + LIMIT,
            timer: Box::pin(tokio::time::sleep(SILENCE)),
        }
    }

    /// Ready once the client has closed its side, or a limit has passed.
    pub(crate) fn poll<I: AsyncRead + Unpin>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut scratch = [0; 16 << 10];
        let mut has_read = false;
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => has_read = true,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if has_read {
            let next = Instant::now() + SILENCE;
            self.timer.as_mut().reset(next.min(self.latest));
        }
        self.timer.as_mut().poll(cx)
    }
}
