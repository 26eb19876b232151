//! A guest at work until its deadline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::error::CallError;
use super::processor;
use crate::wasi_http::body::Pipe;
use crate::wasi_http::response::{Answer, Slot};

/// When a guest must be done. The timer is set only once the guest has to wait: most requests over memory never do.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Instant,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Deadline {
    pub(super) fn new(at: Instant) -> Self {
        Self { at, timer: None }
    }

    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// Whether it has passed, where anybody has had to wait yet. If not, the one who asks is woken when it has.
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Has the one who asks woken when it has passed.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.is_some() {
            return Poll::Pending;
        }
        let timer = Box::pin(tokio::time::sleep_until(self.at));
        self.timer.insert(timer).as_mut().poll(cx)
    }

    fn put_off(&mut self, later: Instant) {
        self.at = later;
        if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(later);
        }
    }

    /// Goes on with some work, unless it is too late. Time is looked at first: where many guests run long, each turn costs the others a
    /// tick or two.
    pub(super) fn poll<F: Future + ?Sized>(
        &mut self,
        work: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, CallError>> {
        if self.poll_passed(cx).is_ready() {
            return Poll::Ready(Err(CallError::Deadline));
        }
        if let Poll::Ready(output) = processor::resume(work, cx) {
            return Poll::Ready(Ok(output));
        }
        self.poll_wait(cx).map(|()| Err(CallError::Deadline))
    }
}

/// A guest at work on an answer that it hands in before it is done.
pub(super) struct Run {
    work: Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>,
    deadline: Deadline,
    /// The answer that is streamed, and how long the guest may go on after something was taken of it.
    read: Option<(Pipe, Duration)>,
    /// How long it may go on after the answer is complete, where that has still to be seen.
    after_answer: Option<Duration>,
}

impl Run {
    pub(super) fn new(
        work: impl Future<Output = Result<(), CallError>> + Send + 'static,
        deadline: Deadline,
    ) -> Self {
        Self {
            work: Box::pin(work),
            deadline,
            read: None,
            after_answer: None,
        }
    }

    /// From now on its deadline is so long after its reader took something of it; and once it is complete, so long after that.
    pub(super) fn is_read(&mut self, pipe: Pipe, after: Duration, after_answer: Duration) {
        self.read = Some((pipe, after));
        self.after_answer = Some(after_answer);
    }

    /// Its answer is complete: it may go on for so long, and no longer than its deadline.
    pub(super) fn ends_after(&mut self, after_answer: Duration) {
        self.after_answer = None;
        self.read = None;
        let latest = Instant::now() + after_answer;
        if latest < self.deadline.at() {
            self.deadline.put_off(latest);
        }
    }

    /// Sees to it that it ends soon, where it has completed its answer.
    fn look_at_answer(&mut self) {
        let (Some(after_answer), Some((pipe, _))) = (self.after_answer, &self.read) else {
            return;
        };
        if pipe.is_finished() {
            self.ends_after(after_answer);
        }
    }

    /// The answer as soon as there is one, and whether the guest has returned by then.
    pub(super) fn poll_answer(
        &mut self,
        slot: &Slot,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Answer, bool), CallError>> {
        let returned = Pin::new(&mut *self).poll(cx)?.is_ready();
        match slot.take() {
            Some(answer) => Poll::Ready(Ok((answer, returned))),
            None if returned => Poll::Ready(Err(CallError::Guest(
                "it returned without an answer".into(),
            ))),
            None => Poll::Pending,
        }
    }
}

impl Future for Run {
    type Output = Result<(), CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while this.deadline.poll_passed(cx).is_ready() {
            let Some(later) = this.read.as_ref().and_then(later) else {
                return Poll::Ready(Err(CallError::Deadline));
            };
            this.deadline.put_off(later);
        }
        if let Poll::Ready(done) = this.deadline.poll(this.work.as_mut(), cx) {
            return Poll::Ready(done.and_then(|done| done));
        }
        this.look_at_answer();
        Poll::Pending
    }
}

/// The deadline of a guest whose answer is being read, where that is yet to come. A list of any length is given in any time, as long as
/// somebody reads it. While the guest waits for its reader, its own time does not pass: whoever stops reading is the connection's
/// concern, which ends the guest with itself.
fn later((pipe, after): &(Pipe, Duration)) -> Option<Instant> {
    let now = Instant::now();
    if pipe.is_full() {
        return Some(now + *after);
    }
    let later = pipe.taken()? + *after;
    (later > now).then_some(later)
}

/// A guest that is still at work after its answer has begun, on a task of its own: a client that does not read must not keep it
/// from being ended at its deadline.
#[derive(Debug)]
pub struct Guest(JoinHandle<Result<(), CallError>>);

impl Guest {
    pub(super) fn start(run: Run) -> Self {
        Self(tokio::spawn(run))
    }

    /// What came of it, once it has returned.
    pub(super) fn poll_returned(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Pin::new(&mut self.0).poll(cx).map(|outcome| Ok(outcome??))
    }
}

/// Why a guest failed after its answer had begun.
type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Drop for Guest {
    /// A client that leaves takes the guest with it. One that has returned is beyond that.
    fn drop(&mut self) {
        self.0.abort();
    }
}
