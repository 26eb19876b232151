//! Opens connections with their sessions set up, and sends cancel requests.
//!
//! [`super::dial`] finds a server, [`settings`] has the session's settings. A connection is used
//! only after its settings were read back; every failure is recorded for the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_postgres::{CancelToken, Client};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::availability::Availability;
use super::cancel::cancel_request;
use super::connect_error::{AttemptError, ConnectError};
use super::dial::{Dialer, HEAD_START};
use super::endpoint::{ConnectOptions, Endpoint};
use super::failover::Failover;
use super::limits::ROW_OVERHEAD;
use super::messages::{Naming, Watch};
use super::session::{ConnectionKind, Session, SessionTemplate};
use super::session_registry::SessionRegistry;
use super::settings::{Pooling, ReportedSettings, SessionCommands};
use super::{failover, outcome, settings, tls, unresponsive};
use crate::database::config::Config;
use crate::database::error::OpenError;
use crate::database::libpq::Postgres;
use crate::database::types::Error;

/// The idle time before TCP keepalives, unless the URL sets one: shorter than the time after which
/// firewalls drop an idle connection.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// How long a cancel request may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// Opens connections to a database.
pub(super) struct Connector {
    dialer: Arc<Dialer>,
    dedicated: SessionTemplate,
    shared: SessionTemplate,
    pub(super) pooling: Pooling,
    /// Whether the database is opened read-only.
    pub(super) read_only: bool,
    /// How long opening a connection and its session may take.
    pub(super) timeout: Duration,
    pub(super) failover: Failover,
    pub(super) availability: Availability,
    sessions: Arc<SessionRegistry>,
    /// Whether the task that looks for unresponsive servers was spawned.
    is_watched: AtomicBool,
    cleanup: Arc<CleanupTasks>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Tasks that clean up after abandoned statements, transactions and cursors.
#[derive(Debug, Default)]
struct CleanupTasks {
    running: AtomicUsize,
    ended: Notify,
}

/// Counts a running task until it is dropped.
struct CleanupGuard(Arc<CleanupTasks>);

impl Drop for CleanupGuard {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
        self.0.ended.notify_waiters();
    }
}

impl Connector {
    pub(super) fn new(
        target: &Postgres,
        config: &Config,
        pooling: Pooling,
    ) -> Result<Self, OpenError> {
        let misconfigured = |reason| OpenError::Configuration {
            url: config.url.to_string(),
            reason,
        };
        let mut keepalive = target.keepalive;
        keepalive.idle.get_or_insert(KEEPALIVE_IDLE);
        let options = ConnectOptions {
            tls: MakeRustlsConnect::new(tls::client_config(&target.tls).map_err(misconfigured)?),
            mode: target.tls.mode,
            direct: target.tls.direct,
            keepalive,
            // A lost server is noticed soon after a statement's deadline, even if the connection
            // was not closed.
            tcp_user_timeout: target
                .tcp_user_timeout
                .unwrap_or(config.statement_timeout + Duration::from_secs(5)),
            max_message: config.max_rows_bytes.saturating_add(ROW_OVERHEAD),
            required: target.required,
            read_only: config.read_only,
        };
        let limit = target.connect_timeout.unwrap_or(config.connect_timeout);
        let dialer = Dialer::new(target.hosts.clone(), target.shuffle, options, limit);
        let template = |settings: settings::Settings| SessionTemplate {
            config: Arc::new(settings.start_up(&target.config, pooling)),
            settings,
        };
        Ok(Self {
            dialer: Arc::new(dialer),
            dedicated: template(settings::dedicated(&target.config, config)),
            shared: template(settings::shared(&target.config, config)),
            pooling,
            read_only: config.read_only,
            timeout: limit + HEAD_START,
            failover: Failover::new(),
            availability: Availability::default(),
            sessions: Arc::default(),
            is_watched: AtomicBool::new(false),
            cleanup: Arc::default(),
        })
    }

    /// Opens a connection, which a task of this runtime drives.
    pub(super) async fn connect(&self, kind: ConnectionKind) -> Result<Session, ConnectError> {
        let opened = tokio::time::timeout(self.timeout, self.open_session(kind)).await;
        let opened = opened.unwrap_or(Err(ConnectError::Timeout(self.timeout)));
        match &opened {
            Ok(session) => self.record_opened(session),
            Err(error) => self.availability.record_failure(&error.reason()),
        }
        opened
    }

    async fn open_session(&self, kind: ConnectionKind) -> Result<Session, ConnectError> {
        let SessionTemplate { settings, config } = self.template(kind);
        let naming = match self.pooling {
            Pooling::Direct | Pooling::Session => Naming::Prefixed,
            Pooling::Transaction => Naming::Unnamed,
        };
        let (client, watch) = self.dial(config, naming).await?;
        let answer = client
            .simple_query(&settings.set_up(self.pooling))
            .await
            .map_err(ConnectError::SetUp)?;
        let reported = ReportedSettings::read(&answer).ok_or_else(|| {
            ConnectError::WrongSession("it does not report its settings".to_owned())
        })?;
        if self.pooling == Pooling::Direct && reported.process != watch.server_process() {
            return Err(ConnectError::UnexpectedPooler);
        }
        settings
            .verify(&reported, self.pooling)
            .map_err(ConnectError::WrongSession)?;
        watch.seal();
        let commands = SessionCommands::new(settings, self.pooling, &reported);
        let accepts_writes = reported.read_only == "off";
        Ok(Session::new(client, watch, commands, accepts_writes))
    }

    fn template(&self, kind: ConnectionKind) -> &SessionTemplate {
        match kind {
            ConnectionKind::Dedicated => &self.dedicated,
            ConnectionKind::Shared => &self.shared,
        }
    }

    fn record_opened(&self, session: &Session) {
        self.availability.record_success();
        if session.accepts_writes() {
            self.failover.record_success(session.opened_at());
        }
    }

    /// Whether a session must not be used again, because a newer one leads to another server.
    pub(super) fn is_outdated(&self, session: &Session) -> bool {
        self.failover.is_outdated(session.opened_at())
    }

    /// Whether the server has refused a write that another server may accept.
    pub(super) fn is_refused_as_read_only(&self, error: &Error) -> bool {
        !self.read_only && failover::is_read_only(error)
    }

    /// Spawns a task that cleans up after its caller.
    pub(super) fn spawn_cleanup(
        &self,
        runtime: &Handle,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.cleanup.running.fetch_add(1, Relaxed);
        let guard = CleanupGuard(Arc::clone(&self.cleanup));
        runtime.spawn(async move {
            work.await;
            drop(guard);
        });
    }

    /// Waits until no cleanup task is running.
    pub(super) async fn closed(&self) {
        loop {
            let ended = self.cleanup.ended.notified();
            if self.cleanup.running.load(Relaxed) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Opens a connection, which a task of this runtime drives. Its session is not set up yet.
    async fn dial(
        &self,
        config: &Arc<tokio_postgres::Config>,
        naming: Naming,
    ) -> Result<(Client, Arc<Watch>), ConnectError> {
        let dialled = self.dialer.dial(config, naming).await?;
        let (client, connection) = (dialled.session.client, dialled.session.connection);
        let registration = self.sessions.register(
            cancel_request(&client.cancel_token()).await,
            dialled.endpoint,
            dialled.session.traffic,
        );
        let number = registration.number();
        let open = self.availability.count_connection();
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Waiting statements receive the error too; this line is only for the log.
                tracing::debug!("a database connection ended: {}", outcome::reason(&error));
            }
            drop((registration, open));
        });
        self.sessions.set_task(number, task.abort_handle());
        if self.dialer.has_several_addresses() && !self.is_watched.swap(true, Relaxed) {
            tokio::spawn(unresponsive::watch(
                Arc::downgrade(&self.dialer),
                Arc::clone(&self.sessions),
                Arc::clone(&self.dedicated.config),
            ));
        }
        Ok((client, dialled.session.watch))
    }

    /// Cancels what the connection runs. Returns once the server has received the request, or
    /// cannot be reached.
    pub(super) async fn cancel(&self, token: CancelToken) {
        let request = cancel_request(&token).await;
        let Some(endpoint) = self.sessions.endpoint(&request) else {
            // The session has ended, and its statement with it.
            return;
        };
        if self.dialer.unresponsive().contains_key(&endpoint.address) {
            return;
        }
        let limit = self.dialer.limit.min(CANCEL_LIMIT);
        match tokio::time::timeout(limit, self.send(&endpoint, &request)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!("a statement could not be cancelled: {}", error.reason());
            }
            Err(_) => tracing::debug!("a statement could not be cancelled within {limit:?}"),
        }
    }

    async fn send(&self, endpoint: &Endpoint, request: &[u8]) -> Result<(), AttemptError> {
        let mut stream = endpoint.open_for_cancel(&self.dialer.options).await?;
        stream.write_all(request).await.map_err(AttemptError::Io)?;
        stream.flush().await.map_err(AttemptError::Io)?;
        // The server closes the stream, without a response, once it has signalled the session.
        let mut response = [0];
        match stream.read(&mut response).await {
            Ok(_) => Ok(()),
            // Some servers close TLS without an alert.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(AttemptError::Io(error)),
        }
    }
}
