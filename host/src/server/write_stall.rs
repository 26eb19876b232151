//! A limit on how long a client may take nothing of what is written to it.
//!
//! It is counted by progress: whoever takes something has all of the time again for the next piece. What was taken buys more of it, at
//! the rate of a slow reader: the client's system takes megabytes at once, and its program may read them for minutes before there is
//! room again (`curl --limit-rate 128k` takes 5 MB and then nothing for 41 s). Nothing is set up for a connection whose writes never
//! wait, as nearly all are.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A reader as slow as this is not cut off while its buffers drain, in bytes a second.
const SLOW: u64 = 8 << 10;

/// The most time that can be bought, as a multiple of the limit.
const MOST: u32 = 5;

/// The timer of one connection's writes.
#[derive(Debug)]
pub(crate) struct Stall {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the last write had to wait.
    waits: bool,
    /// Bytes taken that have bought no time yet.
    taken: u64,
    /// Until when time has been bought.
    bought: Option<Instant>,
}

impl Stall {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            timer: None,
            waits: false,
            taken: 0,
            bought: None,
        }
    }

    /// The outcome of a write, or an error where nothing was taken for too long.
    pub(crate) fn check(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.waits = false;
            if let Ok(bytes) = &written {
                self.taken = self.taken.saturating_add(*bytes as u64);
            }
            return Poll::Ready(written);
        }
        if !std::mem::replace(&mut self.waits, true) {
            let latest = self.latest(Instant::now());
            let new = || Box::pin(tokio::time::sleep_until(latest));
            let timer = self.timer.get_or_insert_with(new);
            timer.as_mut().reset(latest);
        }
        let is_over = self
            .timer
            .as_mut()
            .is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if !is_over {
            return Poll::Pending;
        }
        let text = format!(
            "the client took nothing of its answer within {:?}",
            self.limit
        );
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }

    /// Until when a client may take nothing that has begun to do so now.
    fn latest(&mut self, now: Instant) -> Instant {
        let most = self.limit.saturating_mul(MOST);
        let more = Duration::from_secs(std::mem::take(&mut self.taken) / SLOW).min(most);
        let begins = self.bought.map_or(now, |bought| bought.max(now));
        let bought = (begins + more).min(now + most);
        self.bought = Some(bought);
        bought + self.limit
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
            let stalled = std::future::poll_fn(|cx| stall.check(cx, Poll::Pending)).await;
            assert_eq!(
                stalled.map_err(|error| error.kind()),
                Err(io::ErrorKind::TimedOut)
            );
            assert!(began.elapsed() >= LIMIT);
            let written = std::future::poll_fn(|cx| stall.check(cx, Poll::Ready(Ok(1)))).await;
            assert_eq!(written.ok(), Some(1));
        }
    }

    #[tokio::test]
    async fn stall_after_megabytes_lasts_as_long_as_a_slow_reader_takes_for_them() {
        const LIMIT: Duration = Duration::from_mins(1);
        let mut stall = Stall::new(LIMIT);
        let now = Instant::now();
        assert_eq!(stall.latest(now), now + LIMIT);
        stall.taken = 100 * SLOW;
        assert_eq!(stall.latest(now), now + LIMIT + Duration::from_secs(100));
        // It is used up meanwhile, and never more than some multiple of the limit.
        stall.taken = 10 * SLOW;
        let later = now + Duration::from_secs(90);
        assert_eq!(stall.latest(later), later + LIMIT + Duration::from_secs(20));
        stall.taken = u64::MAX;
        assert_eq!(stall.latest(later), later + LIMIT * (MOST + 1));
    }
}
