//! Prints what a request costs step by step: see [`usher_benches::compare::steps`].
//!
//! ```text
//! cargo build --release -p usher
//! benches/peers/components/build target/peers
//! cargo run --profile bench-native -p usher-benches --bin decompose
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use usher_benches::Error;
use usher_benches::compare::steps::{self, Settings};
use usher_benches::compare::{catch_signals, machine, report};

/// Measures a request step by step, from HTTP alone to PostgreSQL.
#[derive(Debug, Parser)]
struct Options {
    /// How many samples of each step.
    #[arg(
        long,
        value_name = "N",
        default_value = "5",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    rounds: u32,
    /// How long a sample takes.
    #[arg(long, value_name = "SECONDS", default_value = "3")]
    seconds: f64,
    /// How long a server is loaded before its sample counts.
    #[arg(long, value_name = "SECONDS", default_value = "0.5")]
    warm_up: f64,
    /// Clients at once, each on a connection of its own.
    #[arg(long, value_name = "N", default_value = "32")]
    connections: usize,
    /// Usher's program [default: the release build beside this one].
    #[arg(long, value_name = "FILE")]
    usher: Option<PathBuf>,
    /// The component that sends a fixed response [default: where `benches/peers/components/build
    /// target/peers` writes it].
    #[arg(long, value_name = "FILE")]
    hello: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result")]
fn run(options: Options) -> Result<(), Error> {
    let own = std::env::current_exe()?;
    let target = own
        .ancestors()
        .nth(2)
        .ok_or("this program lies in no target directory")?;
    let settings = Settings {
        rounds: usize::try_from(options.rounds)?,
        time: Duration::try_from_secs_f64(options.seconds)?,
        warm_up: Duration::try_from_secs_f64(options.warm_up)?,
        connections: options.connections,
        usher: options
            .usher
            .unwrap_or_else(|| target.join("release/usher")),
        http: own.with_file_name("hello"),
        hello: options
            .hello
            .unwrap_or_else(|| target.join("peers/hello.wasm")),
    };
    catch_signals()?;
    let all = steps::run(&settings)?;
    println!("{}\n\n{}", machine::description(), report::steps(&all));
    Ok(())
}
