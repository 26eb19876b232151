//! The columns: their types, defaults and NULLs.

use super::super::catalogue::count;
use super::super::state::{State, users};
use super::sql;
use super::table::{Column, Table};
use usher_sdk::database::{Error, Statements};
use usher_sdk::migrations::Plan;

pub(super) fn id_column(table: &Table, id: &Column, plan: &mut Plan) {
    let subject = format!("{}.id", table.name);
    let name = &table.name;
    match id.kind.as_str() {
        "bigint" => {}
        "integer" | "smallint" => widen(table, id, sql::WIDEN_ID, plan),
        other => {
            plan.obstacle(
                &subject,
                format!("its type is {other}, and ids are numbers of 64 bits"),
                format!("give {name} a column id bigint, and the old one another name"),
            );
            return;
        }
    }
    if !id.generated.is_empty() {
        plan.obstacle(
            &subject,
            "it is generated from other columns, so the service cannot give ids",
            format!("ALTER TABLE {name} ALTER COLUMN id DROP EXPRESSION;"),
        );
    } else if !id.has_default() {
        plan.obstacle(
            &subject,
            "it has no default, so a new user would have no id",
            format!(
                "ALTER TABLE {name} ALTER COLUMN id SET NOT NULL, ALTER COLUMN id ADD GENERATED \
                    BY DEFAULT AS IDENTITY; \
                 SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM \
                 {name}));"
            ),
        );
    }
}

/// Widens an integer column, which rewrites the table, unless another object depends on it.
pub(super) fn widen(table: &Table, column: &Column, action: &'static str, plan: &mut Plan) {
    let subject = format!("{}.{}", table.name, column.name);
    if column.dependants.is_empty() {
        let rows = if table.rows > 0 {
            format!(" (about {} rows)", table.rows)
        } else {
            String::new()
        };
        plan.change(
            &subject,
            format!(
                "widen {} to bigint; the table is written anew{rows}, and nobody can read or \
                    write it meanwhile",
                column.kind
            ),
            action,
        );
    } else {
        let dependants = column.dependants.join(", ");
        plan.obstacle(
            &subject,
            format!(
                "its type {} has to become bigint, and this depends on it: {dependants}",
                column.kind
            ),
            format!("drop that, run `{action}`, and create it again: {dependants}"),
        );
    }
}

pub(super) fn text_column(table: &Table, column: &Column, action: &'static str, plan: &mut Plan) {
    let subject = format!("{}.{}", table.name, column.name);
    let name = &table.name;
    if !column.generated.is_empty() {
        plan.obstacle(
            &subject,
            "it is generated from other columns, so the service cannot store it",
            format!(
                "ALTER TABLE {name} ALTER COLUMN {} DROP EXPRESSION;",
                column.name
            ),
        );
    }
    match column.kind.as_str() {
        "text" | "character varying" => {}
        other => {
            plan.obstacle(
                &subject,
                format!(
                    "its type is {other}, and to make it text might change which values are equal"
                ),
                format!(
                    "if it may become text: ALTER TABLE {name} ALTER COLUMN {0} TYPE text USING \
                        {0}::text;",
                    column.name
                ),
            );
            return;
        }
    }
    let collation = column.collation.as_deref().unwrap_or("default");
    if !column.is_bytewise {
        plan.obstacle(
            &subject,
            format!("its collation {collation} takes different texts for equal"),
            format!(
                "if they may become different: ALTER TABLE {name} ALTER COLUMN {} TYPE text \
                    COLLATE \"default\";",
                column.name
            ),
        );
        return;
    }
    if !column.is_limited {
        return;
    }
    if column.has_own_collation && column.dependants.is_empty() {
        plan.change(
            &subject,
            format!("widen {} to text; no row is touched", column.declared),
            action,
        );
        return;
    }
    let why = if column.has_own_collation {
        format!("since this depends on it: {}", column.dependants.join(", "))
    } else {
        format!("since it has the collation {collation}")
    };
    plan.advice(
        &subject,
        format!(
            "it stays {}, {why}; what is longer is answered with 422",
            column.declared
        ),
        None,
    );
}

pub(super) fn version_column(
    database: &impl Statements,
    table: &Table,
    version: Option<&Column>,
    state: State,
    plan: &mut Plan,
) -> Result<(), Error> {
    let subject = format!("{}.version", table.name);
    let Some(version) = version else {
        plan.change(
            &subject,
            "add the column version, which is 1 for every user; no row is touched",
            sql::ADD_VERSION,
        );
        return Ok(());
    };
    let is_number = matches!(version.kind.as_str(), "bigint" | "integer" | "smallint");
    if !is_number || !version.generated.is_empty() || !version.identity.is_empty() {
        plan.obstacle(
            &subject,
            format!(
                "it is {}{}, and the service counts the changes of a user in a column of that name",
                if version.generated.is_empty() {
                    ""
                } else {
                    "generated, of type "
                },
                version.declared
            ),
            format!("ALTER TABLE {} RENAME COLUMN version TO …;", table.name),
        );
        return Ok(());
    }
    if version.kind != "bigint" {
        widen(table, version, sql::WIDEN_VERSION, plan);
    }
    if !version.has_default() {
        plan.change(&subject, "let it be 1 for new users", sql::DEFAULT_VERSION);
    }
    require_values(
        database,
        table,
        version,
        sql::NO_VERSION,
        sql::KEEP_VERSION,
        plan,
    )?;
    if !state.adopted {
        plan.advice(
            &subject,
            "it is taken for the number of a user's changes, as with SQLAlchemy's version_id_col",
            Some(format!(
                "if it is something else: ALTER TABLE {} RENAME COLUMN version TO …;",
                table.name
            )),
        );
    }
    Ok(())
}

/// A column that the service does not know and therefore does not set.
pub(super) fn foreign_column(table: &Table, column: &Column, plan: &mut Plan) {
    let known = ["id", "name", "email", "version"].contains(&column.name.as_str());
    if known || column.has_default() || !(column.is_filled || column.must_be_filled) {
        return;
    }
    plan.obstacle(
        &format!("{}.{}", table.name, column.name),
        "it must have a value and has no default, so no user could be created",
        format!(
            "ALTER TABLE {0} ALTER COLUMN \"{1}\" DROP NOT NULL; or ALTER TABLE {0} ALTER COLUMN \
                \"{1}\" SET DEFAULT …;",
            table.name, column.name
        ),
    );
}

/// Makes a column NOT NULL, if every row has a value.
pub(super) fn require_values(
    database: &impl Statements,
    table: &Table,
    column: &Column,
    missing: &'static str,
    action: &'static str,
    plan: &mut Plan,
) -> Result<(), Error> {
    if column.is_filled {
        return Ok(());
    }
    let subject = format!("{}.{}", table.name, column.name);
    let missing = count(database, missing)?;
    if missing == 0 {
        plan.change(
            &subject,
            "require a value, which every user has; all rows are read",
            action,
        );
        return Ok(());
    }
    let value = if column.name == "version" { "1" } else { "''" };
    let remedy = if column.name == "email" {
        format!(
            "give them addresses, or DELETE FROM {} WHERE email IS NULL;",
            table.name
        )
    } else {
        format!(
            "UPDATE {} SET {1} = {value} WHERE {1} IS NULL;",
            table.name, column.name
        )
    };
    plan.obstacle(
        &subject,
        format!("{} without a value there", users(missing)),
        remedy,
    );
    Ok(())
}
