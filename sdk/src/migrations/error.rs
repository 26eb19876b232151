//! Why migrations failed, and the migration that an error names.

use super::steps::Step;

/// One step of the schema's history, as errors and results name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its position in the history, from 1 without gaps.
    pub version: u32,
    /// What it does.
    pub name: String,
}

impl Migration {
    /// The step at this index of the history.
    pub(super) fn of(step: &Step, index: usize) -> Self {
        Self {
            version: version(index),
            name: step.name.to_owned(),
        }
    }
}

/// The version of the step at this index.
pub(super) fn version(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

/// Why the schema could not be migrated. Earlier migrations keep their effect; a failed one has
/// none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// This migration failed; the text says why.
    Failed(Migration, String),
    /// This migration was applied with another text than this component has.
    Changed(Migration),
    /// The database records this migration, and this component does not have it.
    Unknown(Migration),
    /// The database could not be used; the text says why.
    Unavailable(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (migration, what) = match self {
            Self::Failed(migration, why) => (migration, why.as_str()),
            Self::Changed(migration) => (
                migration,
                "it was applied to this database with other contents",
            ),
            Self::Unknown(migration) => (
                migration,
                "the database has seen it, and this component does not know it: \
                serve a newer component",
            ),
            Self::Unavailable(why) => return f.write_str(why),
        };
        write!(
            f,
            "migration {} ({}): {what}",
            migration.version, migration.name
        )
    }
}

impl std::error::Error for Error {}
