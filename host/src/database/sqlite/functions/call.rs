//! One call of a function: its arguments, its clock, and its result.

use std::borrow::Cow;

use rusqlite::functions::Context;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Error, Result, ToSql, ffi};

use crate::database::sqlite::control::Control;

/// Steps between two looks at the clock: some ten microseconds.
const STEPS: u32 = 1 << 14;

/// Counts the steps of a call, and checks the deadline every [`STEPS`] steps.
pub(super) struct Clock<'c> {
    pub(super) control: &'c Control,
    steps: u32,
}

impl<'c> Clock<'c> {
    pub(super) fn new(control: &'c Control) -> Self {
        Self { control, steps: 0 }
    }

    /// Counts `steps` more steps. Fails at the deadline.
    pub(super) fn step(&mut self, steps: u32) -> Result<()> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps < STEPS {
            return Ok(());
        }
        self.steps = 0;
        if self.control.must_stop() {
            return Err(failure(ffi::SQLITE_INTERRUPT, None));
        }
        Ok(())
    }
}

pub(super) fn failure(code: i32, message: Option<&str>) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), message.map(str::to_owned))
}

/// The result of a function.
pub(super) enum Out {
    Null,
    Integer(i64),
    /// Text as SQLite stores it, possibly not UTF-8.
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl ToSql for Out {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// An argument as text; none if it is null.
pub(super) fn text<'a>(context: &'a Context<'_>, index: usize) -> Option<Cow<'a, [u8]>> {
    Some(match context.get_raw(index) {
        ValueRef::Null => return None,
        ValueRef::Integer(value) => Cow::Owned(value.to_string().into_bytes()),
        ValueRef::Real(value) => Cow::Owned(real(value).into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Cow::Borrowed(bytes),
    })
}

/// A real number as SQLite writes it: the fewest digits that identify it.
fn real(value: f64) -> String {
    /// With more digits before the point, the exponent is written.
    const DIGITS: i32 = 17;
    if value.is_nan() {
        return String::new();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Inf" } else { "-Inf" }.to_owned();
    }
    if value == 0.0 {
        return "0.0".to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') {
            plain
        } else {
            plain + ".0"
        };
    }
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{point}e{sign}{:02}", exponent.abs())
}
