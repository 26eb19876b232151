//! What a connection is held to while a statement runs: its time, and what it may do.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// What a running statement is held to; its progress handler looks here.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// In nanoseconds since [`START`].
    until: AtomicU64,
    /// The number of the run at hand, and the highest number of one that nobody waits for any more. So a stop that comes late
    /// stops nobody else's run.
    run: AtomicU64,
    stopped: AtomicU64,
    /// The host itself speaks: no limit, and it may say BEGIN and COMMIT.
    host: AtomicBool,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn nanos(moment: Instant) -> u64 {
    u64::try_from(moment.saturating_duration_since(*START).as_nanos()).unwrap_or(u64::MAX)
}

impl Control {
    /// Begins a run, and gives its number.
    pub(super) fn arm(&self, until: Instant) -> u64 {
        self.until.store(nanos(until), Relaxed);
        self.run.fetch_add(1, Relaxed) + 1
    }

    /// Ends a run that nobody waits for any more.
    pub(super) fn stop(&self, run: u64) {
        self.stopped.fetch_max(run, Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.stopped.load(Relaxed) >= self.run.load(Relaxed)
            || nanos(Instant::now()) >= self.until.load(Relaxed)
    }

    /// What the progress handler is asked.
    pub(super) fn must_stop(&self) -> bool {
        !self.host.load(Relaxed) && self.is_over()
    }

    /// From here on the host speaks, or a guest again.
    pub(super) fn host_speaks(&self, speaks: bool) {
        self.host.store(speaks, Relaxed);
    }

    /// The second line behind policy: whatever it may have overlooked, this no statement of a guest does.
    pub(super) fn authorize(&self, context: AuthContext<'_>) -> Authorization {
        let denied = matches!(
            context.action,
            AuthAction::Attach { .. }
                | AuthAction::Detach { .. }
                | AuthAction::Pragma { .. }
                | AuthAction::Transaction { .. }
                | AuthAction::Savepoint { .. }
                | AuthAction::CreateVtable { .. }
                | AuthAction::DropVtable { .. }
                | AuthAction::CreateTempTable { .. }
                | AuthAction::CreateTempIndex { .. }
                | AuthAction::CreateTempTrigger { .. }
                | AuthAction::CreateTempView { .. }
                | AuthAction::Function {
                    function_name: "load_extension" | "fts3_tokenizer"
                }
                | AuthAction::Unknown { .. }
        );
        if denied && !self.host.load(Relaxed) {
            Authorization::Deny
        } else {
            Authorization::Allow
        }
    }
}
