//! Measures Usher against the same service written natively.
//!
//! | program | what it is |
//! |---|---|
//! | `native` | the user service without a sandbox, idiomatic and at its best: [`native`] |
//! | `load` | sends requests to any server and says how long they took: [`load`] |
//! | `compare` | starts servers, loads them alternately and prints one table: [`compare`] |
//!
//! ```text
//! cargo build --profile bench-native -p usher-benches --bins
//! ```

pub mod compare;
pub mod load;
pub mod native;

/// An error that ends a program, in words for the person who started it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
