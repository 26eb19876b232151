//! Checks that `users` is a table that the service can use, and that the search path finds it.

use super::super::catalogue::query;
use super::super::state::State;
use super::sql;
use super::table::{Environment, Table};
use usher_sdk::database::{Error, Statements};
use usher_sdk::migrations::Plan;

/// Reports other tables of this name, and a table outside the first schema of the search path.
pub(super) fn check_search_path(
    database: &impl Statements,
    environment: &Environment,
    table: Option<&Table>,
    plan: &mut Plan,
) -> Result<(), Error> {
    for mut row in query(database, sql::ELSEWHERE)? {
        let other = row.text()?;
        plan.advice(
            &other,
            "it is called users and is not the one that the search path leads to, so it is left \
                alone",
            Some(format!(
                "if it is meant, set search_path to its schema: ALTER ROLE {} SET search_path = \
                    …, or options=-csearch_path%3D… in the URL",
                environment.role
            )),
        );
    }
    if let (Some(table), Some(schema)) = (table, &environment.schema)
        && table.schema != *schema
    {
        plan.obstacle(
            &table.name,
            format!(
                "the search path leads to it, but begins with the schema {schema}, where new \
                    tables are made: it is not clear whether it is meant"
            ),
            format!(
                "set search_path so that it begins with {} to take this table over, or leaves \
                    that schema out to begin with a new one",
                table.schema
            ),
        );
    }
    Ok(())
}

/// Checks that the first migration can create the table.
pub(super) fn missing(environment: &Environment, state: State, plan: &mut Plan) {
    let role = &environment.role;
    if state.adopted {
        plan.obstacle(
            "users",
            "the table is gone, although usher_migrations says that it was created",
            "restore the table, or drop usher_migrations to begin anew; if it is in another \
                schema, correct search_path",
        );
        return;
    }
    let Some(schema) = &environment.schema else {
        plan.obstacle(
            "search_path",
            "it names no schema that exists and that the role may use, so no table can be created",
            format!("CREATE SCHEMA …; ALTER ROLE {role} SET search_path = …;"),
        );
        return;
    };
    if !environment.may_create {
        plan.obstacle(
            schema,
            format!("permission denied for the role {role} to create tables in it (42501)"),
            format!(
                "GRANT CREATE ON SCHEMA {schema} TO {role}; or run `usher migrate` as a role \
                that may"
            ),
        );
    }
    functions(environment, plan);
}

/// Checks that the role can create the trigger's function.
pub(super) fn functions(environment: &Environment, plan: &mut Plan) {
    if !environment.may_write_functions {
        plan.obstacle(
            "plpgsql",
            format!(
                "the role {} may not write functions in it, and the trigger that raises versions \
                    is one",
                environment.role
            ),
            format!(
                "CREATE EXTENSION IF NOT EXISTS plpgsql; GRANT USAGE ON LANGUAGE plpgsql TO {};",
                environment.role
            ),
        );
    }
}

/// Whether the service can use the relation at all.
pub(super) fn is_usable(
    table: &Table,
    environment: &Environment,
    state: State,
    plan: &mut Plan,
) -> bool {
    let name = &table.name;
    let what = match table.kind.as_str() {
        "r" => None,
        "p" => Some(
            "a partitioned table, whose addresses can be unique only together with the \
                partition's key",
        ),
        "v" => Some("a view"),
        "m" => Some("a materialized view"),
        "f" => Some("a foreign table"),
        "S" => Some("a sequence"),
        "c" => Some("a composite type"),
        _ => Some("no table"),
    };
    if let Some(what) = what {
        plan.obstacle(
            name,
            format!("it is {what}, and the service keeps users in a table"),
            format!(
                "rename it (ALTER … {name} RENAME TO …), or set search_path to a schema that \
                has a table users, or none"
            ),
        );
        return false;
    }
    if table.persistence == "t" {
        plan.obstacle(
            name,
            "it is a temporary table, which other sessions do not see",
            "create it as an ordinary table",
        );
        return false;
    }
    if table.persistence == "u" {
        plan.obstacle(
            name,
            "it is unlogged: a crash of the server would empty it",
            format!("ALTER TABLE {name} SET LOGGED;"),
        );
    }
    if table.has_relatives {
        plan.obstacle(
            name,
            "it has parents or children (INHERITS), among which addresses are not unique",
            format!("ALTER TABLE … NO INHERIT {name}; for each child, or the other way round"),
        );
    }
    if table.hides_rows {
        plan.obstacle(
            name,
            format!(
                "row-level security hides users from the role {}, which could then neither list \
                    nor change them",
                environment.role
            ),
            format!(
                "ALTER ROLE {} BYPASSRLS; or ALTER TABLE {name} DISABLE ROW LEVEL SECURITY;",
                environment.role
            ),
        );
    }
    if !table.may_be_used && state.adopted {
        plan.advice(
            name,
            format!(
                "the role {} may not read and write all of it",
                environment.role
            ),
            Some(format!(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {};",
                environment.role
            )),
        );
    }
    if !table.may_be_used && !state.adopted {
        plan.obstacle(
            name,
            format!(
                "permission denied for the role {} to read and write it (42501)",
                environment.role
            ),
            format!(
                "run `usher migrate` as {}, then GRANT SELECT, INSERT, UPDATE, DELETE ON {name} \
                    TO {};",
                table.owner, environment.role
            ),
        );
        return false;
    }
    true
}
