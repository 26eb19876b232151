//! Why a statement has no result.

use usher::database::{Error, failure};

/// Why a statement has no result.
pub(super) enum Fault {
    /// This was the answer.
    Said(Error),
    /// The connection was lost before one came.
    Lost,
    /// The deadline passed before one came.
    Late,
}

/// What a lost connection reads like.
const LOST: &str = "the script dropped the connection";

impl Fault {
    /// What it is to the caller, where `doubtful` says whether a lost connection leaves doubt. A deadline leaves none: what is
    /// late is cancelled.
    pub(super) fn error(self, doubtful: bool) -> Error {
        match self {
            Self::Said(error) => error,
            Self::Lost => failure::lost(doubtful, LOST),
            Self::Late => Error::Timeout,
        }
    }
}
