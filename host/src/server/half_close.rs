//! A client that has closed its sending side while its request is answered.
//!
//! TCP shows a client that waits for its response and one that is gone in the same way, until
//! something is sent to it: the system of a client that is gone answers with a reset. So the end of
//! input is withheld for [`GRACE`], in which nearly every response is complete. After that the host
//! sends `100 Continue`, which every client of HTTP/1.1 has to accept at any time (RFC 9110, 15.2),
//! and looks for the reset. A client of HTTP/1.0 counts as gone. A response that has begun is a
//! probe itself as long as it goes on; if nothing of it is written for [`SILENCE`], the client
//! counts as gone too.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::transport::Transport;

/// How long a response may take before the client is probed.
const GRACE: Duration = Duration::from_millis(200);

/// How long a response that has begun may pause.
const SILENCE: Duration = Duration::from_secs(2);

/// When a reset is first looked for after the probe. The time between two looks doubles.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// The most time between two looks.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// The interim response that shows whether the client is there.
pub(super) const PROBE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The wait for the response to a half-closed client.
#[derive(Debug)]
pub(super) struct HalfClosed {
    timer: Pin<Box<Sleep>>,
    /// The time until the next look, once the probe is sent.
    next_look: Option<Duration>,
    /// Whether the body's reader has had the time to take what has arrived.
    has_yielded: bool,
    /// Whether the timer is that of a response that has begun.
    is_streaming: bool,
    /// Whether something was written since the timer was set.
    has_written: bool,
}

impl HalfClosed {
    pub(super) fn new() -> Self {
        Self {
            timer: Box::pin(tokio::time::sleep(GRACE)),
            next_look: None,
            has_yielded: false,
            is_streaming: false,
            has_written: false,
        }
    }

    /// Records a write.
    pub(super) fn wrote(&mut self) {
        self.has_written = true;
    }

    /// Ready if nothing of a response that has begun was written for some time.
    pub(super) fn poll_silent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_streaming {
            self.is_streaming = true;
            self.timer.as_mut().reset(Instant::now() + SILENCE);
        }
        ready!(self.timer.as_mut().poll(cx));
        while std::mem::take(&mut self.has_written) {
            self.timer.as_mut().reset(Instant::now() + SILENCE);
            ready!(self.timer.as_mut().poll(cx));
        }
        Poll::Ready(())
    }

    /// Ready if a body that is still being read is incomplete. What has arrived of it is taken only
    /// after the end of input was seen, so the first call lets its reader run.
    pub(super) fn poll_incomplete(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready when the probe is to be sent, once.
    pub(super) fn poll_grace(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.next_look.is_some() {
            return Poll::Pending;
        }
        self.timer.as_mut().poll(cx)
    }

    /// Records that the probe was sent.
    pub(super) fn probed(&mut self) {
        self.look_after(FIRST_LOOK);
    }

    fn look_after(&mut self, time: Duration) {
        self.timer.as_mut().reset(Instant::now() + time);
        self.next_look = Some(time.saturating_mul(2).min(LAST_LOOK));
    }

    /// Ready with the error of a client that is gone.
    pub(super) fn poll_gone<I: Transport>(
        &mut self,
        io: &I,
        cx: &mut Context<'_>,
    ) -> Poll<io::Error> {
        while let Some(time) = self.next_look {
            ready!(self.timer.as_mut().poll(cx));
            if let Some(error) = io.take_error() {
                return Poll::Ready(error);
            }
            self.look_after(time);
        }
        Poll::Pending
    }
}
