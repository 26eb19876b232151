//! The close after a response that was sent before its request was read.
//!
//! A close at once would lose the response: the system would answer the rest of the request with a
//! reset, which discards what the client has not read (RFC 9112, 9.6). So the rest is read and
//! discarded, within [`LIMIT`] and [`SILENCE`].

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

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
