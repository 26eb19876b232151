//! The end of a server that loses no request.
//!
//! First the drain is announced: everything goes on, but each response of HTTP/1 says
//! `Connection: close`, so that its client opens its next connection elsewhere (RFC 9112, 9.6).
//! Then the listeners close, and connections that wait for a request are closed. A client may send
//! one at that very moment, and HTTP/1 has no way to refuse it. So a connection is closed no
//! earlier than `GRACE` after the announcement and after it was opened, and not while a head
//! arrives. What remains is a client that sends its first request in that time just when the grace
//! ends.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How long a connection without a request stays open after the announcement, and after it was
/// opened: longer than a request is on its way.
const GRACE: Duration = Duration::from_millis(200);

/// Whether the drain has been announced. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Announcement(Arc<OnceLock<Instant>>);

impl Announcement {
    /// Announces the drain.
    pub(crate) fn announce(&self) {
        // Only the first announcement counts.
        let _ = self.0.set(Instant::now());
    }

    /// Whether the drain has been announced.
    pub(crate) fn is_made(&self) -> bool {
        self.0.get().is_some()
    }

    /// The time since the announcement.
    pub(crate) fn age(&self) -> Duration {
        self.0.get().map_or(Duration::ZERO, Instant::elapsed)
    }
}

/// Closes connections gracefully, and so does dropping it.
#[derive(Debug)]
pub struct Drain {
    announcement: Announcement,
    close: watch::Sender<bool>,
}

impl Drain {
    /// A drain that is announced together with others.
    pub(crate) fn new(announcement: Announcement) -> Self {
        Self {
            announcement,
            close: watch::Sender::new(false),
        }
    }

    /// What one connection needs.
    pub fn watcher(&self) -> Watcher {
        Watcher {
            announcement: self.announcement.clone(),
            close: self.close.subscribe(),
        }
    }

    /// Closes all connections. Returns when the last one has ended.
    pub(crate) async fn finish(&self) {
        let grace = GRACE.saturating_sub(self.announcement.age());
        let left = self.close.closed();
        if tokio::time::timeout(grace, left).await.is_err() {
            self.close.send_replace(true);
            self.close.closed().await;
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new(Announcement::default())
    }
}

/// A connection that can be told to end.
pub(super) trait Graceful {
    /// How it has ended.
    type Output;

    /// Drives the connection to its end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output>;

    /// Ends the connection after its current request. Returns `false` if it goes on, because the
    /// head of a request is arriving.
    fn shut_down(&mut self) -> bool;
}

/// Tells one connection about the drain.
#[derive(Debug)]
pub struct Watcher {
    announcement: Announcement,
    close: watch::Receiver<bool>,
}

impl Watcher {
    /// The announcement of the drain.
    pub(super) fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// Returns when connections are to be closed, and at once if it has returned before: the same
    /// connection may turn out to be one of HTTP/2.
    pub(super) async fn closing(&mut self) {
        // The sender is dropped together with what it closes.
        let _ = self.close.wait_for(|is_closing| *is_closing).await;
    }

    /// Drives a connection of HTTP/1 to its end, and closes it with the others, unless the head of
    /// a request is arriving.
    pub(super) async fn watch<C: Graceful>(&mut self, connection: &mut C) -> C::Output {
        let opened = Instant::now();
        let mut close = pin!(self.closing());
        let mut grace = None;
        let mut is_closing = false;
        poll_fn(|cx| {
            // First, so that a request which has arrived is read.
            if let Poll::Ready(output) = connection.poll(cx) {
                return Poll::Ready(output);
            }
            if is_closing || (grace.is_none() && close.as_mut().poll(cx).is_pending()) {
                return Poll::Pending;
            }
            let until = (opened + GRACE).into();
            let grace = grace.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
            if grace.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            is_closing = connection.shut_down();
            connection.poll(cx)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn close_is_seen_by_each_that_waits_for_it_on_a_connection() {
        let drain = Drain::default();
        let mut watcher = drain.watcher();
        assert!(watcher.closing().now_or_never().is_none());
        drain.close.send_replace(true);
        for _ in 0..2 {
            assert!(watcher.closing().now_or_never().is_some());
        }
        assert!(drain.watcher().closing().now_or_never().is_some());
    }
}
