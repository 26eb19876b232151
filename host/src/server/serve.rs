//! The server's life: reach the database, load the component, migrate, listen, hand connections to the cores, drain.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use super::config::Config;
use super::error::ServeError;
use super::listener::{accept, bind, listen, local};
use super::shutdown::Signals;
use super::start::start;
use super::watch::{self, Beat};
use super::worker::{self, Parts, Worker};
use super::{admin, descriptors};
use crate::telemetry::Counters;

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
        connections: config.connections.clone(),
        drain: config.drain_timeout,
    };
    let workers = (0..config.workers().get())
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
        .max(config.workers().saturating_mul(TWO));
    let room = descriptors::connections(asked, limit, config.workers().get(), pool.get());
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
