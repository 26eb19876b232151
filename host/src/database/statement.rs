//! A checked statement: its text, its possible effect, and how long it usually takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::packed;

/// The effect that a statement may have, as its text shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It cannot change anything.
    Reads,
    /// It calls a function that may change something.
    MayWrite,
    /// It is one `INSERT`, `UPDATE` or `DELETE`.
    Changes,
    /// It changes something else, or in another way.
    Writes,
}

/// The caller of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A request, which any client may send.
    Request,
    /// The component's migrations, which report to the operator. They may read who owns what.
    Migrations,
}

/// A statement that passed policy.
#[derive(Debug)]
pub struct Statement {
    /// Unique in this process. An address is not, because it is reused.
    pub(crate) id: u64,
    /// Its SQL.
    pub text: Box<str>,
    /// Whether it may change something, so that its outcome is unknown if the connection is lost.
    pub writes: bool,
    /// Whether it is an `INSERT`, `UPDATE` or `DELETE`, which has the same effect in a transaction.
    pub changes: bool,
    /// Whether it asks for packed rows.
    pub(super) is_packed: bool,
    /// The moving average of its duration, in microseconds; zero before it has run. Short
    /// statements are not queued behind slow ones.
    pub(crate) micros: AtomicU32,
    /// The size of the statement that SQLite prepared, in bytes.
    pub(crate) prepared_bytes: AtomicU32,
}

impl Statement {
    /// A statement of this text that has not run yet.
    pub fn new(text: String, effect: Effect) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Relaxed),
            is_packed: packed::is_asked(&text),
            text: text.into_boxed_str(),
            writes: effect != Effect::Reads,
            changes: effect == Effect::Changes,
            micros: AtomicU32::new(0),
            prepared_bytes: AtomicU32::new(0),
        })
    }

    /// Whether it usually takes longer than this many microseconds.
    pub(crate) fn is_slower_than(&self, micros: u32) -> bool {
        self.micros.load(Relaxed) > micros
    }

    /// Adds a run to the average.
    pub(crate) fn took(&self, time: Duration) {
        let now = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let before = self.micros.load(Relaxed);
        // About the last four runs count, so that one slow run is forgotten soon. Zero would mean
        // that it has not run yet.
        let average = (before / 4).saturating_mul(3).saturating_add(now / 4);
        self.micros.store(average.max(1), Relaxed);
    }
}
