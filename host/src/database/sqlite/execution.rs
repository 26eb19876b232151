//! Runs one statement on a connection, within its time and memory.
//!
//! A statement that returns an error had no effect, unless the error is `in-doubt`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rusqlite::limits::Limit;
use rusqlite::{CachedStatement, StatementStatus};

use super::connection::Conn;
use super::error::Failure;
use super::values;
use crate::database::budget::Budget;
use crate::database::collector::Collector;
use crate::database::failure;
use crate::database::statement::Statement;
use crate::database::types::{Rows, Value};

/// The largest value on a core's own thread. A statement that needs a larger one runs again on a
/// separate thread: no instruction is slow without a large value.
const INLINE_VALUE: u32 = 64 << 10;

/// The size of a prepared statement times that of its largest value. An instruction takes at least
/// 24 bytes, may take time in proportion to a value, and instructions without a jump between them
/// are not interrupted.
const WORK: u64 = 1 << 37;

/// A prepared statement that is larger, in bytes, is not cached.
const LARGEST_CACHED: u32 = 64 << 10;

/// SQLite's code for an EXPLAIN that shows the program and not only the plan.
const EXPLAIN: i32 = 1;

/// What a statement returns.
#[derive(Clone, Debug)]
pub(super) enum Output {
    /// The rows, within the budget.
    Rows(Budget),
    Count,
}

/// The result of a statement.
#[derive(Debug)]
pub(super) struct Executed {
    pub(super) rows: Rows,
    pub(super) affected: u64,
}

impl Conn {
    /// Runs a statement to its end, and adds the time since `began` to its average. A transaction
    /// of its own does not count: it waits for locks and for the disk.
    pub(super) fn execute(
        &self,
        statement: &Statement,
        params: &[Value],
        output: &Output,
        began: Instant,
    ) -> Result<Executed, Failure> {
        let mut waited = Duration::ZERO;
        let executed = self
            .run(statement, params, output, &mut waited)
            .map_err(|failure| self.resolve(failure, statement.writes));
        statement.took(began.elapsed().saturating_sub(waited));
        executed
    }

    /// Compiles a statement, to see whether it fits the schema.
    pub(super) fn compile(&self, statement: &Statement) -> Result<(), Failure> {
        self.sqlite.prepare_cached(&statement.text)?;
        Ok(())
    }

    /// Prepares a statement, limits its values by its size, and binds its parameters. Also returns
    /// whether it is small enough to be cached.
    ///
    /// The size is read before the parameters are bound, because SQLite counts them as part of it.
    pub(super) fn prepare(
        &self,
        statement: &Statement,
        params: &[Value],
    ) -> Result<(CachedStatement<'_>, bool), Failure> {
        let mut prepared = self.sqlite.prepare_cached(&statement.text)?;
        if prepared.is_explain() == EXPLAIN {
            prepared.discard();
            let why = "EXPLAIN shows addresses of the host's memory: use EXPLAIN QUERY PLAN";
            return Err(failure::denied(why).into());
        }
        let is_small = self.limit_work(statement, &prepared)?;
        values::bind(&mut prepared, params)?;
        Ok((prepared, is_small))
    }

    /// Limits the values of the statements that follow. On a core's own thread the limit is small.
    pub(super) fn limit_values(&self, inline: bool) -> Result<(), Failure> {
        let bytes = if inline {
            INLINE_VALUE.min(self.max_value)
        } else {
            self.max_value
        };
        self.set_max_value(bytes)
    }

    fn set_max_value(&self, bytes: u32) -> Result<(), Failure> {
        if self.control.max_value() != bytes {
            self.control.set_max_value(bytes);
            let limit = i32::try_from(bytes).unwrap_or(i32::MAX);
            self.sqlite.set_limit(Limit::SQLITE_LIMIT_LENGTH, limit)?;
        }
        Ok(())
    }

    /// Limits the values of a statement by its size: see [`WORK`]. Returns whether it is small
    /// enough to be cached.
    fn limit_work(
        &self,
        statement: &Statement,
        prepared: &CachedStatement<'_>,
    ) -> Result<bool, Failure> {
        let size = if prepared.get_status(StatementStatus::Run) == 0 {
            let size =
                u32::try_from(prepared.get_status(StatementStatus::MemUsed)).unwrap_or(u32::MAX);
            statement.prepared_bytes.store(size, Relaxed);
            size
        } else {
            statement.prepared_bytes.load(Relaxed)
        };
        let bytes = WORK / u64::from(size.max(1));
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if bytes < self.control.max_value() {
            self.set_max_value(bytes.max(INLINE_VALUE))?;
        }
        Ok(size <= LARGEST_CACHED)
    }

    fn run(
        &self,
        statement: &Statement,
        params: &[Value],
        output: &Output,
        waited: &mut Duration,
    ) -> Result<Executed, Failure> {
        let (mut prepared, is_small) = self.prepare(statement, params)?;
        // In autocommit mode SQLite commits changes even if not all rows are read, and may report
        // an interruption after the commit. An explicit transaction rolls back on every error.
        let needs_transaction = self.sqlite.is_autocommit() && !prepared.readonly();
        let executed = if needs_transaction {
            let mut timed = |work: fn(&Self) -> Result<(), Failure>| {
                let began = Instant::now();
                let done = work(self);
                *waited += began.elapsed();
                done
            };
            timed(Self::begin)?;
            self.step(statement, &mut prepared, output)
                .and_then(|executed| timed(Self::commit).map(|()| executed))
        } else {
            self.step(statement, &mut prepared, output)
        };
        if is_small {
            drop(prepared);
        } else {
            prepared.discard();
        }
        if needs_transaction && executed.is_err() {
            self.clean();
        }
        executed
    }

    fn step(
        &self,
        statement: &Statement,
        prepared: &mut CachedStatement<'_>,
        output: &Output,
    ) -> Result<Executed, Failure> {
        let before = self.sqlite.total_changes();
        let mut executed = Executed {
            rows: Rows {
                columns: Arc::default(),
                rows: Vec::new(),
            },
            affected: 0,
        };
        match output {
            Output::Rows(budget) => {
                let mut meter = budget.meter();
                let mut rows = prepared.raw_query();
                let columns = match rows.next()? {
                    Some(row) => {
                        // Read after the first step, which prepares the statement anew if the
                        // schema changed.
                        let columns = self.columns.of(statement, row.as_ref(), &meter)?;
                        let width = columns.names.len();
                        let mut collector = Collector::new(width, statement.is_packed);
                        columns.read(row, &mut meter, &mut collector)?;
                        while let Some(row) = rows.next()? {
                            columns.read(row, &mut meter, &mut collector)?;
                        }
                        executed.rows.rows = collector.finish();
                        columns
                    }
                    None => {
                        drop(rows);
                        self.columns.of(statement, prepared, &meter)?
                    }
                };
                executed.rows.columns = Arc::clone(&columns.names);
            }
            Output::Count => {
                let mut rows = prepared.raw_query();
                while rows.next()?.is_some() {
                    executed.affected += 1;
                }
            }
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
