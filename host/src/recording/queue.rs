//! Requests to be recorded, on the way from their cores to the recorder's thread.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::format::Sent;
use crate::database::tape::TapeContents;
use crate::options::show_size;
use crate::sandbox::Runtime;
use crate::telemetry::log::{LINES, LineLimit};

/// A request and what became of it.
#[derive(Debug)]
pub(super) struct Job {
    /// The component that was called.
    pub(super) runtime: Arc<Runtime>,
    pub(super) id: String,
    pub(super) time: SystemTime,
    pub(super) sent: Sent,
    pub(super) taped: TapeContents,
    pub(super) ended: Ended,
    pub(super) took: Duration,
}

impl Job {
    fn bytes(&self) -> usize {
        self.sent.body.len() + self.taped.bytes
    }
}

/// How a request ended.
#[derive(Debug)]
pub(super) enum Ended {
    Answered(Answered),
    /// The component failed.
    Failed,
    /// In a way that says nothing of the component. The text says how.
    Spoiled(String),
}

/// The response, as far as the second run is compared with it.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    /// The header fields, in the order of their names.
    pub(super) headers: Vec<(String, String)>,
    /// The length of the body, unless it was not read.
    pub(super) length: Option<usize>,
    /// The body, unless it was streamed.
    pub(super) body: Option<Bytes>,
}

/// How many requests wait for the recorder's thread at most.
const WAITING: usize = 1000;

/// How many times the bytes of one recording all of them together have at most.
const WAITING_SIZE: usize = 16;

/// How often the thread looks for requests. It is not woken, which would cost a core more than to
/// leave a request here.
const PAUSE: Duration = Duration::from_millis(20);

/// The requests that wait for the recorder's thread, and what the cores need to know of it.
#[derive(Debug)]
pub(super) struct Queue {
    /// Of how many requests one is recorded.
    pub(super) one_in: NonZeroU32,
    /// The most bytes of one recording.
    pub(super) limit: usize,
    has_stopped: AtomicBool,
    state: Mutex<State>,
    closing: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    bytes: usize,
    is_closing: bool,
}

impl Queue {
    pub(super) fn new(one_in: NonZeroU32, limit: usize) -> Self {
        Self {
            one_in,
            limit,
            has_stopped: AtomicBool::new(false),
            state: Mutex::default(),
            closing: Condvar::new(),
        }
    }

    /// No panic leaves the state half changed, so a poisoned lock is usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a request here, if there is room for it.
    pub(super) fn push(&self, job: Job) {
        static LOST: LineLimit = LineLimit::new(LINES);
        let mut state = self.state();
        let bytes = state.bytes + job.bytes();
        if state.jobs.len() < WAITING && bytes <= self.limit * WAITING_SIZE {
            state.bytes = bytes;
            state.jobs.push_back(job);
            return;
        }
        drop(state);
        if let Some(line) = LOST.line() {
            tracing::warn!(
                "a request was not recorded, because the recorder is behind: raise \
                 --record-one-in{line}"
            );
        }
    }

    /// Whether nothing is recorded any more.
    pub(super) fn has_stopped(&self) -> bool {
        self.has_stopped.load(Relaxed)
    }

    /// Nothing is recorded any more.
    pub(super) fn stop(&self) {
        self.has_stopped.store(true, Relaxed);
        let mut state = self.state();
        state.jobs.clear();
        state.bytes = 0;
    }

    /// Ends the wait of the thread.
    pub(super) fn close(&self) {
        self.state().is_closing = true;
        self.closing.notify_all();
    }

    /// Waits for the next request. None if there is no more to come.
    pub(super) fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.bytes = state.bytes.saturating_sub(job.bytes());
                return Some(job);
            }
            if state.is_closing {
                return None;
            }
            let waited = self.closing.wait_timeout(state, PAUSE);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Why a recording that would be too large is none.
pub(super) fn too_large(limit: usize) -> String {
    let limit = show_size(limit as u64);
    format!("it would be larger than {limit} (--record-max-file)")
}
