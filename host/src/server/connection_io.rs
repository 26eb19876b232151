//! The bytes of a client's connection on their way out: small answers in one piece, and the HTTP library's own refusals with a
//! body ([`super::error_body`]).
//!
//! A head and its body come as two pieces. Where both together are small, copying them into one costs less than having the kernel
//! collect them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error_body::replacement;
use super::lingering_close::{Discard, Ending};
use super::transport::Transport;
use super::write_stall::Stall;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ConnectionIo<I> {
    io: I,
    /// What stands in for the library's answer, as far as it is not written yet.
    replaced: Bytes,
    stall: Stall,
    ending: Arc<Ending>,
    /// Whether a close would be a reset.
    resets: bool,
    /// Whether nothing more is written.
    is_shut: bool,
    /// What is left of a request that was answered before it was read.
    discard: Option<Discard>,
}

impl<I> ConnectionIo<I> {
    /// A connection whose client may take nothing for so long while it is written to.
    pub(crate) fn new(io: I, write_timeout: Duration, ending: Arc<Ending>) -> Self {
        Self {
            io,
            replaced: Bytes::new(),
            stall: Stall::new(write_timeout),
            ending,
            resets: false,
            is_shut: false,
            discard: None,
        }
    }
}

/// Pieces that are together no longer than this, in bytes, are written as one.
const SMALL: usize = 1 << 10;

/// All pieces in one, if there is room for them.
fn join<'w>(parts: &[IoSlice<'_>], whole: &'w mut [u8]) -> Option<&'w [u8]> {
    let mut end = 0;
    for part in parts {
        whole.get_mut(end..end + part.len())?.copy_from_slice(part);
        end += part.len();
    }
    whole.get(..end)
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

    /// Before anything is written: an answer that only the end of the connection ends is not to look complete before that.
    fn prepare(&mut self) {
        if self.ending.delimits() && !self.resets {
            self.reset_on_close(true);
        }
    }

    fn reset_on_close(&mut self, resets: bool) {
        self.resets = resets;
        self.io.reset_on_close(resets);
    }

    /// The outcome of a write, where the client takes what it is sent.
    fn check(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = self.stall.check(cx, written);
        if let Poll::Ready(Err(_)) = &written {
            // Nobody takes what is still on its way, and it is not to be kept for whoever does not.
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
        if let Some(replaced) = replacement(bytes) {
            // Taken as written: it is on its way, and `poll_flush` sees it out.
            self.replaced = replaced;
            self.ending.refused();
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
            [whole] => self.poll_write(cx, whole),
            parts => {
                self.prepare();
                ready!(self.poll_replaced(cx))?;
                let mut whole = [0; SMALL];
                let written = match join(parts, &mut whole) {
                    Some(whole) => Pin::new(&mut self.io).poll_write(cx, whole),
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
            // What is asked for is an orderly end: all has been written.
            if self.resets {
                self.reset_on_close(false);
            }
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        if self.ending.leaves_unread() {
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
    fn pieces_that_fit_are_joined_and_others_are_not() {
        let parts = [&b"head"[..], b"", b"body"].map(IoSlice::new);
        assert_eq!(join(&parts, &mut [0; 8]), Some(&b"headbody"[..]));
        assert_eq!(join(&parts, &mut [0; 7]), None);
        assert_eq!(join(&[], &mut [0; 7]), Some(&b""[..]));
    }
}
