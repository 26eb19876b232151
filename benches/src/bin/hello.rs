//! The HTTP library alone, with the same response to everything: see [`usher_benches::native`].

use std::process::ExitCode;

use usher_benches::native::{self, Style};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    native::run(Style::Hello)
}
