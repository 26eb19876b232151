//! Brings the database's schema up to date by calling the component, which alone knows it.

use std::fmt;

use crate::bindings::migrating::MigratingPre;
use crate::bindings::migrating::exports::usher::users::migrations;
use crate::database::Pool;
use crate::runtime::{Runtime, one_line};

const EXPORT: &str = "usher:users/migrations@0.1.0";

/// Why the schema is not up to date.
#[derive(Debug)]
pub enum MigrateError {
    /// The component said no.
    Refused(migrations::Error),
    /// The component failed. The text says how.
    Component(String),
}

impl MigrateError {
    /// Whether the database could not be reached, so that a later try may pass.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Refused(migrations::Error::Unavailable(_)))
    }
}

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(migrations::Error::Failed((migration, why))) => write!(
                f,
                "migration {} ({}) failed and had no effect: {why}",
                migration.version, migration.name
            ),
            Self::Refused(migrations::Error::Changed(migration)) => write!(
                f,
                "migration {} ({}) was applied to this database with other contents; restore it, and write a new migration \
                 for what is to change",
                migration.version, migration.name
            ),
            Self::Refused(migrations::Error::Unknown(migration)) => write!(
                f,
                "the database is newer than this component, which does not know migration {} ({}); serve a newer component",
                migration.version, migration.name
            ),
            Self::Refused(migrations::Error::Unavailable(why)) => {
                write!(
                    f,
                    "the database could not be used for the migrations: {why}"
                )
            }
            Self::Component(why) => write!(f, "the component failed during its migrations: {why}"),
        }
    }
}

impl std::error::Error for MigrateError {}

/// Applies what the database has not seen yet, in an instance with up to `memory` bytes. A component without migrations has
/// none to apply.
///
/// # Errors
/// See [`MigrateError`]. Earlier migrations keep their effect, a failed one has none.
pub async fn migrate(
    runtime: &Runtime,
    pool: &Pool,
    memory: usize,
) -> Result<Vec<migrations::Migration>, MigrateError> {
    let fault = |error: wasmtime::Error| MigrateError::Component(one_line(&error));
    let pre = runtime.instance_pre();
    if pre.component().get_export_index(None, EXPORT).is_none() {
        return Ok(Vec::new());
    }
    let pre = MigratingPre::new(pre.clone()).map_err(fault)?;
    let mut store = runtime.store(pool.session_for_migrations(), memory);
    let component = pre.instantiate_async(&mut store).await.map_err(fault)?;
    component
        .usher_users_migrations()
        .call_apply(&mut store)
        .await
        .map_err(fault)?
        .map_err(MigrateError::Refused)
}
