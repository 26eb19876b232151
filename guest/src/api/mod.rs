//! HTTP: from a request to its response.
//!
//! [`routes::handle`] takes anything that implements [`Request`](usher_sdk::http::Request). A
//! component exports two interfaces that do: `wasi:http/incoming-handler`, where each part of a
//! request is fetched from the host, and `usher:service/buffered-handler`, which receives all of it
//! in one call. A handler cannot distinguish them.

pub mod accept;
pub mod body;
pub mod conditional;
pub mod documents;
pub mod error;
pub mod headers;
pub mod ndjson;
pub mod query;
pub mod representation;
pub mod routes;
pub mod users;

pub use headers::RequestHeader;
pub use ndjson::Answer;
pub use routes::{ROUTES, handle};
