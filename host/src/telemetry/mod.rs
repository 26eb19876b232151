//! What the host says of itself: log lines on standard error, and counters.
//!
//! | module | what lives there |
//! |---|---|
//! | [`log`] | the subscriber, and limits on the length and number of lines |
//! | [`counters`] | what one core counts of its requests |

pub mod counters;
pub mod log;

pub use counters::Counters;
pub use log::log_to_stderr;
