//! The streams of one connection of HTTP/2: how many there are, how they end, and whether their
//! client has room for their responses.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// The streams of one connection.
#[derive(Debug)]
pub(super) struct Streams {
    opened: Instant,
    begun: AtomicU64,
    active: AtomicUsize,
    /// When the last one ended, in milliseconds since `opened`.
    idle_since: AtomicU64,
    cancelled: AtomicU64,
    completed: AtomicU64,
    /// How many more requests a client may cancel than it completes.
    max_cancelled: u64,
    write_timeout: Duration,
    /// The stream that has just begun, until its task is started.
    latest: Mutex<Option<Arc<Progress>>>,
}

impl Streams {
    pub(super) fn new(write_timeout: Duration, max_streams: u32) -> Self {
        Self {
            opened: Instant::now(),
            begun: AtomicU64::new(0),
            active: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            max_cancelled: 2 * u64::from(max_streams),
            write_timeout,
            latest: Mutex::new(None),
        }
    }

    /// A stream that has begun, until the result is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Stream {
        self.begun.fetch_add(1, Relaxed);
        self.active.fetch_add(1, Relaxed);
        let progress = Arc::new(Progress::default());
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = Some(Arc::clone(&progress));
        Stream {
            streams: Arc::clone(self),
            progress,
            is_complete: false,
        }
    }

    /// How many streams there have been.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// How many requests the client has cancelled.
    pub(super) fn cancelled(&self) -> u64 {
        self.cancelled.load(Relaxed)
    }

    /// Since when there is no stream; `None` if there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let since = Duration::from_millis(self.idle_since.load(Relaxed));
        (self.active.load(Relaxed) == 0).then(|| self.opened + since)
    }

    /// Whether the client makes work that it does not want, as in the attack "rapid reset".
    pub(super) fn has_excess_of_cancelled(&self) -> bool {
        let (cancelled, completed) = (self.cancelled.load(Relaxed), self.completed.load(Relaxed));
        cancelled > completed.saturating_add(self.max_cancelled)
    }
}

/// A stream, from its request to the end of its response.
#[derive(Debug)]
pub(super) struct Stream {
    streams: Arc<Streams>,
    progress: Arc<Progress>,
    is_complete: bool,
}

impl Stream {
    /// Records that a part of the response waits until the client has room for more.
    pub(super) fn handed_over(&self) {
        self.progress.handed_over.fetch_add(1, Relaxed);
    }

    /// Records that the client had room for all so far.
    pub(super) fn continues(&self) {
        let handed_over = self.progress.handed_over.load(Relaxed);
        self.progress.taken.store(handed_over, Relaxed);
    }

    /// Records that the response was passed on completely.
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let streams = &self.streams;
        let counter = if self.is_complete {
            &streams.completed
        } else {
            &streams.cancelled
        };
        counter.fetch_add(1, Relaxed);
        let now = u64::try_from(streams.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        streams.idle_since.store(now, Relaxed);
        streams.active.fetch_sub(1, Relaxed);
    }
}

/// How many parts of a response were handed over, and of how many of them the client had room.
#[derive(Debug, Default)]
struct Progress {
    handed_over: AtomicUsize,
    taken: AtomicUsize,
}

impl Progress {
    /// The part that waits for the client.
    fn waits_for_client(&self) -> Option<usize> {
        let handed_over = self.handed_over.load(Relaxed);
        (self.taken.load(Relaxed) < handed_over).then_some(handed_over)
    }
}

/// Starts a task for each stream. The library passes the stream's future right after it has called
/// the service for it.
#[derive(Clone, Debug)]
pub(super) struct Spawn(pub(super) Arc<Streams>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, future: F) {
        let mut latest = self.0.latest.lock().unwrap_or_else(PoisonError::into_inner);
        match latest.take() {
            Some(progress) => {
                let limit = self.0.write_timeout;
                tokio::spawn(until_stalled(future, progress, limit));
            }
            None => {
                tokio::spawn(future);
            }
        }
    }
}

/// Drives a stream to its end, or until its client has had no room for the next part of its
/// response for too long. The stream is reset then.
async fn until_stalled(future: impl Future<Output = ()>, progress: Arc<Progress>, limit: Duration) {
    let mut future = pin!(future);
    let mut wait: Option<(usize, Pin<Box<Sleep>>)> = None;
    poll_fn(|cx| {
        if future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(part) = progress.waits_for_client() else {
            wait = None;
            return Poll::Pending;
        };
        if wait.as_ref().is_none_or(|(waiting, _)| *waiting != part) {
            wait = Some((part, Box::pin(tokio::time::sleep(limit))));
        }
        match &mut wait {
            Some((_, timer)) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_may_cancel_as_many_requests_as_it_completes_and_some_more() {
        let streams = Arc::new(Streams::new(Duration::ZERO, 10));
        let cancel = || drop(streams.begin());
        let complete = || streams.begin().complete();
        for _ in 0..20 {
            cancel();
        }
        assert!(!streams.has_excess_of_cancelled());
        cancel();
        assert!(streams.has_excess_of_cancelled());
        complete();
        assert!(!streams.has_excess_of_cancelled());
        assert!(streams.idle_since().is_some());
        let open = streams.begin();
        assert!(streams.idle_since().is_none());
        drop(open);
    }

    #[tokio::test]
    async fn stream_whose_client_has_no_room_ends_and_one_whose_guest_is_slow_does_not() {
        const LIMIT: Duration = Duration::from_millis(30);
        let streams = Arc::new(Streams::new(LIMIT, 10));
        let stream = streams.begin();
        let never = std::future::pending();
        let driven = until_stalled(never, Arc::clone(&stream.progress), LIMIT);
        let mut driven = pin!(driven);
        let slow_guest = tokio::time::timeout(3 * LIMIT, driven.as_mut()).await;
        assert!(slow_guest.is_err());
        stream.handed_over();
        stream.continues();
        let slow_guest = tokio::time::timeout(3 * LIMIT, driven.as_mut()).await;
        assert!(slow_guest.is_err());
        stream.handed_over();
        driven.await;
    }
}
