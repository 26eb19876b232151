//! The database of a test application.

use std::fmt;

use usher::database::Database;
use usher::database::backend::Snapshot;

use crate::janitor::Scratch;
use crate::postgres;
use crate::scripted::Script;

/// The database that an application runs on. Everything that a test makes is gone after it.
#[derive(Clone, Debug, Default)]
pub enum TestDatabase {
    /// A new SQLite database in memory.
    #[default]
    Memory,
    /// A new SQLite database in a temporary file.
    File,
    /// A new database on the PostgreSQL server of [`postgres::Postgres::start`], copied from one
    /// that the component has migrated.
    Postgres,
    /// The database at this URL, as `--database` takes it.
    Url(String),
    /// A database in memory with the contents of a snapshot.
    Snapshot(Snapshot),
    /// A script, which is not migrated.
    Scripted(Script),
    /// A database that is already open.
    Open(Database),
}

impl From<&str> for TestDatabase {
    fn from(url: &str) -> Self {
        Self::from(url.to_owned())
    }
}

impl From<String> for TestDatabase {
    fn from(url: String) -> Self {
        if url == "memory:" {
            Self::Memory
        } else {
            Self::Url(url)
        }
    }
}

impl From<&Snapshot> for TestDatabase {
    fn from(snapshot: &Snapshot) -> Self {
        Self::Snapshot(snapshot.clone())
    }
}

impl From<&Script> for TestDatabase {
    fn from(script: &Script) -> Self {
        Self::Scripted(script.clone())
    }
}

impl From<Database> for TestDatabase {
    fn from(database: Database) -> Self {
        Self::Open(database)
    }
}

/// What is removed after a test.
pub(crate) enum Owned {
    Nothing,
    File { _scratch: Scratch },
    Postgres(postgres::Database),
}

impl fmt::Debug for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::File { .. } => "File",
            Self::Postgres(_) => "Postgres",
        })
    }
}
