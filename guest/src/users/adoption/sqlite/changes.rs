//! The changes: rebuilding the table, or adding to it.

use super::super::catalogue::{first, query};
use super::super::state::{State, users};
use super::sql;
use super::table::{Column, Key, Table, names};
use usher_sdk::database::{Error, Statements};
use usher_sdk::migrations::Plan;

/// Why the table is not rebuilt: what the rebuild would lose.
pub(super) fn reasons_to_keep(
    database: &impl Statements,
    table: &Table,
    columns: &[Column],
    keys: &[Key],
) -> Result<Vec<String>, Error> {
    let mut reasons = Vec::new();
    for column in columns {
        let known = ["id", "name", "email", "version"].contains(&column.name.as_str());
        let is_plain = column.default.is_none() || column.name == "version";
        if !known || !is_plain {
            reasons.push(format!("the column {}", column.name));
        }
    }
    for word in [
        "check",
        "references",
        "collate",
        "generated",
        "conflict",
        "autoincrement",
    ] {
        if table.sql.contains(word) {
            reasons.push(format!("{} in its definition", word.to_uppercase()));
        }
    }
    for key in keys.iter().filter(|key| key.position == 0) {
        let of_one = keys.iter().filter(|other| other.index == key.index).count() == 1;
        let is_replaced = of_one
            && !key.is_partial
            && match key.column.as_deref() {
                Some("id") => true,
                Some("email") => key.collation == "BINARY",
                _ => false,
            };
        if !is_replaced {
            reasons.push(format!("the index {}", key.index));
        }
    }
    for mut row in query(database, sql::REFERENCES)? {
        reasons.push(format!("the foreign key of {}", row.text()?));
    }
    for mut row in query(database, sql::MENTIONS)? {
        reasons.push(format!("the {} {}", row.text()?, row.text()?));
    }
    let (_, rebuilt) = names(database)?;
    if rebuilt {
        reasons.push("the name usher_users, which is taken".into());
    }
    Ok(reasons)
}

/// Rebuilds the table.
pub(super) fn rebuild(
    database: &impl Statements,
    version: Option<&Column>,
    plan: &mut Plan,
) -> Result<(), Error> {
    let rows = match first(database, sql::ROWS)? {
        Some(mut row) => {
            for _ in 0..6 {
                row.number()?;
            }
            row.number()?
        }
        None => 0,
    };
    plan.change(
        "users",
        format!(
            "make the table anew as the service has it, with {}: strict types, one key on the \
                address, ids that are never given twice, versions",
            users(rows)
        ),
        sql::REBUILD_CREATE,
    );
    plan.actions.extend([
        match version {
            Some(_) => sql::REBUILD_COPY_VERSIONS,
            None => sql::REBUILD_COPY,
        },
        sql::REBUILD_DROP,
        sql::REBUILD_RENAME,
    ]);
    Ok(())
}

/// Keeps the table, and adds what is missing.
#[expect(
    clippy::too_many_arguments,
    reason = "each parameter is a finding that decides something"
)]
pub(super) fn keep(
    database: &impl Statements,
    version: Option<&Column>,
    is_unique: bool,
    is_row_id: bool,
    table: &Table,
    reasons: &[String],
    state: State,
    plan: &mut Plan,
) -> Result<(), Error> {
    let reasons = reasons.join(", ");
    if !is_row_id {
        plan.obstacle(
            "users.id",
            "it is no INTEGER PRIMARY KEY, so a new user would have no id",
            format!(
                "make the table anew with id INTEGER PRIMARY KEY AUTOINCREMENT, keeping \
                {reasons} (SQLite, ALTER TABLE, 7)"
            ),
        );
    }
    match version {
        None => plan.change(
            "users.version",
            "add the column version, which is 1 for every user; no row is touched",
            sql::ADD_VERSION,
        ),
        Some(version) if version.default.is_none() => plan.obstacle(
            "users.version",
            "it has no default, so a new user would have no version",
            "give it another name: ALTER TABLE users RENAME COLUMN version TO …;",
        ),
        Some(_) => {}
    }
    if !is_unique {
        let (is_taken, _) = names(database)?;
        if is_taken {
            plan.obstacle(
                "users_email_key",
                "the index of that name is another, and addresses are to be made unique by one",
                "CREATE UNIQUE INDEX ix_users_email ON users (email);",
            );
        } else {
            plan.change(
                "users.email",
                "make addresses unique by an index",
                sql::ADD_EMAIL_KEY,
            );
        }
    }
    if !state.adopted && !table.sql.contains("autoincrement") {
        plan.advice(
            "users.id",
            format!(
                "the table is kept as it is for the sake of {reasons}; without AUTOINCREMENT \
                the id of the last user, once deleted, is given again"
            ),
            Some(
                "make the table anew with id INTEGER PRIMARY KEY AUTOINCREMENT (SQLite, ALTER \
                TABLE, 7)"
                    .into(),
            ),
        );
    }
    Ok(())
}
