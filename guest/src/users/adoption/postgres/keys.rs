//! Unique keys, and the sequence that generates ids.

use super::super::catalogue::{count, first, query};
use super::super::state::{State, users};
use super::sql;
use super::table::{Column, Environment, Table};
use usher_sdk::database::{Error, Statements};
use usher_sdk::migrations::Plan;

/// The unique keys on the id and on the address.
pub(super) fn keys(
    database: &impl Statements,
    table: &Table,
    id: &Column,
    plan: &mut Plan,
) -> Result<(), Error> {
    let (mut id_is_unique, mut email_is_unique, mut has_primary_key) = (false, false, false);
    for mut row in query(database, sql::KEYS)? {
        let (index, column) = (row.text()?, row.optional_text()?);
        let (is_primary, holds, is_valid) = (row.flag()?, row.flag()?, row.flag()?);
        has_primary_key |= is_primary;
        match column.as_deref() {
            Some("id") => id_is_unique |= holds,
            Some("email") => email_is_unique |= holds,
            _ => {}
        }
        if !is_valid {
            plan.advice(
                &table.name,
                format!("the index {index} is invalid, as one that could not be built"),
                Some(format!("DROP INDEX {}.\"{index}\";", table.schema)),
            );
        }
    }
    if !id_is_unique {
        let subject = format!("{}.id", table.name);
        let missing = count(database, sql::NO_ID)?;
        let shared = count(database, sql::SHARED_IDS)?;
        if missing > 0 || shared > 0 {
            plan.obstacle(
                &subject,
                format!("{missing} users have no id, and {shared} ids belong to several"),
                format!(
                    "give each user an id of its own; SELECT id, count(*) FROM {} GROUP BY id \
                        HAVING count(*) > 1;",
                    table.name
                ),
            );
        } else if has_primary_key {
            if !id.is_filled {
                plan.change(&subject, "require an id; all rows are read", sql::KEEP_ID);
            }
            plan.change(
                &subject,
                "make it unique by an index; writes wait while it is built",
                sql::ADD_ID_KEY,
            );
        } else {
            plan.change(
                &subject,
                "make it the primary key; nobody can read or write the table while its index is \
                    built",
                sql::ADD_PRIMARY_KEY,
            );
        }
    }
    if !email_is_unique {
        let subject = format!("{}.email", table.name);
        let shared = count(database, sql::SHARED_EMAILS)?;
        if shared > 0 {
            let plural = if shared == 1 {
                "address is"
            } else {
                "addresses are"
            };
            plan.obstacle(
                &subject,
                format!(
                    "{shared} {plural} those of several users, and no key says that each has \
                    only one"
                ),
                format!(
                    "leave one user for each: SELECT email, array_agg(id) FROM {} GROUP BY email \
                        HAVING count(*) > 1;",
                    table.name
                ),
            );
        } else {
            let is_free = match first(database, sql::KEY_NAMES)? {
                Some(mut row) => row.flag()?,
                None => false,
            };
            let action = if is_free {
                sql::ADD_EMAIL_KEY
            } else {
                sql::ADD_OTHER_EMAIL_KEY
            };
            plan.change(
                &subject,
                "make addresses unique by an index; writes wait while it is built",
                action,
            );
        }
    }
    Ok(())
}

/// The range of the ids, and the sequence that generates them.
pub(super) fn sequence(
    database: &impl Statements,
    table: &Table,
    id: &Column,
    environment: &Environment,
    state: State,
    plan: &mut Plan,
) -> Result<(), Error> {
    let subject = format!("{}.id", table.name);
    // Without SELECT privilege there is another finding already.
    if !table.may_be_used {
        return Ok(());
    }
    let (smallest, greatest) = match first(database, sql::IDS)? {
        Some(mut row) => (row.optional_number()?, row.optional_number()?),
        None => (None, None),
    };
    if smallest.is_some_and(|id| id < 1) {
        let below = count(database, sql::IDS_BELOW_ONE)?;
        let message = format!(
            "ids begin at 1, and {} below it would be in no list",
            users(below)
        );
        let remedy = format!(
            "give them other ids: SELECT id, email FROM {} WHERE id < 1;",
            table.name
        );
        if state.adopted {
            plan.advice(&subject, message, Some(remedy));
        } else {
            plan.obstacle(&subject, message, remedy);
        }
    }
    let Some(mut row) = first(database, sql::SEQUENCE)? else {
        return Ok(());
    };
    let (sequence, kind, last) = (row.text()?, row.text()?, row.optional_number()?);
    let (increment, end, cycles) = (row.number()?, row.number()?, row.flag()?);
    let (is_default_name, is_owned, may_set) = (row.flag()?, row.flag()?, row.flag()?);
    let (may_use, is_identity) = (row.flag()?, row.flag()?);
    if increment < 1 {
        plan.obstacle(
            &sequence,
            "it counts downwards, and ids begin at 1",
            format!("ALTER SEQUENCE {sequence} INCREMENT BY 1;"),
        );
        return Ok(());
    }
    if cycles {
        plan.advice(
            &sequence,
            "it begins anew at its end, with ids that were given before",
            Some(format!("ALTER SEQUENCE {sequence} NO CYCLE;")),
        );
    }
    // PostgreSQL widens the sequence of an identity column together with the column.
    let is_widened = is_identity && id.kind != "bigint";
    if kind != "bigint" && !is_widened {
        let remedy = format!("ALTER SEQUENCE {sequence} AS bigint;");
        if is_default_name && is_owned {
            plan.change(
                &sequence,
                format!("let it go on beyond {end}, the end of {kind}"),
                sql::WIDEN_SEQUENCE,
            );
        } else {
            plan.obstacle(
                &sequence,
                format!("it gives ids no further than {end}, the end of {kind}"),
                remedy,
            );
        }
    } else if kind == "bigint" && end < i64::from(i32::MAX) {
        plan.advice(
            &sequence,
            format!("it gives ids no further than {end}"),
            Some(format!("ALTER SEQUENCE {sequence} NO MAXVALUE;")),
        );
    }
    if !may_use && state.adopted && !is_identity {
        plan.advice(
            &sequence,
            format!("the role {} may not take ids from it", environment.role),
            Some(format!(
                "GRANT USAGE ON SEQUENCE {sequence} TO {};",
                environment.role
            )),
        );
    }
    if let Some(greatest) = greatest
        && greatest > last.unwrap_or(0)
        && (last.is_some() || may_use)
    {
        let message = format!(
            "it is behind the greatest id, {greatest}: the next users would get ids that are taken"
        );
        if may_set {
            plan.change(
                &sequence,
                format!("{message}; let it go on after that"),
                sql::ADVANCE_SEQUENCE,
            );
        } else {
            plan.advice(
                &sequence,
                message,
                Some(format!(
                    "SELECT setval('{sequence}', (SELECT max(id) FROM {}));",
                    table.name
                )),
            );
        }
    }
    Ok(())
}
