//! Everything that can be set, with its default and its unit.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::connection;
use crate::database;
use crate::memory::HostMemory;
use crate::sandbox::{Capacity, Source, pool};
use crate::wasi_http::forwarded::Proxies;

/// How to serve. Made by the command line ([`crate::cli`]) or by an embedding program.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where HTTP clients are served.
    pub listen: SocketAddr,
    /// Where operators are: `/live`, `/ready`, `/metrics`. Nowhere if `None`.
    pub admin_listen: Option<SocketAddr>,
    /// The database, and what may be asked of it.
    pub database: database::Config,
    /// How long to wait at start for a database that does not answer yet.
    pub database_wait: Duration,
    /// What to serve.
    pub component: Source,
    /// Whether to bring the schema up to date at start.
    pub migrate: bool,
    /// How long bringing the schema up to date may take; zero for as long as it takes.
    pub migration_timeout: Duration,
    /// Requests an instance serves before it is replaced.
    pub instance_reuse: NonZeroU32,
    /// Linear memory of an instance, in bytes.
    pub instance_memory: usize,
    /// What the host may hold for one request beside that, in bytes.
    pub request_memory: usize,
    /// What the host may hold for all requests together, in bytes.
    pub host_memory: usize,
    /// A response that is handed over in one piece, in bytes.
    pub max_response: usize,
    /// The processor time of one request.
    pub cpu_time: Duration,
    /// How long the component may go on after its answer is complete.
    pub after_answer: Duration,
    /// Cores to serve on, each with a runtime, instances and database connections of its own.
    pub workers: NonZeroUsize,
    /// Requests in flight on all cores together.
    pub max_requests: NonZeroUsize,
    /// Client connections on all cores together. Further ones wait in the operating system's queue.
    pub max_connections: NonZeroUsize,
    /// A request's body, in bytes.
    pub max_body: usize,
    /// A request's line and headers, in bytes; at least 8 KiB.
    pub max_head: usize,
    /// From a request's arrival to the component's return.
    pub request_timeout: Duration,
    /// For a request's head to arrive, and for a connection to be idle between two requests.
    pub head_timeout: Duration,
    /// For a request's body to arrive.
    pub body_timeout: Duration,
    /// How long a client may take nothing of its answer.
    pub write_timeout: Duration,
    /// The proxies whose word counts on the scheme by which clients came.
    pub trusted_proxies: Proxies,
    /// For connections to end once the server was asked to stop.
    pub drain_timeout: Duration,
}

/// Requests in flight on one core, unless said otherwise.
const REQUESTS: NonZeroUsize = NonZeroUsize::new(64).expect("it is not 0");

impl Config {
    /// The defaults, with this database.
    pub fn new(database: database::Config) -> Self {
        let workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let database = database::Config {
            pools: workers,
            ..database
        };
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            admin_listen: None,
            database,
            database_wait: Duration::from_secs(30),
            component: Source::Embedded,
            migrate: true,
            migration_timeout: Duration::ZERO,
            instance_reuse: NonZeroU32::new(128).unwrap_or(NonZeroU32::MIN),
            instance_memory: 64 << 20,
            request_memory: 32 << 20,
            host_memory: 512 << 20,
            max_response: 16 << 20,
            cpu_time: Duration::from_secs(10),
            after_answer: Duration::from_secs(2),
            workers,
            max_requests: workers.saturating_mul(REQUESTS),
            max_connections: NonZeroUsize::new(10_000).unwrap_or(NonZeroUsize::MIN),
            max_body: 1 << 20,
            max_head: 64 << 10,
            request_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_mins(1),
            trusted_proxies: Proxies::default(),
            drain_timeout: Duration::from_secs(30),
        }
    }

    /// Serves on so many cores, with as many requests in flight as is usual for them.
    pub fn set_workers(&mut self, workers: NonZeroUsize) {
        self.workers = workers;
        self.database.pools = workers;
        self.max_requests = workers.saturating_mul(REQUESTS);
    }

    /// What the engine must be able to hold.
    pub fn capacity(&self) -> Capacity {
        // Every core rounds its share up, and the migrations take one more.
        let instances = self.max_requests.get() + self.workers.get() + 1;
        Capacity {
            instances: u32::try_from(instances).unwrap_or(u32::MAX),
            memory: self.instance_memory,
        }
    }

    /// The database with a result that an instance has room for: it holds the rows, and what it makes of them.
    pub(crate) fn database(&self) -> database::Config {
        let room = self.instance_memory as u64 / 4;
        database::Config {
            max_rows_bytes: self.database.max_rows_bytes.min(room),
            ..self.database.clone()
        }
    }

    /// How instances are used.
    pub fn instances(&self) -> pool::Limits {
        pool::Limits {
            reuse: self.instance_reuse.get(),
            memory: self.instance_memory,
            request_memory: self.request_memory,
            host_memory: HostMemory::new(self.host_memory),
            max_response: self.max_response,
            cpu_time: self.cpu_time,
            after_answer: self.after_answer,
            in_flight: self.max_requests.get().div_ceil(self.workers.get()),
            deadline: self.request_timeout,
            whole: true,
        }
    }

    /// What a client may ask of a connection.
    pub fn connections(&self) -> connection::Limits {
        connection::Limits {
            body: self.max_body,
            head: self.max_head.max(8 << 10),
            head_timeout: self.head_timeout,
            body_timeout: self.body_timeout,
            write_timeout: self.write_timeout,
            proxies: self.trusted_proxies.clone(),
        }
    }
}
