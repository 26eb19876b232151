//! A table `users` on SQLite.
//!
//! A table that holds nothing but users, and that nothing else in the schema mentions, is rebuilt
//! as the first migration creates it (SQLite, ALTER TABLE, 7). Any other table is kept, and gets
//! what can be added: the column `version` and a unique index.

mod changes;
mod contents;
pub mod sql;
mod table;

use super::catalogue::{count, query};
use super::state::State;
use crate::users::steps;
use usher_sdk::database::{Dialect, Error, Statements};
use usher_sdk::migrations::{FindingKind, Plan};

pub(super) fn inspect(database: &impl Statements, state: State) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let Some(table) = table::table(database, state, &mut plan)? else {
        return Ok(plan);
    };
    let columns = table::columns(database)?;
    let find = |name: &str| columns.iter().find(|column| column.name == name);
    let (Some(id), Some(name), Some(email)) = (find("id"), find("name"), find("email")) else {
        for missing in ["id", "name", "email"] {
            if find(missing).is_none() {
                plan.obstacle(
                    "users",
                    format!("it has no column {missing}, so it may be another program's"),
                    "add the column and fill it, or give the table another name: ALTER TABLE \
                        users RENAME TO …;",
                );
            }
        }
        return Ok(plan);
    };
    let version = find("version");
    let keys = table::keys(database)?;
    for column in [id, name, email].into_iter().chain(version) {
        contents::own_column(column, &table, &mut plan);
    }
    for column in &columns {
        let known = ["id", "name", "email", "version"].contains(&column.name.as_str());
        if !known && column.must_be_filled && column.default.is_none() && column.hidden == 0 {
            plan.obstacle(
                &format!("users.{}", column.name),
                "it must have a value and has no default, so no user could be created",
                "make the table anew without NOT NULL there, or with a default (SQLite, ALTER \
                    TABLE, 7)",
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
        contents::rows(database, version, state, &mut plan)?;
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
            format!(
                "{shared} {plural} those of several users, and no key says that each has only \
                one"
            ),
            "leave one user for each: SELECT email, group_concat(id) FROM users GROUP BY email \
                HAVING count(*) > 1;",
        );
    }
    let reasons = changes::reasons_to_keep(database, &table, &columns, &keys)?;
    let is_row_id = id.kind == "INTEGER" && id.key == 1 && !table.has_no_row_ids;
    let is_new = table.is_strict && table.sql.contains("autoincrement");
    if !state.adopted && reasons.is_empty() && !is_new {
        changes::rebuild(database, version, &mut plan)?;
    } else {
        changes::keep(
            database, version, is_unique, is_row_id, &table, &reasons, state, &mut plan,
        )?;
    }
    if state.versioned {
        let mut is_there = false;
        for mut row in query(database, sql::MENTIONS)? {
            let (_, _, is_own) = (row.text()?, row.text()?, row.flag()?);
            is_there |= is_own;
        }
        if !is_there {
            plan.actions.extend(steps::version_trigger(Dialect::Sqlite));
            let message =
                "raise versions for other writers by the trigger usher_next_version, which is gone";
            plan.add(FindingKind::Change, "users", message, None);
        }
    }
    Ok(plan)
}
