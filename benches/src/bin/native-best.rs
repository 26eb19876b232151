//! The user service as a native program at its best, with Usher's allocator: see
//! [`usher_benches::native`].
//!
//! ```text
//! cargo run --profile bench-native -p usher-benches --bin native-best -- --database postgres://…
//! ```

use std::process::ExitCode;

use usher_benches::native::{self, Style};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    native::run(Style::Best)
}
