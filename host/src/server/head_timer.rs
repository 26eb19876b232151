//! The timer with which a connection waits for a request's head.
//!
//! hyper requests a new timer for each request, and nearly none ever expires. So a connection has
//! one timer, which is reset only when it expires too early. A busy connection never touches the
//! runtime's timers. The same timer tells that a connection has become idle, long before the head
//! is overdue.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

/// One connection's timer. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct HeadTimer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The time from the moment when a connection is idle to the deadline of its head; zero if
    /// heads are overdue before that.
    lead: Duration,
    /// Whether the current wait has lasted so long that the connection is idle.
    is_idle: AtomicBool,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The runtime's timer.
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    /// The waker that it has.
    waker: Option<Waker>,
    /// When the current wait ends.
    deadline: Option<Instant>,
    /// When the next wait ends at the latest.
    limit: Option<Instant>,
    /// When a limited wait has lasted so long that the connection is idle.
    idle_at: Option<Instant>,
}

/// A wait until `at`.
#[derive(Debug)]
pub(crate) struct Until {
    timer: HeadTimer,
    at: Instant,
}

impl HeadTimer {
    /// The timer of a connection whose heads are overdue after `head`, and which is idle after
    /// `idle`.
    pub(crate) fn new(head: Duration, idle: Duration) -> Self {
        Self(Arc::new(Inner {
            lead: head.saturating_sub(idle),
            is_idle: AtomicBool::new(false),
            shared: Mutex::default(),
        }))
    }

    /// A wait until a deadline.
    pub(crate) fn until(&self, at: Instant) -> Until {
        Until {
            timer: self.clone(),
            at,
        }
    }

    /// Has hyper's next wait end at this deadline at the latest.
    pub(crate) fn limit_next(&self, deadline: Instant) {
        let mut shared = self.lock();
        shared.limit = Some(deadline);
        // What the runtime's timer is set to has nothing to do with the next wait.
        shared.waker = None;
    }

    /// Whether hyper has waited so long that the connection is idle.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.is_idle.load(Relaxed)
    }

    /// When the head is overdue for which hyper waits, or has waited last.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, mut at: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.0.is_idle.store(false, Relaxed);
        let mut shared = self.lock();
        if let Some(limit) = shared.limit.take() {
            shared.idle_at = at.checked_sub(self.0.lead);
            at = at.min(limit);
        }
        shared.deadline = Some(at);
        drop(shared);
        Box::pin(self.until(at))
    }
}

impl hyper::rt::Sleep for Until {}

impl Until {
    /// When the wait ends.
    pub(crate) fn deadline(&self) -> Instant {
        self.at
    }
}

impl Shared {
    /// Whether the runtime's timer wakes this task before `at`.
    fn wakes(&self, cx: &Context<'_>, at: Instant) -> bool {
        let is_set = |sleep: &Pin<Box<tokio::time::Sleep>>| {
            sleep.deadline() <= at.into() && !sleep.is_elapsed()
        };
        self.sleep.as_ref().is_some_and(is_set)
            && (self.waker.as_ref()).is_some_and(|waker| waker.will_wake(cx.waker()))
    }

    /// Ready from `at` on.
    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = at.into();
        let new = || Box::pin(tokio::time::sleep_until(at));
        let sleep = self.sleep.get_or_insert_with(new);
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if tokio::time::Instant::now() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (inner, at) = (&*self.timer.0, self.at);
        let mut shared = self.timer.lock();
        if shared.wakes(cx, at) {
            return Poll::Pending;
        }
        if !self.timer.is_idle() && !inner.lead.is_zero() {
            // That of an earlier wait is before.
            let idle_at = at.checked_sub(inner.lead).max(shared.idle_at);
            ready!(shared.poll_at(cx, idle_at.unwrap_or(at).min(at)));
            inner.is_idle.store(true, Relaxed);
        }
        shared.poll_at(cx, at)
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer as _;

    use super::*;

    const WAIT: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn timer_with_two_deadlines_expires_at_the_one_still_awaited() {
        let timer = HeadTimer::new(Duration::from_mins(20), Duration::from_mins(20));
        let began = Instant::now();
        let mut early = timer.sleep_until(began + WAIT);
        let mut late = timer.sleep_until(began + WAIT * 3);
        std::future::poll_fn(|cx| {
            assert!(early.as_mut().poll(cx).is_pending(), "it is shared");
            Poll::Ready(())
        })
        .await;
        drop(early);
        late.as_mut().await;
        assert!(began.elapsed() >= WAIT * 3);
        timer.sleep_until(began).await;
    }

    #[tokio::test]
    async fn timer_with_a_later_deadline_expires_at_an_earlier_new_one() {
        let timer = HeadTimer::new(Duration::from_mins(20), Duration::from_mins(20));
        let began = Instant::now();
        let mut late = timer.sleep(Duration::from_mins(10));
        let soon = async {
            std::future::poll_fn(|cx| {
                assert!(late.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            timer.sleep(WAIT).await;
        };
        let guard = Duration::from_mins(5);
        assert!(tokio::time::timeout(guard, soon).await.is_ok());
        assert!(began.elapsed() >= WAIT);
    }

    #[tokio::test]
    async fn wait_of_an_idle_connection_ends_when_it_would_have() {
        let timer = HeadTimer::new(WAIT * 3, WAIT);
        let began = Instant::now();
        let mut head = timer.sleep(WAIT * 3);
        std::future::poll_fn(|cx| match head.as_mut().poll(cx) {
            Poll::Pending if timer.is_idle() => Poll::Ready(()),
            polled => polled,
        })
        .await;
        assert!(began.elapsed() >= WAIT);
        let deadline = timer.deadline().expect("a wait");
        drop(head);
        timer.limit_next(deadline);
        let mut next = timer.sleep(Duration::from_mins(10));
        assert!(!timer.is_idle());
        let guard = Duration::from_mins(5);
        assert!(tokio::time::timeout(guard, next.as_mut()).await.is_ok());
        assert!(began.elapsed() >= WAIT * 3);
        // Only one wait is limited.
        let mut later = timer.sleep(Duration::from_mins(10));
        std::future::poll_fn(|cx| {
            assert!(later.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
}
