//! Compiles a WebAssembly component to machine code, for a server that has no compiler in it.
//!
//! Standard input is the component, standard output what the server loads. Compilation is not
//! linear in the size of a function, so the program limits itself before it reads a byte: memory,
//! processor time, and no files. Beyond a limit the kernel ends it, and the server that waits for
//! it goes on. Exits with 1 and one line on standard error if the input does not compile.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};

// Compiled code is only accepted by an engine with the same settings.
#[path = "../../host/src/sandbox/engine.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "this program compiles, it does not run"
)]
mod engine;

/// Address space in bytes, threads' stacks included. The users service takes a few hundred MB.
const MEMORY: u64 = 4 << 30;

/// Processor time of all threads, in seconds. The users service takes a few.
const PROCESSOR_SECONDS: u64 = 300;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed, the exit code alone remains.
            writeln!(io::stderr(), "{}", error.replace('\n', " ")).ok();
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    for (resource, limit) in [
        (Resource::As, MEMORY),
        (Resource::Cpu, PROCESSOR_SECONDS),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ] {
        let limit = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        setrlimit(resource, limit)
            .map_err(|error| format!("cannot limit this process: {error}"))?;
    }
    let mut component = Vec::new();
    io::stdin()
        .read_to_end(&mut component)
        .map_err(|error| format!("cannot read the component: {error}"))?;
    let code = engine::compiler(None)
        .and_then(|engine| engine.precompile_component(&component))
        .map_err(|error| format!("{error:#}"))?;
    io::stdout()
        .write_all(&code)
        .map_err(|error| format!("cannot write the compiled component: {error}"))
}
