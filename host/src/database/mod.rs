//! The capability a guest is handed: one database, and nothing of how it is reached.
//!
//! Every call of a guest passes [`session`], the one choke point, where policy, size and deadline are decided before a back end
//! sees it. Read in this order:
//!
//! | module | what lives there |
//! |---|---|
//! | [`url`], [`config`] | which database, and what may be asked of it |
//! | `libpq` | connection parameters of PostgreSQL |
//! | [`session`] | the choke point: what a guest's calls go through |
//! | `declared` | the statements that a component declares, judged |
//! | `metrics`, `cause` | what is counted there, and what failed last |
//! | `migration` | what is otherwise while migrations run |
//! | [`policy`] | what no guest may say, and which statements write |
//! | `backend` | what the choke point asks of a back end |
//! | `postgres` | statements pipelined over shared connections, transactions on their own |
//! | `sqlite` | a file or memory: one writer, many readers |
//! | [`scripted`] | a test's own answers, faults and delays |

mod backend;
mod cause;
pub mod config;
mod declared;
mod failure;
mod libpq;
pub(crate) mod metrics;
pub(crate) mod migration;
pub mod policy;
mod postgres;
pub mod scripted;
pub mod session;
mod sqlite;
pub mod url;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

pub use crate::bindings::database::{Error, Refusal, RefusalKind, Row, Rows, Value};
pub use config::{Config, Options, Statements};
pub use declared::Unfit;
pub use session::{Cursor, Session, Transaction, View, add_to_linker};
pub use url::{Url, UrlError};

use crate::manifest::Manifest;
use backend::{Activity, Backend};
pub(crate) use cause::LastFailure;
use declared::Declared;
use metrics::{Metrics, Totals};
use migration::Migration;
use policy::Caller;

/// A database that was reached. Clones share it.
#[derive(Clone, Debug)]
pub struct Database {
    config: Arc<Config>,
    backend: Backend,
    /// Of every pool there ever was: what was counted stays counted.
    metrics: Arc<Mutex<Vec<Arc<Metrics>>>>,
    /// What may run, unless anything may.
    declared: Option<Arc<Declared>>,
}

impl Database {
    /// Reaches the database once, so that a wrong address, password or file is known at start.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let config = Arc::new(config);
        let backend = match config.url.target() {
            url::Target::Postgres(target) => {
                Backend::Postgres(postgres::Database::open(target, &config).await?)
            }
            url::Target::Sqlite(file) => {
                Backend::Sqlite(sqlite::Database::open(file, &config).await?)
            }
            url::Target::Memory => Backend::Sqlite(sqlite::Database::memory(&config).await?),
        };
        Ok(Self::new(config, backend))
    }

    /// A test's own answers in place of a database.
    pub fn scripted(script: scripted::Script) -> Self {
        let mut config = Config::new(Url::memory());
        // What is said is for the script to know.
        config.statements = Statements::Any;
        Self::new(Arc::new(config), Backend::Scripted(script))
    }

    fn new(config: Arc<Config>, backend: Backend) -> Self {
        Self {
            config,
            backend,
            metrics: Arc::default(),
            declared: None,
        }
    }

    /// The same database for a component that declares these statements. Where only declared ones may run, nothing else does
    /// in pools that are made from now on, and nothing at all where none are declared.
    ///
    /// # Errors
    /// Where policy refuses one of them.
    pub fn serving(self, manifest: Option<&Manifest>) -> Result<Self, Unfit> {
        let declared = match self.config.statements {
            Statements::Any => None,
            Statements::Declared => {
                let dialect = self.backend.dialect();
                let judged = Declared::judge(manifest, dialect, &self.config.allowed)?;
                Some(Arc::new(judged))
            }
        };
        Ok(Self { declared, ..self })
    }

    /// Connections for one core. They must be used on the runtime on which this is called.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing is connected yet, so a database that has gone since is no error here.
    pub fn pool(&self) -> Result<Pool, OpenError> {
        let metrics = Arc::new(Metrics::default());
        let pool = session::PoolInner::new(
            Arc::clone(&self.config),
            self.backend.pool()?,
            Arc::clone(&metrics),
            self.declared.clone(),
        );
        self.all_metrics().push(metrics);
        Ok(Pool(Arc::new(pool)))
    }

    /// What all pools have counted so far.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for metrics in &*self.all_metrics() {
            totals.add(metrics);
        }
        totals
    }

    fn all_metrics(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Metrics>>> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says in the log what should not be as it is, though nothing fails for it.
    pub(crate) fn advise(&self) {
        if let Backend::Postgres(database) = &self.backend {
            database.advise();
        }
    }

    /// What was asked for.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the database answers now.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn check(&self) -> Result<(), OpenError> {
        self.backend.check().await
    }
}

/// The connections of one core. Clones share them.
#[derive(Clone, Debug)]
pub struct Pool(Arc<session::PoolInner>);

impl Pool {
    /// The way of one instance to its database.
    pub fn session(&self) -> Session {
        Session::new(Arc::clone(&self.0), Caller::Request)
    }

    /// The way of an instance whose calls are migrations, and what is known of them while they run.
    pub(crate) fn migrating(&self) -> (Session, Arc<Migration>) {
        let mut session = Session::new(Arc::clone(&self.0), Caller::Migrations);
        let migration = Arc::new(Migration::default());
        session.set_migration(Arc::clone(&migration));
        (session, migration)
    }

    /// What is known of a statement of migrations that is running, where the database can tell.
    pub(crate) async fn activity(&self, text: &str) -> Option<Activity> {
        self.0.activity(text).await
    }

    /// Waits until nothing is left, also on the server, of what was abandoned: statements cancelled, transactions rolled back.
    pub(crate) async fn tidied(&self) {
        self.0.tidied().await;
    }
}

/// Why a database could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Nobody answers there. A later try may pass.
    Unreachable {
        /// The URL, its password masked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It answers, and says no: a password, a role, a database that is not there.
    Refused {
        /// The URL, its password masked.
        url: String,
        /// What it said.
        reason: String,
    },
    /// It answers, and takes no writes: a standby, or one that was made read-only.
    ReadOnly {
        /// The URL, its password masked.
        url: String,
    },
    /// It cannot work as configured: a file that cannot be opened, a certificate that cannot be read.
    Configuration {
        /// The URL, its password masked.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

impl OpenError {
    /// Whether the database may become reachable by waiting.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether what was asked for is at fault, rather than the database.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Configuration { .. })
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { url, reason } => {
                write!(
                    f,
                    "cannot reach the database {url}: {reason}; start it, or choose another with --database"
                )
            }
            Self::Refused { url, reason } => {
                write!(
                    f,
                    "the database {url} refuses: {reason}; correct --database or the database's own settings"
                )
            }
            Self::ReadOnly { url } => {
                write!(
                    f,
                    "the database {url} takes no writes: it is a standby, or default_transaction_read_only \
                     is on; where that is meant, say --database-read-only"
                )
            }
            Self::Configuration { url, reason } => {
                write!(
                    f,
                    "cannot use the database {url}: {reason}; choose another with --database"
                )
            }
        }
    }
}

impl std::error::Error for OpenError {}
