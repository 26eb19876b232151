//! Requests and responses, as every service sees them.

mod buffered;
mod headers;
mod request;
mod response;

pub use buffered::BufferedRequest;
pub use headers::{Header, RequestHeaders};
pub use request::{IncompleteBody, Method, Request, Scheme};
pub use response::{JSON, Response};
