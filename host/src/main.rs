//! The `usher` program: see [`usher::cli`].

use std::process::ExitCode;

/// A request makes some forty allocations, a page of users some hundreds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    usher::cli::run(std::env::args_os())
}
