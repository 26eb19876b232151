//! Copies of a database in memory, which hold its contents at one moment.
//!
//! The writer is leased meanwhile, so that no transaction is open: a snapshot has all of one or
//! nothing. SQLite's backup raises the schema's version, so other connections prepare their
//! statements anew.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rusqlite::{Connection, OpenFlags};

use super::backup::back_up;
use super::database::Database;
use super::error;
use super::lease::Lease;
use crate::database::backend::Snapshot;
use crate::database::budget::Budget;
use crate::database::failure;
use crate::database::types::Error;

/// A private database in memory that nothing writes to.
#[derive(Debug)]
struct Contents(Mutex<Connection>);

impl Database {
    /// Copies the contents as they are now.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Error> {
        let writer = self.only_writer().await?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut copy = Connection::open_in_memory_with_flags(flags).map_err(failed)?;
        back_up(&writer.conn()?.sqlite, &mut copy, || false).map_err(failed)?;
        Ok(Snapshot::new(Contents(Mutex::new(copy))))
    }

    /// Replaces the contents by those of a snapshot.
    pub(crate) async fn restore(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let contents = snapshot
            .contents::<Contents>()
            .ok_or_else(|| failure::invalid("the snapshot is of another kind of database"))?;
        let mut writer = self.only_writer().await?;
        let contents = contents.0.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = writer.conn_mut()?;
        back_up(&contents, &mut writer.sqlite, || false).map_err(failed)?;
        Ok(())
    }

    /// Leases the writer of a database in memory, which excludes readers too.
    async fn only_writer(&self) -> Result<Lease, Error> {
        let shared = &self.shared;
        if !shared.location.is_memory() {
            return Err(failure::invalid("the database is a file: copy the file"));
        }
        let now = Instant::now();
        let budget = Budget::new(now, now + shared.config.pool_wait, u64::MAX);
        shared.writer(&budget).await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` passes it")]
fn failed(error: rusqlite::Error) -> Error {
    error::from_sqlite(&error, false, None)
}
