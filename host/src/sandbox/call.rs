//! One call of a guest, which ends at its deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::error::CallError;
use super::processor;
use crate::telemetry::RequestInfo;
use crate::telemetry::request::Blame;
use crate::wasi_http::body::Pipe;
use crate::wasi_http::response::{ResponseResult, Slot};

/// The deadline of a guest. The timer is set only once the guest has to wait; most requests on an
/// in-memory database never do.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Instant,
    request: Arc<RequestInfo>,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Deadline {
    pub(super) fn new(at: Instant, request: &Arc<RequestInfo>) -> Self {
        Self {
            at,
            request: Arc::clone(request),
            timer: None,
        }
    }

    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// Ready when a timer that has been set expires.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Sets the timer unless it is set.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.is_some() {
            return Poll::Pending;
        }
        let timer = Box::pin(tokio::time::sleep_until(self.at));
        self.timer.insert(timer).as_mut().poll(cx)
    }

    fn reset(&mut self, at: Instant) {
        self.at = at;
        if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(at);
        }
    }

    /// Polls `work` unless the deadline has passed. The timer is polled first, because each poll of
    /// a guest that computes for long costs the other requests a tick or two.
    pub(super) fn poll<F: Future + ?Sized>(
        &mut self,
        work: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, CallError>> {
        if self.poll_expired(cx).is_ready() {
            return Poll::Ready(Err(self.passed()));
        }
        self.request.guest_resumed();
        let polled = processor::resume(work, cx);
        self.request.guest_paused();
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Ok(output));
        }
        self.poll_wait(cx).map(|()| Err(self.passed()))
    }

    /// The error of a guest that is ended at its deadline.
    #[cold]
    fn passed(&self) -> CallError {
        if self.request.is_in_database() {
            self.request.blame(Blame::Database);
        }
        CallError::Deadline
    }
}

/// A call of a guest that sets its response before it returns.
pub(super) struct RunningCall {
    work: Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>,
    deadline: Deadline,
    /// The streamed body, and the time that the guest has after each read of it.
    streamed: Option<(Pipe, Duration)>,
    /// The time that the guest has once the streamed body is complete, until it is.
    after_answer: Option<Duration>,
}

impl RunningCall {
    pub(super) fn new(
        work: impl Future<Output = Result<(), CallError>> + Send + 'static,
        deadline: Deadline,
    ) -> Self {
        Self {
            work: Box::pin(work),
            deadline,
            streamed: None,
            after_answer: None,
        }
    }

    /// From now on, each read of the body moves the deadline to `after_read` later. When the body
    /// is complete, the guest has `after_answer`.
    pub(super) fn stream(&mut self, pipe: Pipe, after_read: Duration, after_answer: Duration) {
        self.streamed = Some((pipe, after_read));
        self.after_answer = Some(after_answer);
    }

    /// The response is complete: the guest has `after_answer`, but no longer than its deadline.
    pub(super) fn end_within(&mut self, after_answer: Duration) {
        self.after_answer = None;
        self.streamed = None;
        let latest = Instant::now() + after_answer;
        if latest < self.deadline.at() {
            self.deadline.reset(latest);
        }
    }

    /// Shortens the deadline if the streamed body is complete.
    fn check_streamed(&mut self) {
        let (Some(after_answer), Some((pipe, _))) = (self.after_answer, &self.streamed) else {
            return;
        };
        if pipe.is_finished() {
            self.end_within(after_answer);
        }
    }

    /// Ready with the response as soon as the guest has set it, and with whether the guest has
    /// returned by then.
    pub(super) fn poll_response(
        &mut self,
        slot: &Slot,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(ResponseResult, bool), CallError>> {
        let returned = Pin::new(&mut *self).poll(cx)?.is_ready();
        match slot.take() {
            Some(response) => Poll::Ready(Ok((response, returned))),
            None if returned => Poll::Ready(Err(CallError::Guest(
                "it returned without an answer".into(),
            ))),
            None => Poll::Pending,
        }
    }
}

impl Future for RunningCall {
    type Output = Result<(), CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while this.deadline.poll_expired(cx).is_ready() {
            let Some(extended) = this.streamed.as_ref().and_then(extended) else {
                return Poll::Ready(Err(this.deadline.passed()));
            };
            this.deadline.reset(extended);
        }
        if let Poll::Ready(done) = this.deadline.poll(this.work.as_mut(), cx) {
            return Poll::Ready(done.and_then(|done| done));
        }
        this.check_streamed();
        Poll::Pending
    }
}

/// The extended deadline of a guest whose body is being read, unless that has passed too. So a list
/// of any length can be sent while its client reads. While the pipe is full, the guest's time does
/// not pass: the connection's write timeout ends a client that has stopped reading.
fn extended((pipe, after_read): &(Pipe, Duration)) -> Option<Instant> {
    let now = Instant::now();
    if pipe.is_full() {
        return Some(now + *after_read);
    }
    let extended = pipe.last_read()? + *after_read;
    (extended > now).then_some(extended)
}

/// A guest that still runs after its response has begun. It has a task of its own, so that it ends
/// at its deadline even if the client does not read.
#[derive(Debug)]
pub struct GuestTask(JoinHandle<Result<(), CallError>>);

impl GuestTask {
    pub(super) fn start(call: RunningCall) -> Self {
        Self(tokio::spawn(call))
    }

    /// The outcome, once the guest has returned.
    pub(super) fn poll_returned(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Pin::new(&mut self.0).poll(cx).map(|outcome| Ok(outcome??))
    }
}

/// Why a guest failed after its response had begun.
type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Drop for GuestTask {
    /// Ends the guest when its client disconnects.
    fn drop(&mut self) {
        self.0.abort();
    }
}
