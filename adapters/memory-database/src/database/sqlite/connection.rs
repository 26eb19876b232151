//! One connection to the database in memory, and the run of one statement on it.
//!
//! A statement that returns an error had no effect.

use std::cell::Cell;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::hooks::AuthContext;
use rusqlite::limits::Limit;
use rusqlite::{CachedStatement, OpenFlags};

use super::control::Control;
use super::error::{self, Failure};
use super::values::{self, Columns};
use crate::database::budget::Meter;
use crate::database::collector::Collector;
use crate::database::config::{MAX_ROWS_BYTES, MAX_STATEMENT_BYTES};
use crate::database::failure;
use crate::database::types::{Row, Rows, Value};

/// The file that all connections open, in the file system that `sqlite-wasm-rs` keeps in memory.
const FILE: &str = "memory.db";

/// Prepared statements that a connection caches.
const PREPARED: usize = 256;

/// SQLite's code for an EXPLAIN that shows the program and not only the plan.
const EXPLAIN: i32 = 1;

/// A connection that has been set up.
#[derive(Debug)]
pub(super) struct Connection {
    sqlite: rusqlite::Connection,
    control: Arc<Control>,
    /// The open transaction may not write.
    is_read_only: Cell<bool>,
}

/// How much was changed, and whether a transaction is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    changes: u64,
    is_autocommit: bool,
}

/// The result of a statement, with the bytes of each row besides its slots.
#[derive(Debug, Default)]
pub(crate) struct Executed {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<(Row, usize)>,
    pub(crate) affected: u64,
}

impl Executed {
    pub(crate) fn into_rows(self) -> Rows {
        Rows {
            columns: self.columns,
            rows: self.rows.into_iter().map(|(row, _)| row).collect(),
        }
    }
}

/// What is read of a statement's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// As many as one result may have.
    Result,
    /// All, for a cursor.
    All,
    /// Only their number.
    Count,
}

impl Connection {
    pub(super) fn open() -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut sqlite = rusqlite::Connection::open_with_flags(FILE, flags)?;
        sqlite.busy_timeout(std::time::Duration::ZERO)?;
        sqlite.set_prepared_statement_cache_capacity(PREPARED);
        set_limits(&sqlite)?;
        // The host's settings of a database in memory. Without spilling, a transaction takes the
        // lock that keeps readers out only while it commits.
        sqlite.execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;
             PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA journal_mode = MEMORY;
             PRAGMA cache_spill = OFF;",
        )?;
        let control = Arc::new(Control::new(false));
        let authorizer = Arc::clone(&control);
        sqlite.authorizer(Some(move |context: AuthContext<'_>| {
            authorizer.authorize(context)
        }))?;
        Ok(Self {
            sqlite,
            control,
            is_read_only: Cell::new(false),
        })
    }

    /// Runs statements of this component, to which the policy does not apply.
    fn as_host<T>(&self, work: impl FnOnce(&rusqlite::Connection) -> T) -> T {
        self.control.set_host(true);
        let done = work(&self.sqlite);
        self.control.set_host(false);
        done
    }

    fn control(&self, text: &str) -> Result<(), Failure> {
        self.as_host(|sqlite| sqlite.execute_batch(text))
            .map_err(|error| self.resolve(error.into()))
    }

    /// Begins a transaction. One that may write has the right to it from here on.
    pub(super) fn begin(&self, read_only: bool) -> Result<(), Failure> {
        self.is_read_only.set(read_only);
        let begin = if read_only {
            "PRAGMA query_only = ON; BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1"
        } else {
            "BEGIN IMMEDIATE"
        };
        self.control(begin).inspect_err(|_| {
            self.clean();
        })
    }

    /// Commits, or rolls back what cannot be committed.
    pub(super) fn commit(&self) -> Result<(), Failure> {
        self.control("COMMIT").inspect_err(|_| {
            self.clean();
        })
    }

    /// Rolls back an open transaction. Returns whether the connection may be used again.
    pub(super) fn clean(&self) -> bool {
        if !self.sqlite.is_autocommit() && self.control("ROLLBACK").is_err() {
            return false;
        }
        !self.is_read_only.take() || self.control("PRAGMA query_only = OFF").is_ok()
    }

    /// Compared with an earlier one, shows whether a statement had an effect.
    pub(super) fn state(&self) -> State {
        State {
            changes: self.sqlite.total_changes(),
            is_autocommit: self.sqlite.is_autocommit(),
        }
    }

    /// Turns an error of SQLite into one of `usher:database`, with the violated index's name.
    fn resolve(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Sqlite(error) => {
                let index = self.as_host(|sqlite| error::index(sqlite, &error));
                Failure::Error(error::from_sqlite(&error, true, index))
            }
            other => other,
        }
    }

    /// Runs a statement to its end. Outside a transaction it is one of its own.
    pub(super) fn execute(
        &self,
        statement: &str,
        params: &[Value],
        output: Output,
    ) -> Result<Executed, Failure> {
        self.run(statement, params, output)
            .map_err(|failure| self.resolve(failure))
    }

    fn run(&self, statement: &str, params: &[Value], output: Output) -> Result<Executed, Failure> {
        let mut prepared = self.sqlite.prepare_cached(statement)?;
        if prepared.is_explain() == EXPLAIN {
            prepared.discard();
            let why = "EXPLAIN shows addresses of memory: use EXPLAIN QUERY PLAN";
            return Err(failure::denied(why).into());
        }
        values::bind(&mut prepared, params)?;
        // In autocommit mode SQLite commits changes even if not all rows are read. An explicit
        // transaction rolls back on every error.
        if !self.sqlite.is_autocommit() || prepared.readonly() {
            return self.step(&mut prepared, output);
        }
        self.begin(false)?;
        let executed = self
            .step(&mut prepared, output)
            .and_then(|executed| self.commit().map(|()| executed));
        drop(prepared);
        if executed.is_err() {
            self.clean();
        }
        executed
    }

    fn step(
        &self,
        prepared: &mut CachedStatement<'_>,
        output: Output,
    ) -> Result<Executed, Failure> {
        let before = self.sqlite.total_changes();
        let mut executed = Executed::default();
        let mut meter = match output {
            Output::All => Meter::unlimited(),
            _ => Meter::new(),
        };
        let mut result = None;
        let mut rows = prepared.raw_query();
        while let Some(row) = rows.next()? {
            if output == Output::Count {
                executed.affected += 1;
                continue;
            }
            // Read after the first step, which prepares the statement anew if the schema changed.
            let (columns, collector) = match &mut result {
                Some(result) => result,
                none => {
                    let columns = Columns::of(row.as_ref(), &meter)?;
                    let collector = Collector::new(columns.names.len());
                    none.insert((columns, collector))
                }
            };
            columns.read(row, &mut meter, collector)?;
        }
        drop(rows);
        if output != Output::Count {
            let columns = match result {
                Some((columns, collector)) => {
                    executed.rows = collector.finish();
                    columns
                }
                None => Columns::of(prepared, &meter)?,
            };
            executed.columns = columns.names.to_vec();
        }
        // A definition does not reset the count of the last change.
        if !prepared.readonly() {
            executed.affected = if self.sqlite.total_changes() == before {
                0
            } else {
                self.sqlite.changes()
            };
        }
        Ok(executed)
    }
}

/// Sets the limits that hold for every statement, as the host does.
fn set_limits(sqlite: &rusqlite::Connection) -> rusqlite::Result<()> {
    let bytes = |bytes: u64| i32::try_from(bytes).unwrap_or(i32::MAX);
    // More than fits into a result, so that `too-large` is returned for it.
    let largest = MAX_ROWS_BYTES.saturating_mul(2).max(16 << 20);
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LENGTH, bytes(largest)),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
        (Limit::SQLITE_LIMIT_VDBE_OP, 250_000),
        (
            Limit::SQLITE_LIMIT_SQL_LENGTH,
            bytes(MAX_STATEMENT_BYTES as u64),
        ),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 4096),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 100),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        sqlite.set_limit(limit, value)?;
    }
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // "name" is always an identifier, as in PostgreSQL.
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    Ok(())
}
