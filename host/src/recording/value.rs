//! Values, rows and errors as JSON.
//!
//! Null, booleans, integers and text are what they are in JSON. All others are an object with the
//! name of their type, such as `{"timestamp": 0}`.

use serde::{Deserialize, Serialize};

use crate::database;

/// A value in a file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Null(()),
    Boolean(bool),
    Integer(i64),
    Text(String),
    Other(Other),
}

/// A value that JSON has no type for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Other {
    /// As text, because not all readers of JSON keep every digit, and for `NaN` and `inf`.
    Real(String),
    Bytes(Hex),
    /// 32 digits, and hyphens that do not count.
    Uuid(String),
    Timestamp(i64),
    Decimal(String),
    Json(String),
}

/// Bytes as hexadecimal digits.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Hex(pub(super) Vec<u8>);

impl From<Hex> for String {
    fn from(hex: Hex) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
        let digits = hex.0.iter();
        digits
            .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
            .collect()
    }
}

impl TryFrom<String> for Hex {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let value = |digit: u8| char::from(digit).to_digit(16);
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes = pairs.iter().map(|&[high, low]| {
            let byte = value(high)? << 4 | value(low)?;
            u8::try_from(byte).ok()
        });
        let bytes = bytes.collect::<Option<Vec<u8>>>();
        bytes
            .filter(|_| rest.is_empty())
            .map(Self)
            .ok_or("pairs of hexadecimal digits are expected")
    }
}

impl From<&database::Value> for Value {
    fn from(value: &database::Value) -> Self {
        let other = match value {
            database::Value::Null => return Self::Null(()),
            database::Value::Boolean(value) => return Self::Boolean(*value),
            database::Value::Integer(value) => return Self::Integer(*value),
            database::Value::Text(text) => return Self::Text(text.clone()),
            database::Value::Real(value) => Other::Real(value.to_string()),
            database::Value::Bytes(bytes) => Other::Bytes(Hex(bytes.clone())),
            database::Value::Uuid((high, low)) => Other::Uuid(format!("{high:016x}{low:016x}")),
            database::Value::Timestamp(micros) => Other::Timestamp(*micros),
            database::Value::Decimal(digits) => Other::Decimal(digits.clone()),
            database::Value::Json(text) => Other::Json(text.clone()),
        };
        Self::Other(other)
    }
}

impl TryFrom<Value> for database::Value {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        Ok(match value {
            Value::Null(()) => Self::Null,
            Value::Boolean(value) => Self::Boolean(value),
            Value::Integer(value) => Self::Integer(value),
            Value::Text(text) => Self::Text(text),
            Value::Other(Other::Real(text)) => {
                let value = text.parse();
                Self::Real(value.map_err(|_| format!("{text} is no real number"))?)
            }
            Value::Other(Other::Bytes(Hex(bytes))) => Self::Bytes(bytes),
            Value::Other(Other::Uuid(text)) => {
                let digits = text.replace('-', "");
                let value = u128::from_str_radix(&digits, 16).ok();
                let value = value.filter(|_| digits.len() == 32);
                let value = value.ok_or_else(|| format!("{text} is no UUID"))?;
                let low = u64::try_from(value & u128::from(u64::MAX)).unwrap_or_default();
                Self::Uuid((u64::try_from(value >> 64).unwrap_or_default(), low))
            }
            Value::Other(Other::Timestamp(micros)) => Self::Timestamp(micros),
            Value::Other(Other::Decimal(digits)) => Self::Decimal(digits),
            Value::Other(Other::Json(text)) => Self::Json(text),
        })
    }
}

/// An error in a file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Error {
    Unavailable(String),
    Overloaded,
    Timeout,
    InDoubt,
    Denied(String),
    Invalid(String),
    TooLarge(u64),
    Refused(Refusal),
}

/// An error that the database returned.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Refusal {
    kind: Kind,
    code: String,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    constraint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    UniqueViolation,
    ForeignKeyViolation,
    NotNullViolation,
    CheckViolation,
    SerializationFailure,
    Other,
}

/// Each kind in a file and in the interface.
const KINDS: [(Kind, database::RefusalKind); 6] = [
    (
        Kind::UniqueViolation,
        database::RefusalKind::UniqueViolation,
    ),
    (
        Kind::ForeignKeyViolation,
        database::RefusalKind::ForeignKeyViolation,
    ),
    (
        Kind::NotNullViolation,
        database::RefusalKind::NotNullViolation,
    ),
    (Kind::CheckViolation, database::RefusalKind::CheckViolation),
    (
        Kind::SerializationFailure,
        database::RefusalKind::SerializationFailure,
    ),
    (Kind::Other, database::RefusalKind::Other),
];

impl From<&database::Error> for Error {
    fn from(error: &database::Error) -> Self {
        match error {
            database::Error::Unavailable(text) => Self::Unavailable(text.clone()),
            database::Error::Overloaded => Self::Overloaded,
            database::Error::Timeout => Self::Timeout,
            database::Error::InDoubt => Self::InDoubt,
            database::Error::Denied(text) => Self::Denied(text.clone()),
            database::Error::Invalid(text) => Self::Invalid(text.clone()),
            database::Error::TooLarge(bytes) => Self::TooLarge(*bytes),
            database::Error::Refused(refusal) => {
                let kinds = KINDS.iter().find(|(_, kind)| *kind == refusal.kind);
                Self::Refused(Refusal {
                    kind: kinds.map_or(Kind::Other, |(kind, _)| *kind),
                    code: refusal.code.clone(),
                    message: refusal.message.clone(),
                    constraint: refusal.constraint.clone(),
                    column: refusal.column.clone(),
                })
            }
        }
    }
}

impl From<Error> for database::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(text) => Self::Unavailable(text),
            Error::Overloaded => Self::Overloaded,
            Error::Timeout => Self::Timeout,
            Error::InDoubt => Self::InDoubt,
            Error::Denied(text) => Self::Denied(text),
            Error::Invalid(text) => Self::Invalid(text),
            Error::TooLarge(bytes) => Self::TooLarge(bytes),
            Error::Refused(refusal) => {
                let number = refusal.kind as usize;
                let kinds = KINDS.iter().find(|(kind, _)| *kind as usize == number);
                Self::Refused(database::Refusal {
                    kind: kinds.map_or(database::RefusalKind::Other, |(_, kind)| *kind),
                    code: refusal.code,
                    message: refusal.message,
                    constraint: refusal.constraint,
                    column: refusal.column,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_of_every_type_is_read_back_as_it_was_written() {
        for value in [
            database::Value::Null,
            database::Value::Boolean(true),
            database::Value::Integer(i64::MIN),
            database::Value::Integer(i64::MAX),
            database::Value::Real(0.1),
            database::Value::Real(1.0),
            database::Value::Real(-0.0),
            database::Value::Real(f64::NAN),
            database::Value::Real(f64::NEG_INFINITY),
            database::Value::Text("\u{0}\"\\\u{1f600}".into()),
            database::Value::Bytes(vec![0, 15, 255]),
            database::Value::Uuid((u64::MAX, 1)),
            database::Value::Timestamp(-1),
            database::Value::Decimal("1.50".into()),
            database::Value::Json("{}".into()),
        ] {
            let written = serde_json::to_string(&Value::from(&value)).expect("it is JSON");
            let read: Value = serde_json::from_str(&written).expect("it is read");
            let read = database::Value::try_from(read).expect("it is a value");
            assert_eq!(format!("{read:?}"), format!("{value:?}"), "{written}");
        }
    }
}
