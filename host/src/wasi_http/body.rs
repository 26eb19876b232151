//! A body on its way from the guest to the connection.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::Instant;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::bindings::wasi::http::types::{self, ErrorCode};
use super::fields::Fields;
use super::view::View;
use crate::memory::Charge;

/// Bytes that a guest may be ahead of the connection.
const AHEAD: usize = 64 << 10;

/// The way of a body: the guest writes at one end, the connection reads at the other.
#[derive(Clone, Debug)]
pub struct Pipe(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    chunks: VecDeque<Bytes>,
    /// Bytes in `chunks`.
    unread: usize,
    written: u64,
    /// Whether a body that broke has let the connection write what came before.
    flushed: bool,
    /// When the connection last took something.
    taken: Option<Instant>,
    /// Where the bytes are counted that the connection takes.
    counted: Option<Arc<AtomicU64>>,
    /// What `Content-Length` promises.
    promised: Option<u64>,
    end: End,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// What the host holds of it.
    held: Charge,
}

impl Inner {
    /// What the host holds for it by now.
    fn bytes(&self) -> usize {
        self.unread + self.chunks.len() * CHUNK
    }
}

/// What a piece of a body takes beside its bytes.
const CHUNK: usize = 128;

#[derive(Debug)]
enum End {
    Open,
    Finished(Option<HeaderMap>),
    /// The guest let go of the body before it was complete.
    Broken,
}

/// A guest's body that ended before it was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete;

impl std::fmt::Display for Incomplete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the component ended its response's body before it was complete")
    }
}

impl std::error::Error for Incomplete {}

impl Pipe {
    pub(super) fn new(promised: Option<u64>, held: Charge) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            chunks: VecDeque::new(),
            unread: 0,
            written: 0,
            flushed: false,
            taken: None,
            counted: None,
            promised,
            end: End::Open,
            reader: None,
            writer: None,
            held,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole body, where it is complete, in one piece, and has no trailers.
    pub fn whole(&self) -> Option<Bytes> {
        let mut inner = self.lock();
        if !matches!(inner.end, End::Finished(None)) || inner.chunks.len() > 1 {
            return None;
        }
        let whole = inner.chunks.pop_front().unwrap_or_default();
        inner.unread = 0;
        inner.held.shrink(0);
        Some(whole)
    }

    /// Whether the guest has completed it.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.lock().end, End::Finished(_))
    }

    /// Whether the guest waits until the connection takes something.
    pub fn is_full(&self) -> bool {
        self.lock().unread >= AHEAD
    }

    /// When the connection last took something of it.
    pub fn taken(&self) -> Option<Instant> {
        self.lock().taken
    }

    /// From now on the bytes are counted that the connection takes.
    pub(crate) fn count(&self, taken: Arc<AtomicU64>) {
        self.lock().counted = Some(taken);
    }

    /// The next piece.
    pub fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Incomplete>>> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        if let Some(chunk) = inner.chunks.pop_front() {
            inner.unread -= chunk.len();
            let held = inner.bytes();
            inner.held.shrink(held);
            inner.taken = Some(Instant::now());
            if let Some(counted) = &inner.counted {
                counted.fetch_add(chunk.len() as u64, Relaxed);
            }
            if let Some(writer) = inner.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match &mut inner.end {
            End::Finished(trailers) => Poll::Ready(
                trailers
                    .take()
                    .map(|trailers| Ok(Frame::trailers(trailers))),
            ),
            // What came before it is sent first: an error ends the connection with all that it has not written yet.
            End::Broken if !inner.flushed => {
                inner.flushed = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            End::Broken => Poll::Ready(Some(Err(Incomplete))),
            End::Open => {
                inner.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn end(&self, end: End) {
        let mut inner = self.lock();
        inner.end = end;
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }
}

/// The guest's end of a [`Pipe`]. Dropped before it is finished, it breaks the body.
#[derive(Debug)]
pub struct OutgoingBody {
    pipe: Pipe,
    stream_taken: bool,
    finished: bool,
}

impl OutgoingBody {
    pub(super) fn new(pipe: Pipe) -> Self {
        Self {
            pipe,
            stream_taken: false,
            finished: false,
        }
    }

    fn finish(mut self, trailers: Option<HeaderMap>) -> Result<(), ErrorCode> {
        let (written, promised) = {
            let inner = self.pipe.lock();
            (inner.written, inner.promised)
        };
        if promised.is_some_and(|promised| promised != written) {
            return Err(ErrorCode::HttpResponseBodySize(Some(written)));
        }
        self.finished = true;
        self.pipe.end(End::Finished(trailers));
        Ok(())
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        if !self.finished {
            self.pipe.end(End::Broken);
        }
    }
}

/// The stream a guest writes a body to.
struct BodyStream(Pipe);

impl OutputStream for BodyStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut inner = self.0.lock();
        if bytes.len() > AHEAD.saturating_sub(inner.unread) {
            return Err(StreamError::trap(
                "more was written than check-write allowed",
            ));
        }
        inner.written += bytes.len() as u64;
        if inner
            .promised
            .is_some_and(|promised| promised < inner.written)
        {
            let code = ErrorCode::HttpResponseBodySize(Some(inner.written));
            return Err(StreamError::LastOperationFailed(code.into()));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        inner.unread += bytes.len();
        inner.chunks.push_back(bytes);
        let held = inner.bytes();
        let held = inner.held.resize(held);
        held.map_err(|over| StreamError::Trap(over.into()))?;
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        // What is written can be read at once: there is nothing to push.
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        // A reader that has gone takes the guest with it, so there always is one.
        Ok(AHEAD.saturating_sub(self.0.lock().unread))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for BodyStream {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| {
            let mut inner = self.0.lock();
            if inner.unread < AHEAD {
                return Poll::Ready(());
            }
            inner.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl types::HostOutgoingBody for View<'_> {
    fn write(
        &mut self,
        this: Resource<OutgoingBody>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        let body = self.table.get_mut(&this)?;
        if std::mem::replace(&mut body.stream_taken, true) {
            return Ok(Err(()));
        }
        let stream: DynOutputStream = Box::new(BodyStream(body.pipe.clone()));
        Ok(Ok(self.table.push_child(stream, &this)?))
    }

    fn finish(
        &mut self,
        this: Resource<OutgoingBody>,
        trailers: Option<Resource<Fields>>,
    ) -> wasmtime::Result<Result<(), ErrorCode>> {
        let body = self.table.delete(this)?;
        let trailers = trailers
            .map(|trailers| self.table.delete(trailers))
            .transpose()?;
        Ok(body.finish(trailers.map(Fields::into_map)))
    }

    fn drop(&mut self, this: Resource<OutgoingBody>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
