//! The settings of the server and of the modules that it uses.

use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

use super::address::Address;
use super::limits::Limits;
use super::tls;
use crate::options::{YEAR, defaults, duration, number, show_size};
use crate::sandbox::{Capacity, Source, pool};
use crate::telemetry::access_log;
use crate::{access, database, recording, sandbox};

/// The settings of a server, from the command line ([`crate::cli`]) or an embedding program.
#[derive(Args, Clone, Debug)]
#[group(id = "server-options")]
pub struct Config {
    /// Where to serve HTTP clients, such as localhost:8000, or :8000 for all interfaces; port 0
    /// takes a free one. Also unix:PATH, and systemd for the sockets that it passes. May be given
    /// more than once, or separated by commas.
    #[arg(
        long,
        env = "USHER_LISTEN",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "127.0.0.1:8000"
    )]
    pub listen: Vec<Address>,
    /// The mode of Unix sockets, in octal: who may connect needs the right to write.
    #[arg(
        long,
        env = "USHER_LISTEN_MODE",
        value_name = "MODE",
        default_value = "660",
        value_parser = mode
    )]
    pub listen_mode: u32,
    /// Where to serve operators: /live, /ready and /metrics, written like --listen. Nowhere if
    /// absent.
    #[arg(long, env = "USHER_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<Address>,
    /// How long to wait at start for a database that does not answer.
    #[arg(
        help_heading = "Database",
        long,
        env = "USHER_DATABASE_WAIT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration(Duration::ZERO, YEAR)
    )]
    pub database_wait: Duration,
    /// The database and its limits.
    #[command(flatten, next_help_heading = "Database")]
    pub database: database::Config,
    /// Leave the schema as it is at start.
    #[arg(help_heading = "Migrations", long, env = "USHER_NO_MIGRATE")]
    pub no_migrate: bool,
    /// For bringing the schema up to date, waiting for locks included; 0s for as long as it takes.
    #[arg(
        help_heading = "Migrations",
        long,
        env = "USHER_MIGRATION_TIMEOUT",
        value_name = "DURATION",
        default_value = "0s",
        value_parser = duration(Duration::ZERO, YEAR)
    )]
    pub migration_timeout: Duration,
    /// The component and its limits.
    #[command(flatten, next_help_heading = "Component")]
    pub sandbox: sandbox::Config,
    /// Cores to serve on [default: all].
    // Each has its own runtime, instances and database connections.
    #[arg(
        help_heading = "Server",
        long,
        env = "USHER_WORKERS",
        value_name = "N",
        value_parser = number::<NonZeroUsize>(1, MAX_WORKERS)
    )]
    pub workers: Option<NonZeroUsize>,
    /// Requests in flight at once; further ones wait [default: 64 for each worker].
    #[arg(
        help_heading = "Server",
        long,
        env = "USHER_MAX_REQUESTS",
        value_name = "N",
        value_parser = number::<NonZeroUsize>(1, MAX_REQUESTS)
    )]
    pub max_requests: Option<NonZeroUsize>,
    /// Client connections at once; further ones wait.
    // Counted on all cores together; further ones wait in the operating system's queue.
    #[arg(
        help_heading = "Server",
        long,
        env = "USHER_MAX_CONNECTIONS",
        value_name = "N",
        default_value = "10000",
        value_parser = number::<NonZeroUsize>(1, 1_000_000)
    )]
    pub max_connections: NonZeroUsize,
    /// Client connections at once from one address; further ones are closed. A --trusted-proxy has
    /// no such limit.
    // A network of 64 bits counts as one address.
    #[arg(
        help_heading = "Server",
        long,
        env = "USHER_MAX_CLIENT_CONNECTIONS",
        value_name = "N",
        default_value = "1000",
        value_parser = number::<NonZeroUsize>(1, 1_000_000)
    )]
    pub max_client_connections: NonZeroUsize,
    /// The limits of client connections.
    #[command(flatten, next_help_heading = "Clients")]
    pub connections: Limits,
    /// TLS of clients' connections.
    #[command(flatten, next_help_heading = "TLS")]
    pub tls: tls::Config,
    /// Who may send requests.
    #[command(flatten, next_help_heading = "Access")]
    pub access: access::Config,
    /// The access log.
    #[command(flatten)]
    pub access_log: access_log::Config,
    /// Recordings of requests.
    #[command(flatten, next_help_heading = "Recording")]
    pub recording: recording::Config,
    /// How long to go on after SIGTERM or Ctrl-C while /ready is 503 and responses say Connection:
    /// close [default: 0s on a terminal, otherwise 5s or half of --drain-timeout].
    #[arg(
        help_heading = "Server",
        long,
        env = "USHER_DRAIN_DELAY",
        value_name = "DURATION",
        value_parser = duration(Duration::ZERO, HOUR)
    )]
    pub drain_delay: Option<Duration>,
    /// For connections to end after SIGTERM or Ctrl-C, --drain-delay included.
    #[arg(
        help_heading = "Server",
        long,
        env = "USHER_DRAIN_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration(Duration::ZERO, YEAR)
    )]
    pub drain_timeout: Duration,
}

/// The most cores. Their requests in flight by default are [`MAX_REQUESTS`].
const MAX_WORKERS: u64 = 256;

/// The most requests in flight: each has 4 GiB of the 128 TiB of address space that a process has.
const MAX_REQUESTS: u64 = 16_384;

/// The permissions of a file.
fn mode(text: &str) -> Result<u32, &'static str> {
    let mode = u32::from_str_radix(text.trim(), 8).ok();
    mode.filter(|mode| *mode <= 0o777)
        .ok_or("it must be three octal digits, such as 660")
}

/// The longest delay. A drain of longer is no end.
const HOUR: Duration = Duration::from_hours(1);

/// How long load balancers may take to notice that the server is not ready.
const DRAIN_DELAY: Duration = Duration::from_secs(5);

/// The part of an instance's memory that one body may take.
const BODY_SHARE: usize = 4;

/// Requests in flight on one core by default.
const REQUESTS: NonZeroUsize = NonZeroUsize::new(64).expect("it is not 0");

impl Config {
    /// The defaults, with this database.
    pub fn new(database: database::Config) -> Self {
        Self {
            database,
            ..defaults()
        }
    }

    /// Checks that the settings do not contradict each other.
    ///
    /// # Errors
    /// One line that names the settings.
    pub fn check(&self) -> Result<(), String> {
        let (body, memory) = (self.connections.max_body, self.sandbox.instance_memory);
        if body > memory / BODY_SHARE {
            return Err(format!(
                "--max-body {} is more than a quarter of --instance-memory {}, and a component \
                 has to hold the body and what it makes of it: raise --instance-memory or lower \
                 --max-body",
                show_size(body as u64),
                show_size(memory as u64)
            ));
        }
        if self.listen.is_empty() {
            return Err("--listen has no address: name one, such as localhost:8000".to_owned());
        }
        if matches!(self.admin_listen, Some(Address::Passed)) {
            return Err(
                "--admin-listen has an address of its own, not systemd's sockets".to_owned(),
            );
        }
        if self.sandbox.watch && !matches!(self.sandbox.component, Some(Source::File(_))) {
            return Err("--watch is for a component from a file: name it with --component".into());
        }
        let values = self.sandbox.values();
        values.map_err(|error| error.to_string())?;
        self.tls.files()?;
        self.access.check()?;
        if let Some(delay) = self.drain_delay
            && !delay.is_zero()
            && delay >= self.drain_timeout
        {
            return Err(format!(
                "--drain-delay {} leaves no time for connections to end within --drain-timeout \
                 {}: raise --drain-timeout or lower --drain-delay",
                humantime::format_duration(delay),
                humantime::format_duration(self.drain_timeout)
            ));
        }
        Ok(())
    }

    /// How long to go on after a signal before the listeners close.
    pub(super) fn drain_delay(&self) -> Duration {
        self.drain_delay.unwrap_or_else(|| {
            // Whoever presses Ctrl-C waits for the end, and no load balancer is involved.
            if std::io::stderr().is_terminal() {
                Duration::ZERO
            } else {
                DRAIN_DELAY.min(self.drain_timeout / 2)
            }
        })
    }

    /// Cores to serve on.
    pub fn workers(&self) -> NonZeroUsize {
        let all = || {
            let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
            let most = usize::try_from(MAX_WORKERS)
                .ok()
                .and_then(NonZeroUsize::new);
            most.map_or(cores, |most| cores.min(most))
        };
        self.workers.unwrap_or_else(all)
    }

    /// Requests in flight on all cores together.
    fn max_requests(&self) -> NonZeroUsize {
        let usual = || self.workers().saturating_mul(REQUESTS);
        self.max_requests.unwrap_or_else(usual)
    }

    /// The capacity that the engine needs.
    pub fn capacity(&self) -> Capacity {
        // Each core's share is rounded up; the migrations and the recorder take one instance each.
        let instances = self.max_requests().get() + self.workers().get() + 2;
        Capacity {
            instances: u32::try_from(instances).unwrap_or(u32::MAX),
            memory: self.sandbox.instance_memory,
        }
    }

    /// The largest result in bytes: at most a quarter of an instance's memory, which also holds
    /// what the guest makes of it.
    pub(super) fn max_rows_bytes(&self) -> u64 {
        let room = self.sandbox.instance_memory as u64 / 4;
        self.database.max_rows_bytes.min(room)
    }

    /// The settings of the database, with a pool for each core.
    pub(crate) fn database(&self) -> database::Config {
        database::Config {
            pools: self.workers(),
            max_rows_bytes: self.max_rows_bytes(),
            ..self.database.clone()
        }
    }

    /// The limits of the instance pool on each core.
    pub fn instances(&self) -> pool::Limits {
        let in_flight = self.max_requests().get().div_ceil(self.workers().get());
        self.sandbox.limits(in_flight)
    }
}
