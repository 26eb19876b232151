//! Reading the catalogue's rows.

use crate::database::{Error, Rows, Statements, Value};

/// Runs a statement of the catalogue, which has no parameters.
pub(super) fn ask(database: &impl Statements, statement: &str) -> Result<Vec<Row>, Error> {
    let rows: Rows = database.query(statement, &[])?;
    Ok(rows.into_iter().map(|row| Row(row.into_iter())).collect())
}

/// Runs a statement that gives one row, or nothing where what it asks about is not there.
pub(super) fn first(database: &impl Statements, statement: &str) -> Result<Option<Row>, Error> {
    Ok(ask(database, statement)?.into_iter().next())
}

/// Runs a statement that counts.
pub(super) fn count(database: &impl Statements, statement: &str) -> Result<i64, Error> {
    match first(database, statement)? {
        Some(mut row) => row.number(),
        None => Err(otherwise()),
    }
}

/// The values of a row, read from left to right.
pub(super) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(super) fn text(&mut self) -> Result<String, Error> {
        self.perhaps_text()?.ok_or_else(otherwise)
    }

    pub(super) fn perhaps_text(&mut self) -> Result<Option<String>, Error> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(otherwise()),
        }
    }

    pub(super) fn number(&mut self) -> Result<i64, Error> {
        self.perhaps_number()?.ok_or_else(otherwise)
    }

    pub(super) fn perhaps_number(&mut self) -> Result<Option<i64>, Error> {
        match self.0.next() {
            Some(Value::Integer(number)) => Ok(Some(number)),
            Some(Value::Null) => Ok(None),
            _ => Err(otherwise()),
        }
    }

    /// A boolean, which SQLite has as a number.
    pub(super) fn flag(&mut self) -> Result<bool, Error> {
        match self.0.next() {
            Some(Value::Boolean(flag)) => Ok(flag),
            Some(Value::Integer(number)) => Ok(number != 0),
            _ => Err(otherwise()),
        }
    }
}

fn otherwise() -> Error {
    Error::Invalid(
        "the database's catalogue answered with other columns than were asked for".into(),
    )
}
