//! Making connections, and cancel requests.
//!
//! What a session begins with is in [`settings`], where it is looked for in [`super::dial`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_postgres::{CancelToken, Client};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::cancel::message;
use super::cause::{Cause, Unreachable};
use super::dial::{Dialer, HEAD_START};
use super::endpoint::{Endpoint, Means};
use super::limits::FRAMING;
use super::link::{Kind, Link, Session};
use super::messages::{Naming, Watch};
use super::reach::Reach;
use super::renewal::Renewal;
use super::sessions::Sessions;
use super::settings::{Facts, Pooling, Words};
use super::{outcome, renewal, settings, silence, tls};
use crate::database::config::Config;
use crate::database::error::OpenError;
use crate::database::libpq::Postgres;
use crate::database::types::Error;

/// After how long without a word the other side is asked whether it is still there, where the URL
/// says nothing of it: sooner than what is in between forgets a connection.
const KEPT_ALIVE: Duration = Duration::from_secs(30);

/// How long a server may take over a request to cancel.
const CANCEL: Duration = Duration::from_secs(5);

/// How to reach the server.
pub(super) struct Connector {
    dialer: Arc<Dialer>,
    own: Session,
    shared: Session,
    pub(super) pooling: Pooling,
    /// Whether nothing is ever to be written.
    pub(super) read_only: bool,
    /// For a connection to be made and set up, wherever it is.
    pub(super) timeout: Duration,
    pub(super) renewal: Renewal,
    pub(super) reach: Reach,
    sessions: Arc<Sessions>,
    is_watched: AtomicBool,
    tidying: Arc<Tidying>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Work behind statements that nobody waits for any more: cancel requests, rollbacks.
#[derive(Debug, Default)]
struct Tidying {
    at_work: AtomicUsize,
    less: Notify,
}

/// A share in it.
struct Tidier(Arc<Tidying>);

impl Drop for Tidier {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Relaxed);
        self.0.less.notify_waiters();
    }
}

impl Connector {
    pub(super) fn new(
        target: &Postgres,
        config: &Config,
        pooling: Pooling,
    ) -> Result<Self, OpenError> {
        let wrong = |reason| OpenError::Configuration {
            url: config.url.to_string(),
            reason,
        };
        let mut keepalive = target.keepalive;
        keepalive.idle.get_or_insert(KEPT_ALIVE);
        let means = Means {
            tls: MakeRustlsConnect::new(tls::client_config(&target.tls).map_err(wrong)?),
            mode: target.tls.mode,
            direct: target.tls.direct,
            keepalive,
            // A server that has vanished is noticed within a statement's time, also where nobody
            // closed the connection.
            tcp_user_timeout: target
                .tcp_user_timeout
                .unwrap_or(config.statement_timeout + Duration::from_secs(5)),
            limit: config.max_rows_bytes.saturating_add(FRAMING),
            wanted: target.wanted,
            read_only: config.read_only,
        };
        let limit = target.connect_timeout.unwrap_or(config.connect_timeout);
        let dialer = Dialer::new(target.hosts.clone(), target.shuffle, means, limit);
        let session = |settings: settings::Settings| Session {
            config: Arc::new(settings.session(&target.config, pooling)),
            settings,
        };
        Ok(Self {
            dialer: Arc::new(dialer),
            own: session(settings::own(&target.config, config)),
            shared: session(settings::shared(&target.config, config)),
            pooling,
            read_only: config.read_only,
            timeout: limit + HEAD_START,
            renewal: Renewal::new(),
            reach: Reach::default(),
            sessions: Arc::default(),
            is_watched: AtomicBool::new(false),
            tidying: Arc::default(),
        })
    }

    /// A new connection, driven by a task of this runtime.
    pub(super) async fn connect(&self, kind: Kind) -> Result<Link, Unreachable> {
        let made = tokio::time::timeout(self.timeout, self.set_up(kind)).await;
        let made = made.unwrap_or(Err(Unreachable::Late(self.timeout)));
        match &made {
            Ok(link) => self.reached(link),
            Err(unreachable) => self.reach.failed(&unreachable.reason()),
        }
        made
    }

    async fn set_up(&self, kind: Kind) -> Result<Link, Unreachable> {
        let Session { settings, config } = self.session(kind);
        let naming = match self.pooling {
            Pooling::Direct | Pooling::Session => Naming::Prefixed,
            Pooling::Transaction => Naming::Unnamed,
        };
        let (client, watch) = self.dial(config, naming).await?;
        let answer = client
            .simple_query(&settings.set_up(self.pooling))
            .await
            .map_err(Unreachable::Failed)?;
        let facts = Facts::read(&answer).ok_or_else(|| {
            Unreachable::Unfit("it does not say what its settings are".to_owned())
        })?;
        if self.pooling == Pooling::Direct && facts.process != watch.server_process() {
            return Err(Unreachable::Pooled);
        }
        settings
            .verify(&facts, self.pooling)
            .map_err(Unreachable::Unfit)?;
        watch.seal();
        let words = Words::new(settings, self.pooling, &facts);
        Ok(Link::new(client, watch, words, facts.read_only == "off"))
    }

    fn session(&self, kind: Kind) -> &Session {
        match kind {
            Kind::Own => &self.own,
            Kind::Shared => &self.shared,
        }
    }

    /// A connection was made and set up.
    fn reached(&self, link: &Link) {
        self.reach.made();
        if link.takes_writes() {
            self.renewal.found(link.born());
        }
    }

    /// Whether a connection is to be used no more, since one that is newer leads elsewhere.
    pub(super) fn is_outdated(&self, link: &Link) -> bool {
        self.renewal.is_outdated(link.born())
    }

    /// Whether this refusal means that another server may take what this one does not.
    pub(super) fn is_demoted(&self, error: &Error) -> bool {
        !self.read_only && renewal::is_read_only(error)
    }

    /// Has a task of this runtime see to what somebody left behind.
    pub(super) fn tidy(&self, runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) {
        self.tidying.at_work.fetch_add(1, Relaxed);
        let tidier = Tidier(Arc::clone(&self.tidying));
        runtime.spawn(async move {
            work.await;
            drop(tidier);
        });
    }

    /// Waits until all has been seen to.
    pub(super) async fn tidied(&self) {
        loop {
            let less = self.tidying.less.notified();
            if self.tidying.at_work.load(Relaxed) == 0 {
                return;
            }
            less.await;
        }
    }

    /// Opens a connection, driven by a task of this runtime. Its session is not set up yet.
    async fn dial(
        &self,
        config: &Arc<tokio_postgres::Config>,
        naming: Naming,
    ) -> Result<(Client, Arc<Watch>), Unreachable> {
        let dialled = self.dialer.dial(config, naming).await?;
        let (client, connection) = (dialled.session.client, dialled.session.connection);
        let entry = self.sessions.enter(
            message(&client.cancel_token()).await,
            dialled.endpoint,
            dialled.session.traffic,
        );
        let (number, open) = (entry.number(), self.reach.open());
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Whoever waits for an answer is told as well; this is for the log alone.
                tracing::debug!("a database connection ended: {}", outcome::reason(&error));
            }
            drop((entry, open));
        });
        self.sessions.driven(number, task.abort_handle());
        if self.dialer.has_choice() && !self.is_watched.swap(true, Relaxed) {
            tokio::spawn(silence::watch(
                Arc::downgrade(&self.dialer),
                Arc::clone(&self.sessions),
                Arc::clone(&self.own.config),
            ));
        }
        Ok((client, dialled.session.watch))
    }

    /// Asks the server to stop what the connection runs. When this returns the server has been
    /// told, or cannot be.
    pub(super) async fn cancel(&self, token: CancelToken) {
        let message = message(&token).await;
        let Some(endpoint) = self.sessions.endpoint(&message) else {
            // The session has ended, and what it ran with it.
            return;
        };
        if self.dialer.silent().contains_key(&endpoint.address) {
            return;
        }
        let limit = self.dialer.limit.min(CANCEL);
        match tokio::time::timeout(limit, self.send(&endpoint, &message)).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => {
                tracing::debug!("a statement could not be cancelled: {}", cause.reason());
            }
            Err(_) => tracing::debug!("a statement could not be cancelled within {limit:?}"),
        }
    }

    async fn send(&self, endpoint: &Endpoint, message: &[u8]) -> Result<(), Cause> {
        let mut stream = endpoint.open_to_cancel(&self.dialer.means).await?;
        stream.write_all(message).await.map_err(Cause::Io)?;
        stream.flush().await.map_err(Cause::Io)?;
        // The server says nothing, and closes the stream when it has done as it was asked.
        let mut nothing = [0];
        match stream.read(&mut nothing).await {
            // Some end TLS without a word.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(Cause::Io(error)),
        }
    }
}
