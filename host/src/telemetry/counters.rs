//! Counters of requests, connections and instances.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::StatusCode;

/// The reasons by which failed calls of the component are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailedCall {
    /// No permit or memory was available in time.
    Busy,
    /// The call exceeded its deadline or processor time.
    Deadline,
    /// The component failed.
    Trap,
}

/// Counters of one core. Only that core writes them, so there is no contention.
#[derive(Debug, Default)]
pub struct Counters {
    /// Responses by the first digit of their status, from 1 to 5.
    responses: [AtomicU64; 5],
    traps: AtomicU64,
    deadlines: AtomicU64,
    busy: AtomicU64,
    instances: AtomicU64,
    connections: AtomicU64,
}

impl Counters {
    pub(crate) fn responded(&self, status: StatusCode) {
        if let Some(counter) = self
            .responses
            .get(usize::from(status.as_u16() / 100).wrapping_sub(1))
        {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn failed(&self, kind: FailedCall) {
        let counter = match kind {
            FailedCall::Busy => &self.busy,
            FailedCall::Deadline => &self.deadlines,
            FailedCall::Trap => &self.traps,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn instantiated(&self) {
        self.instances.fetch_add(1, Relaxed);
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }
}

/// The sums of several cores' counters.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Responses by the first digit of their status, from 1 to 5.
    pub(crate) responses: [u64; 5],
    pub(crate) traps: u64,
    pub(crate) deadlines: u64,
    pub(crate) busy: u64,
    pub(crate) instances: u64,
    pub(crate) connections: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, core: &Counters) {
        for (sum, counter) in self.responses.iter_mut().zip(&core.responses) {
            *sum += counter.load(Relaxed);
        }
        self.traps += core.traps.load(Relaxed);
        self.deadlines += core.deadlines.load(Relaxed);
        self.busy += core.busy.load(Relaxed);
        self.instances += core.instances.load(Relaxed);
        self.connections += core.connections.load(Relaxed);
    }
}
