//! A cursor over a result that the database returned as a whole.

use std::cell::RefCell;
use std::vec::IntoIter;

use crate::database::types::{Row, Rows};

/// A result, and what of it has not been read.
pub struct WholeResult {
    columns: Vec<String>,
    rows: RefCell<IntoIter<Row>>,
}

impl WholeResult {
    /// At the first row.
    #[must_use]
    pub fn new(result: Rows) -> Self {
        Self {
            columns: result.columns,
            rows: RefCell::new(result.rows.into_iter()),
        }
    }

    /// The names of the columns.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    /// The next rows, none after the end.
    #[must_use]
    pub fn take(&self, at_most: u32) -> Vec<Row> {
        let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
        self.rows.borrow_mut().by_ref().take(at_most).collect()
    }
}
