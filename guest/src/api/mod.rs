//! HTTP: from a request to its response.
//!
//! [`routes::handle`] takes anything that implements [`http::Request`]. A component exports two
//! interfaces that do: `wasi:http/incoming-handler`, where each part of a request is fetched from
//! the host, and `usher:service/buffered-handler`, which receives all of it in one call. A handler
//! cannot distinguish them.

pub mod accept;
mod answer;
pub mod body;
mod buffered;
pub mod conditional;
pub mod documents;
pub mod error;
pub mod http;
pub mod ndjson;
pub mod query;
pub mod representation;
pub mod routes;
pub mod users;

pub use answer::Answer;
pub use buffered::BufferedRequest;
pub use routes::{ROUTES, handle};
