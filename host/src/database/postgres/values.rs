//! Converts values between WIT and PostgreSQL's wire format, by the types of the statement.
//!
//! No conversion loses information. A value that does not fit is an error with its parameter's
//! number; a column of an unsupported type is an error before the statement runs.

use std::error::Error as StdError;
use std::fmt;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type};

use crate::database::types::Value;
use crate::database::value_ref::ValueRef;

type Boxed = Box<dyn StdError + Send + Sync>;

/// Microseconds from 1970 to 2000, the epoch of PostgreSQL's timestamps.
const EPOCH: i64 = 946_684_800_000_000;

/// A parameter, with its number for errors.
#[derive(Debug)]
pub(super) struct Param<'a> {
    pub(super) number: usize,
    pub(super) value: &'a Value,
}

/// The error for a parameter that does not fit.
#[derive(Debug)]
pub(super) struct ParameterError(pub(super) String);

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for ParameterError {}

impl Param<'_> {
    fn error(&self, why: fmt::Arguments<'_>) -> Boxed {
        Box::new(ParameterError(format!("${} {why}", self.number)))
    }

    fn out_of_range(&self, ty: &Type) -> Boxed {
        self.error(format_args!("is out of the range of {}", ty.name()))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) => "integer",
        Value::Real(_) => "real",
        Value::Text(_) => "text",
        Value::Bytes(_) => "bytes",
        Value::Uuid(_) => "uuid",
        Value::Timestamp(_) => "timestamp",
        Value::Decimal(_) => "decimal",
        Value::Json(_) => "json",
    }
}

/// The type on which a domain is based.
fn base(ty: &Type) -> &Type {
    match ty.kind() {
        Kind::Domain(inner) => base(inner),
        _ => ty,
    }
}

fn is_text(ty: &Type) -> bool {
    matches!(
        *ty,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN
    ) || matches!(ty.kind(), Kind::Enum(_))
}

impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        let ty = base(ty);
        match (self.value, ty) {
            (Value::Null, _) => return Ok(IsNull::Yes),
            (Value::Boolean(value), &Type::BOOL) => return value.to_sql(ty, out),
            (Value::Integer(value), &Type::INT8) => return value.to_sql(ty, out),
            (Value::Integer(value), &Type::INT4) => {
                return i32::try_from(*value)
                    .map_err(|_| self.out_of_range(ty))?
                    .to_sql(ty, out);
            }
            (Value::Integer(value), &Type::INT2) => {
                return i16::try_from(*value)
                    .map_err(|_| self.out_of_range(ty))?
                    .to_sql(ty, out);
            }
            (Value::Real(value), &Type::FLOAT8) => return value.to_sql(ty, out),
            (Value::Real(value), &Type::FLOAT4) => {
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "the type has single precision"
                )]
                let single = *value as f32;
                if single.is_infinite() && value.is_finite() {
                    return Err(self.out_of_range(ty));
                }
                return single.to_sql(ty, out);
            }
            (Value::Text(value), ty) if is_text(ty) => {
                if value.contains('\0') {
                    return Err(
                        self.error(format_args!("holds U+0000, which no text can hold here"))
                    );
                }
                out.extend_from_slice(value.as_bytes());
            }
            (Value::Bytes(value), &Type::BYTEA) => out.extend_from_slice(value),
            (Value::Uuid((high, low)), &Type::UUID) => {
                out.extend_from_slice(&high.to_be_bytes());
                out.extend_from_slice(&low.to_be_bytes());
            }
            (Value::Timestamp(micros), &(Type::TIMESTAMP | Type::TIMESTAMPTZ)) => {
                // The smallest and largest value mean infinity, which no point in time is.
                let since_2000 = micros
                    .checked_sub(EPOCH)
                    .filter(|since| *since != i64::MIN)
                    .ok_or_else(|| self.out_of_range(ty))?;
                out.extend_from_slice(&since_2000.to_be_bytes());
            }
            (Value::Decimal(text), &Type::NUMERIC) => {
                if !is_decimal(text) {
                    return Err(self.error(format_args!("is no decimal number")));
                }
                out.extend_from_slice(text.as_bytes());
            }
            (Value::Json(text), &(Type::JSON | Type::JSONB)) => {
                if text.contains('\0') {
                    return Err(self.error(format_args!("holds U+0000, which is no JSON")));
                }
                out.extend_from_slice(text.as_bytes());
            }
            (value, ty) => {
                return Err(self.error(format_args!(
                    "is {}, and the statement expects {}",
                    kind(value),
                    ty.name()
                )));
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self.value {
            // PostgreSQL parses these and checks their range.
            Value::Decimal(_) | Value::Json(_) => Format::Text,
            _ => Format::Binary,
        }
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        self.to_sql(ty, out)
    }
}

/// Whether the text is digits with an optional sign and point, or a special value. An exponent is
/// not allowed, because it can stand for gigabytes of digits.
fn is_decimal(text: &str) -> bool {
    if matches!(text, "NaN" | "Infinity" | "-Infinity") {
        return true;
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    !(integer.is_empty() && fraction.is_empty()) && all_digits(integer) && all_digits(fraction)
}

/// Whether columns of this type can be converted.
pub(super) fn is_supported(ty: &Type) -> bool {
    let ty = base(ty);
    is_text(ty)
        || matches!(
            *ty,
            Type::BOOL
                | Type::INT2
                | Type::INT4
                | Type::INT8
                | Type::OID
                | Type::FLOAT4
                | Type::FLOAT8
                | Type::BYTEA
                | Type::UUID
                | Type::TIMESTAMP
                | Type::TIMESTAMPTZ
                | Type::NUMERIC
                | Type::JSON
                | Type::JSONB
                | Type::VOID
        )
}

/// One value of a row.
pub(super) struct Cell<'a>(pub(super) ValueRef<'a>);

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Boxed> {
        let text = || std::str::from_utf8(raw);
        let ty = base(ty);
        Ok(Self(match *ty {
            Type::BOOL => ValueRef::Boolean(bool::from_sql(ty, raw)?),
            Type::INT8 => ValueRef::Integer(i64::from_sql(ty, raw)?),
            Type::INT4 => ValueRef::Integer(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => ValueRef::Integer(i16::from_sql(ty, raw)?.into()),
            Type::OID => ValueRef::Integer(u32::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => ValueRef::Real(f64::from_sql(ty, raw)?),
            Type::FLOAT4 => ValueRef::Real(f32::from_sql(ty, raw)?.into()),
            Type::BYTEA => ValueRef::Bytes(raw),
            Type::UUID => {
                let bits = u128::from_be_bytes(raw.try_into()?);
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "only the low half is needed"
                )]
                ValueRef::Uuid(((bits >> 64) as u64, bits as u64))
            }
            Type::TIMESTAMP | Type::TIMESTAMPTZ => {
                let since_2000 = i64::from_be_bytes(raw.try_into()?);
                if since_2000 == i64::MAX || since_2000 == i64::MIN {
                    return Err(
                        "an infinite timestamp is no point in time: select it as text".into(),
                    );
                }
                ValueRef::Timestamp(
                    since_2000
                        .checked_add(EPOCH)
                        .ok_or("a timestamp is out of range")?,
                )
            }
            Type::NUMERIC => {
                let number = numeric(raw).ok_or("a numeric value could not be read")?;
                ValueRef::Decimal(number.into())
            }
            Type::JSON => ValueRef::Json(text()?.into()),
            Type::JSONB => match raw {
                [1, json @ ..] => ValueRef::Json(std::str::from_utf8(json)?.into()),
                _ => return Err("jsonb came in an unknown format".into()),
            },
            Type::VOID => ValueRef::Null,
            _ if is_text(ty) => ValueRef::Text(text()?),
            _ => return Err(format!("the type {} has no value here", ty.name()).into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Boxed> {
        Ok(Self(ValueRef::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Converts PostgreSQL's binary `numeric` (`numeric_send`) to text: groups of four decimal digits,
/// the weight of the first, a sign, and the number of digits after the point.
fn numeric(raw: &[u8]) -> Option<String> {
    let word = |index: usize| {
        Some(u16::from_be_bytes(
            raw.get(index * 2..index * 2 + 2)?.try_into().ok()?,
        ))
    };
    let groups = usize::from(word(0)?);
    if raw.len() != 8 + groups * 2 {
        return None;
    }
    let weight = i64::from(word(1)?.cast_signed());
    let negative = match word(2)? {
        0x0000 => false,
        0x4000 => true,
        0xc000 => return Some("NaN".into()),
        0xd000 => return Some("Infinity".into()),
        0xf000 => return Some("-Infinity".into()),
        _ => return None,
    };
    let scale = usize::from(word(3)?);
    let group = |position: i64| -> Option<u16> {
        match usize::try_from(position) {
            Ok(index) if index < groups => word(4 + index),
            _ => Some(0),
        }
    };
    let mut text = String::with_capacity(groups * 4 + scale + 3);
    if negative {
        text.push('-');
    }
    if weight < 0 {
        text.push('0');
    }
    for position in 0..=weight {
        let digits = group(position)?.to_string();
        if position > 0 {
            (digits.len()..4).for_each(|_| text.push('0'));
        }
        text.push_str(&digits);
    }
    if scale > 0 {
        text.push('.');
        let end = text.len() + scale;
        let mut position = weight + 1;
        while text.len() < end {
            text.push_str(&format!("{:04}", group(position)?));
            position += 1;
        }
        text.truncate(end);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numeric_is_converted_as_postgresql_prints_it() {
        for (words, text) in [
            (&[0, 0, 0, 0][..], "0"),
            (&[0, 0, 0, 2], "0.00"),
            (&[1, 0, 0, 0, 7], "7"),
            (&[2, 1, 0x4000, 0, 1, 2], "-10002"),
            (&[1, 1, 0, 0, 12], "120000"),
            (&[1, 0xffff, 0, 4, 1], "0.0001"),
            (&[1, 0xfffe, 0, 6, 1200], "0.000012"),
            (&[2, 0, 0, 2, 3, 1400], "3.14"),
            (&[0, 0, 0xc000, 0], "NaN"),
            (&[0, 0, 0xf000, 0], "-Infinity"),
        ] {
            assert_eq!(numeric(&raw(words)).as_deref(), Some(text), "{words:?}");
        }
        assert_eq!(numeric(&raw(&[2, 0, 0, 0, 1])), None);
    }

    #[test]
    fn decimal_with_exponent_or_other_characters_is_refused() {
        for text in ["0", "-1.50", "+.5", "5.", "NaN"] {
            assert!(is_decimal(text), "{text}");
        }
        for text in ["", ".", "1e9", "1,5", " 1", "0x1", "nan"] {
            assert!(!is_decimal(text), "{text}");
        }
    }
}
