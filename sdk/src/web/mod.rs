//! Function handlers, JSON, problems (RFC 9457), and rows as structs: the short way to a service.
//!
//! [`Routed`] lists routes, statements and migrations. A handler takes a [`Request`] and a [`Db`]
//! and returns a response or a [`Problem`]; every error of this module becomes a problem by `?`.

mod db;
mod error;
mod handler;
mod json;
mod ndjson;
mod path;
mod problem;
mod request;
mod routed;
mod row;
mod value;

pub use db::{Db, Query, Transaction};
pub use error::{Error, OnRefusal};
pub use handler::{Handler, Routes};
pub use ndjson::{Ndjson, NdjsonChunks};
pub use problem::{Fault, Place, Problem};
pub use request::Request;
pub use routed::Routed;
pub use row::{Field, FromRow, Row, RowError};
pub use usher_sdk_derive::FromRow;
pub use value::FromValue;
