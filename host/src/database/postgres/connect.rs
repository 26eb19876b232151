//! Making connections, and cancel requests.
//!
//! What a session begins with is in [`settings`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::{CancelToken, Client};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::guard::Guarded;
use super::link::{Kind, Link, Session};
use super::messages::{Naming, Watch};
use super::reach::Reach;
use super::renewal::Renewal;
use super::settings::Pooling;
use super::{outcome, pooler, settings, tls};
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
    /// A pooler answers where none was expected.
    Pooled,
    /// The session is not what was asked for.
    Unfit(String),
}

impl Unreachable {
    /// What a guest is told: nothing of addresses, roles and databases, which the log has.
    pub(super) fn error(&self) -> Error {
        match self {
            Self::Failed(error) if is_full(error) => Error::Overloaded,
            _ => failure::unavailable("no connection to the database could be made"),
        }
    }

    /// What the one who started the host is told.
    pub(super) fn open_error(&self, config: &Config) -> OpenError {
        let (url, reason) = (config.url.to_string(), self.reason());
        match self {
            Self::Late(_) => OpenError::Unreachable { url, reason },
            Self::Pooled | Self::Unfit(_) => OpenError::Configuration { url, reason },
            Self::Failed(error) => match error.code().map(SqlState::code) {
                // Starting up, shutting down, or full: it may be well in a moment.
                None | Some("57P01" | "57P02" | "57P03" | "53300") => {
                    OpenError::Unreachable { url, reason }
                }
                _ if error.as_db_error().is_some_and(pooler::may_pass) => {
                    OpenError::Unreachable { url, reason }
                }
                Some(_) => OpenError::Refused { url, reason },
            },
        }
    }

    pub(super) fn reason(&self) -> String {
        match self {
            Self::Late(after) => format!("no connection within {after:?}"),
            Self::Failed(error) => outcome::reason(error),
            Self::Pooled => {
                "a connection pooler answers there, and --database-pooler none says that \
                             there is none: say transaction or session, as it is configured"
                    .to_owned()
            }
            Self::Unfit(what) => format!("the session is not what was asked for: {what}"),
        }
    }
}

/// Whether there is no room for a further connection.
fn is_full(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS)
        || error.as_db_error().is_some_and(pooler::is_full)
}

/// How to reach the server.
pub(super) struct Connector {
    own: Session,
    shared: Session,
    tls: Guarded,
    pub(super) pooling: Pooling,
    /// Whether nothing is ever to be written.
    pub(super) read_only: bool,
    pub(super) timeout: Duration,
    pub(super) renewal: Renewal,
    pub(super) reach: Reach,
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
    pub(super) fn new(
        target: &Postgres,
        config: &Config,
        pooling: Pooling,
    ) -> Result<Self, OpenError> {
        let wrong = |reason| OpenError::Configuration {
            url: config.url.to_string(),
            reason,
        };
        let tls = tls::client_config(target).map_err(wrong)?;
        let mut transport = transport(target, config);
        let negotiate = hand_over(&mut transport).then_some(target.tls);
        let session = |settings: settings::Settings| Session {
            config: settings.session(&transport, pooling),
            settings,
        };
        Ok(Self {
            own: session(settings::own(&transport, config)),
            shared: session(settings::shared(&transport, config)),
            tls: Guarded {
                tls: MakeRustlsConnect::new(tls),
                negotiate,
                limit: config.max_rows_bytes.saturating_add(FRAMING),
                naming: Naming::Prefixed,
                watch: Arc::default(),
            },
            pooling,
            read_only: config.read_only,
            timeout: config.connect_timeout,
            renewal: Renewal::new(),
            reach: Reach::default(),
            tidying: Arc::default(),
        })
    }

    pub(super) fn session(&self, kind: Kind) -> &Session {
        match kind {
            Kind::Own => &self.own,
            Kind::Shared => &self.shared,
        }
    }

    /// A connection was made and set up.
    pub(super) fn reached(&self, link: &Link) {
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
        !self.read_only && super::renewal::is_read_only(error)
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
    pub(super) async fn dial(
        &self,
        config: &tokio_postgres::Config,
        naming: Naming,
    ) -> Result<(Client, Arc<Watch>), Unreachable> {
        let watch: Arc<Watch> = Arc::default();
        let tls = Guarded {
            naming,
            watch: Arc::clone(&watch),
            ..self.tls.clone()
        };
        let (client, connection) = config.connect(tls).await.map_err(Unreachable::Failed)?;
        let open = self.reach.open();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Whoever waits for an answer is told as well; this is for the log alone.
                tracing::debug!("a database connection ended: {}", outcome::reason(&error));
            }
            drop(open);
        });
        Ok((client, watch))
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
