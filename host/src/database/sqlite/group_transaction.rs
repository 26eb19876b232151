//! The transaction of one group: `BEGIN`, the statements of many requests, `COMMIT`.
//!
//! Each statement runs in a savepoint, so that one that fails is undone without its neighbours.
//! SQLite itself rolls back the whole transaction for some errors, such as an interruption or a
//! full disk; the outcome then says which statement was the cause.

use rusqlite::{Connection, Statement, ffi};

use super::connection::Conn;
use super::error::Failure;
use crate::database::failure;
use crate::database::types::Error;

/// The outcome of a group.
#[derive(Debug)]
pub(super) enum GroupOutcome<T> {
    /// Each write has its own result. One without a result had no effect and has to run alone.
    Known(Vec<Option<Result<T, Error>>>),
    /// No write had an effect. The one at this index is the cause, if one is.
    RolledBack(Option<usize>),
}

/// The outcome of one statement.
enum StatementOutcome<T> {
    Done(Result<T, Error>),
    /// It was undone, and has to run alone.
    Undone,
    /// SQLite rolled back the group.
    RolledBack,
}

/// The host's statements around those of a group, prepared once for many groups.
///
/// They are not in the connection's cache, in which a statement of the component with the same text
/// would be found without being authorized.
pub(super) struct GroupCommands<'c> {
    begin: Statement<'c>,
    savepoint: Statement<'c>,
    release: Statement<'c>,
    roll_back: Statement<'c>,
    commit: Statement<'c>,
}

impl<'c> GroupCommands<'c> {
    pub(super) fn prepare(conn: &'c Conn) -> rusqlite::Result<Self> {
        conn.as_host(|_| {
            let prepare = |text| conn.sqlite.prepare(text);
            Ok(Self {
                begin: prepare("BEGIN IMMEDIATE")?,
                savepoint: prepare("SAVEPOINT write")?,
                release: prepare("RELEASE write")?,
                roll_back: prepare("ROLLBACK TO write")?,
                commit: prepare("COMMIT")?,
            })
        })
    }

    /// Begins a transaction that writes.
    pub(super) fn begin(&mut self, conn: &Conn) -> Result<(), Failure> {
        conn.begin_by(|_| self.begin.execute([]).map(drop))
    }

    /// Runs writes in the open transaction and commits it.
    pub(super) fn commit<W, T>(
        &mut self,
        conn: &Conn,
        writes: &[W],
        mut run: impl FnMut(&W) -> Result<T, Failure>,
    ) -> GroupOutcome<T> {
        let mut results = Vec::with_capacity(writes.len());
        for (index, write) in writes.iter().enumerate() {
            match self.run(conn, || run(write)) {
                StatementOutcome::Done(result) => results.push(Some(result)),
                StatementOutcome::Undone => results.push(None),
                StatementOutcome::RolledBack => return GroupOutcome::RolledBack(Some(index)),
            }
        }
        match conn.commit_by(|_| self.commit.execute([]).map(drop)) {
            Ok(()) => GroupOutcome::Known(results),
            Err(Failure::Error(Error::InDoubt)) => {
                GroupOutcome::Known(results.into_iter().map(unknown).collect())
            }
            Err(_) => GroupOutcome::RolledBack(None),
        }
    }

    /// Runs a statement in a savepoint.
    fn run<T>(
        &mut self,
        conn: &Conn,
        run: impl FnOnce() -> Result<T, Failure>,
    ) -> StatementOutcome<T> {
        if conn.as_host(|_| self.savepoint.execute([])).is_err() {
            return StatementOutcome::RolledBack;
        }
        let executed = run();
        if conn.sqlite.is_autocommit() {
            return StatementOutcome::RolledBack;
        }
        // Alone, its COMMIT would be refused, which a neighbour must neither suffer nor prevent.
        let is_incomplete = executed.is_ok() && has_deferred_violation(&conn.sqlite);
        let is_undone = is_incomplete || executed.is_err();
        let ended = conn.as_host(|_| {
            if is_undone {
                self.roll_back.execute([])?;
            }
            self.release.execute([])
        });
        if ended.is_err() {
            return StatementOutcome::RolledBack;
        }
        match executed {
            Ok(_) if is_incomplete => StatementOutcome::Undone,
            // It may be given more time alone.
            Err(Failure::Interrupted) => StatementOutcome::Undone,
            executed => StatementOutcome::Done(
                executed.map_err(|failure| failure.outside_transaction(true)),
            ),
        }
    }
}

/// The result of a write whose group may be committed or not.
fn unknown<T>(result: Option<Result<T, Error>>) -> Option<Result<T, Error>> {
    match result? {
        Ok(_) => Some(Err(Error::InDoubt)),
        // It had no effect, but the cause may be a neighbour that is not stored.
        Err(_) => Some(Err(failure::unavailable(
            "the transaction of the statement was not committed",
        ))),
    }
}

/// Whether a deferred foreign key of the open transaction is violated.
#[expect(
    unsafe_code,
    reason = "rusqlite has no function for it; see the safety argument inside"
)]
fn has_deferred_violation(sqlite: &Connection) -> bool {
    let (mut current, mut highest) = (0, 0);
    // SAFETY: the handle belongs to an open connection, which this thread uses alone, and SQLite
    // only writes the two integers.
    let code = unsafe {
        ffi::sqlite3_db_status(
            sqlite.handle(),
            ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
            &raw mut current,
            &raw mut highest,
            0,
        )
    };
    code == ffi::SQLITE_OK && current != 0
}
