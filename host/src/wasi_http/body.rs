//! The body of a guest's response, from the guest's stream to the connection.
//!
//! The guest can be at most 64 KiB ahead of the connection. A body that the guest
//! drops before it is complete ends with [`Incomplete`].

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

/// Bytes that a guest may have written and the connection not yet read.
const MAX_UNREAD: usize = 64 << 10;

/// A body that the guest writes and the connection reads.
#[derive(Clone, Debug)]
pub struct Pipe(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    chunks: VecDeque<Bytes>,
    /// Bytes in `chunks`.
    unread: usize,
    written: u64,
    /// Whether the connection has had the chance to send what precedes a broken body's end.
    flushed: bool,
    /// When the connection last read a chunk.
    last_read: Option<Instant>,
    /// Counts the bytes that the connection reads.
    read_counter: Option<Arc<AtomicU64>>,
    /// The length that `Content-Length` declares.
    content_length: Option<u64>,
    end: Completion,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The charge for the bytes that the host holds.
    held: Charge,
}

impl Inner {
    /// The memory that the unread chunks take.
    fn bytes(&self) -> usize {
        self.unread + self.chunks.len() * CHUNK
    }
}

/// Memory that a chunk takes beside its bytes.
const CHUNK: usize = 128;

#[derive(Debug)]
enum Completion {
    Open,
    Finished(Option<HeaderMap>),
    /// The guest dropped the body before it was complete.
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
    pub(super) fn new(content_length: Option<u64>, held: Charge) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            chunks: VecDeque::new(),
            unread: 0,
            written: 0,
            flushed: false,
            last_read: None,
            read_counter: None,
            content_length,
            end: Completion::Open,
            reader: None,
            writer: None,
            held,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the body if it is complete, is one chunk, and has no trailers.
    pub fn take_complete(&self) -> Option<Bytes> {
        let mut inner = self.lock();
        if !matches!(inner.end, Completion::Finished(None)) || inner.chunks.len() > 1 {
            return None;
        }
        let body = inner.chunks.pop_front().unwrap_or_default();
        inner.unread = 0;
        inner.held.shrink(0);
        Some(body)
    }

    /// Whether the guest has completed the body.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.lock().end, Completion::Finished(_))
    }

    /// Whether the guest has to wait for the connection to read.
    pub fn is_full(&self) -> bool {
        self.lock().unread >= MAX_UNREAD
    }

    /// When the connection last read a chunk.
    pub fn last_read(&self) -> Option<Instant> {
        self.lock().last_read
    }

    /// Counts the bytes that the connection reads from now on.
    pub(crate) fn count_read(&self, counter: Arc<AtomicU64>) {
        self.lock().read_counter = Some(counter);
    }

    /// The next chunk, or the trailers.
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
            inner.last_read = Some(Instant::now());
            if let Some(counter) = &inner.read_counter {
                counter.fetch_add(chunk.len() as u64, Relaxed);
            }
            if let Some(writer) = inner.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match &mut inner.end {
            Completion::Finished(trailers) => Poll::Ready(
                trailers
                    .take()
                    .map(|trailers| Ok(Frame::trailers(trailers))),
            ),
            // An error discards what the connection has not written yet, so it gets one more poll
            // to write.
            Completion::Broken if !inner.flushed => {
                inner.flushed = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Completion::Broken => Poll::Ready(Some(Err(Incomplete))),
            Completion::Open => {
                inner.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn end(&self, end: Completion) {
        let mut inner = self.lock();
        inner.end = end;
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }
}

/// The guest's handle of a [`Pipe`]. When it is dropped before `finish`, the body is broken.
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
        let (written, content_length) = {
            let inner = self.pipe.lock();
            (inner.written, inner.content_length)
        };
        if content_length.is_some_and(|length| length != written) {
            return Err(ErrorCode::HttpResponseBodySize(Some(written)));
        }
        self.finished = true;
        self.pipe.end(Completion::Finished(trailers));
        Ok(())
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        if !self.finished {
            self.pipe.end(Completion::Broken);
        }
    }
}

/// The stream to which a guest writes a body.
struct BodyStream(Pipe);

impl OutputStream for BodyStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut inner = self.0.lock();
        if bytes.len() > MAX_UNREAD.saturating_sub(inner.unread) {
            return Err(StreamError::trap(
                "more was written than check-write allowed",
            ));
        }
        inner.written += bytes.len() as u64;
        if inner
            .content_length
            .is_some_and(|length| length < inner.written)
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
        // What is written can be read at once, so there is nothing to flush.
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        // There is always a reader: when the connection ends, the guest is dropped with it.
        Ok(MAX_UNREAD.saturating_sub(self.0.lock().unread))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for BodyStream {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| {
            let mut inner = self.0.lock();
            if inner.unread < MAX_UNREAD {
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
