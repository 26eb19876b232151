//! How a client's connection ends, so that the client can tell what it has got.
//!
//! Two answers need more than a plain close. One whose end only the end of the connection marks (HTTP/1.0, RFC 9112, 6.3) looks
//! complete after any orderly close, so that everything but its true end must be a reset. And one that is given before the request
//! was read to its end is lost where the connection is closed at once: the system answers what the client still sends with a reset,
//! which throws away what the client has not read (RFC 9112, 9.6).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::CONNECTION;
use http::{Response, Version};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::body::Body;
use crate::sandbox::GuestBody;

/// What the answers of a connection say of its end. The connection's service writes it, its stream reads it.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    delimits: AtomicBool,
    leaves_unread: AtomicBool,
}

impl Ending {
    /// Takes note of an answer before any of it is written.
    pub(crate) fn note(&self, version: Version, response: &Response<Body>) {
        match response.body() {
            Body::Guest(GuestBody::Streaming { .. }) => {
                if version < Version::HTTP_11 {
                    self.delimits.store(true, Relaxed);
                }
            }
            Body::Guest(GuestBody::Buffered(_)) => {}
            Body::Full(_) => {
                // The host closes a connection by itself only where it has not read all of the request.
                if response.headers().contains_key(CONNECTION) {
                    self.leaves_unread.store(true, Relaxed);
                }
            }
        }
    }

    /// Whether an answer has begun that ends where the connection does.
    pub(crate) fn delimits(&self) -> bool {
        self.delimits.load(Relaxed)
    }

    /// Whether an answer was given before the request was read to its end.
    pub(crate) fn leaves_unread(&self) -> bool {
        self.leaves_unread.load(Relaxed)
    }

    /// The library has answered what it could not read.
    pub(crate) fn refused(&self) {
        self.leaves_unread.store(true, Relaxed);
    }
}

/// How long a client that has its answer may go on sending a request that nobody wants.
const LIMIT: Duration = Duration::from_secs(30);

/// How long it may send nothing meanwhile without closing its side.
const SILENCE: Duration = Duration::from_secs(5);

/// Reads what is left of a request, and throws it away.
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

    /// Ready once the client has closed its side, or its time is over.
    pub(crate) fn poll<I: AsyncRead + Unpin>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut scratch = [0; 16 << 10];
        let mut came = false;
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => came = true,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if came {
            let next = Instant::now() + SILENCE;
            self.timer.as_mut().reset(next.min(self.latest));
        }
        self.timer.as_mut().poll(cx)
    }
}
