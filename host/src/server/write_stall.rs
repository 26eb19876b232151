//! The limit on how long writes to a client may make no progress.
//!
//! Any progress restarts the time. The bytes written extend it at the rate of a slow reader: the
//! client's kernel buffers megabytes at once, and its program may read them for minutes before
//! there is room again (`curl --limit-rate 128k` takes 5 MB and then nothing for 41 s). A
//! connection whose writes never wait, as nearly all do, has no timer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The rate of a slow reader, in bytes a second.
const SLOW_READER: u64 = 8 << 10;

/// The most that the time can be extended, as a multiple of the limit.
const MAX_EXTENSION: u32 = 5;

/// The timer of one connection's writes.
#[derive(Debug)]
pub(crate) struct WriteStall {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the last write had to wait.
    waits: bool,
    /// Bytes written that have not extended the time yet.
    progress: u64,
    /// The end of the extension; the limit counts from then.
    extended_until: Option<Instant>,
}

impl WriteStall {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            timer: None,
            waits: false,
            progress: 0,
            extended_until: None,
        }
    }

    /// The outcome of a write, or an error if there was no progress for too long.
    pub(crate) fn check(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.waits = false;
            if let Ok(bytes) = &written {
                self.progress = self.progress.saturating_add(*bytes as u64);
            }
            return Poll::Ready(written);
        }
        if !std::mem::replace(&mut self.waits, true) {
            let next_deadline = self.next_deadline(Instant::now());
            let new = || Box::pin(tokio::time::sleep_until(next_deadline));
            let timer = self.timer.get_or_insert_with(new);
            timer.as_mut().reset(next_deadline);
        }
        let is_over = self
            .timer
            .as_mut()
            .is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if !is_over {
            return Poll::Pending;
        }
        let text = format!(
            "the client read nothing of its response within {:?}",
            self.limit
        );
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }

    /// The outcome of a flush, or an error if there was no progress for too long. TLS holds back
    /// what the system does not take, so that only a flush has to wait.
    pub(crate) fn check_flush(
        &mut self,
        cx: &mut Context<'_>,
        flushed: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        match flushed {
            Poll::Ready(flushed) if !self.waits => Poll::Ready(flushed),
            Poll::Ready(flushed) => self
                .check(cx, Poll::Ready(flushed.map(|()| 0)))
                .map_ok(|_| ()),
            Poll::Pending => self.check(cx, Poll::Pending).map_ok(|_| ()),
        }
    }

    /// The deadline for progress after a write that begins to wait now.
    fn next_deadline(&mut self, now: Instant) -> Instant {
        let most = self.limit.saturating_mul(MAX_EXTENSION);
        let more = Duration::from_secs(std::mem::take(&mut self.progress) / SLOW_READER).min(most);
        let begins = self
            .extended_until
            .map_or(now, |extended_until| extended_until.max(now));
        let extended_until = (begins + more).min(now + most);
        self.extended_until = Some(extended_until);
        extended_until + self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stall_after_progress_has_the_full_limit_again() {
        const LIMIT: Duration = Duration::from_millis(50);
        let mut stall = WriteStall::new(LIMIT);
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
    async fn stall_after_megabytes_lasts_as_long_as_a_slow_reader_needs() {
        const LIMIT: Duration = Duration::from_mins(1);
        let mut stall = WriteStall::new(LIMIT);
        let now = Instant::now();
        assert_eq!(stall.next_deadline(now), now + LIMIT);
        stall.progress = 100 * SLOW_READER;
        assert_eq!(
            stall.next_deadline(now),
            now + LIMIT + Duration::from_secs(100)
        );
        // The extension passes meanwhile, and is at most a multiple of the limit.
        stall.progress = 10 * SLOW_READER;
        let later = now + Duration::from_secs(90);
        assert_eq!(
            stall.next_deadline(later),
            later + LIMIT + Duration::from_secs(20)
        );
        stall.progress = u64::MAX;
        assert_eq!(
            stall.next_deadline(later),
            later + LIMIT * (MAX_EXTENSION + 1)
        );
    }
}
