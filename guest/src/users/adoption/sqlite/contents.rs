//! Whether the columns and the rows can hold what the service stores.

use super::super::catalogue::{count, first};
use super::super::state::{State, users};
use super::sql;
use super::table::{Column, Table};
use usher_sdk::database::{Error, Statements};
use usher_sdk::migrations::Plan;

/// Whether a column that the service sets can hold its values unchanged.
pub(super) fn own_column(column: &Column, table: &Table, plan: &mut Plan) {
    let subject = format!("users.{}", column.name);
    let is_number = ["id", "version"].contains(&column.name.as_str());
    let has = |part: &str| column.kind.contains(part);
    // SQLite derives the affinity from the name of the type (Datatypes, 3.1).
    let fits = if is_number {
        has("INT")
    } else {
        !has("INT") && (has("CHAR") || has("CLOB") || has("TEXT"))
    };
    if !fits {
        let expected = if is_number { "numbers" } else { "texts" };
        plan.obstacle(
            &subject,
            format!(
                "its type is {:?}, which does not keep {expected} as they are",
                column.kind
            ),
            "give the column another name, or make the table anew (SQLite, ALTER TABLE, 7)",
        );
    }
    if column.hidden != 0 {
        plan.obstacle(
            &subject,
            "it is generated from other columns, so the service cannot store it",
            "make the table anew with an ordinary column (SQLite, ALTER TABLE, 7)",
        );
    }
    if column.name == "id" && table.has_no_row_ids {
        plan.obstacle(
            &subject,
            "the table is WITHOUT ROWID, so a new user would have no id",
            "make the table anew with id INTEGER PRIMARY KEY AUTOINCREMENT (SQLite, ALTER TABLE, \
                7)",
        );
    }
}

/// Whether the rows hold the types that the service stores. Columns may hold any.
pub(super) fn rows(
    database: &impl Statements,
    version: Option<&Column>,
    state: State,
    plan: &mut Plan,
) -> Result<(), Error> {
    let Some(mut row) = first(database, sql::ROWS)? else {
        return Ok(());
    };
    let no_ids = row.number()?;
    let (no_names, odd_names) = (row.number()?, row.number()?);
    let (no_emails, odd_emails) = (row.number()?, row.number()?);
    let (below, _) = (row.number()?, row.number()?);
    let no_versions = match version {
        Some(_) => count(database, sql::NO_VERSION)?,
        None => 0,
    };
    let found = [
        (
            "users.id",
            no_ids,
            "without a number there",
            "give each user an id: UPDATE users SET id = … WHERE typeof(id) <> 'integer';",
        ),
        (
            "users.id",
            below,
            "below 1, where ids begin: they would be in no list",
            "give them other ids: SELECT id, email FROM users WHERE id < 1;",
        ),
        (
            "users.name",
            no_names,
            "without a value there",
            "UPDATE users SET name = '' WHERE name IS NULL;",
        ),
        (
            "users.name",
            odd_names,
            "without a text there",
            "UPDATE users SET name = CAST(name AS TEXT) WHERE typeof(name) <> 'text';",
        ),
        (
            "users.email",
            no_emails,
            "without a value there",
            "give them addresses, or DELETE FROM users WHERE email IS NULL;",
        ),
        (
            "users.email",
            odd_emails,
            "without a text there",
            "UPDATE users SET email = CAST(email AS TEXT) WHERE typeof(email) <> 'text';",
        ),
        (
            "users.version",
            no_versions,
            "without a number there",
            "UPDATE users SET version = 1 WHERE typeof(version) <> 'integer';",
        ),
    ];
    for (subject, number, what, remedy) in found {
        if number > 0 {
            plan.obstacle(subject, format!("{} {what}", users(number)), remedy);
        }
    }
    if count(database, sql::SHARED_IDS)? > 0 {
        plan.obstacle(
            "users.id",
            "some ids belong to several users",
            "give each user an id of its own: SELECT id, count(*) FROM users GROUP BY id HAVING \
                count(*) > 1;",
        );
    }
    if !state.advised {
        return Ok(());
    }
    let unusual = count(database, sql::UNUSUAL_EMAILS)?;
    if unusual > 0 {
        plan.advice(
            "users.email",
            format!(
                "{} an address that the service would have stored otherwise, such as one with \
                    capitals after the @: \
                 it is shown as it is, and is not found by its normal form",
                if unusual == 1 {
                    "1 user has".into()
                } else {
                    format!("{unusual} users have")
                }
            ),
            Some(
                "UPDATE users SET email = substr(email, 1, instr(email, '@')) || \
                lower(substr(email, instr(email, '@') + 1));"
                    .into(),
            ),
        );
    }
    Ok(())
}
