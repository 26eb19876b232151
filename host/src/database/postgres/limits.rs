//! Limits that several kinds of connections share.

use std::time::Duration;

/// How long what a statement has changed in the session of a shared connection may last.
pub(super) const CLEAN: Duration = Duration::from_secs(1);

/// For a connection in doubt to be made clean, before it is closed.
pub(super) const CLEANING: Duration = Duration::from_secs(2);

/// After a connection failed, for how long nobody tries again: callers are told at once meanwhile.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// What a row that is just within the limit may have around its values: each has a length before
/// it, and there are at most 1664.
pub(super) const FRAMING: u64 = 8 << 10;
