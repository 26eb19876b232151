//! What the service and the connection I/O tell each other about the current request.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};

use http::Version;

use super::drain::Announcement;

/// The state of one connection of HTTP/1. The service writes it, [`super::connection_io`] reads it.
/// Both run on one thread.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    /// A [`Progress`].
    progress: AtomicU8,
    /// A close-delimited response (HTTP/1.0, RFC 9112, 6.3) has begun. It looks complete after any
    /// orderly close, so an incomplete one must end with a reset.
    is_close_delimited: AtomicBool,
    /// A response has begun before all of its request was read.
    has_unread_request: AtomicBool,
    /// Something that hyper has given out waits for room in the socket.
    has_unsent: AtomicBool,
    /// The connection is being closed.
    is_closing: AtomicBool,
    /// The requests so far.
    requests: AtomicU32,
    /// After so many requests the connection ends.
    max_requests: Option<NonZeroU32>,
    drain: Announcement,
}

/// How far the current request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Progress {
    /// There is none, or its head is being read, or its response is complete.
    Idle,
    /// Its body is being read.
    Reading,
    /// It has been read, and its response has not begun.
    Waiting,
    /// As [`Waiting`](Self::Waiting), of a client that speaks HTTP/1.0.
    WaitingHttp10,
    /// Its response has begun and is not complete.
    Streaming,
}

impl ConnectionState {
    /// The state of a connection that ends with this drain, or after so many requests.
    pub(super) fn new(drain: Announcement, max_requests: Option<NonZeroU32>) -> Self {
        Self {
            max_requests,
            drain,
            ..Self::default()
        }
    }

    /// Records whether something waits for room in the socket.
    pub(super) fn unsent(&self, has_unsent: bool) {
        self.has_unsent.store(has_unsent, Relaxed);
    }

    /// Records that no further request is read.
    pub(super) fn closing(&self) {
        self.is_closing.store(true, Relaxed);
    }

    /// Whether the connection waits for a request, of which at most a part of the head has arrived,
    /// and every response has been sent.
    pub(super) fn is_idle(&self) -> bool {
        self.progress() == Progress::Idle
            && !self.has_unsent.load(Relaxed)
            && !self.is_closing.load(Relaxed)
    }

    /// Whether there has been a request.
    pub(super) fn has_had_request(&self) -> bool {
        self.requests.load(Relaxed) > 0
    }

    /// Whether the client should send no further request on this connection.
    pub(super) fn is_ending(&self) -> bool {
        let is_worn = |most: NonZeroU32| self.requests.load(Relaxed) >= most.get();
        self.drain.is_made() || self.max_requests.is_some_and(is_worn)
    }

    /// Records that a request's head has been read, and a body follows.
    pub(super) fn body_follows(&self) {
        self.set(Progress::Reading);
    }

    /// Records that a request has been read completely.
    pub(super) fn request_read(&self, version: Version) {
        self.requests.fetch_add(1, Relaxed);
        self.set(if version < Version::HTTP_11 {
            Progress::WaitingHttp10
        } else {
            Progress::Waiting
        });
    }

    /// Records that a response begins that is complete at once.
    pub(super) fn response_complete(&self) {
        self.set(Progress::Idle);
    }

    /// Records that a response begins that is incomplete until the result is dropped.
    pub(super) fn response_streams(self: Arc<Self>, version: Version) -> Streamed {
        if version < Version::HTTP_11 {
            self.is_close_delimited.store(true, Relaxed);
        }
        self.set(Progress::Streaming);
        Streamed(self)
    }

    /// Records that a response begins before all of its request was read.
    pub(super) fn request_left_unread(&self) {
        self.has_unread_request.store(true, Relaxed);
    }

    fn set(&self, progress: Progress) {
        self.progress.store(progress as u8, Relaxed);
    }

    pub(super) fn progress(&self) -> Progress {
        match self.progress.load(Relaxed) {
            1 => Progress::Reading,
            2 => Progress::Waiting,
            3 => Progress::WaitingHttp10,
            4 => Progress::Streaming,
            _ => Progress::Idle,
        }
    }

    pub(super) fn is_close_delimited(&self) -> bool {
        self.is_close_delimited.load(Relaxed)
    }

    pub(super) fn has_unread_request(&self) -> bool {
        self.has_unread_request.load(Relaxed)
    }
}

/// Marks a response as incomplete until it is dropped.
#[derive(Debug)]
pub(super) struct Streamed(Arc<ConnectionState>);

impl Drop for Streamed {
    fn drop(&mut self) {
        self.0.response_complete();
    }
}
