//! Applying the migrations that a database does not record, and planning what that would do.

use super::error::{Error, Migration, version};
use super::plan::{Adoption, Finding, FindingKind, Plan, Progress};
use super::steps::{Step, statements};
use super::{record, sql};
use crate::database::{Database, Dialect, Error as DatabaseError, Statements};
use crate::retry::{self, Failed};

/// `lock_not_available`: `lock_timeout` expired.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";

/// Applies every migration that the database does not record, and returns those it applied.
///
/// If there is nothing to do it only reads, so that a role without CREATE privilege may call it.
///
/// # Errors
/// See [`Error`].
pub fn apply<A: Adoption>(
    database: &impl Database,
    steps: &[Step],
) -> Result<Vec<Migration>, Error> {
    let dialect = database.dialect();
    let mut applied = Vec::new();
    let mut done = record::read(database, dialect, steps)?;
    let found = inspect::<A>(database, dialect, steps, Progress::of(done))?;
    refuse_obstacles(steps, done, &found)?;
    if done > 0 && !found.actions.is_empty() {
        // An earlier host adopted what was there, or another program changed it since.
        run::<A>(database, dialect, steps, done, None)?;
    }
    while let Some(step) = steps.get(done) {
        // While this host waits for the lock, another one may apply the migration.
        let before = run::<A>(database, dialect, steps, done, Some(step))?;
        if before <= done {
            applied.push(Migration::of(step, done));
        }
        done = before.max(done + 1);
    }
    Ok(applied)
}

/// Returns what [`apply`] would do, what prevents it, and advice. Changes nothing.
///
/// # Errors
/// See [`Error`].
pub fn plan<A: Adoption>(database: &impl Database, steps: &[Step]) -> Result<Vec<Finding>, Error> {
    let dialect = database.dialect();
    let done = record::read(database, dialect, steps)?;
    let progress = Progress {
        applied: done,
        advised: true,
    };
    let mut findings = inspect::<A>(database, dialect, steps, progress)?.findings;
    for (index, step) in steps.iter().enumerate().skip(done) {
        findings.push(Finding {
            kind: FindingKind::Migration,
            subject: "usher_migrations".into(),
            message: format!("apply migration {} ({})", version(index), step.name),
            remedy: None,
        });
    }
    Ok(findings)
}

/// Inspects what is there. On PostgreSQL it does so in a transaction, which hosts give the time
/// that migrations need.
fn inspect<A: Adoption>(
    database: &impl Database,
    dialect: Dialect,
    steps: &[Step],
    progress: Progress,
) -> Result<Plan, Error> {
    let found = match dialect {
        Dialect::Postgres => retry::transaction(database, |transaction| {
            Ok::<_, Failed<Error>>(A::inspect(transaction, dialect, progress)?)
        }),
        Dialect::Sqlite => A::inspect(database, dialect, progress).map_err(Failed::Database),
    };
    found.map_err(|why| failed(steps, progress.applied, why))
}

/// Fails the next migration if the plan has an obstacle.
fn refuse_obstacles(steps: &[Step], done: usize, found: &Plan) -> Result<(), Error> {
    let index = done.min(steps.len().saturating_sub(1));
    match (found.refusal(), steps.get(index)) {
        (Some(why), Some(step)) => Err(Error::Failed(Migration::of(step, index), why)),
        (Some(why), None) => Err(Error::Unavailable(why)),
        (None, _) => Ok(()),
    }
}

/// The error for a transaction that failed before the migration at index `done` was applied.
fn failed(steps: &[Step], done: usize, why: Failed<Error>) -> Error {
    let error = match why {
        Failed::Work(error) => return error,
        Failed::Database(error) => error,
    };
    let index = done.min(steps.len().saturating_sub(1));
    match (error, steps.get(index)) {
        // The host retries after a lock timeout, so that sessions queued behind this one proceed.
        (DatabaseError::Refused(refusal), _) if refusal.code == LOCK_NOT_AVAILABLE => {
            Error::Unavailable(format!(
                "another session holds a lock on a table that is to be changed: {}",
                refusal.message
            ))
        }
        // After InDoubt the outcome is unknown here, but a retry reads it from the record.
        (
            error @ (DatabaseError::Unavailable(_)
            | DatabaseError::Overloaded
            | DatabaseError::InDoubt),
            _,
        ) => Error::Unavailable(error.to_string()),
        (error, Some(step)) => Error::Failed(Migration::of(step, index), error.to_string()),
        (error, None) => Error::Unavailable(error.to_string()),
    }
}

/// Adapts what is there and applies this migration in one transaction, unless the database records
/// it. Returns how many migrations were recorded before.
fn run<A: Adoption>(
    database: &impl Database,
    dialect: Dialect,
    steps: &[Step],
    index: usize,
    step: Option<&Step>,
) -> Result<usize, Error> {
    retry::transaction(database, |transaction| {
        if dialect == Dialect::Postgres {
            lock(transaction)?;
        }
        transaction.execute(sql::CREATE_RECORD, &[])?;
        let done = record::read(transaction, dialect, steps).map_err(Failed::Work)?;
        if step.is_some() && done > index {
            return Ok(done);
        }
        // A table may have changed since it was inspected without the lock.
        let found = A::inspect(transaction, dialect, Progress::of(done))?;
        refuse_obstacles(steps, done, &found).map_err(Failed::Work)?;
        for action in found.actions {
            transaction.query(action, &[])?;
        }
        let Some(step) = step else { return Ok(done) };
        for statement in statements(step.sql) {
            transaction.execute(statement, &[])?;
        }
        record::write(transaction, step, index)?;
        Ok(done)
    })
    .or_else(|why| match why {
        // A replica or a read-only database is served as it is, and repaired on the primary.
        Failed::Database(DatabaseError::Denied(_)) if step.is_none() => Ok(index),
        Failed::Database(DatabaseError::Refused(refusal))
            if step.is_none() && refusal.code == READ_ONLY =>
        {
            Ok(index)
        }
        why => Err(failed(steps, index, why)),
    })
}

/// Waits until no other host applies migrations, for as long as `lock_timeout` allows.
fn lock(transaction: &impl Statements) -> Result<(), Failed<Error>> {
    match transaction.execute(sql::postgres::LOCK, &[]) {
        Ok(_) => Ok(()),
        Err(DatabaseError::Refused(refusal)) if refusal.code != LOCK_NOT_AVAILABLE => {
            Err(DatabaseError::Refused(refusal).into())
        }
        Err(DatabaseError::Timeout | DatabaseError::Refused(_)) => {
            Err(Failed::Work(Error::Unavailable(
                "another host has been applying them for longer than a lock is waited for".into(),
            )))
        }
        Err(error) => Err(error.into()),
    }
}
