//! Bringing a database's schema up to date.
//!
//! Each migration is a file per dialect in `migrations/`, named by its number and what it does. It is applied in a
//! transaction of its own, under a lock that lets one host at a time do so, and recorded with a checksum of its text.

use crate::adoption::{self, Finding, FindingKind, Plan, State};
use crate::database::{Database, Dialect, Error as DatabaseError, Param, Statements, Value};
use crate::retry::{self, Failed};

/// One step of the schema's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its place in the order, from 1 without gaps.
    pub version: u32,
    /// What it does.
    pub name: String,
}

/// Why the schema could not be brought up to date. What earlier migrations did stays; of a failed one, nothing does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// This migration failed; the text says why.
    Failed(Migration, String),
    /// This migration was applied once with other contents.
    Changed(Migration),
    /// The database has seen this migration, and this component does not know it.
    Unknown(Migration),
    /// The database could not be used; the text says why.
    Unavailable(String),
}

/// A migration as it is compiled in.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What it does, from its file's name.
    pub name: &'static str,
    /// Its statements, each ending with a semicolon at the end of a line.
    pub sql: &'static str,
    /// Checksums of earlier texts with the same effect on a new database.
    pub earlier: &'static [&'static str],
}

macro_rules! step {
    ($dialect:literal, $name:literal, $earlier:expr) => {
        Step {
            name: $name,
            sql: include_str!(concat!("../migrations/", $dialect, "/", $name, ".sql")),
            earlier: $earlier,
        }
    };
}

pub(crate) const POSTGRES: &[Step] = &[
    // The earlier text altered whatever table there was, which adoption does now, having looked at it.
    step!("postgres", "0001_users", &["2957aa57ca36e788"]),
    step!("postgres", "0002_versions", &[]),
];
pub(crate) const SQLITE: &[Step] = &[
    step!("sqlite", "0001_users", &["721e23a125a14965"]),
    step!("sqlite", "0002_versions", &[]),
];

/// The migrations of this component, in order.
#[must_use]
pub fn steps(dialect: Dialect) -> &'static [Step] {
    match dialect {
        Dialect::Postgres => POSTGRES,
        Dialect::Sqlite => SQLITE,
    }
}

/// What the migrations run beside their own texts.
pub mod sql {
    use crate::statements::statements;

    statements! {
        /// The record of what was applied.
        CREATE_RECORD = "CREATE TABLE IF NOT EXISTS usher_migrations (\
            version bigint PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, \
            applied_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)";

        /// What was applied, in order.
        READ_RECORD = "SELECT version, name, checksum FROM usher_migrations ORDER BY version";

        /// `$1` version, `$2` name, `$3` checksum.
        WRITE_RECORD = "INSERT INTO usher_migrations (version, name, checksum) VALUES ($1, $2, $3)";
    }

    /// On PostgreSQL.
    pub mod postgres {
        use crate::statements::statements;

        statements! {
            /// One host at a time. The key is "usher" in ASCII.
            LOCK = "SELECT pg_advisory_xact_lock(504447395186)";

            /// A row where there is a record.
            HAS_RECORD = "SELECT 1 WHERE to_regclass('usher_migrations') IS NOT NULL";
        }
    }

    /// On SQLite, where whoever writes is alone.
    pub mod sqlite {
        use crate::statements::statements;

        statements! {
            /// A row where there is a record.
            HAS_RECORD = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'usher_migrations'";
        }
    }
}

/// Applies every migration of this component that the database has not seen, and gives those it applied.
///
/// Where there is nothing to do it only reads, so that a role without the right to create tables may do it. A table of users that
/// somebody else has made is taken over as [`adoption`] says, or nothing at all is changed.
///
/// # Errors
/// As [`Error`] says.
pub fn apply(database: &impl Database) -> Result<Vec<Migration>, Error> {
    apply_steps(database, steps(database.dialect()))
}

/// As [`apply`], with these migrations.
///
/// # Errors
/// As [`Error`] says.
pub fn apply_steps(database: &impl Database, steps: &[Step]) -> Result<Vec<Migration>, Error> {
    let dialect = database.dialect();
    let mut applied = Vec::new();
    let mut done = recorded(database, dialect, steps)?;
    let found = look(database, dialect, steps, done, State::of(done))?;
    refuse(steps, done, &found)?;
    if done > 0 && !found.actions.is_empty() {
        // What an earlier host took over, or somebody has changed since.
        run(database, dialect, steps, done, None)?;
    }
    while let Some(step) = steps.get(done) {
        // While this host waits for the lock, another one may do the work.
        let before = run(database, dialect, steps, done, Some(step))?;
        if before <= done {
            applied.push(step.migration(done));
        }
        done = before.max(done + 1);
    }
    Ok(applied)
}

/// What [`apply`] would do, what stands in its way, and what is worth knowing. Nothing is changed.
///
/// # Errors
/// As [`Error`] says.
pub fn plan(database: &impl Database) -> Result<Vec<Finding>, Error> {
    plan_steps(database, steps(database.dialect()))
}

/// As [`plan`], with these migrations.
///
/// # Errors
/// As [`Error`] says.
pub fn plan_steps(database: &impl Database, steps: &[Step]) -> Result<Vec<Finding>, Error> {
    let dialect = database.dialect();
    let done = recorded(database, dialect, steps)?;
    let state = State::of(done).advised();
    let mut findings = look(database, dialect, steps, done, state)?.findings;
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

/// Looks at what is there. On PostgreSQL in a transaction, where a host gives migrations the time they need.
fn look(
    database: &impl Database,
    dialect: Dialect,
    steps: &[Step],
    done: usize,
    state: State,
) -> Result<Plan, Error> {
    let found = match dialect {
        Dialect::Postgres => retry::transaction(database, |transaction| {
            Ok::<_, Failed<Error>>(adoption::look(transaction, dialect, state)?)
        }),
        Dialect::Sqlite => adoption::look(database, dialect, state).map_err(Failed::Database),
    };
    found.map_err(|why| failed(steps, done, why))
}

/// Nothing is changed where something stands in the way.
fn refuse(steps: &[Step], done: usize, found: &Plan) -> Result<(), Error> {
    match (found.refusal(), steps.get(done.min(steps.len() - 1))) {
        (Some(why), Some(step)) => {
            let index = done.min(steps.len() - 1);
            Err(Error::Failed(step.migration(index), why))
        }
        _ => Ok(()),
    }
}

/// Which error it is that keeps migration `done` from being applied.
fn failed(steps: &[Step], done: usize, why: Failed<Error>) -> Error {
    let error = match why {
        Failed::Work(error) => return error,
        Failed::Database(error) => error,
    };
    let index = done.min(steps.len().saturating_sub(1));
    match (error, steps.get(index)) {
        // A lock that was not given in time: the host tries again, having let everybody else through.
        (DatabaseError::Refused(refusal), _) if refusal.code == LOCK_NOT_AVAILABLE => {
            Error::Unavailable(format!(
                "another session holds a lock on a table that is to be changed: {}",
                refusal.message
            ))
        }
        // Of InDoubt it is not known here whether it is applied, but the record will tell whoever asks again.
        (
            error @ (DatabaseError::Unavailable(_)
            | DatabaseError::Overloaded
            | DatabaseError::InDoubt),
            _,
        ) => Error::Unavailable(error.to_string()),
        (error, Some(step)) => Error::Failed(step.migration(index), error.to_string()),
        (error, None) => Error::Unavailable(error.to_string()),
    }
}

/// `lock_not_available`: `lock_timeout` was over.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";

/// Brings the table in line and applies this migration, unless the database has seen it, in one transaction. Gives how many
/// migrations it had seen before.
fn run(
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
        let done = recorded(transaction, dialect, steps).map_err(Failed::Work)?;
        if step.is_some() && done > index {
            return Ok(done);
        }
        // What was found before the lock was held may be otherwise now.
        let found = adoption::look(transaction, dialect, State::of(done))?;
        refuse(steps, done, &found).map_err(Failed::Work)?;
        for action in found.actions {
            transaction.query(action, &[])?;
        }
        let Some(step) = step else { return Ok(done) };
        for statement in statements(step.sql) {
            transaction.execute(statement, &[])?;
        }
        let record = [
            Param::Integer(i64::from(version(index))),
            Param::Text(step.name),
            Param::Text(&checksum(step.sql)),
        ];
        transaction.execute(sql::WRITE_RECORD, &record)?;
        Ok(done)
    })
    .or_else(|why| match why {
        // A replica, or a database that is open for reading only: what is there is served as it is, and mended where it is written.
        Failed::Database(DatabaseError::Denied(_)) if step.is_none() => Ok(index),
        Failed::Database(DatabaseError::Refused(refusal))
            if step.is_none() && refusal.code == READ_ONLY =>
        {
            Ok(index)
        }
        why => Err(failed(steps, index, why)),
    })
}

/// Waits until no other host is at it, for as long as this host's database lets it.
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

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (migration, what) = match self {
            Self::Failed(migration, why) => (migration, why.as_str()),
            Self::Changed(migration) => (
                migration,
                "it was applied to this database with other contents",
            ),
            Self::Unknown(migration) => (
                migration,
                "the database has seen it, and this component does not know it: serve a newer component",
            ),
            Self::Unavailable(why) => return f.write_str(why),
        };
        write!(
            f,
            "migration {} ({}): {what}",
            migration.version, migration.name
        )
    }
}

impl std::error::Error for Error {}

impl Step {
    fn migration(&self, index: usize) -> Migration {
        Migration {
            version: version(index),
            name: self.name.to_owned(),
        }
    }
}

fn version(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

/// How many migrations the database has seen, all of which must be this component's first ones, unchanged.
fn recorded(database: &impl Statements, dialect: Dialect, steps: &[Step]) -> Result<usize, Error> {
    // A database that says no to reading says so again: nobody is to wait for it to come round.
    let for_good = |why: String| match steps.first() {
        Some(first) => Error::Failed(first.migration(0), why),
        None => Error::Unavailable(why),
    };
    let unavailable = |error: DatabaseError| match error {
        DatabaseError::Refused(_) => for_good(format!(
            "what was applied before cannot be read from usher_migrations: {error}"
        )),
        error => Error::Unavailable(error.to_string()),
    };
    let unreadable = || for_good("the table usher_migrations is not this program's".into());
    let exists = match dialect {
        Dialect::Postgres => sql::postgres::HAS_RECORD,
        Dialect::Sqlite => sql::sqlite::HAS_RECORD,
    };
    if database.query(exists, &[]).map_err(unavailable)?.is_empty() {
        return Ok(0);
    }
    let rows = database.query(sql::READ_RECORD, &[]).map_err(unavailable)?;
    let done = rows.len();
    for (index, row) in rows.into_iter().enumerate() {
        let Ok([Value::Integer(number), Value::Text(name), Value::Text(sum)]) =
            <[Value; 3]>::try_from(row)
        else {
            return Err(unreadable());
        };
        let seen = Migration {
            version: u32::try_from(number).map_err(|_| unreadable())?,
            name,
        };
        let Some(step) = steps.get(index) else {
            return Err(Error::Unknown(seen));
        };
        if seen.version != version(index) {
            let missing = step.migration(index);
            let why = format!(
                "it is missing in usher_migrations, although the later {} is there",
                seen.name
            );
            return Err(Error::Failed(missing, why));
        }
        let known = sum == checksum(step.sql) || step.earlier.contains(&sum.as_str());
        if seen.name != step.name || !known {
            return Err(Error::Changed(seen));
        }
    }
    Ok(done)
}

/// The statements of a file. Only one may be executed at a time.
pub fn statements(sql: &str) -> impl Iterator<Item = &str> {
    let mut rest = sql;
    std::iter::from_fn(move || {
        let end = rest
            .split_inclusive('\n')
            .scan(0, |end, line| {
                *end += line.len();
                Some((*end, line.trim_end().ends_with(';')))
            })
            .find_map(|(end, last)| last.then_some(end))
            .unwrap_or(rest.len());
        let (statement, after) = rest.split_at(end);
        rest = after;
        let statement = statement.trim();
        // What follows the last statement may be a comment, but is none itself.
        let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with("--");
        (!statement.lines().all(is_comment)).then(|| statement.trim_end_matches(';'))
    })
}

/// Tells whether a file was edited: FNV-1a of its text, whose line ends may differ from one checkout to the next.
fn checksum(sql: &str) -> String {
    let hash = sql
        .bytes()
        .filter(|&byte| byte != b'\r')
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{hash:016x}")
}
