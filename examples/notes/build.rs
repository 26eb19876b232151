//! Builds the component, `target/NAME.wasm`.

use std::process::ExitCode;

fn main() -> ExitCode {
    usher_build::service()
}
