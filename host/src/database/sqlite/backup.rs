//! Copies of a database: a temporary one for a long cursor, and one that saves a moved file.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::connection::Conn;
use super::error;
use super::identity::StandbyConnection;
use super::opening::{Location, Role, as_path};
use crate::database::config::Config;
use crate::database::types::Error;

/// Pages that are copied before the clock is read: some milliseconds.
const PAGES: i32 = 4096;

impl Conn {
    /// Copies the database into a temporary one. No connection may write meanwhile.
    pub(super) fn copy(&self, config: &Config) -> Result<Self, Error> {
        let failed = |error: rusqlite::Error| error::from_sqlite(&error, false, None);
        let mut copy = Self::open(&Location::Temporary, Role::Reader, config).map_err(failed)?;
        let is_over = || self.control.is_over();
        if back_up(&self.sqlite, &mut copy.sqlite, is_over).map_err(failed)? {
            Ok(copy)
        } else {
            Err(Error::Timeout)
        }
    }
}

impl StandbyConnection for Conn {
    fn checkpoint(&self) -> rusqlite::Result<bool> {
        self.as_host(|sqlite| {
            sqlite.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0).map(|busy| busy == 0)
            })
        })
    }

    fn copy_to(&self, path: &Path) -> rusqlite::Result<()> {
        let mut copy = Connection::open_with_flags(
            as_path(path),
            OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE,
        )?;
        back_up(&self.sqlite, &mut copy, || false).map(drop)
    }
}

/// Copies one database into another until `is_over`. Returns whether the copy is complete.
pub(super) fn back_up(
    from: &Connection,
    to: &mut Connection,
    is_over: impl Fn() -> bool,
) -> rusqlite::Result<bool> {
    let backup = Backup::new(from, to)?;
    // In steps, because SQLite does not check the deadline within one.
    loop {
        match backup.step(PAGES)? {
            StepResult::Done => return Ok(true),
            _ if is_over() => return Ok(false),
            StepResult::More => {}
            // Another connection holds a lock.
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}
