//! Reading rows of the catalogue.

use usher_sdk::database::{Error, Rows, Statements, Value};

/// Runs a statement without parameters.
pub(super) fn query(database: &impl Statements, statement: &str) -> Result<Vec<Row>, Error> {
    let rows: Rows = database.query(statement, &[])?;
    Ok(rows.into_iter().map(|row| Row(row.into_iter())).collect())
}

/// Runs a statement that selects at most one row.
pub(super) fn first(database: &impl Statements, statement: &str) -> Result<Option<Row>, Error> {
    Ok(query(database, statement)?.into_iter().next())
}

/// Runs a statement that selects a count.
pub(super) fn count(database: &impl Statements, statement: &str) -> Result<i64, Error> {
    match first(database, statement)? {
        Some(mut row) => row.number(),
        None => Err(unexpected_columns()),
    }
}

/// A row, whose values are read from left to right.
pub(super) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(super) fn text(&mut self) -> Result<String, Error> {
        self.optional_text()?.ok_or_else(unexpected_columns)
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<String>, Error> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(unexpected_columns()),
        }
    }

    pub(super) fn number(&mut self) -> Result<i64, Error> {
        self.optional_number()?.ok_or_else(unexpected_columns)
    }

    pub(super) fn optional_number(&mut self) -> Result<Option<i64>, Error> {
        match self.0.next() {
            Some(Value::Integer(number)) => Ok(Some(number)),
            Some(Value::Null) => Ok(None),
            _ => Err(unexpected_columns()),
        }
    }

    /// A boolean, which SQLite returns as a number.
    pub(super) fn flag(&mut self) -> Result<bool, Error> {
        match self.0.next() {
            Some(Value::Boolean(flag)) => Ok(flag),
            Some(Value::Integer(number)) => Ok(number != 0),
            _ => Err(unexpected_columns()),
        }
    }
}

fn unexpected_columns() -> Error {
    Error::Invalid(
        "the database's catalogue answered with other columns than were asked for".into(),
    )
}
