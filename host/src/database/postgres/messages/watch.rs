//! What the server reports about one session.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

/// Written by the stream, read by the session's owner.
#[derive(Debug, Default)]
pub(in crate::database::postgres) struct Watch {
    server_process: AtomicI32,
    is_sealed: AtomicBool,
    is_changed: AtomicBool,
}

impl Watch {
    /// The process id for cancel requests. A pooler reports one of its own.
    pub(in crate::database::postgres) fn server_process(&self) -> i32 {
        self.server_process.load(Relaxed)
    }

    /// From now on a reported setting marks the session as changed.
    pub(in crate::database::postgres) fn seal(&self) {
        self.is_sealed.store(true, Relaxed);
    }

    /// Whether a setting was reported since the session was sealed.
    pub(in crate::database::postgres) fn is_changed(&self) -> bool {
        self.is_changed.load(Relaxed)
    }

    pub(super) fn set_server_process(&self, process: i32) {
        self.server_process.store(process, Relaxed);
    }

    pub(super) fn record_setting(&self, name: &str) {
        if self.is_sealed.load(Relaxed) && !self.is_changed.swap(true, Relaxed) {
            tracing::warn!("a database connection is closed: its setting {name} has changed");
        }
    }
}
