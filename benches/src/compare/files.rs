//! The files of the servers, such as an SQLite file for each.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::Error;
use crate::native::SQLITE_SCHEMA;

/// A directory that is removed when dropped.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Makes one for temporary files. `TMPDIR` says on which disk.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn make(name: &str) -> std::io::Result<Self> {
        let name = format!("usher-bench-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path of an SQLite file, by its number.
    pub fn file(&self, number: usize) -> PathBuf {
        self.path(&format!("users-{number}.db"))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} is left behind: {error}", self.0.display());
        }
    }
}

/// Removes all users from a file, which a server may have open.
///
/// # Errors
/// If SQLite refuses.
pub fn clear(path: &Path) -> Result<(), Error> {
    let connection = Connection::open(path)?;
    connection.execute_batch(SQLITE_SCHEMA)?;
    connection.execute_batch("DELETE FROM users")?;
    Ok(())
}
