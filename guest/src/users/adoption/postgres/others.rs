//! Rules, constraints and triggers of the table, and addresses stored by other rules.

use super::super::catalogue::{count, query};
use super::super::state::State;
use super::relation;
use super::sql;
use super::table::{Environment, Table};
use crate::users::steps;
use usher_sdk::database::{Dialect, Error, Statements};
use usher_sdk::migrations::{FindingKind, Plan};

/// Constraints, rules and triggers that another program created.
pub(super) fn others(
    database: &impl Statements,
    table: &Table,
    state: State,
    plan: &mut Plan,
) -> Result<(), Error> {
    for mut row in query(database, sql::RULES)? {
        let (rule, is_instead) = (row.text()?, row.flag()?);
        let message = format!("the rule {rule} rewrites statements on it");
        if is_instead {
            plan.obstacle(
                &table.name,
                format!(
                    "{message} into something else, so they would not do what the service \
                    says they did"
                ),
                format!("DROP RULE {rule} ON {};", table.name),
            );
        } else if !state.adopted {
            plan.advice(&table.name, message, None);
        }
    }
    if state.adopted {
        return Ok(());
    }
    for mut row in query(database, sql::CONSTRAINTS)? {
        let (kind, whose, name, definition) = (row.text()?, row.text()?, row.text()?, row.text()?);
        let message = match kind.as_str() {
            "f" => format!(
                "{definition} ({name}): unless it says otherwise, who is referred to cannot be \
                    deleted, which is answered with 409"
            ),
            "x" => format!("{definition} ({name}): what it excludes is answered with 409"),
            _ => format!("{definition} ({name}): what does not hold is answered with 422"),
        };
        plan.advice(&whose, message, None);
    }
    for mut row in query(database, sql::TRIGGERS)? {
        let (name, is_own, enabled, may_rewrite) =
            (row.text()?, row.flag()?, row.flag()?, row.flag()?);
        if is_own || !enabled {
            continue;
        }
        let message = if may_rewrite {
            format!(
                "the trigger {name} may change what is stored, and an answer shows what it made \
                    of it"
            )
        } else {
            format!("the trigger {name} runs for the service's statements as well")
        };
        plan.advice(&table.name, message, None);
    }
    Ok(())
}

/// The trigger that increments the version of a user that another program changes.
pub(super) fn version_trigger(
    database: &impl Statements,
    table: &Table,
    environment: &Environment,
    state: State,
    plan: &mut Plan,
) -> Result<(), Error> {
    let mut is_there = false;
    for mut row in query(database, sql::TRIGGERS)? {
        let (_, is_own, enabled) = (row.text()?, row.flag()?, row.flag()?);
        is_there |= is_own && enabled;
    }
    if is_there {
        return Ok(());
    }
    if !environment.may_create || !table.may_have_triggers {
        let (role, owner) = (&environment.role, &table.owner);
        let schema = environment.schema.as_deref().unwrap_or("…");
        plan.obstacle(
            &table.name,
            format!(
                "permission denied for the role {role} to give it the trigger that raises \
                versions for other writers (42501)"
            ),
            format!(
                "run `usher migrate` once as {owner}; or GRANT CREATE ON SCHEMA {schema} TO \
                    {role}; GRANT TRIGGER ON {} TO {role};",
                table.name
            ),
        );
        return Ok(());
    }
    relation::functions(environment, plan);
    if state.versioned {
        plan.actions
            .extend(steps::version_trigger(Dialect::Postgres));
        plan.add(
            FindingKind::Change,
            &table.name,
            "raise versions for other writers by the trigger usher_next_version, which is gone or \
                off",
            None,
        );
    }
    Ok(())
}

/// Advice on addresses that the service would have normalised differently.
pub(super) fn addresses(
    database: &impl Statements,
    table: &Table,
    plan: &mut Plan,
) -> Result<(), Error> {
    let unusual = count(database, sql::UNUSUAL_EMAILS)?;
    if unusual > 0 {
        plan.advice(
            &format!("{}.email", table.name),
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
            Some(format!(
                "UPDATE {} SET email = split_part(email, '@', 1) || '@' || \
                    lower(split_part(email, '@', 2)) \
                 WHERE email LIKE '%@%' AND split_part(email, '@', 2) <> lower(split_part(email, \
                 '@', 2));",
                table.name
            )),
        );
    }
    Ok(())
}
