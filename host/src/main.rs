//! The `usher` program. Everything it does is in the library: see [`usher::cli`].

use std::process::ExitCode;

/// A request takes some forty blocks of memory and gives them back, a page of users some hundreds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    usher::cli::run(std::env::args_os())
}
