//! Starts servers, loads them alternately, and prints one table: see [`usher_benches::compare`].
//!
//! ```text
//! cargo build --release -p usher
//! cargo build --profile bench-native -p usher-benches --bins
//! cargo run --profile bench-native -p usher-benches --bin compare
//! cargo run --profile bench-native -p usher-benches --bin compare -- \
//!     --scenarios get,post --rounds 9 --seconds 10
//! ```
//!
//! A temporary PostgreSQL server is started from installed programs. With `--postgres URL` a
//! database is created on that server instead, and dropped at the end. FastAPI takes part if
//! `--python` (or `python3`) has what `benches/peers/fastapi_users.py` needs, and any other server
//! by its command line:
//!
//! ```text
//! … --bin compare -- \
//!     --other 'wasmtime serve=wasmtime serve --addr {address} users-in-memory.wasm'
//! ```

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum as _};
use usher_benches::Error;
use usher_benches::compare::contestant::{Other, Programs};
use usher_benches::compare::database::Database;
use usher_benches::compare::measure::{self, Settings};
use usher_benches::compare::scenario::Scenario;
use usher_benches::compare::{catch_signals, machine, report, start};

/// Compares whole servers: requests per second, processor time, latency, memory.
#[derive(Debug, Parser)]
struct Options {
    /// What to measure, separated by commas [default: all].
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// How many samples of each server.
    #[arg(
        long,
        value_name = "N",
        default_value = "5",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    rounds: u32,
    /// How long a sample takes.
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    seconds: f64,
    /// How long a server is loaded before its sample counts.
    #[arg(long, value_name = "SECONDS", default_value = "1")]
    warm_up: f64,
    /// Clients at once, each on a connection of its own.
    #[arg(long, value_name = "N", default_value = "32")]
    connections: usize,
    /// Users in the database, in scenarios that read.
    #[arg(
        long,
        value_name = "N",
        default_value = "1000",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    users: u64,
    /// A PostgreSQL server to create a database on [default: a temporary one is started].
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Usher's program [default: the release build beside this one].
    #[arg(long, value_name = "FILE")]
    usher: Option<PathBuf>,
    /// The native server's program [default: the one beside this one].
    #[arg(long, value_name = "FILE")]
    native: Option<PathBuf>,
    /// A Python with FastAPI, uvicorn, uvloop, SQLAlchemy, asyncpg and email-validator.
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Another server. {address} is replaced by its listen address, {database} by PostgreSQL's URL;
    /// without {database} it keeps users in memory.
    #[arg(long, value_name = "NAME=COMMAND")]
    other: Vec<Other>,
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
    let programs = programs(options.usher, options.native, options.python, options.other)?;
    let settings = Settings {
        rounds: usize::try_from(options.rounds)?,
        time: Duration::try_from_secs_f64(options.seconds)?,
        warm_up: Duration::try_from_secs_f64(options.warm_up)?,
        connections: options.connections,
        users: options.users,
    };
    let scenarios = match &options.scenarios[..] {
        [] => Scenario::value_variants(),
        chosen => chosen,
    };
    let others = machine::others_load();
    if let Some((load, true)) = others {
        eprintln!("this machine has other things to do (load average {load}): figures will vary");
    }
    catch_signals()?;
    let postgres = scenarios
        .iter()
        .any(|scenario| scenario.on_postgres())
        .then(|| Database::make(options.postgres.as_deref()))
        .transpose()?;
    let (mut results, mut starts) = (Vec::new(), Vec::new());
    for &scenario in scenarios {
        if scenario == Scenario::Start {
            starts = start::run(&programs, settings.rounds * 4)?;
        } else {
            results.push((
                scenario,
                measure::run(scenario, &programs, postgres.as_ref(), &settings)?,
            ));
        }
    }
    let version = postgres.map(|database| database.version()).transpose()?;
    println!(
        "{}{}{}. {} rounds of {} s after {} s of warm-up, {} connections, {} users.\n",
        machine::description(),
        version
            .map(|version| format!(", PostgreSQL {version}"))
            .unwrap_or_default(),
        others
            .map(|(load, _)| format!(", load average {load} before"))
            .unwrap_or_default(),
        settings.rounds,
        options.seconds,
        options.warm_up,
        settings.connections,
        settings.users,
    );
    if !results.is_empty() {
        println!("{}", report::table(&results));
    }
    if !starts.is_empty() {
        println!("{}", report::starts(&starts));
    }
    Ok(())
}

/// Finds the programs that the options do not name.
fn programs(
    usher: Option<PathBuf>,
    native: Option<PathBuf>,
    python: Option<PathBuf>,
    others: Vec<Other>,
) -> Result<Programs, Error> {
    let own = std::env::current_exe()?;
    let beside = |path: &str| {
        let path = own.parent()?.join(path);
        path.is_file().then_some(path)
    };
    let native = native.or_else(|| beside("native")).ok_or(
        "the native server is not beside this program: cargo build --profile bench-native -p \
            usher-benches --bins",
    )?;
    let usher = usher.or_else(|| beside("../release/usher"));
    if usher.is_none() {
        eprintln!(
            "without usher, of which there is no release build: cargo build --release -p usher"
        );
    }
    let python = match python {
        Some(python) if Programs::has_fastapi(&python) => Some(python),
        Some(python) => {
            return Err(format!(
                "{} does not have what benches/peers/fastapi_users.py needs",
                python.display()
            )
            .into());
        }
        None => {
            Some(Path::new("python3").to_owned()).filter(|python| Programs::has_fastapi(python))
        }
    };
    if python.is_none() {
        eprintln!("without FastAPI, which python3 does not have");
    }
    Ok(Programs {
        usher,
        native,
        python,
        others,
        cores: None,
    })
}
