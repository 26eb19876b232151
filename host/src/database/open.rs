//! Opening a database: which back end a URL names, and what the rest of the host holds of it.

use std::sync::{Arc, Mutex, PoisonError};

use super::backend::{Activity, Backend};
use super::config::{Config, Statements};
use super::declared::{Declared, Unfit};
use super::error::OpenError;
use super::gate::Session;
use super::manifest::Manifest;
use super::metrics::{Metrics, Totals};
use super::migration::Migration;
use super::pool::PoolInner;
use super::statement::Caller;
use super::url::Target;
use super::{postgres, sqlite};

/// A database that was reached. Clones share it.
#[derive(Clone, Debug)]
pub struct Database {
    config: Arc<Config>,
    backend: Arc<dyn Backend>,
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
        let backend: Arc<dyn Backend> = match config.url.target() {
            Target::Postgres(target) => Arc::new(postgres::Database::open(target, &config).await?),
            Target::Sqlite(file) => Arc::new(sqlite::Database::open(file, &config).await?),
            Target::Memory => Arc::new(sqlite::Database::memory(&config).await?),
        };
        Ok(Self::new(config, backend))
    }

    /// A database behind a back end of the embedding program's own, such as a test double. The URL is only shown.
    pub fn with_backend(config: Config, backend: Arc<dyn Backend>) -> Self {
        Self::new(Arc::new(config), backend)
    }

    fn new(config: Arc<Config>, backend: Arc<dyn Backend>) -> Self {
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
                let policy = self.backend.policy();
                let checked = Declared::check(manifest, policy, &self.config.allowed)?;
                Some(Arc::new(checked))
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
        let pool = PoolInner::new(
            Arc::clone(&self.config),
            self.backend.policy(),
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

    /// Logs what an operator should know although nothing fails for it.
    pub(crate) fn advise(&self) {
        self.backend.advise();
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
pub struct Pool(Arc<PoolInner>);

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
        self.0.connections.activity(text).await
    }

    /// Waits until nothing is left, also on the server, of what was abandoned: statements cancelled, transactions rolled back.
    pub(crate) async fn tidied(&self) {
        self.0.connections.tidied().await;
    }
}
