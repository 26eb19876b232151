//! Writes responses to a client's connection, and closes it so that the client can tell a complete
//! response from a broken one.
//!
//! hyper writes a head and its body as two buffers. If both are small, copying them into one costs
//! less than a vectored write. hyper's own error responses get a body ([`super::error_body`]). A
//! write that makes no progress fails ([`super::write_stall`]), and so does the connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error_body::replacement;
use super::lingering_close::{CloseState, Discard};
use super::transport::Transport;
use super::write_stall::WriteStall;
use crate::telemetry::{Counters, RequestInfo};

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ConnectionIo<I> {
    io: I,
    /// The unwritten rest of the response that replaces hyper's own.
    replaced: Bytes,
    stall: WriteStall,
    close_state: Arc<CloseState>,
    counters: Arc<Counters>,
    /// Whether closing the socket would send a reset.
    resets: bool,
    /// Whether the sending side is shut down.
    is_shut: bool,
    /// Discards the rest of a request that was not read before its response.
    discard: Option<Discard>,
}

impl<I> ConnectionIo<I> {
    /// A connection whose writes fail if they make no progress for `write_timeout`.
    pub(crate) fn new(
        io: I,
        write_timeout: Duration,
        close_state: Arc<CloseState>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            io,
            replaced: Bytes::new(),
            stall: WriteStall::new(write_timeout),
            close_state,
            counters,
            resets: false,
            is_shut: false,
            discard: None,
        }
    }
}

/// Buffers with at most this many bytes together are written as one.
const SMALL: usize = 1 << 10;

/// Copies all buffers into `joined`, if they fit.
fn join<'w>(parts: &[IoSlice<'_>], joined: &'w mut [u8]) -> Option<&'w [u8]> {
    let mut end = 0;
    for part in parts {
        joined.get_mut(end..end + part.len())?.copy_from_slice(part);
        end += part.len();
    }
    joined.get(..end)
}

/// Records a request that hyper refused, with a response of this status and length. Returns its id.
#[cold]
fn record_unreadable(counters: &Arc<Counters>, status: StatusCode, body: usize) -> String {
    let request = RequestInfo::unreadable(counters);
    request.responded(status);
    request.sent(body);
    request.id().to_owned()
}

impl<I: Transport> ConnectionIo<I> {
    fn poll_replaced(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.replaced.is_empty() {
            let written = Pin::new(&mut self.io).poll_write(cx, &self.replaced);
            match ready!(self.check(cx, written))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.replaced.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Requests a reset before a close-delimited response is written, so that the response does not
    /// look complete before its end.
    fn prepare(&mut self) {
        if self.close_state.is_close_delimited() && !self.resets {
            self.reset_on_close(true);
        }
    }

    fn reset_on_close(&mut self, resets: bool) {
        self.resets = resets;
        self.io.reset_on_close(resets);
    }

    /// The outcome of a write, or an error if writes have stalled.
    fn check(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = self.stall.check(cx, written);
        if let Poll::Ready(Err(_)) = &written {
            // Makes the system drop the unsent bytes when the socket is closed.
            self.reset_on_close(true);
        }
        written
    }
}

impl<I: Transport> AsyncRead for ConnectionIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: Transport> AsyncWrite for ConnectionIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.prepare();
        ready!(self.poll_replaced(cx))?;
        let counters = &self.counters;
        let record = |status, body| record_unreadable(counters, status, body);
        if let Some(replaced) = replacement(bytes, record) {
            // Reported as written; `poll_flush` writes it.
            self.replaced = replaced;
            self.close_state.hyper_responded();
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.check(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            [part] => self.poll_write(cx, part),
            parts => {
                self.prepare();
                ready!(self.poll_replaced(cx))?;
                let mut joined = [0; SMALL];
                let written = match join(parts, &mut joined) {
                    Some(joined) => Pin::new(&mut self.io).poll_write(cx, joined),
                    None => Pin::new(&mut self.io).poll_write_vectored(cx, parts),
                };
                self.check(cx, written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replaced(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replaced(cx))?;
        if !self.is_shut {
            // Everything has been written, so the close is an orderly one.
            if self.resets {
                self.reset_on_close(false);
            }
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        if self.close_state.has_unread_request() {
            let this = &mut *self;
            let discard = this.discard.get_or_insert_with(Discard::new);
            ready!(discard.poll(&mut this.io, cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_that_fit_are_joined_and_others_are_not() {
        let parts = [&b"head"[..], b"", b"body"].map(IoSlice::new);
        assert_eq!(join(&parts, &mut [0; 8]), Some(&b"headbody"[..]));
        assert_eq!(join(&parts, &mut [0; 7]), None);
        assert_eq!(join(&[], &mut [0; 7]), Some(&b""[..]));
    }
}
