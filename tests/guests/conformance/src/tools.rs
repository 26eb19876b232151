//! Helpers of the cases.

pub use crate::bindings::usher::database::database::{
    Isolation, SqlDialect, Transaction, dialect, execute, query,
};
pub use crate::bindings::usher::database::streaming::Cursor;
pub use crate::bindings::usher::database::types::{Error, RefusalKind, Value};

/// A failed expectation, with its place and reason.
#[macro_export]
macro_rules! ensure {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err(format!("line {}: {}", line!(), format_args!($($text)+)));
        }
    };
}

pub fn is_postgres() -> bool {
    dialect() == SqlDialect::Postgres
}

/// Runs a statement that must succeed.
pub fn run(statement: &str, params: &[Value]) -> Result<u64, String> {
    execute(statement, params).map_err(|error| format!("{statement}: {error:?}"))
}

/// The rows of a statement that must succeed.
pub fn rows(statement: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, String> {
    query(statement, params)
        .map(|rows| rows.rows)
        .map_err(|error| format!("{statement}: {error:?}"))
}

/// The only value of a statement that must succeed.
pub fn one(statement: &str, params: &[Value]) -> Result<Value, String> {
    let mut rows = rows(statement, params)?;
    match (rows.pop(), rows.len()) {
        (Some(mut row), 0) if row.len() == 1 => Ok(row.remove(0)),
        (last, more) => Err(format!(
            "{statement}: one value was expected, not {last:?} and {more} rows before it"
        )),
    }
}

pub fn integer(value: i64) -> Value {
    Value::Integer(value)
}

pub fn text(value: &str) -> Value {
    Value::Text(value.into())
}

/// Whether two values are equal, where NaN equals NaN.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Boolean(left), Value::Boolean(right)) => left == right,
        (Value::Integer(left), Value::Integer(right))
        | (Value::Timestamp(left), Value::Timestamp(right)) => left == right,
        (Value::Real(left), Value::Real(right)) => {
            left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan())
        }
        (Value::Text(left), Value::Text(right))
        | (Value::Decimal(left), Value::Decimal(right))
        | (Value::Json(left), Value::Json(right)) => left == right,
        (Value::Bytes(left), Value::Bytes(right)) => left == right,
        (Value::Uuid(left), Value::Uuid(right)) => left == right,
        _ => false,
    }
}

/// A value for messages, shortened if it is long.
pub fn shown(value: &Value) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text,
    }
}

/// The case of an error, in a word.
pub fn kind(error: &Error) -> &'static str {
    match error {
        Error::Unavailable(_) => "unavailable",
        Error::Overloaded => "overloaded",
        Error::Timeout => "timeout",
        Error::InDoubt => "in-doubt",
        Error::Denied(_) => "denied",
        Error::Invalid(_) => "invalid",
        Error::TooLarge(_) => "too-large",
        Error::Refused(_) => "refused",
    }
}

/// Expects a call to fail with this case of error.
pub fn fails<T: std::fmt::Debug>(
    result: Result<T, Error>,
    expected: &str,
    what: &str,
) -> Result<(), String> {
    match result {
        Err(error) if kind(&error) == expected => Ok(()),
        Err(error) => Err(format!("{what}: {expected} was expected, not {error:?}")),
        Ok(answer) => Err(format!(
            "{what}: {expected} was expected, not the answer {answer:?}"
        )),
    }
}

/// Expects a refusal with this SQLSTATE.
pub fn refuses<T: std::fmt::Debug>(
    result: Result<T, Error>,
    code: &str,
    what: &str,
) -> Result<(), String> {
    match result {
        Err(Error::Refused(refusal)) if refusal.code == code => Ok(()),
        other => Err(format!(
            "{what}: a refusal with {code} was expected, not {other:?}"
        )),
    }
}
