//! A limit on how long a client may take nothing of what is written to it.
//!
//! It is counted by progress: whoever takes something, however little and however slowly, has all of the time again for the next
//! piece. Nothing is set up for a connection whose writes never wait, as nearly all are.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The timer of one connection's writes.
#[derive(Debug)]
pub(crate) struct Stall {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the last write had to wait.
    waits: bool,
}

impl Stall {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            timer: None,
            waits: false,
        }
    }

    /// The outcome of a write, or an error where nothing was taken for too long.
    pub(crate) fn check<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = false;
            return written;
        }
        let limit = self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !std::mem::replace(&mut self.waits, true) {
            timer.as_mut().reset(Instant::now() + limit);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let text = format!("the client took nothing of its answer within {limit:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stall_after_progress_has_all_of_its_time_again() {
        const LIMIT: Duration = Duration::from_millis(50);
        let mut stall = Stall::new(LIMIT);
        for _ in 0..3 {
            let began = Instant::now();
            let stalled = std::future::poll_fn(|cx| stall.check::<()>(cx, Poll::Pending)).await;
            assert_eq!(
                stalled.map_err(|error| error.kind()),
                Err(io::ErrorKind::TimedOut)
            );
            assert!(began.elapsed() >= LIMIT);
            let written = std::future::poll_fn(|cx| stall.check(cx, Poll::Ready(Ok(1)))).await;
            assert_eq!(written.ok(), Some(1));
        }
    }
}
