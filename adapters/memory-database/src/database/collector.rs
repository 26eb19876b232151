//! Collects the rows of a result, by the name under which the host's files find it.

use super::types::{Row, Value};
use super::value_ref::ValueRef;

/// Rows, each with the bytes of its texts and the like.
#[derive(Debug, Default)]
pub(crate) struct Collector(Vec<(Row, usize)>);

impl Collector {
    /// Begins the next row.
    pub(crate) fn begin_row(&mut self, columns: usize) {
        self.0.push((Vec::with_capacity(columns), 0));
    }

    /// Adds the next value of the row.
    pub(crate) fn put(&mut self, value: ValueRef<'_>) {
        if let Some((row, bytes)) = self.0.last_mut() {
            *bytes = bytes.saturating_add(value.bytes());
            row.push(Value::from(value));
        }
    }

    pub(crate) fn finish(self) -> Vec<(Row, usize)> {
        self.0
    }
}
