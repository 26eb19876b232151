//! Bringing a database's schema up to date.
//!
//! Each migration is a file per dialect in `migrations/`, named by its number and what it does. It is applied in a
//! transaction of its own, under a lock that lets one host at a time do so, and recorded with a checksum of its text.

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
}

macro_rules! steps {
    ($dialect:literal: $($name:literal),+) => {
        &[$(Step {
            name: $name,
            sql: include_str!(concat!("../migrations/", $dialect, "/", $name, ".sql")),
        }),+]
    };
}

const POSTGRES: &[Step] = steps!("postgres": "0001_users");
const SQLITE: &[Step] = steps!("sqlite": "0001_users");

/// The key of the advisory lock: "usher" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(504447395186)";

const CREATE_RECORD: &str = "CREATE TABLE IF NOT EXISTS usher_migrations (\
     version bigint PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, \
     applied_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)";
const READ_RECORD: &str = "SELECT version, name, checksum FROM usher_migrations ORDER BY version";
const WRITE_RECORD: &str =
    "INSERT INTO usher_migrations (version, name, checksum) VALUES ($1, $2, $3)";

/// Applies every migration of this component that the database has not seen, and gives those it applied.
///
/// Where there is nothing to do it only reads, so that a role without the right to create tables may do it.
///
/// # Errors
/// As [`Error`] says.
pub fn apply(database: &impl Database) -> Result<Vec<Migration>, Error> {
    let steps = match database.dialect() {
        Dialect::Postgres => POSTGRES,
        Dialect::Sqlite => SQLITE,
    };
    apply_steps(database, steps)
}

/// As [`apply`], with these migrations.
///
/// # Errors
/// As [`Error`] says.
pub fn apply_steps(database: &impl Database, steps: &[Step]) -> Result<Vec<Migration>, Error> {
    let dialect = database.dialect();
    let mut applied = Vec::new();
    let mut done = recorded(database, dialect, steps)?;
    while let Some(step) = steps.get(done) {
        let migration = step.migration(done);
        let failed = |error: DatabaseError| match error {
            DatabaseError::Unavailable(_) | DatabaseError::Overloaded => {
                Error::Unavailable(error.to_string())
            }
            // Whether it is applied is not known here, but the record will tell whoever asks again.
            DatabaseError::InDoubt => Error::Unavailable(error.to_string()),
            error => Error::Failed(migration.clone(), error.to_string()),
        };
        // While this host waits for the lock, another one may do the work.
        let before = retry::transaction(database, |transaction| {
            apply_step(transaction, dialect, steps, done)
        })
        .map_err(|why| match why {
            Failed::Database(error) => failed(error),
            Failed::Work(error) => error,
        })?;
        if before <= done {
            applied.push(migration);
        }
        done = before.max(done + 1);
    }
    Ok(applied)
}

/// Applies the migration at this place, unless the database has seen it. Gives how many it had seen before.
fn apply_step(
    transaction: &impl Statements,
    dialect: Dialect,
    steps: &[Step],
    index: usize,
) -> Result<usize, Failed<Error>> {
    if dialect == Dialect::Postgres {
        transaction
            .execute(LOCK, &[])
            .map_err(|error| match error {
                DatabaseError::Timeout => Failed::Work(Error::Unavailable(
                    "another host has been applying them for longer than a statement may take"
                        .into(),
                )),
                error => Failed::Database(error),
            })?;
    }
    transaction.execute(CREATE_RECORD, &[])?;
    let done = recorded(transaction, dialect, steps).map_err(Failed::Work)?;
    let Some(step) = steps.get(index).filter(|_| done <= index) else {
        return Ok(done);
    };
    for statement in statements(step.sql) {
        transaction.execute(statement, &[])?;
    }
    let record = [
        Param::Integer(i64::from(version(index))),
        Param::Text(step.name),
        Param::Text(&checksum(step.sql)),
    ];
    transaction.execute(WRITE_RECORD, &record)?;
    Ok(done)
}

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
        Dialect::Postgres => "SELECT 1 WHERE to_regclass('usher_migrations') IS NOT NULL",
        Dialect::Sqlite => {
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'usher_migrations'"
        }
    };
    if database.query(exists, &[]).map_err(unavailable)?.is_empty() {
        return Ok(0);
    }
    let rows = database.query(READ_RECORD, &[]).map_err(unavailable)?;
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
        if seen.name != step.name || sum != checksum(step.sql) {
            return Err(Error::Changed(seen));
        }
    }
    Ok(done)
}

/// The statements of a file. Only one may be executed at a time.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
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
