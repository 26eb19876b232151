//! Brings the database's schema up to date by calling the component, which has the migrations.

mod progress;

use std::fmt;
use std::time::Duration;

use super::bindings::migrating::MigratingPre;
use super::bindings::migrating::exports::usher::service::migrations;
use super::bindings::planning::PlanningPre;
pub use super::bindings::planning::exports::usher::service::migration_plan::{
    Finding, FindingKind,
};
use super::component::Runtime;
use super::error::{LoadError, one_line};
use super::state::StoreLimits;
use crate::database::Pool;
pub use migrations::Migration;

const EXPORT: &str = "usher:service/migrations@0.2.0";
const PLAN_EXPORT: &str = "usher:service/migration-plan@0.2.0";

/// Why the schema is not up to date.
#[derive(Debug)]
pub enum MigrateError {
    /// The component returned an error.
    Refused(migrations::Error),
    /// Another session holds a lock that they need. They have had no effect and can be retried.
    Locked {
        /// The component's error.
        why: String,
        /// The sessions that hold the lock, if known.
        blockers: Option<String>,
    },
    /// The plan has this number of obstacles, and nothing was changed.
    Blocked(usize),
    /// They did not end in this time.
    Late(Duration),
    /// The component could not make a plan. The text says why.
    NoPlan(String),
    /// The component failed. The text says how.
    Component(String),
}

impl MigrateError {
    /// Whether a retry may succeed: the database was unavailable or locked.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Refused(migrations::Error::Unavailable(_)) | Self::Locked { .. }
        )
    }

    /// Whether they wait for another session's lock, which may take long.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Locked { .. })
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
                "migration {} ({}) was applied to this database with other contents; restore it, \
                 and write a new migration for what is to change",
                migration.version, migration.name
            ),
            Self::Refused(migrations::Error::Unknown(migration)) => write!(
                f,
                "the database is newer than this component, which does not have migration {} ({}); \
                 serve a newer component",
                migration.version, migration.name
            ),
            Self::Refused(migrations::Error::Unavailable(why)) => {
                write!(
                    f,
                    "the database could not be used for the migrations: {why}"
                )
            }
            Self::Locked { why, blockers } => {
                write!(f, "the migrations wait: {why}")?;
                match blockers {
                    Some(blockers) => write!(f, "; held by {blockers}"),
                    None => Ok(()),
                }
            }
            Self::Blocked(1) => f.write_str(
                "the database is not as the service needs it: the obstacle is logged above, and \
                 nothing was changed; `usher migrate --plan` shows it again",
            ),
            Self::Blocked(number) => write!(
                f,
                "the database is not as the service needs it: {number} obstacles are logged above, \
                 and nothing was changed; `usher migrate --plan` shows them again"
            ),
            Self::Late(limit) => write!(
                f,
                "the migrations did not end within {limit:?}, and what was not finished had no \
                 effect; raise --migration-timeout, or run `usher migrate` while nothing else uses \
                 the database"
            ),
            Self::NoPlan(why) => write!(f, "the component could not plan its migrations: {why}"),
            Self::Component(why) => write!(f, "the component failed during its migrations: {why}"),
        }
    }
}

impl std::error::Error for MigrateError {}

/// Applies the pending migrations in an instance with these limits, and returns them: none for a
/// component without migrations.
///
/// # Errors
/// See [`MigrateError`]. A failed migration has no effect; earlier ones keep theirs.
pub async fn migrate(
    runtime: &Runtime,
    pool: &Pool,
    limits: &StoreLimits,
) -> Result<Vec<Migration>, MigrateError> {
    if !runtime.has_migrations() {
        return Ok(Vec::new());
    }
    let pre = runtime.instance_pre();
    let pre = MigratingPre::new(pre.clone()).map_err(|error| fault(&error))?;
    let (gate, migration) = pool.migration_gate();
    let mut store = runtime.store(gate, limits);
    let component = pre
        .instantiate_async(&mut store)
        .await
        .map_err(|error| fault(&error))?;
    let call = component.usher_service_migrations().call_apply(&mut store);
    let (applied, blockers) = progress::watch(call, pool, &migration).await;
    match applied.map_err(|error| fault(&error))? {
        Err(migrations::Error::Unavailable(why)) if migration.has_lock_timed_out() => {
            Err(MigrateError::Locked { why, blockers })
        }
        applied => applied.map_err(MigrateError::Refused),
    }
}

impl Runtime {
    /// Whether the component has migrations.
    pub(crate) fn has_migrations(&self) -> bool {
        let component = self.instance_pre().component();
        component.get_export_index(None, EXPORT).is_some()
    }
}

/// Checks after [`migrate`] that the database can run the declared statements of requests.
///
/// # Errors
/// If a statement does not fit the schema of a component with migrations. Without migrations, the
/// schema may still be made by something else, so that is only logged.
pub(crate) async fn check_statements(runtime: &Runtime, pool: &Pool) -> Result<(), LoadError> {
    let unfit = match pool.find_unfit().await {
        Ok(Some(unfit)) => unfit,
        Ok(None) => return Ok(()),
        Err(error) => {
            tracing::debug!("the declared statements were not checked: {error:?}");
            return Ok(());
        }
    };
    let error = LoadError::Unprepared(runtime.source.clone(), unfit);
    if runtime.has_migrations() {
        return Err(error);
    }
    tracing::warn!("{error}; requests that run it fail until it does");
    Ok(())
}

/// The changes that [`migrate`] would make, their obstacles, and advice; nothing is changed. `None`
/// for a component that exports no plan.
///
/// # Errors
/// [`MigrateError::NoPlan`], or [`MigrateError::Component`].
pub async fn plan(
    runtime: &Runtime,
    pool: &Pool,
    limits: &StoreLimits,
) -> Result<Option<Vec<Finding>>, MigrateError> {
    let pre = runtime.instance_pre();
    if pre
        .component()
        .get_export_index(None, PLAN_EXPORT)
        .is_none()
    {
        return Ok(None);
    }
    let pre = PlanningPre::new(pre.clone()).map_err(|error| fault(&error))?;
    let (gate, migration) = pool.migration_gate();
    let mut store = runtime.store(gate, limits);
    let component = pre
        .instantiate_async(&mut store)
        .await
        .map_err(|error| fault(&error))?;
    let call = component
        .usher_service_migration_plan()
        .call_plan(&mut store);
    let (planned, _) = progress::watch(call, pool, &migration).await;
    planned
        .map_err(|error| fault(&error))?
        .map(Some)
        .map_err(MigrateError::NoPlan)
}

fn fault(error: &wasmtime::Error) -> MigrateError {
    MigrateError::Component(one_line(error))
}

/// Writes a plan as text, and returns whether it can be carried out.
///
/// # Errors
/// If `out` cannot be written to.
pub fn describe(findings: &[Finding], out: &mut impl fmt::Write) -> Result<bool, fmt::Error> {
    for finding in findings {
        let kind = match finding.kind {
            FindingKind::Migration => "migration",
            FindingKind::Change => "change",
            FindingKind::Obstacle => "OBSTACLE",
            FindingKind::Advice => "advice",
        };
        writeln!(out, "{kind:9} {}: {}", finding.subject, finding.message)?;
        if let Some(remedy) = &finding.remedy {
            writeln!(out, "          remedy: {remedy}")?;
        }
    }
    let obstacles = obstacles(findings);
    if findings.is_empty() {
        writeln!(out, "The schema is up to date: there is nothing to do.")?;
    } else if obstacles == 0 {
        writeln!(
            out,
            "Nothing was changed. `usher migrate` does what is said above, \
             and so does the start of the server."
        )?;
    } else {
        let plural = if obstacles == 1 { "" } else { "s" };
        writeln!(
            out,
            "Nothing was changed, and nothing will be while there is an obstacle: \
             {obstacles} obstacle{plural} to remove first."
        )?;
    }
    Ok(obstacles == 0)
}

/// The number of obstacles.
pub fn obstacles(findings: &[Finding]) -> usize {
    findings
        .iter()
        .filter(|finding| finding.kind == FindingKind::Obstacle)
        .count()
}

/// Logs a plan, one line for each finding.
///
/// # Errors
/// [`MigrateError::Blocked`] if there is an obstacle.
pub fn log(findings: &[Finding]) -> Result<(), MigrateError> {
    for finding in findings {
        let Finding {
            kind,
            subject,
            message,
            remedy,
        } = finding;
        let remedy = remedy
            .as_ref()
            .map(|remedy| format!("; remedy: {remedy}"))
            .unwrap_or_default();
        match kind {
            // Logged when it has been applied.
            FindingKind::Migration => {}
            FindingKind::Change => tracing::info!("to be changed: {subject}: {message}"),
            FindingKind::Obstacle => tracing::error!("in the way: {subject}: {message}{remedy}"),
            FindingKind::Advice => tracing::warn!("to be known: {subject}: {message}{remedy}"),
        }
    }
    match obstacles(findings) {
        0 => Ok(()),
        number => Err(MigrateError::Blocked(number)),
    }
}
