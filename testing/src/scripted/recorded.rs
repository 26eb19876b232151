//! A script of a recording: what `usher serve --record` has written of one request.

use std::path::Path;

use usher::database::tape::{Call, Operation, Outcome};
use usher::database::{Error, Row};
use usher::recording::{Recording, RecordingError};

use super::script::Script;
use super::when::{OnStatement, OnTransaction, When};

impl Script {
    /// A script that returns what the database returned while a request was recorded: one rule for
    /// each call, with its parameters, which applies once. Its dialect is that of the recording.
    ///
    /// [`Recording::read`] has the request, and the answer.
    ///
    /// # Errors
    /// If the file is no recording, or one of another version.
    pub fn from_recording(path: impl AsRef<Path>) -> Result<Self, RecordingError> {
        let recording = Recording::read(path.as_ref())?;
        let mut script = Self::new();
        if let Some(dialect) = recording.head.dialect() {
            script = script.speaks(dialect);
        }
        let calls = &recording.calls;
        for call in calls {
            script.add_recorded(call, calls);
        }
        Ok(script)
    }

    fn add_recorded(&self, call: &Call, calls: &[Call]) {
        match &call.operation {
            Operation::Query(text, params) | Operation::Execute(text, params) => {
                returns(self.on(text).with_params(params).times(1), &call.outcome);
            }
            Operation::Open(text, params) => {
                let rule = self.on(text).with_params(params).times(1);
                match &call.outcome {
                    Outcome::Columns(columns) => fetches(rule, columns, call.cursor, calls),
                    outcome => returns(rule, outcome),
                }
            }
            Operation::Begin { .. } => ends(self.on_begin().times(1), &call.outcome),
            Operation::Commit => ends(self.on_commit().times(1), &call.outcome),
            Operation::Rollback => ends(self.on_rollback().times(1), &call.outcome),
            // Its cursor's rule has it; a transaction is dropped without a result.
            Operation::Next { .. } | Operation::Drop => {}
        }
    }
}

/// Ends a rule for a statement.
fn returns(rule: When<'_, OnStatement>, outcome: &Outcome) {
    match outcome {
        Outcome::Rows(found) => rule.rows(found.columns.iter().cloned(), found.rows.clone()),
        Outcome::Affected(count) => rule.affected(*count),
        Outcome::Failed(error) => rule.error(error.clone()),
        Outcome::Done | Outcome::Columns(_) | Outcome::Batch(_) => rule.affected(0),
        Outcome::Unfinished => rule.hang(),
    }
}

/// Ends a rule for a cursor, with the rows and the error that its fetches returned.
fn fetches(rule: When<'_, OnStatement>, columns: &[String], cursor: u32, calls: &[Call]) {
    let (mut rows, mut then): (Vec<Row>, Option<Error>) = (Vec::new(), None);
    for call in calls.iter().filter(|call| call.cursor == cursor) {
        match (&call.operation, &call.outcome) {
            (Operation::Next { .. }, Outcome::Batch(batch)) => rows.extend(batch.iter().cloned()),
            (Operation::Next { .. }, Outcome::Failed(error)) => then = Some(error.clone()),
            _ => {}
        }
    }
    match then {
        None => rule.rows(columns.iter().cloned(), rows),
        Some(error) => rule.rows_then(columns.iter().cloned(), rows, error),
    }
}

/// Ends a rule for the beginning or the end of a transaction.
fn ends(rule: When<'_, OnTransaction>, outcome: &Outcome) {
    match outcome {
        Outcome::Failed(error) => rule.error(error.clone()),
        Outcome::Unfinished => rule.hang(),
        _ => rule.ok(),
    }
}
