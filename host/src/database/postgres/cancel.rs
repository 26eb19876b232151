//! Cancel requests as bytes.
//!
//! The client library's token cannot send its request, because the host has opened the stream. The
//! token writes the request to memory, and [`super::session_registry`] has the server to send it
//! to.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::CancelToken;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// The message that cancels a session's statement (PostgreSQL, 54.7, CancelRequest). It is
/// different for each session.
pub(super) type CancelRequest = Vec<u8>;

pub(super) async fn cancel_request(token: &CancelToken) -> CancelRequest {
    let recorder = Recorder::default();
    // Writing to memory cannot fail.
    if let Err(error) = token.cancel_query_raw(recorder.clone(), NoTls).await {
        tracing::debug!("a cancel request cannot be built: {error}");
    }
    let written = recorder.0.lock().unwrap_or_else(PoisonError::into_inner);
    written.clone()
}

/// A stream that records what is written to it.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<u8>>>);

impl AsyncRead for Recorder {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl TlsStream for Recorder {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

struct NoTls;

impl TlsConnect<Recorder> for NoTls {
    type Stream = Recorder;
    type Error = Infallible;
    type Future = Ready<Result<Recorder, Infallible>>;

    fn connect(self, recorder: Recorder) -> Self::Future {
        ready(Ok(recorder))
    }
}
