//! The request that has a statement cancelled.
//!
//! The client library's token does not know where its session is, since the stream was ours. What
//! it would send, it says; where that goes, [`super::sessions`] knows.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::CancelToken;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// What has a session's statement cancelled (PostgreSQL, 54.7, CancelRequest). No two sessions have
/// the same.
pub(super) type Message = Vec<u8>;

/// The request of a token.
pub(super) async fn message(token: &CancelToken) -> Message {
    let kept = Kept::default();
    // Nothing here can fail: it is written to memory.
    if let Err(error) = token.cancel_query_raw(kept.clone(), Keep).await {
        tracing::debug!("a cancel request cannot be made: {error}");
    }
    let kept = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
    kept.clone()
}

/// A stream that keeps what is written to it.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl AsyncRead for Kept {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl TlsStream for Kept {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

struct Keep;

impl TlsConnect<Kept> for Keep {
    type Stream = Kept;
    type Error = Infallible;
    type Future = Ready<Result<Kept, Infallible>>;

    fn connect(self, kept: Kept) -> Self::Future {
        ready(Ok(kept))
    }
}
