//! A table of users in SQLite.
//!
//! Two ways lead there. A table that has nothing but users in it, and that nothing else mentions, is made anew as the first migration makes
//! it (SQLite, ALTER TABLE, 7). Any other stays as it is and gets what can be added: the column `version` and a unique index.

use super::reader::{ask, count, first};
use super::sql::sqlite as sql;
use super::{FindingKind, Plan, State, users, versioning};
use crate::database::{Dialect, Error, Statements};

/// The table itself.
struct Table {
    has_no_row_ids: bool,
    is_strict: bool,
    /// As it was written, in lower case.
    sql: String,
}

/// One of its columns.
struct Column {
    name: String,
    kind: String,
    must_be_filled: bool,
    default: Option<String>,
    key: i64,
    hidden: i64,
}

/// One column of an index.
struct Key {
    index: String,
    is_unique: bool,
    is_partial: bool,
    place: i64,
    column: Option<String>,
    collation: String,
}

pub(super) fn look(database: &impl Statements, state: State) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let Some(table) = table(database, state, &mut plan)? else {
        return Ok(plan);
    };
    let columns = columns(database)?;
    let find = |name: &str| columns.iter().find(|column| column.name == name);
    let (Some(id), Some(name), Some(email)) = (find("id"), find("name"), find("email")) else {
        for missing in ["id", "name", "email"] {
            if find(missing).is_none() {
                plan.obstacle(
                    "users",
                    format!("it has no column {missing}, so it may be another program's"),
                    "add the column and fill it, or give the table another name: ALTER TABLE users RENAME TO …;",
                );
            }
        }
        return Ok(plan);
    };
    let version = find("version");
    let keys = keys(database)?;
    for column in [id, name, email].into_iter().chain(version) {
        own_column(column, &table, &mut plan);
    }
    for column in &columns {
        let known = ["id", "name", "email", "version"].contains(&column.name.as_str());
        if !known && column.must_be_filled && column.default.is_none() && column.hidden == 0 {
            plan.obstacle(
                &format!("users.{}", column.name),
                "it must have a value and has no default, so no user could be created",
                "make the table anew without NOT NULL there, or with a default (SQLite, ALTER TABLE, 7)",
            );
        }
    }
    if count(database, sql::COLLATION)? > 0 {
        plan.obstacle(
            "users.email",
            "its collation takes different addresses for equal",
            "make the table anew without COLLATE there (SQLite, ALTER TABLE, 7)",
        );
    }
    if plan.refusal().is_some() {
        return Ok(plan);
    }
    if !state.adopted {
        rows(database, version, state, &mut plan)?;
    }
    let is_unique = keys.iter().any(|key| {
        key.is_unique
            && !key.is_partial
            && key.column.as_deref() == Some("email")
            && key.collation == "BINARY"
            && keys.iter().filter(|other| other.index == key.index).count() == 1
    });
    if !is_unique && count(database, sql::SHARED_EMAILS)? > 0 {
        let shared = count(database, sql::SHARED_EMAILS)?;
        let plural = if shared == 1 {
            "address is"
        } else {
            "addresses are"
        };
        plan.obstacle(
            "users.email",
            format!("{shared} {plural} those of several users, and no key says that each has only one"),
            "leave one user for each: SELECT email, group_concat(id) FROM users GROUP BY email HAVING count(*) > 1;",
        );
    }
    let reasons = reasons_to_keep(database, &table, &columns, &keys)?;
    let is_row_id = id.kind == "INTEGER" && id.key == 1 && !table.has_no_row_ids;
    let is_new = table.is_strict && table.sql.contains("autoincrement");
    if !state.adopted && reasons.is_empty() && !is_new {
        rebuild(database, version, &mut plan)?;
    } else {
        keep(
            database, version, is_unique, is_row_id, &table, &reasons, state, &mut plan,
        )?;
    }
    if state.versioned {
        let mut is_there = false;
        for mut row in ask(database, sql::MENTIONS)? {
            let (_, _, is_own) = (row.text()?, row.text()?, row.flag()?);
            is_there |= is_own;
        }
        if !is_there {
            plan.actions.extend(versioning(Dialect::Sqlite));
            let message =
                "raise versions for other writers by the trigger usher_next_version, which is gone";
            plan.add(FindingKind::Change, "users", message, None);
        }
    }
    Ok(plan)
}

fn table(
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
    let sql = row.perhaps_text()?.unwrap_or_default().to_lowercase();
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

fn columns(database: &impl Statements) -> Result<Vec<Column>, Error> {
    let mut columns = Vec::new();
    for mut row in ask(database, sql::COLUMNS)? {
        columns.push(Column {
            name: row.text()?.to_lowercase(),
            kind: row.text()?,
            must_be_filled: row.flag()?,
            default: row.perhaps_text()?,
            key: row.number()?,
            hidden: row.number()?,
        });
    }
    Ok(columns)
}

fn keys(database: &impl Statements) -> Result<Vec<Key>, Error> {
    let mut keys = Vec::new();
    for mut row in ask(database, sql::INDEXES)? {
        keys.push(Key {
            index: row.text()?,
            is_unique: row.flag()?,
            is_partial: row.flag()?,
            place: row.number()?,
            column: row.perhaps_text()?.map(|name| name.to_lowercase()),
            collation: row.text()?,
        });
    }
    Ok(keys)
}

/// Whether a column that the service fills can hold what it stores there.
fn own_column(column: &Column, table: &Table, plan: &mut Plan) {
    let subject = format!("users.{}", column.name);
    let is_number = ["id", "version"].contains(&column.name.as_str());
    let has = |part: &str| column.kind.contains(part);
    // SQLite derives an affinity from the name of the type (Datatypes, 3.1).
    let fits = if is_number {
        has("INT")
    } else {
        !has("INT") && (has("CHAR") || has("CLOB") || has("TEXT"))
    };
    if !fits {
        let wanted = if is_number { "numbers" } else { "texts" };
        plan.obstacle(
            &subject,
            format!(
                "its type is {:?}, which does not keep {wanted} as they are",
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
            "make the table anew with id INTEGER PRIMARY KEY AUTOINCREMENT (SQLite, ALTER TABLE, 7)",
        );
    }
}

/// What the rows hold, which types alone do not say here.
fn rows(
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
            "give each user an id of its own: SELECT id, count(*) FROM users GROUP BY id HAVING count(*) > 1;",
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
                "{} an address that the service would have stored otherwise, such as one with capitals after the @: \
                 it is shown as it is, and is not found by its normal form",
                if unusual == 1 { "1 user has".into() } else { format!("{unusual} users have") }
            ),
            Some("UPDATE users SET email = substr(email, 1, instr(email, '@')) || lower(substr(email, instr(email, '@') + 1));".into()),
        );
    }
    Ok(())
}

/// Why the table is not made anew: it has, or is part of, what that would lose.
fn reasons_to_keep(
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
    for key in keys.iter().filter(|key| key.place == 0) {
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
    for mut row in ask(database, sql::REFERENCES)? {
        reasons.push(format!("the foreign key of {}", row.text()?));
    }
    for mut row in ask(database, sql::MENTIONS)? {
        reasons.push(format!("the {} {}", row.text()?, row.text()?));
    }
    let (_, rebuilt) = names(database)?;
    if rebuilt {
        reasons.push("the name usher_users, which is taken".into());
    }
    Ok(reasons)
}

/// Whether `users_email_key` and `usher_users` are taken.
fn names(database: &impl Statements) -> Result<(bool, bool), Error> {
    match first(database, sql::NAMES)? {
        Some(mut row) => Ok((row.flag()?, row.flag()?)),
        None => Ok((false, false)),
    }
}

fn rebuild(
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
            "make the table anew as the service has it, with {}: strict types, one key on the address, ids that are never given twice, versions",
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

#[expect(
    clippy::too_many_arguments,
    reason = "what was found, each of which decides something"
)]
fn keep(
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
            format!("make the table anew with id INTEGER PRIMARY KEY AUTOINCREMENT, keeping {reasons} (SQLite, ALTER TABLE, 7)"),
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
            format!("the table is kept as it is for the sake of {reasons}; without AUTOINCREMENT the id of the last user, once deleted, is given again"),
            Some("make the table anew with id INTEGER PRIMARY KEY AUTOINCREMENT (SQLite, ALTER TABLE, 7)".into()),
        );
    }
    Ok(())
}
