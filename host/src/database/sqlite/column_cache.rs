//! The columns that statements of a connection had when they last ran.
//!
//! A cached entry is used only while the statement and the schema are the same. SQLite counts how
//! often it ran a prepared statement and how often it prepared it anew for a changed schema, and
//! both counts start again if the statement was dropped and prepared again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use rusqlite::StatementStatus;

use super::error::Failure;
use super::values::Columns;
use crate::database::budget::Meter;
use crate::database::statement::Statement;

/// Names larger than this are not cached, in bytes.
const LARGEST_NAMES: usize = 64 << 10;

pub(super) struct ColumnCache {
    /// By the statement's `id`.
    entries: RefCell<HashMap<u64, Entry, RandomState>>,
    capacity: usize,
}

struct Entry {
    columns: Arc<Columns>,
    runs: i32,
    preparations: i32,
}

impl ColumnCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: RefCell::default(),
            capacity,
        }
    }

    /// The columns of a statement's result.
    pub(super) fn of(
        &self,
        statement: &Statement,
        prepared: &rusqlite::Statement<'_>,
        meter: &Meter,
    ) -> Result<Arc<Columns>, Failure> {
        let runs = prepared.get_status(StatementStatus::Run);
        let preparations = prepared.get_status(StatementStatus::RePrepare);
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = entries.get_mut(&statement.id) {
            let is_next = entry.runs.wrapping_add(1) == runs && entry.preparations == preparations;
            if is_next || entry.columns.are_of(prepared) {
                (entry.runs, entry.preparations) = (runs, preparations);
                meter.fits(entry.columns.names_bytes)?;
                return Ok(Arc::clone(&entry.columns));
            }
        }
        let columns = Arc::new(Columns::of(prepared, meter)?);
        if columns.names_bytes > LARGEST_NAMES {
            return Ok(columns);
        }
        if entries.len() >= self.capacity {
            entries.clear();
        }
        let entry = Entry {
            columns: Arc::clone(&columns),
            runs,
            preparations,
        };
        entries.insert(statement.id, entry);
        Ok(columns)
    }
}
