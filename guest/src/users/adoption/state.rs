//! What an inspection depends on, and words of its findings.

use usher_sdk::migrations::Progress;

/// Which migrations were applied before, and whether advice is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The table is the service's own, or was adopted.
    pub(super) adopted: bool,
    /// A trigger increments the version of a user that another program changes.
    pub(super) versioned: bool,
    /// Advice is requested, even where it takes a scan of the table.
    pub(super) advised: bool,
}

impl From<Progress> for State {
    fn from(Progress { applied, advised }: Progress) -> Self {
        Self {
            adopted: applied > 0,
            versioned: applied > 1,
            advised,
        }
    }
}

/// `1 user`, `2 users`.
pub(super) fn users(count: i64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} user{plural}")
}
