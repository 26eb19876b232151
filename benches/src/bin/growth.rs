//! Prints the cost of a request as users, clients and hosts grow in number: see
//! [`usher_benches::compare::growth`].
//!
//! ```text
//! cargo build --release -p usher
//! cargo run --profile bench-native -p usher-benches --bin growth -- --plot docs/growth.svg
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use usher_benches::Error;
use usher_benches::compare::contestant::Programs;
use usher_benches::compare::growth::{self, Settings};
use usher_benches::compare::{catch_signals, machine, plot, report};

/// Measures the cost of a request against rows, connections and hosts.
#[derive(Debug, Parser)]
struct Options {
    /// How many users, separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N",
        default_value = "1,100,10000,1000000",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    rows: Vec<u64>,
    /// How many connections, separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N",
        default_value = "1,8,32,128,1000"
    )]
    connections: Vec<usize>,
    /// How many hosts, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "1,2,3")]
    hosts: Vec<usize>,
    /// How many samples of each point.
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
    /// How long a host is loaded before its sample counts.
    #[arg(long, value_name = "SECONDS", default_value = "0.5")]
    warm_up: f64,
    /// Usher's program [default: the release build beside this one].
    #[arg(long, value_name = "FILE")]
    usher: Option<PathBuf>,
    /// The cores for the servers, in taskset(1)'s notation. Run this program under taskset on the
    /// other cores, so that the load and PostgreSQL stay off these.
    #[arg(long, value_name = "CORES")]
    servers_on: Option<String>,
    /// Where to draw the figures, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result")]
fn run(options: &Options) -> Result<(), Error> {
    let own = std::env::current_exe()?;
    let beside = own.parent().map(|folder| folder.join("../release/usher"));
    let usher = options
        .usher
        .clone()
        .or(beside)
        .filter(|file| file.is_file());
    if usher.is_none() {
        return Err("there is no release build of usher: cargo build --release -p usher".into());
    }
    let programs = Programs {
        usher,
        native: own, // Beside it lies the one at its best, which is the one that takes part.
        python: None,
        others: Vec::new(),
        cores: options.servers_on.clone(),
    };
    let settings = Settings {
        rows: options.rows.clone(),
        connections: options.connections.clone(),
        hosts: options.hosts.clone(),
        usual_rows: 10_000,
        usual_connections: 32,
        rounds: usize::try_from(options.rounds)?,
        time: Duration::try_from_secs_f64(options.seconds)?,
        warm_up: Duration::try_from_secs_f64(options.warm_up)?,
    };
    catch_signals()?;
    let points = growth::run(&programs, &settings)?;
    let servers_on = options
        .servers_on
        .as_ref()
        .map_or_else(String::new, |cores| {
            format!("; besides, for the servers alone, those numbered {cores}")
        });
    println!(
        "{}{servers_on}. GET of one user, {} rounds of {} s; but for what grows, {} rows, {} \
            connections, one host.\n",
        machine::description(),
        settings.rounds,
        options.seconds,
        settings.usual_rows,
        settings.usual_connections
    );
    println!("{}", report::growth(&points));
    if let Some(file) = &options.plot {
        plot::growth(&points, file)?;
    }
    Ok(())
}
