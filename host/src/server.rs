//! The server's life: reach the database, load the component, migrate, listen, hand connections to the cores, drain.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket};

use crate::admin;
use crate::bindings::migrating::exports::usher::service::migrations::Migration;
use crate::config::Config;
use crate::database::{Database, OpenError, Pool};
use crate::descriptors::{self, Trouble};
use crate::migrate::{self, MigrateError};
use crate::runtime::{LoadError, Runtime};
use crate::shutdown::Signals;
use crate::telemetry::Counters;
use crate::transport;
use crate::watch::{self, Beat};
use crate::worker::{self, Parts, Worker};

/// Why the server could not start, or did not end well. Every text is one line for the operator.
#[derive(Debug)]
pub enum ServeError {
    /// The address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The component cannot be served.
    Load(LoadError),
    /// The database cannot be used.
    Database(OpenError),
    /// The schema could not be brought up to date.
    Migrate(MigrateError),
    /// The operating system refused a thread, a signal handler or the like.
    System(io::Error),
}

impl ServeError {
    /// Whether it is the configuration that is wrong, rather than the world that is not ready.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Listen(..) | Self::Load(_) => true,
            Self::Database(error) => !error.is_transient(),
            Self::Migrate(_) | Self::System(_) => false,
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "cannot listen on {address}: the port is in use; stop what uses it, or choose another with --listen"
                )
            }
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Load(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
            Self::Migrate(error) => error.fmt(f),
            Self::System(error) => write!(f, "the operating system refused: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Serves until a signal asks for the end and every connection has been drained.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(config: &Config) -> Result<(), ServeError> {
    let mut signals = Signals::listen().map_err(ServeError::System)?;
    let room = room_for_connections(config);
    // Bound before anything that takes long, so that a taken port is said at once; clients connect only once it listens.
    let socket = bind(config.listen)?;
    let admin = config.admin_listen.map(bind).transpose()?;

    let start = start(config);
    let (runtime, database) = tokio::select! {
        started = start => started?,
        signal = signals.next() => {
            tracing::info!("{signal} before the server was ready; ending");
            return Ok(());
        }
    };
    database.advise();
    let parts = Parts {
        runtime,
        database: database.clone(),
        instances: config.instances(),
        connections: config.connections(),
        drain: config.drain_timeout,
    };
    let workers = (0..config.workers.get())
        .map(|index| Worker::start(index, parts.clone()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(ServeError::System)?;
    let memory = parts.instances.host_memory.clone();
    drop(parts);
    let cores: Vec<Beat> = workers.iter().map(|worker| worker.beat.clone()).collect();
    watch::watch(&cores).map_err(ServeError::System)?;

    let draining = Arc::new(AtomicBool::new(false));
    if let (Some(socket), Some(address)) = (admin, config.admin_listen) {
        let listener = listen(socket, address, 64)?;
        let counters: Vec<Arc<Counters>> = workers
            .iter()
            .map(|worker| Arc::clone(&worker.counters))
            .collect();
        tracing::info!("operators: http://{}/ready", local(&listener, address)?);
        tokio::spawn(admin::serve(
            listener,
            admin::View {
                counters,
                database,
                draining: Arc::clone(&draining),
                cores,
                memory,
            },
        ));
    }
    let listener = listen(socket, config.listen, 4096)?;
    let address = local(&listener, config.listen)?;
    tracing::info!("listening on http://{address}");

    let signal = tokio::select! {
        signal = signals.next() => signal,
        never = accept(&listener, &workers, room) => match never {},
    };
    // Closing the listener first: a client that comes now is refused, rather than accepted and forgotten.
    drop(listener);
    draining.store(true, Relaxed);
    let open: usize = workers.iter().map(Worker::open).sum();
    tracing::info!("{signal}: draining {open} connections; a second signal ends at once");
    let threads: Vec<_> = workers.into_iter().map(Worker::drain).collect();
    let drained = tokio::task::spawn_blocking(move || {
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a core's thread had panicked");
            }
        }
    });
    // A core that does not turn does not drain either.
    let longest = config.drain_timeout + worker::TIDYING + watch::STUCK;
    tokio::select! {
        _ = drained => {}
        () = tokio::time::sleep(longest) => {
            tracing::error!("a core has not ended within {longest:?}: ending with what it is at");
        }
        signal = signals.next() => tracing::warn!("{signal} again: ending with connections open"),
    }
    Ok(())
}

/// How many connections are served at once: what was asked for, or as many as there can be.
fn room_for_connections(config: &Config) -> usize {
    let asked = config.max_connections.get();
    let limit = descriptors::raise();
    let pool = config
        .database
        .pool_size
        .max(config.workers.saturating_mul(TWO));
    let room = descriptors::connections(asked, limit, config.workers.get(), pool.get());
    if let Some(limit) = limit
        && room < asked
    {
        tracing::warn!(
            "{room} connections are served at once, not the {asked} of --max-connections: the system allows {limit} open files \
             (ulimit -n), some of which the database needs"
        );
    }
    room
}

/// A core has at least so many connections to PostgreSQL.
const TWO: NonZeroUsize = NonZeroUsize::new(2).expect("it is not 0");

/// Brings the schema up to date, and nothing else.
///
/// # Errors
/// See [`ServeError`].
pub async fn migrate(config: &Config) -> Result<(), ServeError> {
    start(&Config {
        migrate: true,
        ..config.clone()
    })
    .await
    .map(drop)
}

/// What bringing the schema up to date would do. Nothing is changed. Gives `None` for a component that cannot say so.
///
/// # Errors
/// See [`ServeError`].
pub async fn plan(config: &Config) -> Result<Option<Vec<migrate::Finding>>, ServeError> {
    let (runtime, database) = start(&Config {
        migrate: false,
        ..config.clone()
    })
    .await?;
    let pool = database.pool().map_err(ServeError::Database)?;
    migrate::plan(&runtime, &pool, &config.instances().store())
        .await
        .map_err(ServeError::Migrate)
}

/// What stands before the first connection: the component and a database that is reached and up to date.
async fn start(config: &Config) -> Result<(Arc<Runtime>, Database), ServeError> {
    // Compiling takes long, and must not keep a signal from being heard.
    let (component, capacity) = (config.component.clone(), config.capacity());
    let loaded = tokio::task::spawn_blocking(move || Runtime::new(&component, capacity)).await;
    let loaded = loaded.map_err(|panic| ServeError::System(io::Error::other(panic)))?;
    let runtime = Arc::new(loaded.map_err(ServeError::Load)?);
    let began = Instant::now();
    let deadline = began + config.database_wait;
    let mut pause = Duration::from_millis(50);
    let mut said = None;
    loop {
        let error = match open_and_migrate(config, &runtime).await {
            Ok(database) => return Ok((runtime, database)),
            Err(error) => error,
        };
        let transient = match &error {
            ServeError::Database(error) => error.is_transient(),
            ServeError::Migrate(error) => error.is_transient(),
            _ => false,
        };
        let locked = matches!(&error, ServeError::Migrate(error) if error.is_locked());
        if locked {
            // Others are let through for as long as they were held up.
            pause = Duration::from_secs(1);
            if config.migration_timeout > Duration::ZERO
                && began.elapsed() + pause >= config.migration_timeout
            {
                tracing::error!("{error}");
                return Err(ServeError::Migrate(MigrateError::Late(
                    config.migration_timeout,
                )));
            }
            if said.is_none_or(|said: Instant| said.elapsed() >= Duration::from_secs(5)) {
                said = Some(Instant::now());
                tracing::warn!("{error}; trying again every other second");
            }
        } else if !transient || Instant::now() + pause >= deadline {
            return Err(error);
        }
        tracing::debug!("{error}; trying again in {pause:?}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

async fn open_and_migrate(config: &Config, runtime: &Runtime) -> Result<Database, ServeError> {
    let database = Database::open(config.database())
        .await
        .map_err(ServeError::Database)?;
    let database = runtime.database(database).map_err(ServeError::Load)?;
    if config.migrate {
        let pool = database.pool().map_err(ServeError::Database)?;
        let limit = config.migration_timeout;
        let applied = if limit.is_zero() {
            bring_up_to_date(config, runtime, &pool).await
        } else {
            tokio::time::timeout(limit, bring_up_to_date(config, runtime, &pool))
                .await
                .unwrap_or(Err(MigrateError::Late(limit)))
        };
        for migration in applied.map_err(ServeError::Migrate)? {
            tracing::info!(
                "applied migration {} ({})",
                migration.version,
                migration.name
            );
        }
    }
    Ok(database)
}

/// Says what will be done, and does it where nothing stands in the way.
async fn bring_up_to_date(
    config: &Config,
    runtime: &Runtime,
    pool: &Pool,
) -> Result<Vec<Migration>, MigrateError> {
    match migrate::plan(runtime, pool, &config.instances().store()).await {
        Ok(findings) => migrate::log(&findings.unwrap_or_default())?,
        // Why it cannot be told is what the migrations say as well, with what to do about it.
        Err(MigrateError::NoPlan(why)) => tracing::debug!("no plan: {why}"),
        Err(error) => return Err(error),
    }
    migrate::migrate(runtime, pool, &config.instances().store()).await
}

fn bind(address: SocketAddr) -> Result<TcpSocket, ServeError> {
    let bound = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        // A restart need not wait for old connections to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.set_nodelay(true)?;
        if let Err(error) = transport::bound_unsent(&socket) {
            tracing::debug!("what waits to be sent has no bound: {error}");
        }
        socket.bind(address)?;
        Ok(socket)
    };
    bound().map_err(|error| ServeError::Listen(address, error))
}

/// Begins to accept connections on a socket that was bound to `address`.
fn listen(
    mut socket: TcpSocket,
    address: SocketAddr,
    backlog: u32,
) -> Result<TcpListener, ServeError> {
    let mut others = if address.port() == 0 { PORTS } else { 0 };
    loop {
        match socket.listen(backlog) {
            // Until somebody listens on a port that was bound, it can be taken by another program that asks for this very one.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && others > 0 => {
                others -= 1;
                socket = bind(address)?;
            }
            listener => return listener.map_err(|error| ServeError::Listen(address, error)),
        }
    }
}

/// How many others are tried where any port will do.
const PORTS: usize = 8;

fn local(listener: &TcpListener, asked: SocketAddr) -> Result<SocketAddr, ServeError> {
    listener
        .local_addr()
        .map_err(|error| ServeError::Listen(asked, error))
}

/// Hands every connection to the core with the fewest. One place decides, so that few connections spread evenly, which a
/// listener per core leaves to a hash.
async fn accept(
    listener: &TcpListener,
    workers: &[Worker],
    most: usize,
) -> std::convert::Infallible {
    let mut trouble = Trouble::default();
    loop {
        // Connections over the limit are left in the operating system's queue until others have closed.
        if workers.iter().map(Worker::open).sum::<usize>() >= most {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        }
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                trouble.wait(&error).await;
                continue;
            }
        };
        trouble.is_over();
        let mut stream = match stream.set_nodelay(true).and_then(|()| stream.into_std()) {
            Ok(stream) => stream,
            Err(error) => {
                // A client that has left already.
                tracing::debug!("an accepted connection is of no use: {error}");
                continue;
            }
        };
        let mut cores: Vec<&Worker> = workers.iter().collect();
        cores.sort_by_key(|worker| (worker.beat.is_stuck(), worker.open()));
        for core in cores {
            match core.hand(stream) {
                Ok(()) => break,
                Err(refused) => stream = refused,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn another_free_port_is_taken_where_the_first_is_lost_before_it_is_listened_on() {
        let socket = bind(ANY).expect("a free port");
        let lost = socket.local_addr().expect("it is bound");
        let other = bind(lost).expect("nobody listens there yet");
        let other = listen(other, lost, 1).expect("nor now");
        let listener = listen(socket, ANY, 1).expect("there are more");
        assert_ne!(local(&listener, ANY).expect("it is bound"), lost);
        drop(other);
    }

    #[tokio::test]
    async fn a_port_that_was_asked_for_and_is_lost_is_an_error() {
        let free = bind(ANY).and_then(|socket| listen(socket, ANY, 1));
        let free = local(&free.expect("a free port"), ANY).expect("it is bound");
        let socket = bind(free).expect("it is free again");
        let other = bind(free).and_then(|socket| listen(socket, free, 1));
        let _other = other.expect("nobody listens there yet");
        let error = listen(socket, free, 1).expect_err("somebody does now");
        assert!(error.to_string().contains("in use"), "{error}");
    }
}
