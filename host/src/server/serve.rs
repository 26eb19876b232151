//! The main function of the server: start, listen, assign connections to cores, drain.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::address::Address;
use super::clients::Clients;
use super::config::Config;
use super::drain::Announcement;
use super::error::ServeError;
use super::listener::{Bound, Listener, Origin, accept, bind, listen};
use super::replacement::{self, AllCounters, Replaceable, Replacing};
use super::shutdown::Signals;
use super::start::start;
use super::tls::Tls;
use super::watch::{self, Heartbeat};
use super::worker::{self, Core, Parts, Worker};
use super::{admin, core_dump, descriptors, notify};
use crate::access::AccessControl;
use crate::database::Database;
use crate::recording::Recorder;
use crate::reload::Watch;
use crate::sandbox::Runtime;

/// Serves until a signal arrives and the connections have been drained.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(config: &Config) -> Result<(), ServeError> {
    config.check().map_err(ServeError::Settings)?;
    Recorder::check(&config.recording).map_err(ServeError::Record)?;
    core_dump::prevent();
    let mut signals = Signals::listen().map_err(ServeError::System)?;
    let max_connections = max_connections(config);
    // Bound first, so that a port in use is reported at once. Clients can connect after `listen`.
    let bound = bind_all("--listen", &config.listen, config).await?;
    let operators = bind_all("--admin-listen", &config.admin_listen, config).await?;
    let tls = load_tls(config)?;
    // Before the component is read.
    let watch = replacement::watch(&config.sandbox).map_err(ServeError::System)?;
    let (access, runtime, database) = tokio::select! {
        loaded = load(config) => loaded?,
        signal = signals.next() => {
            tracing::info!("{signal} before the server was ready; ending");
            return Ok(());
        }
    };
    database.advise();
    let exposure = Exposure {
        has_documentation: runtime.routes().has_page(DOCUMENTATION),
        has_tls: tls.is_some(),
        is_open: !access.needs_token() && config.tls.tls_client_ca.is_none(),
    };
    let recorder = Recorder::start(&config.recording, &runtime, &database, &config.sandbox);
    let recorder = recorder.map_err(ServeError::Record)?;
    let announcement = Announcement::default();
    let parts = Parts {
        runtime,
        database: database.clone(),
        instances: config.instances(),
        connections: config.connections.clone(),
        tls,
        access,
        access_log: config.access_log.access_log,
        recorder: recorder.clone(),
        announcement: announcement.clone(),
        drain: config.drain_timeout,
    };
    let workers = (0..config.workers().get())
        .map(|index| Worker::start(index, parts.clone()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(ServeError::System)?;
    let memory = parts.instances.host_memory.clone();
    let counters = replace_on_request(config, &parts, &workers, watch)?;
    drop(parts);
    let cores: Vec<Heartbeat> = workers
        .iter()
        .map(|worker| worker.core.heartbeat.clone())
        .collect();
    watch::watch(&cores).map_err(ServeError::System)?;

    let clients = Clients::new(
        config.max_client_connections.get(),
        config.connections.trusted_proxies.clone(),
    );
    let draining = Arc::new(AtomicBool::new(false));
    if let Some(listener) = listen_all(operators, 64)?.pop() {
        tracing::info!("operators: {}/ready", listener.url("http"));
        let view = admin::View {
            counters,
            database,
            draining: Arc::clone(&draining),
            cores,
            memory,
            clients: clients.clone(),
        };
        tokio::spawn(admin::serve(listener, view));
    }
    let listeners = listen_all(bound, 4096)?;
    exposure.log(&listeners);
    notify::ready();
    let accepting = Accepting::start(listeners, &workers, max_connections, &clients);
    let signal = signals.next().await;
    draining.store(true, Relaxed);
    announcement.announce();
    notify::stopping();
    let running = Running {
        announcement,
        accepting,
        workers,
        recorder,
    };
    running.drain(config, signal, signals).await;
    Ok(())
}

/// Binds sockets to the addresses of an option.
async fn bind_all<'a>(
    option: &'static str,
    addresses: impl IntoIterator<Item = &'a Address>,
    config: &Config,
) -> Result<Vec<Bound<'a>>, ServeError> {
    let mut bound = Vec::new();
    for address in addresses {
        bound.push(bind(Origin::new(option, address), config.listen_mode).await?);
    }
    Ok(bound)
}

/// Has clients connect to sockets.
fn listen_all(bound: Vec<Bound<'_>>, backlog: u32) -> Result<Vec<Listener>, ServeError> {
    let mut listeners = Vec::new();
    for socket in bound {
        listeners.extend(listen(socket, backlog)?);
    }
    Ok(listeners)
}

/// Loads who may send requests and the component, and opens the database.
async fn load(config: &Config) -> Result<(AccessControl, Arc<Runtime>, Database), ServeError> {
    let access = AccessControl::load(&config.access).await;
    let access = access.map_err(ServeError::Access)?;
    access.watch().map_err(ServeError::System)?;
    let (runtime, database) = start(config).await?;
    Ok((access, runtime, database))
}

/// Replaces the component when that is asked for. Returns the counters of all that are served.
fn replace_on_request(
    config: &Config,
    parts: &Parts,
    workers: &[Worker],
    watch: Watch,
) -> Result<AllCounters, ServeError> {
    let all = AllCounters::default();
    let mut cores = Vec::new();
    for worker in workers {
        all.add(Arc::clone(&worker.counters));
        cores.push(Replaceable {
            replacements: worker.core.replacements(),
            counters: vec![Arc::clone(&worker.counters)],
        });
    }
    let (runtime, database) = (&parts.runtime, &parts.database);
    let replacing = Replacing::new(config, runtime, database, cores, all.clone());
    if let Some(replacing) = replacing.map_err(ServeError::Database)? {
        tokio::spawn(replacing.run(watch));
    }
    Ok(all)
}

/// The certificate and key for TLS, which are loaded again when their files change.
fn load_tls(config: &Config) -> Result<Option<Tls>, ServeError> {
    let Some(files) = config.tls.files().map_err(ServeError::Settings)? else {
        return Ok(None);
    };
    let watched = files.before_reading();
    let tls = Tls::load(&files).map_err(ServeError::Settings)?;
    let reload = tls.clone().reload(files, watched);
    let reload = reload.map_err(ServeError::System)?;
    tokio::spawn(reload);
    Ok(Some(tls))
}

/// What clients find at the server's addresses.
struct Exposure {
    has_documentation: bool,
    has_tls: bool,
    /// Whether requests need neither a token nor a certificate.
    is_open: bool,
}

impl Exposure {
    /// Logs where the server listens, and warns of what other machines reach.
    fn log(&self, listeners: &[Listener]) {
        if self.has_documentation
            && let Some(listener) = listeners.iter().find(|found| found.is_tcp())
        {
            tracing::info!("documentation: {}{DOCUMENTATION}", self.url(listener));
        }
        if (self.is_open || !self.has_tls)
            && let Some(listener) = listeners.iter().find(|found| found.is_public())
        {
            self.warn(listener);
        }
        // The last lines of a start: programs wait for one of them.
        for listener in listeners {
            tracing::info!("listening on {}", self.url(listener));
        }
    }

    fn url(&self, listener: &Listener) -> String {
        listener.url(if self.has_tls && listener.is_tcp() {
            "https"
        } else {
            "http"
        })
    }

    fn warn(&self, listener: &Listener) {
        let (missing, remedy) = match (self.is_open, self.has_tls) {
            (true, true) => (
                "access control",
                "set --tokens, --jwt-keys or --tls-client-ca",
            ),
            (false, _) => ("TLS", "set --tls-cert and --tls-key"),
            (true, false) => (
                "access control and TLS",
                "set --tokens or --jwt-keys, --tls-cert and --tls-key",
            ),
        };
        tracing::warn!(
            "other machines reach {} without {missing}: {remedy}, listen on localhost, or let \
             nothing but a proxy that has it reach this machine",
            self.url(listener)
        );
    }
}

/// What ends when the server does.
struct Running {
    announcement: Announcement,
    accepting: Accepting,
    workers: Vec<Worker>,
    recorder: Option<Recorder>,
}

impl Running {
    /// Ends all connections: those that clients close within `--drain-delay`, and the others
    /// within `--drain-timeout` of the signal.
    async fn drain(self, config: &Config, signal: &str, mut signals: Signals) {
        let delay = config.drain_delay();
        if !delay.is_zero() {
            tracing::info!(
                "{signal}: not ready any more, and going on for {} (--drain-delay); a second \
                 signal ends at once",
                humantime::format_duration(delay)
            );
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                signal = signals.next() => {
                    tracing::warn!("{signal} again: ending with connections open");
                    return;
                }
            }
        }
        let open: usize = self.workers.iter().map(|worker| worker.core.open()).sum();
        tracing::info!("{signal}: draining {open} connections; a second signal ends at once");
        let drained = async {
            // The listeners are closed first, so that new clients are refused.
            self.accepting.stop().await;
            let threads: Vec<_> = self.workers.into_iter().map(Worker::drain).collect();
            let joined = tokio::task::spawn_blocking(move || {
                for thread in threads {
                    if thread.join().is_err() {
                        tracing::error!("a core's thread has panicked");
                    }
                }
            });
            let _ = joined.await;
            if let Some(recorder) = self.recorder {
                let _ = tokio::task::spawn_blocking(move || recorder.finish()).await;
            }
        };
        // A stuck core does not drain.
        let limit = config.drain_timeout.saturating_sub(self.announcement.age())
            + worker::CLOSE_TIMEOUT
            + watch::STUCK_AFTER;
        tokio::select! {
            () = drained => {}
            () = tokio::time::sleep(limit) => {
                tracing::error!("a core has not ended within {limit:?}: ending the process");
            }
            signal = signals.next() => {
                tracing::warn!("{signal} again: ending with connections open");
            }
        }
    }
}

/// The listeners that accept clients.
struct Accepting {
    tasks: JoinSet<()>,
    stop: tokio::sync::watch::Sender<()>,
}

impl Accepting {
    fn start(
        listeners: Vec<Listener>,
        workers: &[Worker],
        max_connections: usize,
        clients: &Clients,
    ) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), tokio::sync::watch::Sender::new(()));
        let cores: Arc<[Core]> = workers.iter().map(|worker| worker.core.clone()).collect();
        let free = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        for listener in listeners {
            let (cores, free) = (Arc::clone(&cores), Arc::clone(&free));
            let accepting = accept(listener, cores, free, clients.clone(), stop.subscribe());
            tasks.spawn(accepting);
        }
        Self { tasks, stop }
    }

    /// Closes the listeners once they have accepted what has been begun.
    async fn stop(self) {
        self.stop.send_replace(());
        self.tasks.join_all().await;
    }
}

/// How many connections are served at once: `--max-connections`, or fewer if the limit on open
/// files is too low.
fn max_connections(config: &Config) -> usize {
    let requested = config.max_connections.get();
    let limit = descriptors::raise();
    let pool = config
        .database
        .pool_size
        .max(config.workers().saturating_mul(MIN_POOL));
    let max_connections =
        descriptors::connections(requested, limit, config.workers().get(), pool.get());
    if let Some(limit) = limit
        && max_connections < requested
    {
        tracing::warn!(
            "{max_connections} connections are served at once, not the {requested} of \
             --max-connections: the system allows {limit} open files (ulimit -n), some of which \
             the database needs"
        );
    }
    max_connections
}

/// Where a component has its documentation, if it declares this route.
const DOCUMENTATION: &str = "/docs";

/// The fewest connections to PostgreSQL of a core.
const MIN_POOL: NonZeroUsize = NonZeroUsize::new(2).expect("it is not 0");
