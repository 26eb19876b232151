//! Values, to and from Spin's.

use adapter_common::database::failure;
use adapter_common::database::types::{Error, Rows, Value};
use adapter_common::values::{DateTime, uuid, uuid_text};

use crate::bindings::spin::postgres::postgres::{
    Column, DbDataType, DbValue, ParameterValue, RowSet,
};

/// Parameters as Spin takes them. It sends each as the type that it is called, and fails where the
/// server expects another.
///
/// # Errors
/// `invalid` for what PostgreSQL cannot store.
pub(crate) fn parameters(params: Vec<Value>) -> Result<Vec<ParameterValue>, Error> {
    params.into_iter().map(parameter).collect()
}

fn parameter(value: Value) -> Result<ParameterValue, Error> {
    Ok(match value {
        Value::Null => ParameterValue::DbNull,
        Value::Boolean(value) => ParameterValue::Boolean(value),
        Value::Integer(value) => ParameterValue::Int64(value),
        Value::Real(value) => ParameterValue::Floating64(value),
        Value::Text(text) if text.contains('\0') => {
            return Err(failure::invalid("text cannot hold U+0000"));
        }
        Value::Text(text) => ParameterValue::Str(text),
        Value::Bytes(bytes) => ParameterValue::Binary(bytes),
        Value::Uuid(halves) => ParameterValue::Uuid(uuid_text(halves)),
        Value::Decimal(text) => ParameterValue::Decimal(text),
        Value::Json(text) => ParameterValue::Jsonb(text.into_bytes()),
        Value::Timestamp(micros) => {
            let DateTime {
                year,
                month,
                day,
                hour,
                minute,
                second,
                micro,
            } = DateTime::from_micros(micros);
            ParameterValue::Datetime((year, month, day, hour, minute, second, micro * 1_000))
        }
    })
}

/// A result.
///
/// # Errors
/// `invalid` if a column has a type without a counterpart.
pub(crate) fn rows(found: RowSet) -> Result<Rows, Error> {
    let RowSet { columns, rows } = found;
    let rows = rows
        .into_iter()
        .map(|row| {
            let cells = row.into_iter().zip(&columns);
            cells
                .map(|(value, column)| {
                    lift(value, column).ok_or_else(|| without_counterpart(column))
                })
                .collect()
        })
        .collect::<Result<_, Error>>()?;
    let columns = columns.into_iter().map(|column| column.name).collect();
    Ok(Rows { columns, rows })
}

fn without_counterpart(column: &Column) -> Error {
    failure::invalid(format!(
        "the column {} has a type without a counterpart in usher:database: cast it to text",
        column.name
    ))
}

/// A value of a result, or `None` if its type has no counterpart.
fn lift(value: DbValue, column: &Column) -> Option<Value> {
    Some(match value {
        DbValue::DbNull => Value::Null,
        DbValue::Boolean(value) => Value::Boolean(value),
        DbValue::Int8(value) => Value::Integer(value.into()),
        DbValue::Int16(value) => Value::Integer(value.into()),
        DbValue::Int32(value) => Value::Integer(value.into()),
        DbValue::Int64(value) => Value::Integer(value),
        DbValue::Floating32(value) => Value::Real(value.into()),
        DbValue::Floating64(value) => Value::Real(value),
        DbValue::Str(text) => Value::Text(text),
        DbValue::Binary(bytes) => Value::Bytes(bytes),
        DbValue::Datetime((year, month, day, hour, minute, second, nano)) => {
            let date = DateTime {
                year,
                month,
                day,
                hour,
                minute,
                second,
                micro: nano / 1_000,
            };
            Value::Timestamp(date.micros()?)
        }
        DbValue::Uuid(text) => Value::Uuid(uuid(&text)?),
        DbValue::Jsonb(bytes) => Value::Json(String::from_utf8(bytes).ok()?),
        DbValue::Decimal(text) => Value::Decimal(text),
        // The binary format of these types is their text.
        DbValue::Unsupported(bytes) => match &column.data_type {
            DbDataType::Other(name) if name == "json" => {
                Value::Json(String::from_utf8(bytes).ok()?)
            }
            DbDataType::Other(name) if matches!(name.as_str(), "name" | "unknown") => {
                Value::Text(String::from_utf8(bytes).ok()?)
            }
            _ => return None,
        },
        _ => return None,
    })
}
