//! Log lines on standard error, the names of requests, and counters.
//!
//! | module | contents |
//! |---|---|
//! | `writer` | writes lines without making a core wait |
//! | [`log`] | the subscriber, and limits on the length and number of lines |
//! | [`access_log`] | a line for each request |
//! | `histogram` | durations in buckets |
//! | [`routes`], `request_id` | the names of requests: declared routes, ids |
//! | [`counters`] | the counters of one core |
//! | [`request`] | what is known of one request, and how it ended |
//! | `process` | the process as its operating system sees it |

pub mod access_log;
pub mod counters;
pub mod log;
pub mod request;
pub mod routes;

pub(crate) mod histogram;
pub(crate) mod process;
pub(crate) mod request_id;
mod writer;

pub use access_log::AccessLog;
pub use counters::Counters;
pub use log::{LogGuard, log_to_stderr};
pub(crate) use request::LogNames;
pub use request::RequestInfo;
pub use routes::Routes;
