//! Values where the database has put them, to be copied once.

use std::borrow::Cow;

use super::types::Value;

/// A value where the database has put it.
#[derive(Clone, Debug)]
pub(crate) enum ValueRef<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Uuid((u64, u64)),
    Timestamp(i64),
    Decimal(Cow<'a, str>),
    Json(Cow<'a, str>),
}

impl ValueRef<'_> {
    /// Its bytes besides its slot in a row.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Decimal(text) | Self::Json(text) => text.len(),
            _ => 0,
        }
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(value) => Self::Boolean(*value),
            Value::Integer(value) => Self::Integer(*value),
            Value::Real(value) => Self::Real(*value),
            Value::Text(text) => Self::Text(text),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Uuid(halves) => Self::Uuid(*halves),
            Value::Timestamp(micros) => Self::Timestamp(*micros),
            Value::Decimal(text) => Self::Decimal(text.into()),
            Value::Json(text) => Self::Json(text.into()),
        }
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Boolean(value) => Self::Boolean(value),
            ValueRef::Integer(value) => Self::Integer(value),
            ValueRef::Real(value) => Self::Real(value),
            ValueRef::Text(text) => Self::Text(text.to_owned()),
            ValueRef::Bytes(bytes) => Self::Bytes(bytes.to_owned()),
            ValueRef::Uuid(halves) => Self::Uuid(halves),
            ValueRef::Timestamp(micros) => Self::Timestamp(micros),
            ValueRef::Decimal(text) => Self::Decimal(text.into_owned()),
            ValueRef::Json(text) => Self::Json(text.into_owned()),
        }
    }
}

/// The bytes of values besides their slots in a row or a list.
#[allow(
    dead_code,
    reason = "an adapter that compiles this file counts while it reads"
)]
pub(crate) fn bytes_of(values: &[Value]) -> usize {
    let bytes = |value| ValueRef::from(value).bytes();
    values.iter().map(bytes).sum()
}
