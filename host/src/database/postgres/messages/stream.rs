//! The stream between the client library and the server, which applies the changes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::backend::Backend;
use super::frontend::Frontend;
use super::unnamed::Unnamed;
use super::watch::Watch;

/// How statements are named on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::database::postgres) enum Naming {
    /// By the library's names, with the prefix of this process.
    Prefixed,
    /// Not at all: a statement is sent again before each use.
    Unnamed,
}

/// A stream to a server whose messages are followed in both directions.
#[derive(Debug)]
pub(in crate::database::postgres) struct FollowedStream<S> {
    inner: S,
    frontend: Frontend,
    backend: Backend,
    unnamed: Option<Unnamed>,
    /// Bytes for the server that are not written yet.
    outgoing: BytesMut,
    /// Bytes for the library that were read but did not fit into its buffer.
    incoming: BytesMut,
}

impl<S> FollowedStream<S> {
    pub(in crate::database::postgres) fn new(inner: S, naming: Naming, watch: Arc<Watch>) -> Self {
        Self {
            inner,
            frontend: Frontend::default(),
            backend: Backend::new(watch),
            unnamed: (naming == Naming::Unnamed).then(Unnamed::default),
            outgoing: BytesMut::new(),
            incoming: BytesMut::new(),
        }
    }

    pub(in crate::database::postgres) fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: AsyncWrite + Unpin> FollowedStream<S> {
    fn write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FollowedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.write_out(cx))?;
        this.frontend
            .follow(bytes, this.unnamed.as_mut(), &mut this.outgoing);
        // The bytes are sent when the library flushes, which it does after its last write.
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_out(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_out(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FollowedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if !this.incoming.is_empty() {
                let count = this.incoming.len().min(buffer.remaining());
                buffer.put_slice(&this.incoming.split_to(count));
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
            let read = &buffer.filled()[before..];
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match &mut this.unnamed {
                None => {
                    this.backend.observe(read);
                    return Poll::Ready(Ok(()));
                }
                Some(unnamed) => {
                    this.backend.filter(read, unnamed, &mut this.incoming);
                    buffer.set_filled(before);
                }
            }
        }
    }
}
