//! The table `usher_migrations`, which records what was applied.

use super::error::{Error, Migration, version};
use super::sql;
use super::steps::{Step, checksum};
use crate::database::{Dialect, Error as DatabaseError, Param, Statements, Value};

/// Returns how many migrations the database records. They must be this component's first ones,
/// with unchanged texts.
pub(super) fn read(
    database: &impl Statements,
    dialect: Dialect,
    steps: &[Step],
) -> Result<usize, Error> {
    // A database that refuses to be read keeps refusing, so the host must not retry.
    let permanent = |why: String| match steps.first() {
        Some(first) => Error::Failed(Migration::of(first, 0), why),
        None => Error::Unavailable(why),
    };
    let unavailable = |error: DatabaseError| match error {
        DatabaseError::Refused(_) => permanent(format!(
            "what was applied before cannot be read from usher_migrations: {error}"
        )),
        error => Error::Unavailable(error.to_string()),
    };
    let unreadable = || permanent("the table usher_migrations is not this program's".into());
    let exists = match dialect {
        Dialect::Postgres => sql::postgres::HAS_RECORD,
        Dialect::Sqlite => sql::sqlite::HAS_RECORD,
    };
    if database.query(exists, &[]).map_err(unavailable)?.is_empty() {
        return Ok(0);
    }
    let rows = database.query(sql::READ_RECORD, &[]).map_err(unavailable)?;
    let applied = rows.len();
    for (index, row) in rows.into_iter().enumerate() {
        let Ok([Value::Integer(number), Value::Text(name), Value::Text(sum)]) =
            <[Value; 3]>::try_from(row)
        else {
            return Err(unreadable());
        };
        let recorded = Migration {
            version: u32::try_from(number).map_err(|_| unreadable())?,
            name,
        };
        let Some(step) = steps.get(index) else {
            return Err(Error::Unknown(recorded));
        };
        if recorded.version != version(index) {
            let missing = Migration::of(step, index);
            let why = format!(
                "it is missing in usher_migrations, although the later {} is there",
                recorded.name
            );
            return Err(Error::Failed(missing, why));
        }
        let is_known = sum == checksum(step.sql) || step.earlier.contains(&sum.as_str());
        if recorded.name != step.name || !is_known {
            return Err(Error::Changed(recorded));
        }
    }
    Ok(applied)
}

/// Records that the step at this index was applied.
pub(super) fn write(
    database: &impl Statements,
    step: &Step,
    index: usize,
) -> Result<(), DatabaseError> {
    let record = [
        Param::Integer(i64::from(version(index))),
        Param::Text(step.name),
        Param::Text(&checksum(step.sql)),
    ];
    database.execute(sql::WRITE_RECORD, &record)?;
    Ok(())
}
