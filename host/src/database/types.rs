//! The values, results and errors that back ends return and components receive.
//!
//! All but [`Rows`] are generated from `wit/`, so that nothing is converted for a component.

use std::borrow::Cow;
use std::sync::Arc;

use wasmtime::component::{ComponentType, Lower};

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated code, documented in wit/"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package usher:host; world database { import usher:database/types@0.2.0; }",
        world: "usher:host/database",
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

pub use generated::usher::database::types::{
    Error, Host, HostWithStore, Isolation, Refusal, RefusalKind, Row, SqlDialect, Value,
    add_to_linker,
};

impl Value {
    /// Its bytes besides its slot in a row or a list.
    pub(crate) fn bytes(&self) -> usize {
        ValueRef::from(self).bytes()
    }
}

/// A value where the database has put it.
#[derive(Clone, Debug)]
pub(super) enum ValueRef<'a> {
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
    pub(super) fn bytes(&self) -> usize {
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

/// A buffered result. Not generated, because its column names are shared between the runs of a
/// statement and not copied.
#[derive(ComponentType, Lower, Clone, Debug)]
#[component(record)]
pub struct Rows {
    /// The columns' names, in order.
    #[component(name = "columns")]
    pub columns: Arc<[String]>,
    /// The rows, in the database's order; one row of one value if the statement asks for packed
    /// rows and has several columns.
    #[component(name = "rows")]
    pub rows: Vec<Row>,
}
