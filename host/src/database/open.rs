//! Opens a database: selects the back end by the URL, and makes the pool of each core.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::backend::{Activity, Backend, BackendPool, Snapshot};
use super::config::{Config, Statements};
use super::declared::{CheckedStatements, Declared, Unfit};
use super::error::{CopyError, OpenError};
use super::gate::Gate;
use super::manifest::Manifest;
use super::metrics::{Metrics, Totals};
use super::migration::Migration;
use super::pool::PoolInner;
use super::statement::Caller;
use super::types::{Error, SqlDialect};
use super::url::{Target, Url};
use super::{postgres, sqlite};

/// An open database. Clones share it.
#[derive(Clone, Debug)]
pub struct Database {
    config: Arc<Config>,
    backend: Arc<dyn Backend>,
    /// The counters of all pools, also of dropped ones.
    metrics: Arc<Mutex<Vec<Counted>>>,
    /// The statements that may run; none if any statement may.
    declared: Option<Arc<Declared>>,
}

/// The connections of a core, and their counters.
#[derive(Debug)]
struct Counted {
    metrics: Arc<Metrics>,
    connections: Weak<dyn BackendPool>,
}

impl Database {
    /// Connects once, so that a wrong address, password or file is an error at start.
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

    /// A database with a back end of the embedding program, such as a test double. The URL is only
    /// displayed.
    pub fn with_backend(config: Config, backend: Arc<dyn Backend>) -> Self {
        Self::new(Arc::new(config), backend)
    }

    /// The same database with another back end before its own, such as one that watches the calls.
    #[must_use]
    pub fn wrap(self, before: impl FnOnce(Arc<dyn Backend>) -> Arc<dyn Backend>) -> Self {
        let backend = before(self.backend);
        Self { backend, ..self }
    }

    fn new(config: Arc<Config>, backend: Arc<dyn Backend>) -> Self {
        Self {
            config,
            backend,
            metrics: Arc::default(),
            declared: None,
        }
    }

    /// The same database for a component with this manifest, whose statements are checked unless
    /// they were before. If only declared statements may run, pools made from now on run no others,
    /// and none if there is no manifest.
    ///
    /// # Errors
    /// If policy denies one of the statements.
    pub fn serving(
        self,
        manifest: Option<&Manifest>,
        checked: &CheckedStatements,
    ) -> Result<Self, Unfit> {
        let declared = match self.config.statements {
            Statements::Any => None,
            Statements::Declared => {
                let policy = self.backend.policy();
                Some(checked.check(manifest, policy, &self.config.allowed)?)
            }
        };
        Ok(Self { declared, ..self })
    }

    /// Connections for one core, used on the runtime on which this is called.
    ///
    /// # Errors
    /// See [`OpenError`]. It does not connect yet, so an unreachable database is no error here.
    pub fn pool(&self) -> Result<Pool, OpenError> {
        let metrics = Arc::new(Metrics::default());
        let connections: Arc<dyn BackendPool> = Arc::from(self.backend.pool()?);
        self.all_metrics().push(Counted {
            metrics: Arc::clone(&metrics),
            connections: Arc::downgrade(&connections),
        });
        Ok(self.pool_over(connections, metrics))
    }

    /// The connections of another pool of this database, for a component that takes the place of
    /// the one it was made for.
    pub(crate) fn share(&self, pool: &Pool) -> Pool {
        let PoolInner {
            connections,
            metrics,
            ..
        } = &*pool.0;
        self.pool_over(Arc::clone(connections), Arc::clone(metrics))
    }

    fn pool_over(&self, connections: Arc<dyn BackendPool>, metrics: Arc<Metrics>) -> Pool {
        Pool(Arc::new(PoolInner::new(
            Arc::clone(&self.config),
            self.backend.policy(),
            connections,
            metrics,
            self.declared.clone(),
        )))
    }

    /// The sums over the counters of all pools.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for counted in &*self.all_metrics() {
            totals.add(&counted.metrics);
            if let Some(connections) = counted.connections.upgrade() {
                totals.connections.add(&connections.connections());
            }
        }
        totals
    }

    fn all_metrics(&self) -> std::sync::MutexGuard<'_, Vec<Counted>> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies the contents of a database in memory as they are now, which blocks the thread.
    ///
    /// # Errors
    /// See [`Backend::snapshot`].
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        self.backend.snapshot().await
    }

    /// Replaces the contents of a database in memory, which blocks the thread.
    ///
    /// # Errors
    /// See [`Backend::restore`].
    pub async fn restore(&self, snapshot: &Snapshot) -> Result<(), Error> {
        self.backend.restore(snapshot).await
    }

    /// Logs settings that an operator should change although nothing fails.
    pub(crate) fn advise(&self) {
        self.backend.advise();
    }

    /// The SQL dialect.
    pub fn dialect(&self) -> SqlDialect {
        self.backend.policy().dialect
    }

    /// The configuration it was opened with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Checks that the database can serve requests now.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn check(&self) -> Result<(), OpenError> {
        self.backend.check().await
    }
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The size of the restored file.
    pub bytes: u64,
    /// Where the file is that was there before, if there was one.
    pub kept: Option<PathBuf>,
}

/// Copies an SQLite file to a new file, while a server uses it or not. Returns the copy's size.
/// Unless `force`, the new file may not exist yet.
///
/// # Errors
/// See [`CopyError`]. There is no new file then.
pub fn backup(url: &Url, file: &Path, force: bool) -> Result<u64, CopyError> {
    sqlite::backup(sqlite_file(url, "pg_dump")?, file, force)
}

/// Puts a backup in the place of an SQLite file that no program has open.
///
/// # Errors
/// See [`CopyError`]. The file is as it was then.
pub fn restore(url: &Url, backup: &Path) -> Result<Restored, CopyError> {
    let (bytes, kept) = sqlite::restore(sqlite_file(url, "pg_restore")?, backup)?;
    Ok(Restored { bytes, kept })
}

fn sqlite_file<'u>(url: &'u Url, program: &str) -> Result<&'u Path, CopyError> {
    match url.target() {
        Target::Sqlite(file) => Ok(file),
        Target::Memory => Err(CopyError::Usage(
            "memory: has no file, and ends with its program: choose a file with \
             --database sqlite:PATH"
                .to_owned(),
        )),
        Target::Postgres(_) => Err(CopyError::Usage(format!(
            "{url} is PostgreSQL, and this command is for SQLite files: use {program}"
        ))),
    }
}

/// The connections of one core. Clones share them.
#[derive(Clone, Debug)]
pub struct Pool(Arc<PoolInner>);

impl Pool {
    /// The gate of one instance.
    pub fn gate(&self) -> Gate {
        Gate::new(Arc::clone(&self.0), Caller::Request)
    }

    /// The gate of an instance that runs migrations, and their state.
    pub(crate) fn migration_gate(&self) -> (Gate, Arc<Migration>) {
        let mut gate = Gate::new(Arc::clone(&self.0), Caller::Migrations);
        let migration = Arc::new(Migration::default());
        gate.set_migration(Arc::clone(&migration));
        (gate, migration)
    }

    /// The first declared statement of requests that the database cannot prepare.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub(crate) async fn find_unfit(&self) -> Result<Option<Unfit>, Error> {
        self.0.find_unfit().await
    }

    /// The activity of a running statement of migrations, if the database reports any.
    pub(crate) async fn activity(&self, text: &str) -> Option<Activity> {
        self.0.connections.activity(text).await
    }

    /// Waits until abandoned work is over, also on the server: statements cancelled, transactions
    /// rolled back.
    pub(crate) async fn closed(&self) {
        self.0.connections.closed().await;
    }
}
