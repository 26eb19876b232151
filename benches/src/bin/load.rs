//! Loads an HTTP server and prints its throughput and latency: see [`usher_benches::load`].
//!
//! ```text
//! cargo run --profile bench-native -p usher-benches --bin load -- \
//!     http://127.0.0.1:8000/users/1 --connections 64
//! cargo run --profile bench-native -p usher-benches --bin load -- \
//!     http://127.0.0.1:8000/users/ --new-users --requests 10000
//! ```

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use usher_benches::Error;
use usher_benches::load::{self, Load, Requests, Transport, Until};

/// Loads an HTTP server in a closed loop and prints its throughput and latency.
#[derive(Debug, Parser)]
struct Options {
    /// What to GET, as http://HOST:PORT/PATH.
    url: String,
    /// Where the path has {id}, go through ids from 1 to this.
    #[arg(long, value_name = "N", default_value = "1")]
    ids: u64,
    /// POST new users to /users/ instead.
    #[arg(long)]
    new_users: bool,
    /// Connections, each with one request under way.
    #[arg(long, value_name = "N", default_value = "32")]
    connections: usize,
    /// How long to send requests.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "10",
        conflicts_with = "requests"
    )]
    seconds: f64,
    /// How many requests to send, instead of a time.
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// Speak HTTP/2.
    #[arg(long)]
    http2: bool,
    /// Connect over TLS to a server with this certificate, for its IP address; the URL still begins
    /// with http://.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The expected status of responses.
    #[arg(long, value_name = "STATUS", default_value = "200")]
    expect: u16,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all responses were as expected.
#[expect(clippy::print_stdout, reason = "the result")]
fn run(options: &Options) -> Result<bool, Error> {
    let (address, path) = target(&options.url)?;
    let requests = if options.new_users {
        Requests::new_users(address)
    } else if path.contains("{id}") {
        Requests::get(
            address,
            (1..=options.ids).map(|id| path.replace("{id}", &id.to_string())),
        )
    } else {
        Requests::get(address, [path])
    };
    let until = match options.requests {
        Some(requests) => Until::Sent(requests),
        None => Until::Elapsed(Duration::try_from_secs_f64(options.seconds)?),
    };
    let connections = options.connections;
    let mut transport = Transport::default();
    if options.http2 {
        transport = transport.http2();
    }
    if let Some(file) = &options.tls_ca {
        transport = transport.tls(file)?;
    }
    let outcome = load::run(&Load {
        address,
        transport,
        connections,
        until,
        requests,
    })?;
    let ms = |share| outcome.quantile(share).as_secs_f64() * 1e3;
    println!(
        "{:.0} requests/s ({} in {:.2} s), latency p50 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, \
            most {:.3} ms",
        outcome.rate(),
        outcome.requests(),
        outcome.elapsed.as_secs_f64(),
        ms(0.5),
        ms(0.99),
        ms(0.999),
        ms(1.0),
    );
    let mut expected = true;
    for (status, answers) in &outcome.answers {
        if *status != options.expect {
            expected = false;
            eprintln!(
                "{answers} answers had status {status}, not {}",
                options.expect
            );
        }
    }
    Ok(expected)
}

fn target(url: &str) -> Result<(SocketAddr, String), Error> {
    let rest = url
        .strip_prefix("http://")
        .ok_or("a URL begins with http://")?;
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, "/".to_owned()),
    };
    let authority = if authority.contains(':') {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let address = authority
        .to_socket_addrs()
        .map_err(|error| format!("{authority}: {error}"))?
        .next()
        .ok_or_else(|| format!("{authority} has no address"))?;
    Ok((address, path))
}
