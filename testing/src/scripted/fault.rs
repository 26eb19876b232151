//! Why a statement has no result.

use usher::database::{Error, failure};

/// Why a statement has no result.
pub(super) enum Fault {
    /// The scripted error.
    Scripted(Error),
    /// The connection was lost before a result.
    Lost,
    /// The deadline passed before a result.
    Late,
}

/// The message of a lost connection.
const LOST: &str = "the script dropped the connection";

impl Fault {
    /// The error for the caller, where `in_doubt` is whether a lost connection is in doubt. A
    /// passed deadline is not, because an overdue statement is cancelled.
    pub(super) fn error(self, in_doubt: bool) -> Error {
        match self {
            Self::Scripted(error) => error,
            Self::Lost => failure::lost(in_doubt, LOST),
            Self::Late => Error::Timeout,
        }
    }
}
