//! Collects the rows of a result, by the name under which the host's files find it.

use super::types::{Row, Value};
use super::value_ref::ValueRef;

/// Rows, each with the bytes of its texts and the like.
#[derive(Debug)]
pub(crate) struct Collector {
    columns: usize,
    rows: Vec<(Row, usize)>,
}

impl Collector {
    /// For rows of so many columns.
    pub(crate) fn new(columns: usize) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Begins the next row.
    pub(crate) fn begin_row(&mut self) {
        self.rows.push((Vec::with_capacity(self.columns), 0));
    }

    /// Adds the next value of the row.
    pub(crate) fn put(&mut self, value: ValueRef<'_>) {
        if let Some((row, bytes)) = self.rows.last_mut() {
            *bytes = bytes.saturating_add(value.bytes());
            row.push(Value::from(value));
        }
    }

    pub(crate) fn finish(self) -> Vec<(Row, usize)> {
        self.rows
    }
}
