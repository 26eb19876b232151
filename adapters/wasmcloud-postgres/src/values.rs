//! Values, to and from wasmCloud's.

use adapter_common::database::failure;
use adapter_common::database::types::{Error, Value};
use adapter_common::values::{DateTime, uuid, uuid_text};

use crate::bindings::wasmcloud::postgres::types::{Date, Offset, PgValue, Timestamp};

/// A parameter as the host takes it. It cannot know the column's type.
///
/// # Errors
/// `invalid` for a value that fits several types of PostgreSQL, of which the host needs the right
/// one.
pub(crate) fn lower(value: Value) -> Result<PgValue, Error> {
    Ok(match value {
        Value::Null => PgValue::Null,
        Value::Boolean(value) => PgValue::Boolean(value),
        Value::Integer(value) => PgValue::Int8(value),
        Value::Real(value) if value.is_nan() => {
            return Err(failure::invalid(
                "wasmcloud:postgres makes an infinity of NaN",
            ));
        }
        Value::Real(value) => PgValue::Float8(split(value)),
        Value::Text(text) if text.contains('\0') => {
            return Err(failure::invalid("text cannot hold U+0000"));
        }
        Value::Text(text) => PgValue::Text(text),
        Value::Bytes(bytes) => PgValue::Bytea(bytes),
        Value::Uuid(halves) => PgValue::Uuid(uuid_text(halves)),
        Value::Decimal(text) => PgValue::Numeric(text),
        Value::Json(text) => PgValue::Jsonb(text),
        Value::Timestamp(_) => {
            return Err(failure::invalid(
                "wasmcloud:postgres tells timestamp from timestamptz: pass it as text and cast it",
            ));
        }
    })
}

/// A value of a result, or `None` if its type has no counterpart.
pub(crate) fn lift(value: PgValue) -> Option<Value> {
    Some(match value {
        PgValue::Null => Value::Null,
        PgValue::Bool(value) | PgValue::Boolean(value) => Value::Boolean(value),
        PgValue::Int8(value)
        | PgValue::BigInt(value)
        | PgValue::BigSerial(value)
        | PgValue::Serial8(value) => Value::Integer(value),
        PgValue::Int4(value) | PgValue::Int(value) | PgValue::Integer(value) => {
            Value::Integer(value.into())
        }
        PgValue::Serial(value) | PgValue::Serial4(value) => Value::Integer(value.into()),
        PgValue::Int2(value)
        | PgValue::SmallInt(value)
        | PgValue::SmallSerial(value)
        | PgValue::Serial2(value) => Value::Integer(value.into()),
        PgValue::Float8(parts) | PgValue::Double(parts) => Value::Real(join(parts, 1075, 52)),
        PgValue::Float4(parts) | PgValue::Real(parts) => Value::Real(join(parts, 150, 23)),
        PgValue::Text(text) | PgValue::Name(text) => Value::Text(text),
        PgValue::Varchar((_, bytes)) => Value::Text(String::from_utf8(bytes).ok()?),
        PgValue::Char((_, bytes)) => Value::Text(String::from_utf8(bytes).ok()?),
        PgValue::Bytea(bytes) => Value::Bytes(bytes),
        // The host passes the bytes of the server's binary format as text.
        PgValue::Numeric(text) | PgValue::Decimal(text) => {
            let is_decimal = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
            Value::Decimal(is_decimal.then_some(text)?)
        }
        PgValue::Json(text) | PgValue::Jsonb(text) => Value::Json(text),
        PgValue::Uuid(text) => Value::Uuid(uuid(&text)?),
        PgValue::Timestamp(stamp) => Value::Timestamp(micros(&stamp)?),
        PgValue::TimestampTz(stamp) => {
            let east = match stamp.offset {
                Offset::EasternHemisphereSecs(seconds) => i64::from(seconds),
                Offset::WesternHemisphereSecs(seconds) => -i64::from(seconds),
            };
            Value::Timestamp(micros(&stamp.timestamp)?.checked_sub(east * 1_000_000)?)
        }
        _ => return None,
    })
}

/// The mantissa, the exponent to the base 2, and the sign. The exponent of the infinities is one
/// more than that of any number.
fn split(value: f64) -> (u64, i16, i8) {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i16;
    let fraction = bits & ((1 << 52) - 1);
    let mantissa = if exponent == 0 {
        fraction << 1
    } else {
        fraction | 1 << 52
    };
    (
        mantissa,
        exponent - 1075,
        if bits >> 63 == 0 { 1 } else { -1 },
    )
}

/// The inverse of `split`, for a format with this bias and so many bits of fraction.
fn join((mantissa, exponent, sign): (u64, i16, i8), bias: i16, fraction: u32) -> f64 {
    let largest = if fraction == 52 { 0x7ff } else { 0xff };
    let size = if exponent.checked_add(bias) != Some(largest) {
        // In two steps, because a power below the smallest number would be zero.
        let half = i32::from(exponent) / 2;
        mantissa as f64 * f64::powi(2.0, half) * f64::powi(2.0, i32::from(exponent) - half)
    } else if mantissa == 1 << fraction {
        f64::INFINITY
    } else {
        f64::NAN
    };
    if sign < 0 { -size } else { size }
}

/// Microseconds since 1970-01-01T00:00:00.
fn micros(stamp: &Timestamp) -> Option<i64> {
    let Date::Ymd((year, month, day)) = stamp.date else {
        return None;
    };
    let time = &stamp.time;
    let date = DateTime {
        year,
        month: u8::try_from(month).ok()?,
        day: u8::try_from(day).ok()?,
        hour: u8::try_from(time.hour).ok()?,
        minute: u8::try_from(time.min).ok()?,
        second: u8::try_from(time.sec).ok()?,
        micro: time.micro,
    };
    date.micros()
}
