//! The `usher` program: see [`usher::cli`].

use std::process::ExitCode;

mod allocator;

fn main() -> ExitCode {
    allocator::give_back();
    usher::cli::run(std::env::args_os())
}
