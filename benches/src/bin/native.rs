//! The user service as an idiomatic native program, to measure Usher against:
//! see [`usher_benches::native`].
//!
//! ```text
//! cargo run --profile bench-native -p usher-benches --bin native -- --database postgres://…
//! ```

use std::process::ExitCode;

use usher_benches::native::{self, Style};

fn main() -> ExitCode {
    native::run(Style::Idiomatic)
}
