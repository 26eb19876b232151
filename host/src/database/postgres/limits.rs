//! Limits that several kinds of connections share.

use std::time::Duration;

/// How often the session of a shared connection is reset.
pub(super) const RESET_INTERVAL: Duration = Duration::from_secs(1);

/// How long cleaning up a connection may take before it is closed.
pub(super) const CLEANUP_LIMIT: Duration = Duration::from_secs(2);

/// How long no further attempt to connect is made after a failed one; callers receive its error.
pub(super) const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// The most bytes that a row within the limit has beside its values: each value is preceded by its
/// length, and a row has at most 1664.
pub(super) const ROW_OVERHEAD: u64 = 8 << 10;
