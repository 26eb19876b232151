//! Values, to and from PostgreSQL's. Ranges, arrays and intervals are left out.

use anyhow::{Context, bail};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use rust_decimal::Decimal;
use serde_json::Value as Json;
use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::bindings::spin::postgres::postgres::{DbDataType, DbValue, ParameterValue};

type Failure = Box<dyn std::error::Error + Sync + Send>;

/// NULL, for a parameter of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Failure> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The bytes of a value of any type.
struct Bytes(Vec<u8>);

impl FromSql<'_> for Bytes {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Failure> {
        Ok(Self(raw.to_owned()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A parameter as the driver sends it. The driver refuses one that the server expects to have
/// another type.
pub fn parameter(value: &ParameterValue) -> anyhow::Result<Box<dyn ToSql + Send + Sync>> {
    Ok(match value {
        ParameterValue::DbNull => Box::new(Null),
        ParameterValue::Boolean(value) => Box::new(*value),
        ParameterValue::Int8(value) => Box::new(*value),
        ParameterValue::Int16(value) => Box::new(*value),
        ParameterValue::Int32(value) => Box::new(*value),
        ParameterValue::Int64(value) => Box::new(*value),
        ParameterValue::Floating32(value) => Box::new(*value),
        ParameterValue::Floating64(value) => Box::new(*value),
        ParameterValue::Str(value) => Box::new(value.clone()),
        ParameterValue::Binary(value) => Box::new(value.clone()),
        ParameterValue::Date(date) => Box::new(date_of(*date)?),
        ParameterValue::Time(time) => Box::new(time_of(*time)?),
        ParameterValue::Datetime((year, month, day, hour, minute, second, nano)) => {
            Box::new(NaiveDateTime::new(
                date_of((*year, *month, *day))?,
                time_of((*hour, *minute, *second, *nano))?,
            ))
        }
        ParameterValue::Timestamp(seconds) => {
            let time = DateTime::<Utc>::from_timestamp(*seconds, 0);
            Box::new(time.context("invalid timestamp")?)
        }
        ParameterValue::Uuid(text) => Box::new(Uuid::parse_str(text).context("invalid UUID")?),
        ParameterValue::Jsonb(bytes) => {
            let json: Json = serde_json::from_slice(bytes).context("invalid JSON")?;
            Box::new(json)
        }
        ParameterValue::Decimal(text) => {
            Box::new(Decimal::from_str_exact(text).context("invalid decimal")?)
        }
        _ => bail!("the stand-in has no ranges, arrays and intervals"),
    })
}

fn date_of((year, month, day): (i32, u8, u8)) -> anyhow::Result<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month.into(), day.into()).context("invalid date")
}

fn time_of((hour, minute, second, nano): (u8, u8, u8, u32)) -> anyhow::Result<NaiveTime> {
    NaiveTime::from_hms_nano_opt(hour.into(), minute.into(), second.into(), nano)
        .context("invalid time")
}

/// The type of a column.
pub fn data_type(of: &Type) -> DbDataType {
    match *of {
        Type::BOOL => DbDataType::Boolean,
        Type::BYTEA => DbDataType::Binary,
        Type::FLOAT4 => DbDataType::Floating32,
        Type::FLOAT8 => DbDataType::Floating64,
        Type::INT2 => DbDataType::Int16,
        Type::INT4 => DbDataType::Int32,
        Type::INT8 => DbDataType::Int64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => DbDataType::Str,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DbDataType::Datetime,
        Type::DATE => DbDataType::Date,
        Type::TIME => DbDataType::Time,
        Type::UUID => DbDataType::Uuid,
        Type::JSONB => DbDataType::Jsonb,
        Type::NUMERIC => DbDataType::Decimal,
        _ => DbDataType::Other(of.name().to_owned()),
    }
}

/// One value of a row.
pub fn cell(row: &Row, index: usize) -> anyhow::Result<DbValue> {
    fn get<'r, T: FromSql<'r>>(
        row: &'r Row,
        index: usize,
        convert: impl FnOnce(T) -> DbValue,
    ) -> anyhow::Result<DbValue> {
        let value: Option<T> = row.try_get(index)?;
        Ok(value.map_or(DbValue::DbNull, convert))
    }
    match *row.columns()[index].type_() {
        Type::BOOL => get(row, index, DbValue::Boolean),
        Type::BYTEA => get(row, index, DbValue::Binary),
        Type::FLOAT4 => get(row, index, DbValue::Floating32),
        Type::FLOAT8 => get(row, index, DbValue::Floating64),
        Type::INT2 => get(row, index, DbValue::Int16),
        Type::INT4 => get(row, index, DbValue::Int32),
        Type::INT8 => get(row, index, DbValue::Int64),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => get(row, index, DbValue::Str),
        // The type of the driver is for `timestamp` alone, so `timestamptz` fails, as in Spin.
        Type::TIMESTAMP | Type::TIMESTAMPTZ => get(row, index, datetime),
        Type::DATE => get(row, index, |date: NaiveDate| {
            DbValue::Date((date.year(), small(date.month()), small(date.day())))
        }),
        Type::TIME => get(row, index, |time: NaiveTime| {
            let (hour, minute, second) = (time.hour(), time.minute(), time.second());
            DbValue::Time((small(hour), small(minute), small(second), time.nanosecond()))
        }),
        Type::UUID => get(row, index, |value: Uuid| DbValue::Uuid(value.to_string())),
        Type::JSONB => get(row, index, |value: Json| {
            DbValue::Jsonb(value.to_string().into_bytes())
        }),
        Type::NUMERIC => get(row, index, |value: Decimal| {
            DbValue::Decimal(value.to_string())
        }),
        _ => get(row, index, |Bytes(bytes)| DbValue::Unsupported(bytes)),
    }
}

fn datetime(value: NaiveDateTime) -> DbValue {
    DbValue::Datetime((
        value.year(),
        small(value.month()),
        small(value.day()),
        small(value.hour()),
        small(value.minute()),
        small(value.second()),
        value.nanosecond(),
    ))
}

/// A part of a date or a time, none of which is over 59.
fn small(part: u32) -> u8 {
    u8::try_from(part).unwrap_or(u8::MAX)
}

/// What a value counts towards the limit of a result, in bytes.
pub fn memory_size(value: &DbValue) -> usize {
    let more = match value {
        DbValue::Str(text) | DbValue::Decimal(text) | DbValue::Uuid(text) => text.len(),
        DbValue::Binary(bytes) | DbValue::Jsonb(bytes) | DbValue::Unsupported(bytes) => bytes.len(),
        _ => 0,
    };
    size_of::<DbValue>() + more
}
