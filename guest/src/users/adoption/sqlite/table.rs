//! The table, its columns and its indexes, as the schema describes them.

use super::super::catalogue::{first, query};
use super::super::state::State;
use super::sql;
use usher_sdk::database::{Error, Statements};
use usher_sdk::migrations::Plan;

/// The table.
pub(super) struct Table {
    pub(super) has_no_row_ids: bool,
    pub(super) is_strict: bool,
    /// Its definition, in lower case.
    pub(super) sql: String,
}

/// A column of the table.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) must_be_filled: bool,
    pub(super) default: Option<String>,
    pub(super) key: i64,
    pub(super) hidden: i64,
}

/// One column of an index.
pub(super) struct Key {
    pub(super) index: String,
    pub(super) is_unique: bool,
    pub(super) is_partial: bool,
    pub(super) position: i64,
    pub(super) column: Option<String>,
    pub(super) collation: String,
}

pub(super) fn table(
    database: &impl Statements,
    state: State,
    plan: &mut Plan,
) -> Result<Option<Table>, Error> {
    let Some(mut row) = first(database, sql::RELATION)? else {
        if state.adopted {
            plan.obstacle(
                "users",
                "the table is gone, although usher_migrations says that it was created",
                "restore the file from a copy, or drop usher_migrations to begin anew",
            );
        }
        return Ok(None);
    };
    let (kind, has_no_row_ids, is_strict) = (row.text()?, row.flag()?, row.flag()?);
    let sql = row.optional_text()?.unwrap_or_default().to_lowercase();
    if kind != "table" {
        plan.obstacle(
            "users",
            format!("it is a {kind}, and the service keeps users in a table"),
            "give it another name, or choose another file",
        );
        return Ok(None);
    }
    Ok(Some(Table {
        has_no_row_ids,
        is_strict,
        sql,
    }))
}

pub(super) fn columns(database: &impl Statements) -> Result<Vec<Column>, Error> {
    let mut columns = Vec::new();
    for mut row in query(database, sql::COLUMNS)? {
        columns.push(Column {
            name: row.text()?.to_lowercase(),
            kind: row.text()?,
            must_be_filled: row.flag()?,
            default: row.optional_text()?,
            key: row.number()?,
            hidden: row.number()?,
        });
    }
    Ok(columns)
}

pub(super) fn keys(database: &impl Statements) -> Result<Vec<Key>, Error> {
    let mut keys = Vec::new();
    for mut row in query(database, sql::INDEXES)? {
        keys.push(Key {
            index: row.text()?,
            is_unique: row.flag()?,
            is_partial: row.flag()?,
            position: row.number()?,
            column: row.optional_text()?.map(|name| name.to_lowercase()),
            collation: row.text()?,
        });
    }
    Ok(keys)
}

/// Whether the names `users_email_key` and `usher_users` are taken.
pub(super) fn names(database: &impl Statements) -> Result<(bool, bool), Error> {
    match first(database, sql::NAMES)? {
        Some(mut row) => Ok((row.flag()?, row.flag()?)),
        None => Ok((false, false)),
    }
}
