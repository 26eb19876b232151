//! Connections to the database in memory. Values, errors and what a statement may do are the
//! host's: see `host/src/database/sqlite`.

pub(crate) mod connection;
#[path = "../../../../../host/src/database/sqlite/control.rs"]
#[allow(
    dead_code,
    reason = "of the limits only the authorizer is used: the rest reads a clock"
)]
mod control;
#[path = "../../../../../host/src/database/sqlite/error.rs"]
#[allow(dead_code, reason = "what is about files and deadlines is not used")]
mod error;
pub(crate) mod pool;
pub(crate) mod transaction;
#[path = "../../../../../host/src/database/sqlite/values.rs"]
#[allow(dead_code, reason = "the host also compares columns")]
mod values;

/// What the host's files import for databases that are files.
mod identity {
    /// No file can be moved here.
    #[derive(Debug)]
    pub(crate) enum FileMoved {}
}

/// What the host's files import for threads, of which there is one.
mod workers {
    use std::time::Duration;

    pub(crate) const LONG: Duration = Duration::MAX;

    pub(crate) fn lower_priority() {}
}
