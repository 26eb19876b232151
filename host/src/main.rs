//! The `usher` program. Everything it does is in the library: see [`usher::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    usher::cli::run(std::env::args_os())
}
