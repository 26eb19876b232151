//! What one core counts of its requests, connections and instances.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::StatusCode;

/// Why a call of the component gave no answer, as far as counting goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailedCall {
    /// There was no room for it.
    Busy,
    /// It used more time than it had.
    Deadline,
    /// The component failed.
    Trap,
}

/// Counters of one core. They are written by that core alone, so counting contends with nothing.
#[derive(Debug, Default)]
pub struct Counters {
    /// Answers by the first digit of their status, from 1 to 5.
    answers: [AtomicU64; 5],
    traps: AtomicU64,
    deadlines: AtomicU64,
    busy: AtomicU64,
    instances: AtomicU64,
    connections: AtomicU64,
}

impl Counters {
    pub(crate) fn answered(&self, status: StatusCode) {
        if let Some(counter) = self
            .answers
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

/// What several cores have counted, together.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Answers by the first digit of their status, from 1 to 5.
    pub(crate) answers: [u64; 5],
    pub(crate) traps: u64,
    pub(crate) deadlines: u64,
    pub(crate) busy: u64,
    pub(crate) instances: u64,
    pub(crate) connections: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, core: &Counters) {
        for (sum, counter) in self.answers.iter_mut().zip(&core.answers) {
            *sum += counter.load(Relaxed);
        }
        self.traps += core.traps.load(Relaxed);
        self.deadlines += core.deadlines.load(Relaxed);
        self.busy += core.busy.load(Relaxed);
        self.instances += core.instances.load(Relaxed);
        self.connections += core.connections.load(Relaxed);
    }
}
