//! Collects the rows of a result while a back end reads them.
//!
//! Packed rows are packed at once: a row of values that is packed later costs an allocation for
//! itself and for each text.

use super::packed::{self, Packer};
use super::types::{Row, Value};
use super::value_ref::ValueRef;

/// The rows of a result, as values or packed.
#[derive(Debug)]
pub(super) enum Collector {
    Values { columns: usize, rows: Vec<Row> },
    Packed(Packer),
}

impl Collector {
    /// For the rows of so many columns of a statement that may ask for packed rows.
    pub(super) fn new(columns: usize, is_packed: bool) -> Self {
        if is_packed && packed::is_possible(columns) {
            Self::Packed(Packer::new(columns))
        } else {
            Self::Values {
                columns,
                rows: Vec::new(),
            }
        }
    }

    /// Begins the next row.
    pub(super) fn begin_row(&mut self) {
        match self {
            Self::Values { columns, rows } => rows.push(Vec::with_capacity(*columns)),
            Self::Packed(packer) => packer.begin_row(),
        }
    }

    /// Adds the next value of the row.
    #[inline]
    pub(super) fn put(&mut self, value: ValueRef<'_>) {
        match self {
            Self::Values { rows, .. } => {
                if let Some(row) = rows.last_mut() {
                    row.push(Value::from(value));
                }
            }
            Self::Packed(packer) => packer.put(&value),
        }
    }

    /// Takes back the row that was begun last.
    pub(super) fn undo_row(&mut self) {
        match self {
            Self::Values { rows, .. } => drop(rows.pop()),
            Self::Packed(packer) => packer.undo_row(),
        }
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Values { rows, .. } => rows.len(),
            Self::Packed(packer) => packer.len(),
        }
    }

    /// The rows as the component gets them.
    pub(super) fn finish(self) -> Vec<Row> {
        match self {
            Self::Values { rows, .. } => rows,
            Self::Packed(packer) => packer.finish(),
        }
    }
}
