//! Counts what a connection sends and receives, to find servers that stop responding.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The traffic of one connection. One task writes and others read, so the counts are approximate.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: AtomicU64,
    /// Whether bytes were sent since the last bytes were received.
    pub(super) awaits_response: AtomicBool,
}

impl Traffic {
    pub(super) fn record_sent(&self) {
        self.awaits_response.store(true, Relaxed);
    }

    pub(super) fn record_received(&self) {
        self.received
            .store(self.received.load(Relaxed).wrapping_add(1), Relaxed);
        self.awaits_response.store(false, Relaxed);
    }
}
