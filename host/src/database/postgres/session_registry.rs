//! The open sessions of all cores: the server of each, and whether that server responds.
//!
//! A session is registered when it is opened, and removed when the task that drives its connection
//! ends. A cancel request finds its server here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::cancel::CancelRequest;
use super::endpoint::Endpoint;
use super::traffic::Traffic;

#[derive(Debug, Default)]
pub(super) struct SessionRegistry {
    sessions: Mutex<HashMap<u64, OpenSession>>,
    last_number: AtomicU64,
}

#[derive(Debug)]
struct OpenSession {
    cancel: CancelRequest,
    endpoint: Arc<Endpoint>,
    traffic: Arc<Traffic>,
    /// `None` until the task that drives the connection is spawned.
    task: Option<AbortHandle>,
}

/// A session's entry. Dropping it removes the session.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Arc<SessionRegistry>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.number);
    }
}

/// The state of a session at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) number: u64,
    pub(super) endpoint: Arc<Endpoint>,
    /// How often bytes were received.
    pub(super) received: u64,
    /// Whether something was sent that the server has not answered.
    pub(super) awaits_response: bool,
}

impl SessionRegistry {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, OpenSession>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(
        self: &Arc<Self>,
        cancel: CancelRequest,
        endpoint: Arc<Endpoint>,
        traffic: Arc<Traffic>,
    ) -> Registration {
        let number = self.last_number.fetch_add(1, Relaxed);
        let session = OpenSession {
            cancel,
            endpoint,
            traffic,
            task: None,
        };
        self.lock().insert(number, session);
        Registration {
            registry: Arc::clone(self),
            number,
        }
    }

    /// Records the task that drives a session's connection, if the session is still open.
    pub(super) fn set_task(&self, number: u64, task: AbortHandle) {
        if let Some(session) = self.lock().get_mut(&number) {
            session.task = Some(task);
        }
    }

    /// The server to send a cancel request to.
    pub(super) fn endpoint(&self, cancel: &CancelRequest) -> Option<Arc<Endpoint>> {
        let sessions = self.lock();
        let found = sessions
            .values()
            .find(|session| session.cancel == *cancel)?;
        Some(Arc::clone(&found.endpoint))
    }

    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        let sessions = self.lock();
        let snapshots = sessions.iter().map(|(number, session)| Snapshot {
            number: *number,
            endpoint: Arc::clone(&session.endpoint),
            received: session.traffic.received.load(Relaxed),
            awaits_response: session.traffic.awaits_response.load(Relaxed),
        });
        snapshots.collect()
    }

    /// Closes the sessions that have received nothing since their snapshot, and returns their
    /// number. Statements that wait for a response there fail as on a lost connection.
    pub(super) fn close_unresponsive(&self, snapshots: &[Snapshot]) -> usize {
        let sessions = self.lock();
        let unresponsive = snapshots.iter().filter_map(|snapshot| {
            let session = sessions.get(&snapshot.number)?;
            let is_unresponsive = session.traffic.received.load(Relaxed) == snapshot.received;
            is_unresponsive.then_some(session.task.as_ref()?)
        });
        unresponsive.map(AbortHandle::abort).count()
    }
}

impl Registration {
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}
