//! A statement, and what is known of it before it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What is known of a statement's effect before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It cannot change anything.
    Reads,
    /// It calls a function that may.
    MayWrite,
    /// It is one `INSERT`, `UPDATE` or `DELETE`.
    Changes,
    /// It changes something else, or in another way.
    Writes,
}

/// On whose behalf a statement is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A request, which is anybody's.
    Request,
    /// The component's migrations, whose findings go to the operator. They may see who owns what.
    Migrations,
}

/// A statement that policy has let through.
#[derive(Debug)]
pub struct Statement {
    /// Unlike its address, no other statement's before or after it.
    pub(crate) id: u64,
    /// Its text.
    pub text: Box<str>,
    /// Whether it may change something, so that a connection lost under it leaves its outcome unknown.
    pub writes: bool,
    /// Whether it is an `INSERT`, `UPDATE` or `DELETE`, which does in a transaction what it does alone.
    pub changes: bool,
    /// How long it has taken of late, in microseconds, or zero before it has run: what is known to be slow must not stand before
    /// what is quick.
    pub(crate) micros: AtomicU32,
    /// What SQLite needed to prepare it, in bytes.
    pub(crate) prepared_bytes: AtomicU32,
}

impl Statement {
    /// A statement of this text, which does not know yet how long it takes.
    pub fn new(text: String, effect: Effect) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Relaxed),
            text: text.into_boxed_str(),
            writes: effect != Effect::Reads,
            changes: effect == Effect::Changes,
            micros: AtomicU32::new(0),
            prepared_bytes: AtomicU32::new(0),
        })
    }

    /// Whether it has of late taken longer than so many microseconds.
    pub(crate) fn is_slower_than(&self, micros: u32) -> bool {
        self.micros.load(Relaxed) > micros
    }

    /// Takes one more run into account.
    pub(crate) fn took(&self, time: Duration) {
        let now = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let before = self.micros.load(Relaxed);
        // A moving average over about four runs, so that one bad moment is forgotten soon.
        // Never zero again, which says that it has not run yet.
        let average = (before / 4).saturating_mul(3).saturating_add(now / 4);
        self.micros.store(average.max(1), Relaxed);
    }
}
