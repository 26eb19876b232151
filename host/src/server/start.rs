//! Starts the service before the first connection: loads the component, opens the database, and
//! runs the migrations.
//!
//! A database that is unavailable is tried again until `--database-wait` has passed, one that is
//! locked until `--migration-timeout` has.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::Config;
use super::error::ServeError;
use crate::database::{Database, Pool};
use crate::sandbox::migrate::{self, MigrateError, Migration};
use crate::sandbox::{LoadError, Runtime};

/// Brings the schema up to date, and nothing else.
///
/// # Errors
/// See [`ServeError`].
pub async fn migrate(config: &Config) -> Result<(), ServeError> {
    let config = Config {
        no_migrate: false,
        ..config.clone()
    };
    let (_, _, schema) = start_and_report(&config).await?;
    match schema {
        Schema::UpToDate => tracing::info!("the schema is up to date: there was nothing to do"),
        Schema::Absent => {
            tracing::info!("the component has no migrations: there was nothing to do");
        }
        Schema::Changed | Schema::Left => {}
    }
    Ok(())
}

/// What the start did to the schema.
#[derive(Clone, Copy, Debug)]
pub(super) enum Schema {
    /// It was left as it is.
    Left,
    /// The component has no migrations.
    Absent,
    /// There was nothing to do.
    UpToDate,
    /// What was done is logged.
    Changed,
}

/// Plans the migrations without changing anything. `None` for a component that exports no plan.
///
/// # Errors
/// See [`ServeError`].
pub async fn plan(config: &Config) -> Result<Option<Vec<migrate::Finding>>, ServeError> {
    let (runtime, database) = start(&Config {
        no_migrate: true,
        ..config.clone()
    })
    .await?;
    let pool = database.pool().map_err(ServeError::Database)?;
    migrate::plan(&runtime, &pool, &config.instances().store())
        .await
        .map_err(ServeError::Migrate)
}

/// Loads the component, and opens the database with an up-to-date schema.
pub(super) async fn start(config: &Config) -> Result<(Arc<Runtime>, Database), ServeError> {
    let (runtime, database, _) = start_and_report(config).await?;
    Ok((runtime, database))
}

async fn start_and_report(config: &Config) -> Result<(Arc<Runtime>, Database, Schema), ServeError> {
    config.check().map_err(ServeError::Settings)?;
    // Compiling takes long and must not delay the handling of signals.
    let (sandbox, capacity) = (config.sandbox.clone(), config.capacity());
    let load = move || {
        let component = sandbox.component.clone().unwrap_or_default();
        let denied = &sandbox.deny_imports;
        let values = sandbox.values().map_err(LoadError::Values)?;
        let runtime = Runtime::new(&component, &sandbox.compiler(), capacity, denied)?;
        Ok(runtime.with_values(values))
    };
    let loaded = tokio::task::spawn_blocking(load).await;
    let loaded = loaded.map_err(|panic| ServeError::System(io::Error::other(panic)))?;
    let runtime = Arc::new(loaded.map_err(ServeError::Load)?);
    if config.max_rows_bytes() < config.database.max_rows_bytes {
        tracing::info!(
            "results are limited to {} bytes, a quarter of --instance-memory, in place of \
             --max-rows-bytes",
            config.max_rows_bytes()
        );
    }
    let began = Instant::now();
    let deadline = began + config.database_wait;
    let mut pause = Duration::from_millis(50);
    let mut logged = None;
    loop {
        let error = match open_and_migrate(config, &runtime).await {
            Ok((database, schema)) => return Ok((runtime, database, schema)),
            Err(error) => error,
        };
        let transient = match &error {
            ServeError::Database(error) => error.is_transient(),
            ServeError::Migrate(error) => error.is_transient(),
            _ => false,
        };
        let locked = matches!(&error, ServeError::Migrate(error) if error.is_locked());
        if locked {
            // Other sessions get as much time as the lock timeout delayed them.
            pause = Duration::from_secs(1);
            if config.migration_timeout > Duration::ZERO
                && began.elapsed() + pause >= config.migration_timeout
            {
                tracing::error!("{error}");
                return Err(ServeError::Migrate(MigrateError::Late(
                    config.migration_timeout,
                )));
            }
            if logged.is_none_or(|at: Instant| at.elapsed() >= Duration::from_secs(5)) {
                logged = Some(Instant::now());
                tracing::warn!("{error}; trying again every other second");
            }
        } else if !transient || Instant::now() + pause >= deadline {
            return Err(error);
        }
        tracing::debug!("{error}; trying again in {pause:?}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

async fn open_and_migrate(
    config: &Config,
    runtime: &Runtime,
) -> Result<(Database, Schema), ServeError> {
    let database = Database::open(config.database())
        .await
        .map_err(ServeError::Database)?;
    let database = runtime.database(database).map_err(ServeError::Load)?;
    let pool = database.pool().map_err(ServeError::Database)?;
    let schema = bring_up(config, runtime, &pool).await?;
    Ok((database, schema))
}

/// Brings the schema to where this component needs it, unless `--no-migrate` leaves it.
pub(super) async fn bring_up(
    config: &Config,
    runtime: &Runtime,
    pool: &Pool,
) -> Result<Schema, ServeError> {
    let mut schema = Schema::Left;
    if !config.no_migrate {
        let limit = config.migration_timeout;
        let applied = if limit.is_zero() {
            bring_up_to_date(config, runtime, pool).await
        } else {
            tokio::time::timeout(limit, bring_up_to_date(config, runtime, pool))
                .await
                .unwrap_or(Err(MigrateError::Late(limit)))
        };
        let (has_changed, applied) = applied.map_err(ServeError::Migrate)?;
        schema = match (has_changed || !applied.is_empty(), runtime.has_migrations()) {
            (true, _) => Schema::Changed,
            (false, true) => Schema::UpToDate,
            (false, false) => Schema::Absent,
        };
        for migration in applied {
            tracing::info!(
                "applied migration {} ({})",
                migration.version,
                migration.name
            );
        }
        let checked = migrate::check_statements(runtime, pool).await;
        checked.map_err(ServeError::Load)?;
    }
    Ok(schema)
}

/// Logs the plan, and applies the migrations if it has no obstacle. Returns whether the plan had
/// changes, and the applied migrations.
async fn bring_up_to_date(
    config: &Config,
    runtime: &Runtime,
    pool: &Pool,
) -> Result<(bool, Vec<Migration>), MigrateError> {
    let mut has_changed = false;
    match migrate::plan(runtime, pool, &config.instances().store()).await {
        Ok(findings) => {
            let findings = findings.unwrap_or_default();
            migrate::log(&findings)?;
            has_changed = findings
                .iter()
                .any(|finding| finding.kind == migrate::FindingKind::Change);
        }
        // The migrations return the same error, with its remedy.
        Err(MigrateError::NoPlan(why)) => tracing::debug!("no plan: {why}"),
        Err(error) => return Err(error),
    }
    let applied = migrate::migrate(runtime, pool, &config.instances().store()).await?;
    Ok((has_changed, applied))
}
