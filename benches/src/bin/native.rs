//! The user service as a native program, to measure Usher against: see [`usher_benches::native`].
//!
//! ```text
//! cargo run --profile bench-native -p usher-benches --bin native -- --style best --database postgres://…
//! ```

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use usher_benches::native::{self, Database, Style};

/// Serves users natively, for Usher to be measured against.
#[derive(Debug, Parser)]
struct Options {
    /// How the service is built.
    #[arg(long, value_enum, default_value = "idiomatic")]
    style: Style,
    /// postgres://… or memory:.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database: Database,
    /// Where to serve; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match native::serve(options.style, options.listen, options.database) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
