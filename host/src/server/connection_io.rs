//! Writes responses to a client's connection, and closes it so that the client can tell a complete
//! response from a broken one.
//!
//! hyper writes a head and its body as two buffers. If both are small, copying them into one costs
//! less than a vectored write. hyper's own error responses get a body ([`super::error_body`]). A
//! write that makes no progress fails ([`super::write_stall`]), and so does the connection.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection_state::{ConnectionState, Progress};
use super::error_body::{RequestStart, replacement};
use super::half_close::{HalfClosed, PROBE};
use super::lingering_close::Discard;
use super::transport::Transport;
use super::write_stall::WriteStall;
use crate::telemetry::{Counters, RequestInfo};

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ConnectionIo<I> {
    io: I,
    /// What was read of the next request before hyper reads.
    first: Bytes,
    /// The unwritten rest of the response that replaces hyper's own.
    replaced: Bytes,
    stall: WriteStall,
    state: Arc<ConnectionState>,
    request: RequestStart,
    /// Whether the last write found no room.
    is_full: bool,
    /// Whether the client has closed its sending side while its request was answered.
    half_closed: Option<HalfClosed>,
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
        state: Arc<ConnectionState>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            io,
            first: Bytes::new(),
            replaced: Bytes::new(),
            stall: WriteStall::new(write_timeout),
            state,
            request: RequestStart::new(),
            is_full: false,
            half_closed: None,
            counters,
            resets: false,
            is_shut: false,
            discard: None,
        }
    }

    /// Has hyper read again what it has read of the next request, in a buffer of the right size.
    pub(super) fn put_back(&mut self, read: &[u8]) {
        if !read.is_empty() {
            self.first = Bytes::copy_from_slice(read);
            self.request = RequestStart::new();
            self.request.read(read);
        }
    }

    /// What was read of the next request before hyper reads.
    pub(super) fn first(&self) -> &[u8] {
        &self.first
    }

    /// The connection itself.
    pub(super) fn into_transport(self) -> I {
        self.io
    }
}

/// How much is read of a request before hyper reads: most heads.
const FIRST: usize = 1 << 10;

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

    /// Reads more of the next request before hyper does; `false` if the client has closed its
    /// sending side.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut scratch = [MaybeUninit::uninit(); FIRST];
        let mut buf = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
        let read = buf.filled();
        if read.is_empty() {
            return Poll::Ready(Ok(false));
        }
        self.request.read(read);
        self.first = if self.first.is_empty() {
            Bytes::copy_from_slice(read)
        } else {
            [&self.first, read].concat().into()
        };
        Poll::Ready(Ok(true))
    }

    /// Whether a response is incomplete or has not been written.
    fn is_answering(&self) -> bool {
        self.state.progress() != Progress::Idle || self.is_full || !self.replaced.is_empty()
    }

    /// Ready with the end of input once the response is written, or with an error if the client is
    /// gone.
    fn poll_half_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_answering() {
            return Poll::Ready(Ok(()));
        }
        let Some(half_closed) = &mut self.half_closed else {
            return Poll::Ready(Ok(()));
        };
        match self.state.progress() {
            Progress::Reading => return half_closed.poll_incomplete(cx).map(Ok),
            // A client that reads nothing is a matter of the write timeout.
            Progress::Streaming if !self.is_full => return half_closed.poll_silent(cx).map(Ok),
            _ => {}
        }
        if half_closed.poll_grace(cx).is_ready() {
            half_closed.probed();
            match self.state.progress() {
                Progress::WaitingHttp10 => return Poll::Ready(Ok(())),
                Progress::Waiting if !self.is_full && self.replaced.is_empty() => {
                    self.replaced = Bytes::from_static(PROBE);
                    // What finds no room now is written before the response.
                    if let Poll::Ready(Err(error)) = self.poll_replaced(cx) {
                        return Poll::Ready(Err(error));
                    }
                }
                // What is being written is a probe itself.
                _ => {}
            }
        }
        match &mut self.half_closed {
            Some(half_closed) => half_closed.poll_gone(&self.io, cx).map(Err),
            None => Poll::Pending,
        }
    }

    /// Requests a reset before a close-delimited response is written, so that the response does not
    /// look complete before its end.
    fn prepare(&mut self) {
        if self.state.is_close_delimited() && !self.resets {
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
        self.is_full = written.is_pending();
        self.state.unsent(self.is_full);
        if let (Some(half_closed), Poll::Ready(Ok(_))) = (&mut self.half_closed, &written) {
            half_closed.wrote();
        }
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
        if !self.first.is_empty() {
            let length = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first.split_to(length));
            return Poll::Ready(Ok(()));
        }
        if self.half_closed.is_some() {
            return self.poll_half_closed(cx);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        if read.is_empty() && self.is_answering() {
            self.half_closed = Some(HalfClosed::new());
            return self.poll_half_closed(cx);
        }
        if !read.is_empty() {
            self.request.read(read);
        }
        Poll::Ready(Ok(()))
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
        self.request.responded();
        let counters = &self.counters;
        let record = |status, body| record_unreadable(counters, status, body);
        if let Some(replaced) = replacement(bytes, &self.request, record) {
            // Reported as written; `poll_flush` writes it.
            self.replaced = replaced;
            self.state.request_left_unread();
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
                self.request.responded();
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
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.state.unsent(flushed.is_pending());
        ready!(self.stall.check_flush(cx, flushed))?;
        if self.half_closed.is_some() && !self.is_answering() {
            // The end of input was withheld until now.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.closing();
        ready!(self.poll_replaced(cx))?;
        if !self.is_shut {
            // Everything has been written, so the close is an orderly one.
            if self.resets {
                self.reset_on_close(false);
            }
            // TLS has something to write.
            let shut = Pin::new(&mut self.io).poll_shutdown(cx);
            ready!(self.stall.check_flush(cx, shut))?;
            self.is_shut = true;
        }
        if self.state.has_unread_request() {
            let this = &mut *self;
            let discard = this.discard.get_or_insert_with(Discard::new);
            ready!(discard.poll(&mut this.io, cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    /// A transport that takes nothing, not even the end, as TLS over a socket without room.
    #[derive(Debug)]
    struct Full;

    impl AsyncRead for Full {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Full {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl Transport for Full {
        fn reset_on_close(&self, _: bool) {}

        fn take_error(&self) -> Option<io::Error> {
            None
        }

        fn peer(&self) -> Option<IpAddr> {
            None
        }

        fn is_encrypted(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn close_for_which_there_is_no_room_fails_after_the_write_timeout() {
        let (state, counters) = (Arc::default(), Arc::default());
        let limit = Duration::from_millis(30);
        let mut io = ConnectionIo::new(Full, limit, state, counters);
        let shut = std::future::poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx));
        let shut = tokio::time::timeout(Duration::from_mins(5), shut).await;
        let error = shut.expect("it ends").expect_err("nothing was written");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn buffers_that_fit_are_joined_and_others_are_not() {
        let parts = [&b"head"[..], b"", b"body"].map(IoSlice::new);
        assert_eq!(join(&parts, &mut [0; 8]), Some(&b"headbody"[..]));
        assert_eq!(join(&parts, &mut [0; 7]), None);
        assert_eq!(join(&[], &mut [0; 7]), Some(&b""[..]));
    }
}
