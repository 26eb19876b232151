//! Shared connections: single statements of many requests, pipelined over few connections.
//!
//! Statements that are sent while a connection is busy travel to the server in one write, and their
//! responses in one read. Every statement returns its own result, whatever happens to the others:
//!
//! - **A slow statement blocks those behind it.** A connection whose head of line is blocked is
//!   skipped, further ones are opened when needed, and the server [cancels](super::settings) what
//!   runs long.
//! - **A cancel request hits whatever the connection runs.** It is sent only if no other request's
//!   statement is on the connection, after the connection was retired; `statement_timeout` limits
//!   the rest.
//! - **A statement may change the session of the next one.** Policy allows no such statement; as a
//!   second defence the session is [reset](super::session) once a second, in the same write as the
//!   statement that follows.
//!
//! A lost connection fails all statements on it: `unavailable` for reads, `in-doubt` for writes.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::connect::Connector;
use super::limits::RECONNECT_PAUSE;
use super::opener;
use super::outcome::Failure;
use super::run::Fetch;
use super::session::ConnectionKind;
use super::shared_connection::SharedConnection;
use super::statement_cache::{is_changed, is_stale};
use crate::database::budget::Budget;
use crate::database::metrics::Connections;
use crate::database::statement::Statement;
use crate::database::types::{Error, Value};

/// The shared connections of one core.
#[derive(Clone, Debug)]
pub(super) struct SharedConnections(Arc<Inner>);

pub(super) struct Inner {
    connector: Arc<Connector>,
    max_connections: usize,
    lifetime: Duration,
    open: Mutex<Vec<Arc<SharedConnection>>>,
    /// Held by the one caller that opens the first connection; the time and error of its last
    /// failure.
    connecting: tokio::sync::Mutex<Option<(Instant, Error)>>,
    is_opening: AtomicBool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedConnections")
            .field("open", &self.open().len())
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, Vec<Arc<SharedConnection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Arc<SharedConnection>, Error> {
        let session = self
            .connector
            .connect(ConnectionKind::Shared)
            .await
            .map_err(|error| error.guest_error())?;
        let connector = Arc::clone(&self.connector);
        Ok(Arc::new(SharedConnection::new(session, connector)))
    }
}

impl SharedConnections {
    pub(super) fn new(
        connector: Arc<Connector>,
        max_connections: usize,
        lifetime: Duration,
    ) -> Self {
        Self(Arc::new(Inner {
            connector,
            max_connections,
            lifetime,
            open: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            is_opening: AtomicBool::new(false),
        }))
    }

    /// Runs a statement. A read whose connection is lost runs once more, because it cannot have
    /// changed anything. So does a write that a read-only server refused, if a new connection can
    /// be opened.
    pub(super) async fn run<F: Fetch>(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<F::Output, Error> {
        let mut may_retry = true;
        let mut replacement = None;
        loop {
            let connection = match replacement.take().or_else(|| self.choose(statement.writes)) {
                Some(connection) => connection,
                None => {
                    let began = Instant::now();
                    let opened = budget.race(Box::pin(self.open_first())).await;
                    budget.waited_since(began);
                    match opened {
                        Some(connection) => connection?,
                        None => return Err(Error::Timeout),
                    }
                }
            };
            let Err(failure) = (match connection.run::<F>(statement, params, budget).await {
                Ok(output) => return Ok(output),
                Err(failure) => Err::<(), Failure>(failure),
            }) else {
                continue;
            };
            let stale = is_stale(&failure.error);
            let changed = is_changed(&failure.error);
            if stale || changed || matches!(failure.error, Error::InDoubt) {
                connection.forget(statement);
            }
            if !failure.answered {
                connection.retire();
            }
            if self.0.connector.is_refused_as_read_only(&failure.error) {
                if !may_retry {
                    return Err(failure.error);
                }
                replacement = match budget.race(Box::pin(self.replace(&connection))).await {
                    Some(Some(replacement)) => Some(replacement),
                    _ => return Err(failure.error),
                };
                may_retry = false;
                budget.retried();
                continue;
            }
            let is_harmless = stale
                || (changed && !statement.writes)
                || (!failure.answered && (!statement.writes || !failure.ran));
            if !(may_retry && is_harmless) {
                return Err(failure.error);
            }
            may_retry = false;
            budget.retried();
        }
    }

    /// Replaces a connection to a read-only server, once for concurrent callers.
    /// Returns `None` if the last attempt was too recent or no connection can be opened.
    async fn replace(&self, old: &Arc<SharedConnection>) -> Option<Arc<SharedConnection>> {
        let connector = &self.0.connector;
        let mut last_failure = self.0.connecting.lock().await;
        if connector.is_outdated(&old.session) {
            // Another caller has found a server that accepts writes.
            if let Some(connection) = self.choose(true) {
                return Some(connection);
            }
        } else if !connector.failover.attempt(Instant::now()) {
            return None;
        }
        // The old connection is closed first, so that the maximum is never exceeded.
        old.retire();
        self.0.open().retain(|connection| connection.is_usable());
        match self.0.connect().await {
            Ok(connection) => {
                *last_failure = None;
                self.0.open().push(Arc::clone(&connection));
                Some(connection)
            }
            Err(error) => {
                *last_failure = Some((Instant::now(), error));
                None
            }
        }
    }

    /// The connections at the moment.
    pub(super) fn connections(&self) -> Connections {
        let open = self.0.open();
        let in_use = open
            .iter()
            .filter(|connection| connection.queue_length() > 0);
        let (open, in_use) = (open.len() as u64, in_use.count() as u64);
        Connections {
            max: self.0.max_connections as u64,
            in_use,
            idle: open - in_use,
            shared: open,
            waiting: 0,
        }
    }

    pub(super) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.0)
    }

    /// The connections, unless their core has ended.
    pub(super) fn upgrade(inner: &Weak<Inner>) -> Option<Self> {
        inner.upgrade().map(Self)
    }

    /// The connection with the shortest queue, for a readiness probe.
    pub(super) fn probe_target(&self) -> Option<Arc<SharedConnection>> {
        let now = Instant::now();
        self.0
            .open()
            .iter()
            .filter(|connection| connection.is_usable())
            .min_by_key(|connection| (connection.is_blocked(now), connection.queue_length()))
            .cloned()
    }

    /// As [`probe_target`](Self::probe_target), but opens a connection if there is none.
    pub(super) async fn open_probe_target(&self) -> Result<Arc<SharedConnection>, Error> {
        match self.probe_target() {
            Some(connection) => Ok(connection),
            None => self.open_first().await,
        }
    }

    /// The connection for the next statement, if one is open.
    ///
    /// A read takes the first connection that is not blocked, so that as many statements as
    /// possible travel together. A write takes the shortest queue of the other connections:
    /// PostgreSQL flushes concurrent commits together, but statements on one connection commit one
    /// after the other.
    fn choose(&self, writes: bool) -> Option<Arc<SharedConnection>> {
        let now = Instant::now();
        let mut open = self.0.open();
        open.retain(|connection| {
            let age = now.saturating_duration_since(connection.session.opened_at());
            connection.is_usable() && age < self.0.lifetime
        });
        let shortest = |connections: &[Arc<SharedConnection>]| {
            connections
                .iter()
                .min_by_key(|connection| (connection.is_blocked(now), connection.queue_length()))
                .cloned()
        };
        let (chosen, is_crowded) = if writes {
            let others = shortest(open.get(1..).unwrap_or_default());
            let is_crowded = others
                .as_ref()
                .is_none_or(|connection| connection.queue_length() > 0);
            (others.or_else(|| open.first().cloned()), is_crowded)
        } else {
            let unblocked = open
                .iter()
                .find(|connection| !connection.is_blocked(now))
                .cloned();
            let is_crowded = unblocked.is_none();
            (unblocked.or_else(|| shortest(&open)), is_crowded)
        };
        if is_crowded && !open.is_empty() && open.len() < self.0.max_connections {
            self.open_another();
        }
        chosen
    }

    /// The first connection, opened by one caller for all that wait for it.
    async fn open_first(&self) -> Result<Arc<SharedConnection>, Error> {
        let mut last_failure = self.0.connecting.lock().await;
        // Another caller may have opened it in the meantime.
        if let Some(connection) = self
            .0
            .open()
            .iter()
            .find(|connection| connection.is_usable())
        {
            return Ok(Arc::clone(connection));
        }
        if let Some((when, error)) = &*last_failure
            && when.elapsed() < RECONNECT_PAUSE
        {
            return Err(error.clone());
        }
        match self.0.connect().await {
            Ok(connection) => {
                *last_failure = None;
                self.0.open().push(Arc::clone(&connection));
                Ok(connection)
            }
            Err(error) => {
                *last_failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn open_another(&self) {
        opener::open_another(
            &self.0,
            |inner| &inner.is_opening,
            |inner| async move {
                let connection = inner.connect().await?;
                inner.open().push(connection);
                Ok(())
            },
        );
    }
}
