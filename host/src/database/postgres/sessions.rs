//! The sessions that are open, from outside: on which server each is, and whether the server still
//! speaks.
//!
//! A session is entered when it has been made and leaves with the task that drives it. Who asks the
//! server to cancel a statement has only a request; here is where its session is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::cancel::Message;
use super::endpoint::Endpoint;
use super::traffic::Traffic;

/// All sessions of all cores.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<u64, Open>>,
    last: AtomicU64,
}

#[derive(Debug)]
struct Open {
    cancel: Message,
    endpoint: Arc<Endpoint>,
    traffic: Arc<Traffic>,
    /// None until its task has been started.
    task: Option<AbortHandle>,
}

/// A session's entry, for as long as this lives.
#[derive(Debug)]
pub(super) struct Entry {
    sessions: Arc<Sessions>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.number);
    }
}

/// What was seen of a session.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) number: u64,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) heard: u64,
    /// Whether something was sent that the server has not answered.
    pub(super) waits: bool,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(
        self: &Arc<Self>,
        cancel: Message,
        endpoint: Arc<Endpoint>,
        traffic: Arc<Traffic>,
    ) -> Entry {
        let number = self.last.fetch_add(1, Relaxed);
        let open = Open {
            cancel,
            endpoint,
            traffic,
            task: None,
        };
        self.lock().insert(number, open);
        Entry {
            sessions: Arc::clone(self),
            number,
        }
    }

    /// Says which task drives a session, if it is still there.
    pub(super) fn driven(&self, number: u64, task: AbortHandle) {
        if let Some(open) = self.lock().get_mut(&number) {
            open.task = Some(task);
        }
    }

    /// The server that a cancel request is for.
    pub(super) fn endpoint(&self, cancel: &Message) -> Option<Arc<Endpoint>> {
        let open = self.lock();
        let found = open.values().find(|open| open.cancel == *cancel)?;
        Some(Arc::clone(&found.endpoint))
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        let open = self.lock();
        let seen = open.iter().map(|(number, open)| Seen {
            number: *number,
            endpoint: Arc::clone(&open.endpoint),
            heard: open.traffic.heard.load(Relaxed),
            waits: open.traffic.waits.load(Relaxed),
        });
        seen.collect()
    }

    /// Closes those of these sessions that have heard nothing since they were seen. Whoever waits
    /// for an answer on one is told that it was lost.
    pub(super) fn close_silent(&self, seen: &[Seen]) -> usize {
        let open = self.lock();
        let silent = seen.iter().filter_map(|seen| {
            let open = open.get(&seen.number)?;
            let is_silent = open.traffic.heard.load(Relaxed) == seen.heard;
            is_silent.then_some(open.task.as_ref()?)
        });
        silent.map(AbortHandle::abort).count()
    }
}

impl Entry {
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}
