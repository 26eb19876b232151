//! The user service as a native axum program: what Usher is measured against, so it is made to be fast and does the same
//! work: the same routes, validation, statements and answers, prepared statements, and as many connections.
//!
//! Left out is only what no figure is taken of: PUT, PATCH, DELETE and the documentation pages. Of the recorded cases of the
//! contract it passes all but those of these pages and a few odd paths, which axum's router reads in its own way, and two of
//! numbers and surrogates, which `serde_json` does.
//!
//! | module | what it decides |
//! |---|---|
//! | `routes` | which request gets which answer; the same for every style and database |
//! | `request` | what clients may send |
//! | `failure` | the answer to whatever goes wrong |
//! | `store` | what a database has to do |
//! | `pool` | PostgreSQL as such services are written: a pool of 16 |
//! | `shared` | PostgreSQL at its best: a few connections per core, on which statements are pipelined |
//! | `memory` | SQLite in memory |
//! | `idiomatic` | one runtime with a thread per core, `axum::serve` |
//! | `best` | an allocator of its own, and a runtime, a listener and database connections per core, nothing shared |
//! | `hello` | no service at all: what HTTP alone costs |

mod best;
mod failure;
mod hello;
mod idiomatic;
mod memory;
mod pool;
mod request;
mod routes;
mod shared;
mod store;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;

pub(crate) use store::POSTGRES_SCHEMA;

/// How the service is built.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    /// As the manuals of axum, tokio and deadpool show it.
    Idiomatic,
    /// As fast as these libraries go: nothing crosses cores, and statements are pipelined.
    Best,
    /// No service: the same answer to every request, which needs no database.
    Hello,
}

/// Where users are kept.
#[derive(Clone, Debug)]
pub enum Database {
    /// A PostgreSQL server.
    Postgres(Box<tokio_postgres::Config>),
    /// SQLite in the memory of the process, one for all threads.
    Memory,
}

impl FromStr for Database {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if url == "memory:" {
            return Ok(Self::Memory);
        }
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("a postgres:// URL or memory: is expected".into());
        }
        let config = url
            .parse()
            .map_err(|error: tokio_postgres::Error| error.to_string())?;
        Ok(Self::Postgres(Box::new(config)))
    }
}

/// What may be asked of a native server.
#[derive(Debug, Parser)]
struct Options {
    /// postgres://… or memory:.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database: Database,
    /// Where to serve; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
}

/// A native server's whole program: serves until the process is ended, or says why it cannot.
pub fn run(style: Style) -> ExitCode {
    let Options { database, listen } = Options::parse();
    let served = match style {
        Style::Idiomatic => idiomatic::serve(listen, database),
        Style::Best => best::serve(listen, database),
        Style::Hello => hello::serve(listen),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// How many connections to PostgreSQL the service has in all.
const CONNECTIONS: usize = 16;

/// What whoever started the program waits for.
fn announce(address: SocketAddr) {
    eprintln!("listening on http://{address}");
}
