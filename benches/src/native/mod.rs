//! The user service as a native axum program, which Usher is measured against. So it is made to be
//! fast and does the same work: the same routes, validation, prepared statements and responses, and
//! as many connections.
//!
//! It leaves out what is not measured: the documentation pages; PUT, PATCH, DELETE and the list as
//! NDJSON on SQLite; and conditions other than one entity tag. It passes the recorded cases of the
//! contract for what it has, except a few odd paths that axum's router parses differently, and two
//! with numbers and surrogates that `serde_json` parses differently.
//!
//! | module | what it decides |
//! |---|---|
//! | `routes` | which request gets which answer; the same for every style and database |
//! | `request` | what clients may send |
//! | `failure` | the answer to whatever goes wrong |
//! | `store` | what a database has to do |
//! | `lines` | a list of any length, sent while it is read |
//! | `pool` | PostgreSQL as such services are written: a pool of 16 |
//! | `shared` | PostgreSQL at its best: statements pipelined over a few connections per core |
//! | `sqlite` | what the stores over SQLite share |
//! | `memory` | SQLite in memory |
//! | `file_pool` | an SQLite file as such services are written: `spawn_blocking` |
//! | `file_groups` | an SQLite file at its best: one thread writes, in groups |
//! | `idiomatic` | one runtime with a thread per core, `axum::serve` |
//! | `best` | its own allocator; a runtime, a listener and database connections per core |
//! | `tls` | the certificate of servers over TLS |
//! | `hello` | no service at all: what HTTP alone costs |

mod best;
mod failure;
mod file_groups;
mod file_pool;
mod hello;
mod idiomatic;
mod lines;
mod memory;
mod pool;
mod request;
mod routes;
mod shared;
mod sqlite;
mod store;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;

pub(crate) use store::{POSTGRES_SCHEMA, SQLITE_SCHEMA};

/// How the service is built.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    /// As the documentation of axum, tokio and deadpool shows it.
    Idiomatic,
    /// As fast as these libraries allow: cores share nothing, and statements are pipelined.
    Best,
    /// No service: the same response to every request, without a database.
    Hello,
}

/// Where users are kept.
#[derive(Clone, Debug)]
pub enum Database {
    /// A PostgreSQL server.
    Postgres(Box<tokio_postgres::Config>),
    /// SQLite in the memory of the process, one for all threads.
    Memory,
    /// An SQLite file.
    File(PathBuf),
}

impl FromStr for Database {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if url == "memory:" {
            return Ok(Self::Memory);
        }
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Ok(Self::File(path.into()));
        }
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("a postgres:// URL, sqlite:PATH or memory: is expected".into());
        }
        let config = url
            .parse()
            .map_err(|error: tokio_postgres::Error| error.to_string())?;
        Ok(Self::Postgres(Box::new(config)))
    }
}

/// The command line of a native server.
#[derive(Debug, Parser)]
struct Options {
    /// postgres://…, sqlite:PATH or memory:.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database: Database,
    /// Where to serve; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    #[command(flatten)]
    transport: Transport,
}

/// What is below HTTP, and which version of it is spoken.
#[derive(Clone, Debug, clap::Args)]
struct Transport {
    /// The certificate of a server over TLS, which then speaks HTTP/1.1 and HTTP/2.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Whether the server at its best speaks HTTP/2 without TLS, and nothing else. The idiomatic
    /// one always speaks both.
    #[arg(long)]
    http2: bool,
}

/// A native server's whole program: serves until the process is ended, or prints why it cannot.
pub fn run(style: Style) -> ExitCode {
    let Options {
        database,
        listen,
        transport,
    } = Options::parse();
    let served = match style {
        Style::Idiomatic => idiomatic::serve(listen, &transport, database),
        Style::Best => best::serve(listen, &transport, database),
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

/// Connections to PostgreSQL, of all cores together.
const CONNECTIONS: usize = 16;

/// Prints the line that the starting program waits for.
fn announce(address: SocketAddr) {
    eprintln!("listening on http://{address}");
}
