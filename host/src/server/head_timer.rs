//! The timer by which a connection waits for a request's head.
//!
//! hyper asks for a new one with each request, and nearly none ever goes off. So a connection has one timer, set when it first waits,
//! which is moved only when it goes off too early: a connection that is busy never touches the runtime's timers.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// One connection's timer.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadTimer(Arc<Mutex<Option<Set>>>);

/// When it goes off next, and who is woken then.
#[derive(Debug)]
struct Set {
    sleep: Pin<Box<tokio::time::Sleep>>,
    wakes: Option<Waker>,
}

/// A wait until some moment.
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
        let mut set = self.timer.0.lock().unwrap_or_else(PoisonError::into_inner);
        let set = set.get_or_insert_with(|| Set {
            sleep: Box::pin(tokio::time::sleep_until(at)),
            wakes: None,
        });
        if set.sleep.deadline() > at {
            set.sleep.as_mut().reset(at);
            set.wakes = None;
        }
        let wakes = set.wakes.as_ref();
        if !set.sleep.is_elapsed() && wakes.is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        while set.sleep.as_mut().poll(cx).is_ready() {
            if tokio::time::Instant::now() >= at {
                return Poll::Ready(());
            }
            set.sleep.as_mut().reset(at);
        }
        set.wakes = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer as _;

    use super::*;

    const WAIT: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn it_goes_off_when_it_was_last_asked_to_and_not_before() {
        let timer = HeadTimer::default();
        let began = Instant::now();
        let mut early = timer.sleep_until(began + WAIT);
        let mut late = timer.sleep_until(began + WAIT * 3);
        std::future::poll_fn(|cx| {
            assert!(early.as_mut().poll(cx).is_pending(), "it is set");
            Poll::Ready(())
        })
        .await;
        drop(early);
        late.as_mut().await;
        assert!(began.elapsed() >= WAIT * 3);
        timer.sleep_until(began).await;
    }

    #[tokio::test]
    async fn it_is_moved_forward_where_it_would_go_off_too_late() {
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
