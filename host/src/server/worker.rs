//! One core: a thread with its own runtime, instances and database connections. A request shares
//! nothing with other cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

use super::clients::Place;
use super::connection;
use super::drain::{Announcement, Drain};
use super::limits::Limits;
use super::replacement::Replacement;
use super::service::Service;
use super::tls::Tls;
use super::transport::Incoming;
use super::watch::Heartbeat;
use crate::access::AccessControl;
use crate::database::{Database, Pool};
use crate::recording::Recorder;
use crate::sandbox::Runtime;
use crate::sandbox::pool::{self, Instances};
use crate::telemetry::{AccessLog, Counters};

/// The time for ending abandoned transactions after the drain, longer than that for a cancel
/// request and a rollback.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a core needs to serve.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) database: Database,
    pub(crate) instances: pool::Limits,
    pub(crate) connections: Limits,
    pub(crate) tls: Option<Tls>,
    pub(crate) access: AccessControl,
    pub(crate) access_log: AccessLog,
    pub(crate) recorder: Option<Recorder>,
    /// When connections begin to end.
    pub(crate) announcement: Announcement,
    /// How long they may take from then.
    pub(crate) drain: Duration,
}

/// A client's connection, and what it holds until it is closed: a permit, and a place among those
/// of its client.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: Incoming,
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) place: Option<Place>,
}

/// Where the connections of a core go. When the last clone is dropped, the core drains and ends.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    connections: mpsc::UnboundedSender<Accepted>,
    replacements: mpsc::UnboundedSender<Replacement>,
    open: Arc<AtomicUsize>,
    pub(crate) heartbeat: Heartbeat,
}

impl Core {
    /// How many connections the core has at the moment.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Where the component of the core is replaced. It does not keep the core from ending.
    pub(crate) fn replacements(&self) -> mpsc::UnboundedSender<Replacement> {
        self.replacements.clone()
    }

    /// Assigns a connection to the core. Returns the connection if the core has ended.
    pub(crate) fn assign(&self, accepted: Accepted) -> Result<(), Accepted> {
        self.open.fetch_add(1, Relaxed);
        self.connections.send(accepted).map_err(|refused| {
            self.open.fetch_sub(1, Relaxed);
            refused.0
        })
    }
}

/// A running core.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) core: Core,
    pub(crate) counters: Arc<Counters>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the operating system refuses a thread.
    pub(crate) fn start(index: usize, parts: Parts) -> std::io::Result<Self> {
        let (connections, accepted) = mpsc::unbounded_channel();
        let (replacements, replaced) = mpsc::unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        let counters = Counters::new(parts.runtime.routes(), parts.access_log);
        let counters = Arc::new(counters);
        let (core_open, core_counters) = (Arc::clone(&open), Arc::clone(&counters));
        let heartbeat = Heartbeat::new();
        let core_heartbeat = heartbeat.clone();
        let thread = std::thread::Builder::new()
            .name(format!("usher-core-{index}"))
            .spawn(move || {
                let work = Work { accepted, replaced };
                let served = run(parts, work, &core_heartbeat, &core_open, &core_counters);
                if let Err(error) = served {
                    tracing::error!("core {index} serves nothing: {error}");
                }
                core_heartbeat.end();
            })?;
        Ok(Self {
            core: Core {
                connections,
                replacements,
                open,
                heartbeat,
            },
            counters,
            thread,
        })
    }

    /// Starts the drain, unless there is another clone of the core. The returned thread ends when
    /// it is complete.
    pub(crate) fn drain(self) -> JoinHandle<()> {
        self.thread
    }
}

/// What arrives at a core.
struct Work {
    accepted: mpsc::UnboundedReceiver<Accepted>,
    replaced: mpsc::UnboundedReceiver<Replacement>,
}

/// Runs a core on this thread until it is drained.
///
/// # Errors
/// If the operating system refuses an event loop, or the database has no connection to give.
fn run(
    parts: Parts,
    work: Work,
    heartbeat: &Heartbeat,
    open: &Arc<AtomicUsize>,
    counters: &Arc<Counters>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::spawn(heartbeat.clone().run());
        let pool = parts.database.pool().map_err(std::io::Error::other)?;
        serve(parts, pool, work, open, counters).await;
        Ok(())
    })
}

async fn serve(
    parts: Parts,
    pool: Pool,
    mut work: Work,
    open: &Arc<AtomicUsize>,
    counters: &Arc<Counters>,
) {
    let tls = parts.tls;
    let service = Arc::new(Service {
        instances: Instances::new(
            parts.runtime,
            pool.clone(),
            parts.instances,
            Arc::clone(counters),
        )
        .into(),
        limits: parts.connections,
        access: parts.access,
        counters: Arc::clone(counters),
        recorder: parts.recorder,
    });
    let drain = Drain::new(parts.announcement.clone());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = work.accepted.recv() => accepted,
            Some(replacement) = work.replaced.recv() => {
                replace(&service, replacement);
                continue;
            }
        };
        let Some(Accepted {
            stream,
            permit,
            place,
        }) = accepted
        else {
            break;
        };
        let closed = (Open(Arc::clone(open)), permit, place);
        match stream.register() {
            Ok(socket) => {
                let connected = counters.connected();
                let (tls, service) = (tls.clone(), Arc::clone(&service));
                let watcher = drain.watcher();
                connections.spawn(async move {
                    // Called here, because a future that is moved into the task is in it twice.
                    connection::accept(socket, tls, service, watcher).await;
                    drop((connected, closed));
                });
                // Removes the tasks that have ended.
                while connections.try_join_next().is_some() {}
            }
            Err(error) => tracing::warn!("an accepted connection could not be served: {error}"),
        }
    }
    let drained = async {
        drain.finish().await;
        // A guest may run on after its response.
        service.instances.current().wait_until_idle().await;
    };
    let limit = parts.drain.saturating_sub(parts.announcement.age());
    if tokio::time::timeout(limit, drained).await.is_err() {
        tracing::warn!(
            "{} connections did not end within {:?} and were closed",
            open.load(Relaxed),
            parts.drain
        );
        connections.shutdown().await;
    }
    let ended = async {
        service.instances.current().end().await;
        // A server goes on with an abandoned statement even after this process has ended.
        pool.closed().await;
    };
    if tokio::time::timeout(CLOSE_TIMEOUT, ended).await.is_err() {
        tracing::warn!(
            "statements may run on: the database did not answer within {CLOSE_TIMEOUT:?}"
        );
    }
}

/// Has new requests go to another component.
fn replace(service: &Service, replacement: Replacement) {
    let Replacement {
        runtime,
        database,
        counters,
        done,
    } = replacement;
    service
        .instances
        .replace(|current| current.replace(runtime, &database, counters));
    drop(done);
}

/// Counts a connection until it is dropped.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
