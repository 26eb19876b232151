//! What Usher costs beside the same service written natively, and the tools to find out.
//!
//! | program | what it is |
//! |---|---|
//! | `native` | the user service without a sandbox, once idiomatic and once at its best: [`native`] |
//!
//! ```text
//! cargo build --profile bench-native -p usher-benches --bins
//! ```

pub mod native;

/// What ends a program, in words for whoever started it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
