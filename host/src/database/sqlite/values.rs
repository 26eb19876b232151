//! Conversion of values to and from SQLite.
//!
//! SQLite has five storage classes. Other values of `usher:database` are stored in one of them, and
//! read back by the declared type of the column. A value that SQLite would change is `invalid`.
//!
//! | value | stored as | read back if the declared type is |
//! |---|---|---|
//! | boolean | integer 0 or 1 | `BOOL…` |
//! | uuid | blob of 16 bytes, big-endian | `UUID` |
//! | timestamp | integer, microseconds; text of SQLite is read too | `TIMESTAMP…`, `DATETIME` |
//! | decimal | text, which such a column converts to a number | `NUMERIC…`, `DECIMAL…` |
//! | json | text | `JSON`, `JSONB` |
//! | integer, real, text, bytes | themselves | any other, by the storage class |

use std::sync::Arc;

use rusqlite::types::{Null, ValueRef as Stored};
use rusqlite::{Row, Statement};

use super::error::Failure;
use crate::database::budget::Meter;
use crate::database::collector::Collector;
use crate::database::failure;
use crate::database::types::{self, Value};
use crate::database::value_ref::ValueRef;

/// What a column's declared type adds to the storage class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Boolean,
    Uuid,
    Timestamp,
    Decimal,
    Json,
}

impl Kind {
    /// The kind of a declared type; an expression has none.
    fn of(declared: Option<&str>) -> Self {
        let Some(declared) = declared else {
            return Self::Plain;
        };
        let begins = |with: &str| {
            declared
                .get(..with.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        match declared.as_bytes().first().map(u8::to_ascii_uppercase) {
            Some(b'B') if begins("BOOL") => Self::Boolean,
            Some(b'U') if declared.eq_ignore_ascii_case("UUID") => Self::Uuid,
            Some(b'T') if begins("TIMESTAMP") => Self::Timestamp,
            Some(b'D') if begins("DATETIME") => Self::Timestamp,
            Some(b'D') if begins("DECIMAL") => Self::Decimal,
            Some(b'N') if begins("NUMERIC") => Self::Decimal,
            Some(b'J')
                if declared.eq_ignore_ascii_case("JSON")
                    || declared.eq_ignore_ascii_case("JSONB") =>
            {
                Self::Json
            }
            _ => Self::Plain,
        }
    }
}

/// The columns of a result.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) names: Arc<[String]>,
    /// The bytes of all names.
    pub(super) names_bytes: usize,
    /// The declared type of each column.
    declared: Vec<Option<String>>,
    kinds: Vec<Kind>,
}

impl Columns {
    /// The columns of a statement, if the meter has room for their names.
    pub(super) fn of(prepared: &Statement<'_>, meter: &Meter) -> Result<Self, types::Error> {
        let lengths = prepared.columns().map(|column| column.name().len());
        let names_bytes = lengths.sum();
        meter.fits(names_bytes)?;
        let names = prepared.columns().map(|column| column.name().to_owned());
        let declared = prepared
            .columns()
            .map(|column| column.decl_type().map(str::to_owned));
        let kinds = prepared
            .columns()
            .map(|column| Kind::of(column.decl_type()));
        Ok(Self {
            names: names.collect(),
            names_bytes,
            declared: declared.collect(),
            kinds: kinds.collect(),
        })
    }

    /// Whether the result of `prepared` has these columns.
    pub(super) fn are_of(&self, prepared: &Statement<'_>) -> bool {
        let columns = prepared.columns();
        columns.len() == self.names.len()
            && columns.zip(self.names.iter().zip(&self.declared)).all(
                |(column, (name, declared))| {
                    column.name() == name && column.decl_type() == declared.as_deref()
                },
            )
    }

    /// Adds a row to a result, if the meter has room for it. Copies no more than that.
    pub(super) fn read(
        &self,
        row: &Row<'_>,
        meter: &mut Meter,
        rows: &mut Collector,
    ) -> Result<(), Failure> {
        let mut bytes = 0_usize;
        rows.begin_row();
        for (index, kind) in self.kinds.iter().enumerate() {
            let value = read(row, index, *kind)?;
            bytes = bytes.saturating_add(value.bytes());
            meter.fits(bytes)?;
            rows.put(value);
        }
        Ok(meter.take(self.kinds.len(), bytes)?)
    }
}

/// Binds `$1`, `$2`, … by name, because SQLite numbers parameters by their first occurrence.
pub(super) fn bind(prepared: &mut Statement<'_>, params: &[Value]) -> Result<(), Failure> {
    let mut expected = 0;
    for index in 1..=prepared.parameter_count() {
        let Some(number) = prepared.parameter_name(index).and_then(number) else {
            let name = prepared.parameter_name(index).unwrap_or("?");
            return Err(failure::invalid(format!(
                "the parameter {name}: parameters are written $1, $2, and so on"
            ))
            .into());
        };
        expected = expected.max(number);
        if let Some(value) = params.get(number - 1) {
            bind_one(prepared, index, number, value)?;
        }
    }
    Ok(failure::parameter_count(params.len(), expected)?)
}

/// The number of `$7`. SQLite takes `$1::bigint` for one name, which has none.
fn number(name: &str) -> Option<usize> {
    let digits = name.strip_prefix('$')?;
    if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

fn bind_one(
    prepared: &mut Statement<'_>,
    index: usize,
    number: usize,
    value: &Value,
) -> Result<(), Failure> {
    let invalid =
        |why: &str| Failure::Error(failure::invalid(format!("parameter ${number}: {why}")));
    match value {
        Value::Null => prepared.raw_bind_parameter(index, Null),
        Value::Boolean(value) => prepared.raw_bind_parameter(index, *value),
        Value::Integer(value) | Value::Timestamp(value) => {
            prepared.raw_bind_parameter(index, *value)
        }
        Value::Real(value) if value.is_nan() => return Err(invalid("SQLite has no NaN")),
        // SQLite stores whole numbers as integers, which have no negative zero.
        Value::Real(value) if *value == 0.0 && value.is_sign_negative() => {
            return Err(invalid("SQLite has no negative zero"));
        }
        Value::Real(value) => prepared.raw_bind_parameter(index, *value),
        Value::Text(text) if text.contains('\0') => return Err(invalid("text cannot hold U+0000")),
        Value::Text(text) => prepared.raw_bind_parameter(index, text.as_str()),
        Value::Bytes(bytes) => prepared.raw_bind_parameter(index, bytes.as_slice()),
        Value::Uuid((high, low)) => {
            let bytes = (u128::from(*high) << 64 | u128::from(*low)).to_be_bytes();
            prepared.raw_bind_parameter(index, bytes.as_slice())
        }
        Value::Decimal(text) => {
            check_decimal(text).map_err(invalid)?;
            prepared.raw_bind_parameter(index, text.as_str())
        }
        Value::Json(text) => {
            check_json(text).map_err(invalid)?;
            prepared.raw_bind_parameter(index, text.as_str())
        }
    }
    .map_err(Failure::from)
}

/// Checks that a column of numeric affinity keeps a decimal's value: as an integer of 64 bits, or
/// as a REAL of 15 significant digits.
fn check_decimal(text: &str) -> Result<(), &'static str> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if matches!(unsigned, "NaN" | "Infinity") {
        return Err("SQLite has neither NaN nor infinity among its numeric values");
    }
    if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
        return Err("a decimal is digits with an optional sign and point");
    }
    if fraction.is_empty() && text.trim_end_matches('.').parse::<i64>().is_ok() {
        return Ok(());
    }
    let significant = format!("{whole}{}", fraction.trim_end_matches('0'));
    let significant = significant.trim_start_matches('0');
    let significant = if fraction.is_empty() {
        significant.trim_end_matches('0')
    } else {
        significant
    };
    // A REAL overflows to infinity, or loses digits near zero.
    if significant.len() > 15 || whole.len() > 300 || fraction.len() > 300 {
        return Err("SQLite would round it: numeric values keep 15 significant digits");
    }
    Ok(())
}

/// Checks that a text is JSON and that a column declared `JSON`, which has numeric affinity, keeps
/// it.
fn check_json(text: &str) -> Result<(), &'static str> {
    let parsed: &serde_json::value::RawValue =
        serde_json::from_str(text).map_err(|_| "it is not JSON")?;
    if text.contains('\0') {
        return Err("text cannot hold U+0000");
    }
    let bare = parsed.get();
    if !bare.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Ok(());
    }
    let kept = if let Ok(integer) = bare.parse::<i64>() {
        integer.to_string() == bare
    } else {
        let digits = bare.bytes().filter(u8::is_ascii_digit).count();
        digits <= 15
            && bare
                .parse::<f64>()
                .is_ok_and(|number| number.to_string() == bare)
    };
    if kept {
        Ok(())
    } else {
        Err("SQLite would change this number: put it into an array or an object")
    }
}

/// Reads a value.
fn read<'r>(row: &'r Row<'_>, index: usize, kind: Kind) -> Result<ValueRef<'r>, Failure> {
    Ok(match (row.get_ref(index)?, kind) {
        (Stored::Null, _) => ValueRef::Null,
        (Stored::Integer(number @ (0 | 1)), Kind::Boolean) => ValueRef::Boolean(number == 1),
        (Stored::Integer(micros), Kind::Timestamp) => ValueRef::Timestamp(micros),
        (Stored::Integer(number), Kind::Decimal) => ValueRef::Decimal(number.to_string().into()),
        (Stored::Integer(number), Kind::Json) => ValueRef::Json(number.to_string().into()),
        (Stored::Integer(number), _) => ValueRef::Integer(number),
        (Stored::Real(number), Kind::Decimal) => ValueRef::Decimal(decimal(number).into()),
        (Stored::Real(number), Kind::Json) if number.is_finite() => {
            ValueRef::Json(number.to_string().into())
        }
        (Stored::Real(number), _) => ValueRef::Real(number),
        (Stored::Text(text), kind) => {
            let text = str::from_utf8(text).map_err(|_| {
                let column = row.as_ref().column_name(index).unwrap_or_default();
                failure::invalid(format!("the column {column} holds text that is not UTF-8"))
            })?;
            match kind {
                Kind::Timestamp => {
                    timestamp(text).map_or(ValueRef::Text(text), ValueRef::Timestamp)
                }
                Kind::Decimal => ValueRef::Decimal(text.into()),
                Kind::Json => ValueRef::Json(text.into()),
                _ => ValueRef::Text(text),
            }
        }
        (Stored::Blob(bytes), Kind::Uuid) => match <[u8; 16]>::try_from(bytes) {
            Ok(bytes) => {
                let number = u128::from_be_bytes(bytes);
                #[expect(clippy::cast_possible_truncation, reason = "each half is 64 bits")]
                let halves = ((number >> 64) as u64, number as u64);
                ValueRef::Uuid(halves)
            }
            Err(_) => ValueRef::Bytes(bytes),
        },
        (Stored::Blob(bytes), _) => ValueRef::Bytes(bytes),
    })
}

fn decimal(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    number.to_string()
}

/// The microseconds of `2026-01-31 23:59:59.123` in UTC, the format of SQLite's date functions.
fn timestamp(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let field = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            digits.parse::<i64>().ok()
        } else {
            None
        }
    };
    let mark = |at: usize, marks: &[u8]| {
        text.as_bytes()
            .get(at)
            .is_some_and(|byte| marks.contains(byte))
    };
    if !(mark(4, b"-") && mark(7, b"-") && mark(10, b" T") && mark(13, b":") && mark(16, b":")) {
        return None;
    }
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let micros = match text.len() {
        19 => 0,
        length @ 21..=26 if mark(19, b".") => {
            let digits = u32::try_from(length - 20).ok()?;
            field(20, length)? * 10_i64.pow(6 - digits)
        }
        _ => return None,
    };
    // Days since 1970-01-01 in the proleptic Gregorian calendar, with years that begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let in_era = year.rem_euclid(400);
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year.div_euclid(400) * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year
        - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_that_sqlite_changes_is_invalid() {
        for kept in [
            "0",
            "-1.10",
            "+3.",
            ".5",
            "9223372036854775807",
            "123456789.012345",
            "1000000000000000000000",
            "0.000001",
        ] {
            assert_eq!(check_decimal(kept), Ok(()), "{kept}");
        }
        for changed in [
            "",
            ".",
            "1e5",
            "NaN",
            "-Infinity",
            "12345678901234567890",
            "0.1234567890123456",
            "1 ",
        ] {
            assert!(check_decimal(changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn json_that_sqlite_changes_is_invalid() {
        for kept in ["{}", "[1e5]", " \"1\" ", "null", "true", "-12", "1.5"] {
            assert_eq!(check_json(kept), Ok(()), "{kept}");
        }
        for changed in [
            "",
            "{",
            "1e5",
            "1.0",
            "-0",
            "12345678901234567890",
            "0.1234567890123456789",
        ] {
            assert!(check_json(changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn timestamp_text_of_sqlite_is_parsed() {
        assert_eq!(timestamp("1970-01-01 00:00:00"), Some(0));
        assert_eq!(
            timestamp("2000-02-29T12:00:00.5Z"),
            Some(951_825_600_500_000)
        );
        assert_eq!(timestamp("1969-12-31 23:59:59.999999"), Some(-1));
        assert_eq!(timestamp("yesterday"), None);
        assert_eq!(timestamp("2000-13-01 00:00:00"), None);
    }

    #[test]
    fn declared_type_selects_the_kind() {
        assert_eq!(Kind::of(Some("boolean")), Kind::Boolean);
        assert_eq!(Kind::of(Some("TIMESTAMPTZ")), Kind::Timestamp);
        assert_eq!(Kind::of(Some("numeric(10,2)")), Kind::Decimal);
        assert_eq!(Kind::of(Some("TEXT")), Kind::Plain);
        assert_eq!(Kind::of(None), Kind::Plain);
    }
}
