//! The body of a response from the guest or the host.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::connection_state::Streamed;
use crate::sandbox::GuestBody;

/// The body of a response from the guest or the host.
#[derive(Debug)]
pub enum Body {
    /// The guest's.
    Guest(GuestBody),
    /// The guest's, while it is still written.
    Streamed(GuestBody, Streamed),
    /// The host's, until it is read.
    Full(Option<Bytes>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Guest(body) | Self::Streamed(body, _) => Pin::new(body).poll_frame(cx),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Guest(body) | Self::Streamed(body, _) => body.is_end_stream(),
            Self::Full(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Guest(body) | Self::Streamed(body, _) => body.size_hint(),
            Self::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}
