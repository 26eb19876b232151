//! What stands before the first connection: the component is loaded, its database reached and brought up to date.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::Config;
use super::error::ServeError;
use crate::database::{Database, Pool};
use crate::sandbox::Runtime;
use crate::sandbox::migrate::{self, MigrateError, Migration};

/// Brings the schema up to date, and nothing else.
///
/// # Errors
/// See [`ServeError`].
pub async fn migrate(config: &Config) -> Result<(), ServeError> {
    start(&Config {
        no_migrate: false,
        ..config.clone()
    })
    .await
    .map(drop)
}

/// What bringing the schema up to date would do. Nothing is changed. Gives `None` for a component that cannot say so.
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

/// What stands before the first connection: the component and a database that is reached and up to date.
pub(super) async fn start(config: &Config) -> Result<(Arc<Runtime>, Database), ServeError> {
    // Compiling takes long, and must not keep a signal from being heard.
    let (component, capacity) = (config.sandbox.component.clone(), config.capacity());
    let loaded =
        tokio::task::spawn_blocking(move || Runtime::new(&component.unwrap_or_default(), capacity))
            .await;
    let loaded = loaded.map_err(|panic| ServeError::System(io::Error::other(panic)))?;
    let runtime = Arc::new(loaded.map_err(ServeError::Load)?);
    let began = Instant::now();
    let deadline = began + config.database_wait;
    let mut pause = Duration::from_millis(50);
    let mut said = None;
    loop {
        let error = match open_and_migrate(config, &runtime).await {
            Ok(database) => return Ok((runtime, database)),
            Err(error) => error,
        };
        let transient = match &error {
            ServeError::Database(error) => error.is_transient(),
            ServeError::Migrate(error) => error.is_transient(),
            _ => false,
        };
        let locked = matches!(&error, ServeError::Migrate(error) if error.is_locked());
        if locked {
            // Others are let through for as long as they were held up.
            pause = Duration::from_secs(1);
            if config.migration_timeout > Duration::ZERO
                && began.elapsed() + pause >= config.migration_timeout
            {
                tracing::error!("{error}");
                return Err(ServeError::Migrate(MigrateError::Late(
                    config.migration_timeout,
                )));
            }
            if said.is_none_or(|said: Instant| said.elapsed() >= Duration::from_secs(5)) {
                said = Some(Instant::now());
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

async fn open_and_migrate(config: &Config, runtime: &Runtime) -> Result<Database, ServeError> {
    let database = Database::open(config.database())
        .await
        .map_err(ServeError::Database)?;
    let database = runtime.database(database).map_err(ServeError::Load)?;
    if !config.no_migrate {
        let pool = database.pool().map_err(ServeError::Database)?;
        let limit = config.migration_timeout;
        let applied = if limit.is_zero() {
            bring_up_to_date(config, runtime, &pool).await
        } else {
            tokio::time::timeout(limit, bring_up_to_date(config, runtime, &pool))
                .await
                .unwrap_or(Err(MigrateError::Late(limit)))
        };
        for migration in applied.map_err(ServeError::Migrate)? {
            tracing::info!(
                "applied migration {} ({})",
                migration.version,
                migration.name
            );
        }
    }
    Ok(database)
}

/// Says what will be done, and does it where nothing stands in the way.
async fn bring_up_to_date(
    config: &Config,
    runtime: &Runtime,
    pool: &Pool,
) -> Result<Vec<Migration>, MigrateError> {
    match migrate::plan(runtime, pool, &config.instances().store()).await {
        Ok(findings) => migrate::log(&findings.unwrap_or_default())?,
        // Why it cannot be told is what the migrations say as well, with what to do about it.
        Err(MigrateError::NoPlan(why)) => tracing::debug!("no plan: {why}"),
        Err(error) => return Err(error),
    }
    migrate::migrate(runtime, pool, &config.instances().store()).await
}
