//! Rust values from SQL values.

use crate::database::Value;

/// A type that a column can be read as. `Option` of it is `None` for NULL.
pub trait FromValue: Sized {
    /// What is expected, as an error names it.
    const EXPECTED: &'static str;

    /// Reads a value.
    ///
    /// # Errors
    /// What was found instead, without the data itself.
    fn from_value(value: Value) -> Result<Self, &'static str>;
}

/// The kind of a value, as an error names it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Boolean(_) => "a boolean",
        Value::Integer(_) => "an integer",
        Value::Real(_) => "a floating-point number",
        Value::Text(_) => "text",
        Value::Bytes(_) => "bytes",
        Value::Uuid(..) => "a UUID",
        Value::Timestamp(_) => "a timestamp",
        Value::Decimal(_) => "a decimal number",
        Value::Json(_) => "JSON",
    }
}

impl<T: FromValue> FromValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_value(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// The value as it is.
impl FromValue for Value {
    const EXPECTED: &'static str = "any value";

    fn from_value(value: Value) -> Result<Self, &'static str> {
        Ok(value)
    }
}

/// SQLite stores booleans as 0 and 1.
impl FromValue for bool {
    const EXPECTED: &'static str = "a boolean";

    fn from_value(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Boolean(value) => Ok(value),
            Value::Integer(value @ (0 | 1)) => Ok(value == 1),
            Value::Integer(_) => Err("an integer other than 0 and 1"),
            other => Err(kind(&other)),
        }
    }
}

/// An integer, or a timestamp in microseconds since 1970-01-01T00:00:00Z.
impl FromValue for i64 {
    const EXPECTED: &'static str = "an integer or a timestamp";

    fn from_value(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Integer(value) | Value::Timestamp(value) => Ok(value),
            other => Err(kind(&other)),
        }
    }
}

macro_rules! narrower_integers {
    ($($type:ty, $expected:literal;)+) => {$(
        impl FromValue for $type {
            const EXPECTED: &'static str = $expected;

            fn from_value(value: Value) -> Result<Self, &'static str> {
                match value {
                    Value::Integer(value) => {
                        Self::try_from(value).map_err(|_| "an integer outside this range")
                    }
                    other => Err(kind(&other)),
                }
            }
        }
    )+};
}

narrower_integers! {
    i8, "an integer of 8 bits";
    i16, "an integer of 16 bits";
    i32, "an integer of 32 bits";
    u8, "an unsigned integer of 8 bits";
    u16, "an unsigned integer of 16 bits";
    u32, "an unsigned integer of 32 bits";
    u64, "an integer that is not negative";
}

impl FromValue for f64 {
    const EXPECTED: &'static str = "a floating-point number";

    fn from_value(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Real(value) => Ok(value),
            other => Err(kind(&other)),
        }
    }
}

/// Text, a UUID with hyphens, a decimal number, or the text of JSON.
impl FromValue for String {
    const EXPECTED: &'static str = "text, a UUID, a decimal number or JSON";

    fn from_value(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Text(value) | Value::Decimal(value) | Value::Json(value) => Ok(value),
            Value::Uuid(high, low) => Ok(format!(
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                high >> 32,
                (high >> 16) & 0xffff,
                high & 0xffff,
                low >> 48,
                low & 0xffff_ffff_ffff
            )),
            other => Err(kind(&other)),
        }
    }
}

impl FromValue for Vec<u8> {
    const EXPECTED: &'static str = "bytes";

    fn from_value(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Bytes(value) => Ok(value),
            other => Err(kind(&other)),
        }
    }
}

/// A UUID as a number.
impl FromValue for u128 {
    const EXPECTED: &'static str = "a UUID";

    fn from_value(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Uuid(high, low) => Ok((Self::from(high) << 64) | Self::from(low)),
            other => Err(kind(&other)),
        }
    }
}

/// JSON, parsed.
impl FromValue for serde_json::Value {
    const EXPECTED: &'static str = "JSON";

    fn from_value(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Json(text) => {
                serde_json::from_str(&text).map_err(|_| "JSON that is too deeply nested")
            }
            other => Err(kind(&other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FromValue, Value};

    #[test]
    fn integer_outside_range_is_refused() {
        assert_eq!(u8::from_value(Value::Integer(255)), Ok(255));
        for outside in [-1, 256] {
            assert_eq!(
                u8::from_value(Value::Integer(outside)),
                Err("an integer outside this range")
            );
        }
        assert_eq!(i64::from_value(Value::Integer(i64::MIN)), Ok(i64::MIN));
        assert!(u64::from_value(Value::Integer(-1)).is_err());
    }

    #[test]
    fn null_is_none_and_refused_without_option() {
        assert_eq!(Option::<String>::from_value(Value::Null), Ok(None));
        assert_eq!(String::from_value(Value::Null), Err("NULL"));
    }

    #[test]
    fn uuid_is_read_as_number_and_as_text() {
        let uuid = Value::Uuid(0x0123_4567_89ab_cdef, 0x0011_2233_4455_6677);
        assert_eq!(
            String::from_value(uuid.clone()).as_deref(),
            Ok("01234567-89ab-cdef-0011-223344556677")
        );
        assert_eq!(
            u128::from_value(uuid),
            Ok(0x0123_4567_89ab_cdef_0011_2233_4455_6677)
        );
    }

    #[test]
    fn boolean_of_sqlite_is_read_from_0_and_1() {
        assert_eq!(bool::from_value(Value::Integer(1)), Ok(true));
        assert_eq!(bool::from_value(Value::Boolean(false)), Ok(false));
        assert!(bool::from_value(Value::Integer(2)).is_err());
    }
}
