//! SQL values as JSON, in both directions.

use serde_json::{Value as Json, json};

use crate::bindings::usher::database::types::{Row, Value};

/// The parameters of a step, in order.
pub fn params(params: &Json) -> Result<Vec<Value>, String> {
    match params {
        Json::Null => Ok(Vec::new()),
        Json::Array(params) => params.iter().map(param).collect(),
        other => Err(format!("`params` is {other}")),
    }
}

fn param(param: &Json) -> Result<Value, String> {
    let wrong = || format!("the parameter {param} has no kind");
    match param {
        Json::Null => Ok(Value::Null),
        Json::Bool(value) => Ok(Value::Boolean(*value)),
        Json::Number(value) => value.as_i64().map(Value::Integer).ok_or_else(wrong),
        Json::String(text) => Ok(Value::Text(text.clone())),
        Json::Array(_) => Err(wrong()),
        Json::Object(object) => {
            let (kind, value) = object.iter().next().ok_or_else(wrong)?;
            let text = || value.as_str().map(str::to_owned).ok_or_else(wrong);
            match kind.as_str() {
                "real" => value.as_f64().map(Value::Real).ok_or_else(wrong),
                "timestamp" => value.as_i64().map(Value::Timestamp).ok_or_else(wrong),
                "decimal" => text().map(Value::Decimal),
                "json" => text().map(Value::Json),
                "bytes" => bytes(&text()?).map(Value::Bytes).ok_or_else(wrong),
                "uuid" => {
                    let digits = text()?.replace('-', "");
                    let number = u128::from_str_radix(&digits, 16).map_err(|_| wrong())?;
                    Ok(Value::Uuid(((number >> 64) as u64, number as u64)))
                }
                _ => Err(wrong()),
            }
        }
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| (digit as char).to_digit(16);
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect()
}

pub fn rows(rows: &[Row]) -> Json {
    let row = |row: &Row| Json::Array(row.iter().map(value).collect());
    Json::Array(rows.iter().map(row).collect())
}

fn value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => json!(value),
        Value::Integer(value) => json!(value),
        Value::Text(text) => json!(text),
        // JSON has no number for some of them.
        Value::Real(value) => json!({"real": format!("{value:?}")}),
        Value::Bytes(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({"bytes": hex})
        }
        Value::Uuid((high, low)) => json!({"uuid": format!("{high:016x}{low:016x}")}),
        Value::Timestamp(micros) => json!({"timestamp": micros}),
        Value::Decimal(digits) => json!({"decimal": digits}),
        Value::Json(text) => json!({"json": text}),
    }
}
