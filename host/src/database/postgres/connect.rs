//! Making connections, and cancel requests.
//!
//! What a session begins with is in [`settings`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::{CancelToken, Client};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::guard::Guarded;
use super::{outcome, settings, tls};
use crate::database::url::{Postgres, TlsMode};
use crate::database::{Config, Error, OpenError, failure};

/// After how long without a word the other side is asked whether it is still there, where the URL says nothing of it: sooner than
/// what is in between forgets a connection.
const KEPT_ALIVE: Duration = Duration::from_secs(30);

/// What the library takes where nothing was said.
const KEPT_ALIVE_BY_DEFAULT: Duration = Duration::from_hours(2);

/// What a row that is just within the limit may have around its values: each has a length before it, and there are at most 1664.
pub(super) const FRAMING: u64 = 8 << 10;

/// Why a connection could not be made: nothing was asked yet.
#[derive(Debug)]
pub(super) enum Unreachable {
    Late(Duration),
    Failed(tokio_postgres::Error),
}

impl Unreachable {
    /// What a guest is told.
    pub(super) fn error(&self) -> Error {
        match self {
            Self::Failed(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => {
                Error::Overloaded
            }
            other => failure::unavailable(other.reason()),
        }
    }

    /// What the one who started the host is told.
    pub(super) fn open_error(&self, config: &Config) -> OpenError {
        let (url, reason) = (config.url.to_string(), self.reason());
        let code = match self {
            Self::Late(_) => None,
            Self::Failed(error) => error.code(),
        };
        match code.map(SqlState::code) {
            // Starting up, shutting down, or full: it may be well in a moment.
            None | Some("57P01" | "57P02" | "57P03" | "53300") => {
                OpenError::Unreachable { url, reason }
            }
            Some(_) => OpenError::Refused { url, reason },
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Late(after) => format!("no connection within {after:?}"),
            Self::Failed(error) => outcome::reason(error),
        }
    }
}

/// How to reach the server.
#[derive(Clone)]
pub(super) struct Connector {
    /// Of connections that a statement has to itself.
    pub(super) config: tokio_postgres::Config,
    /// Of connections that statements share.
    shared: tokio_postgres::Config,
    pub(super) tls: Guarded,
    timeout: Duration,
    tidying: Arc<Tidying>,
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
    pub(super) fn new(target: &Postgres, config: &Config) -> Result<Self, OpenError> {
        let wrong = |reason| OpenError::Configuration {
            url: config.url.to_string(),
            reason,
        };
        let tls = tls::client_config(target).map_err(wrong)?;
        let session = transport(target, config);
        let mut own = settings::own(&session, config);
        let mut shared = settings::shared(&session, config);
        hand_over(&mut shared);
        let negotiate = hand_over(&mut own).then_some(target.tls);
        Ok(Self {
            config: own,
            shared,
            tls: Guarded {
                tls: MakeRustlsConnect::new(tls),
                negotiate,
                limit: config.max_rows_bytes.saturating_add(FRAMING),
            },
            timeout: config.connect_timeout,
            tidying: Arc::default(),
        })
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

    /// A new shared connection, driven by a task of this runtime.
    pub(super) async fn connect(&self) -> Result<Client, Unreachable> {
        let made = tokio::time::timeout(self.timeout, self.start(&self.shared)).await;
        let (client, _task) = made
            .map_err(|_| Unreachable::Late(self.timeout))?
            .map_err(Unreachable::Failed)?;
        Ok(client)
    }

    /// A new connection of one's own, without a limit in time.
    pub(super) async fn dial(&self) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        self.start(&self.config).await
    }

    async fn start(
        &self,
        config: &tokio_postgres::Config,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let (client, connection) = config.connect(self.tls.clone()).await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Whoever waits for an answer is told as well; this is for the log alone.
                tracing::debug!("a database connection ended: {}", outcome::reason(&error));
            }
        });
        Ok((client, task))
    }

    /// Asks the server to stop what the connection runs. When this returns the server has been told, or cannot be.
    pub(super) async fn cancel(&self, token: CancelToken) {
        match tokio::time::timeout(self.timeout, token.cancel_query(self.tls.clone())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(
                "a statement could not be cancelled: {}",
                outcome::reason(&error)
            ),
            Err(_) => tracing::debug!(
                "a statement could not be cancelled within {:?}",
                self.timeout
            ),
        }
    }
}

/// Has the library leave the negotiation of TLS to [`Guarded`], so that it sees every byte. Gives whether that can be: the library does
/// so only where a host has a name, which a socket in the file system has not.
fn hand_over(session: &mut tokio_postgres::Config) -> bool {
    if session.get_hosts().is_empty() {
        let addresses: Vec<_> = session
            .get_hostaddrs()
            .iter()
            .map(ToString::to_string)
            .collect();
        for address in addresses {
            session.host(address);
        }
    }
    let named = session
        .get_hosts()
        .iter()
        .all(|host| matches!(host, Host::Tcp(_)));
    if named {
        session.ssl_mode(SslMode::Require);
        session.ssl_negotiation(SslNegotiation::Direct);
    }
    named
}

/// Where the server is and how it is reached, with the host's own limits where the URL sets none.
fn transport(target: &Postgres, config: &Config) -> tokio_postgres::Config {
    let mut session = target.config.clone();
    session.ssl_mode(match target.tls {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require | TlsMode::VerifyFull => SslMode::Require,
    });
    if session.get_connect_timeout().is_none() {
        session.connect_timeout(config.connect_timeout);
    }
    // A server that has vanished is noticed within a statement's time, also where nobody closed the connection.
    if session.get_tcp_user_timeout().is_none() {
        session.tcp_user_timeout(config.statement_timeout + Duration::from_secs(5));
    }
    if session.get_keepalives_idle() == KEPT_ALIVE_BY_DEFAULT {
        session.keepalives_idle(KEPT_ALIVE);
    }
    session
}
