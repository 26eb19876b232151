//! The timer with which a connection waits for a request's head.
//!
//! hyper requests a new timer for each request, and nearly none ever expires. So a connection has
//! one timer, which is reset only when it expires too early. A busy connection never touches the
//! runtime's timers.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// One connection's timer.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadTimer(Arc<Mutex<Option<Shared>>>);

/// The runtime's timer, and the waker that it has.
#[derive(Debug)]
struct Shared {
    sleep: Pin<Box<tokio::time::Sleep>>,
    waker: Option<Waker>,
}

/// A wait until `at`.
struct Until {
    timer: HeadTimer,
    at: Instant,
}

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Until {
            timer: self.clone(),
            at,
        })
    }
}

impl hyper::rt::Sleep for Until {}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at.into();
        let mut shared = self.timer.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = shared.get_or_insert_with(|| Shared {
            sleep: Box::pin(tokio::time::sleep_until(at)),
            waker: None,
        });
        if shared.sleep.deadline() > at {
            shared.sleep.as_mut().reset(at);
            shared.waker = None;
        }
        let waker = shared.waker.as_ref();
        if !shared.sleep.is_elapsed() && waker.is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        while shared.sleep.as_mut().poll(cx).is_ready() {
            if tokio::time::Instant::now() >= at {
                return Poll::Ready(());
            }
            shared.sleep.as_mut().reset(at);
        }
        shared.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer as _;

    use super::*;

    const WAIT: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn timer_with_two_deadlines_expires_at_the_one_still_awaited() {
        let timer = HeadTimer::default();
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
        let timer = HeadTimer::default();
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
}
