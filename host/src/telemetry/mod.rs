//! Log lines on standard error, and counters.
//!
//! | module | contents |
//! |---|---|
//! | [`log`] | the subscriber, and limits on the length and number of lines |
//! | [`counters`] | the counters of one core |

pub mod counters;
pub mod log;

pub use counters::Counters;
pub use log::log_to_stderr;
