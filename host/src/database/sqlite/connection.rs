//! One connection to SQLite: its state, its transactions, and the host's own statements.
//!
//! A transaction that cannot be committed is rolled back. If the database file was moved, `begin`
//! fails and `commit` is in doubt, and closing the connection leaves the write-ahead log alone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, InterruptHandle};

use super::column_cache::ColumnCache;
use super::control::Control;
use super::error::{self, Failure};
use super::identity::{DatabaseFile, FileMoved};
use crate::database::types::Error;

/// A connection that has been set up.
pub(super) struct Conn {
    pub(super) sqlite: Connection,
    pub(super) control: Arc<Control>,
    pub(super) columns: ColumnCache,
    /// Set if the database is a file.
    pub(super) file: Option<Arc<DatabaseFile>>,
    /// The largest value that any statement may make, in bytes.
    pub(super) max_value: u32,
}

/// How much was changed, and whether a transaction is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnState {
    changes: u64,
    is_autocommit: bool,
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

impl Conn {
    /// Checks that the database file is still in its place.
    pub(super) fn check_file(&self) -> Result<(), FileMoved> {
        self.file.as_ref().map_or(Ok(()), DatabaseFile::check)
    }

    pub(super) fn control(&self) -> &Arc<Control> {
        &self.control
    }

    pub(super) fn interrupt_handle(&self) -> InterruptHandle {
        self.sqlite.get_interrupt_handle()
    }

    /// Runs the host's own statements, which have no limits.
    pub(super) fn as_host<T>(&self, work: impl FnOnce(&Connection) -> T) -> T {
        self.control.set_host(true);
        let done = work(&self.sqlite);
        self.control.set_host(false);
        done
    }

    fn execute_as_host(&self, text: &str) -> Result<(), Failure> {
        self.as_host(|sqlite| sqlite.execute_batch(text))
            .map_err(|error| self.resolve(error.into(), true))
    }

    /// The rows of a query of the host, each as `|one|other|`.
    #[cfg(test)]
    pub(super) fn query_as_host(&self, text: &str) -> rusqlite::Result<Vec<String>> {
        use rusqlite::types::ValueRef;
        self.as_host(|sqlite| {
            let mut prepared = sqlite.prepare(text)?;
            let columns = prepared.column_count();
            let mut rows = prepared.query([])?;
            let mut lines = Vec::new();
            while let Some(row) = rows.next()? {
                let mut line = "|".to_owned();
                for index in 0..columns {
                    line += &match row.get_ref(index)? {
                        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                        ValueRef::Integer(value) => value.to_string(),
                        other => format!("{other:?}"),
                    };
                    line.push('|');
                }
                lines.push(line);
            }
            Ok(lines)
        })
    }

    /// Begins a transaction that writes.
    pub(super) fn begin(&self) -> Result<(), Failure> {
        self.begin_by(|sqlite| sqlite.execute_batch("BEGIN IMMEDIATE"))
    }

    /// Begins a transaction that writes by this function.
    pub(super) fn begin_by(
        &self,
        begin: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), Failure> {
        self.check_file()?;
        self.as_host(begin)
            .map_err(|error| self.resolve(error.into(), true))
    }

    /// Begins a transaction that reads the current snapshot.
    pub(super) fn begin_reading(&self) -> Result<(), Failure> {
        self.execute_as_host("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1")
            .inspect_err(|_| {
                self.clean();
            })
    }

    /// Commits, or rolls back what cannot be committed.
    pub(super) fn commit(&self) -> Result<(), Failure> {
        self.commit_by(|sqlite| sqlite.execute_batch("COMMIT"))
    }

    /// Commits by this function, or rolls back what cannot be committed.
    pub(super) fn commit_by(
        &self,
        commit: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), Failure> {
        let Err(error) = self.as_host(commit) else {
            // Committed, but possibly to a file that was moved meanwhile.
            return self
                .check_file()
                .map_err(|_| Failure::Error(Error::InDoubt));
        };
        // The log may have been written, so the commit may take effect after a crash.
        let failure = if error::is_disk(&error) {
            Failure::Error(Error::InDoubt)
        } else {
            self.resolve(error.into(), true)
        };
        if !matches!(failure, Failure::Busy) {
            self.clean();
        }
        Err(failure)
    }

    /// Rolls back an open transaction. Returns whether the connection may be used again.
    pub(super) fn clean(&self) -> bool {
        // A late interruption may hit the ROLLBACK.
        for _ in 0..3 {
            if self.sqlite.is_autocommit()
                || self
                    .as_host(|sqlite| sqlite.execute_batch("ROLLBACK"))
                    .is_ok()
            {
                return true;
            }
        }
        self.sqlite.is_autocommit()
    }

    /// Compared with an earlier one, shows whether a statement had an effect.
    pub(super) fn state(&self) -> ConnState {
        ConnState {
            changes: self.sqlite.total_changes(),
            is_autocommit: self.sqlite.is_autocommit(),
        }
    }

    /// Retries until the deadline while another connection holds a lock. Blocks the thread.
    pub(super) fn retry_while_busy<T>(
        &self,
        mut work: impl FnMut(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        loop {
            match work(self) {
                Err(Failure::Busy) if !self.control.is_over() => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                done => return done,
            }
        }
    }

    /// Turns an error of SQLite into one of `usher:database`, with the violated index's name.
    pub(super) fn resolve(&self, failure: Failure, writes: bool) -> Failure {
        match failure {
            Failure::Sqlite(error) => {
                let index = self.as_host(|sqlite| error::index(sqlite, &error));
                Failure::Error(error::from_sqlite(&error, writes, index))
            }
            other => other,
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        if self.check_file().is_err() {
            // The last connection to close would write the log into a file that it may not belong
            // to, and delete the file that is now in the log's place.
            let kept = self
                .sqlite
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            if let Err(error) = kept {
                tracing::error!("the log of a file that was moved cannot be left alone: {error}");
            }
        }
    }
}
