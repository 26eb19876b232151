//! What went over a session's stream, for whoever asks whether its server still speaks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What went over one session's stream. The task that drives it writes, others read, so nothing here
/// is exact.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) heard: AtomicU64,
    /// Whether something was sent since the server was last heard.
    pub(super) waits: AtomicBool,
}

impl Traffic {
    pub(super) fn sent(&self) {
        self.waits.store(true, Relaxed);
    }

    pub(super) fn heard(&self) {
        self.heard
            .store(self.heard.load(Relaxed).wrapping_add(1), Relaxed);
        self.waits.store(false, Relaxed);
    }
}
