//! From a row of a result to a user.

use super::error::Error;
use super::model::{User, UserRef};
use usher_sdk::database::{Record, Rows, Value};

/// The user in the first row, if there is one.
pub(super) fn first(rows: Rows) -> Result<Option<User>, Error> {
    rows.into_iter().next().map(user).transpose()
}

/// A user from the columns id, name, email and version.
pub(super) fn user(row: Vec<Value>) -> Result<User, Error> {
    let mut values = row.into_iter();
    match values.next() {
        Some(Value::Integer(id)) => with_id(id, values),
        _ => Err(unexpected_columns()),
    }
}

/// A user whose id is known, from the columns name, email and version.
pub(super) fn with_id(id: i64, mut rest: impl Iterator<Item = Value>) -> Result<User, Error> {
    match (rest.next(), rest.next(), rest.next(), rest.next()) {
        (
            Some(name @ (Value::Text(_) | Value::Null)),
            Some(email @ (Value::Text(_) | Value::Null)),
            Some(Value::Integer(version)),
            None,
        ) => Ok(User {
            id,
            name: text(name),
            email: text(email),
            version,
        }),
        _ => Err(unexpected_columns()),
    }
}

/// A listed user, from the columns id, name, email and version.
pub(super) fn listed(mut values: Record<'_>) -> Result<UserRef<'_>, Error> {
    let user = (
        values.integer(),
        values.text_or_empty(),
        values.text_or_empty(),
        values.integer(),
        values.next(),
    );
    match user {
        // As `text` has it, NULL is the empty text.
        (Some(id), Some(name), Some(email), Some(version), None) => Ok(UserRef {
            id,
            name,
            email,
            version,
        }),
        _ => Err(unexpected_columns()),
    }
}

/// Maps NULL to the empty text. Another program may have stored NULL in a column that allows it;
/// failing would hide the user, and every page that the user is on.
fn text(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        _ => String::new(),
    }
}

pub(super) fn unexpected_columns() -> Error {
    Error::Internal("a row of users has other columns than were asked for".into())
}
