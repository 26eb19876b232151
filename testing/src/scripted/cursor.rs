//! A scripted result that is read in batches.

use std::sync::Arc;

use async_trait::async_trait;
use usher::database::backend::BackendCursor;
use usher::database::budget::Budget;
use usher::database::{Error, Row, Rows};

use super::rule::{self, Outcome};

/// A result that is being read.
#[derive(Debug)]
pub(crate) struct ScriptedCursor {
    rows: Arc<Rows>,
    /// How many rows have been returned.
    given: usize,
    /// The error after the last row, if any.
    then: Option<Error>,
}

impl ScriptedCursor {
    pub(super) fn new(outcome: Outcome) -> Self {
        let (rows, then) = outcome.parts();
        Self {
            rows,
            given: 0,
            then,
        }
    }

    /// After an error the cursor has no rows.
    fn end(&mut self, error: Error) -> Error {
        self.given = self.rows.rows.len();
        self.then = None;
        error
    }
}

#[async_trait]
impl BackendCursor for ScriptedCursor {
    fn columns(&self) -> Vec<String> {
        self.rows.columns.to_vec()
    }

    async fn next(&mut self, at_most: u32, budget: &Budget) -> Result<Vec<Row>, Error> {
        if at_most == 0 {
            return Ok(Vec::new());
        }
        if budget.is_over() {
            return Err(self.end(Error::Timeout));
        }
        let mut meter = budget.meter();
        let mut rows = Vec::new();
        let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
        for row in self.rows.rows.iter().skip(self.given).take(at_most) {
            match meter.take(row.len(), rule::size(row)) {
                Ok(()) => rows.push(row.clone()),
                Err(error) if rows.is_empty() => return Err(self.end(error)),
                Err(_) => break,
            }
        }
        self.given += rows.len();
        match self.then.take() {
            Some(error) if rows.is_empty() => Err(error),
            then => {
                self.then = then;
                Ok(rows)
            }
        }
    }
}
