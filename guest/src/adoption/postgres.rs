//! A table of users on PostgreSQL.

use super::reader::{ask, count, first};
use super::sql::postgres as sql;
use super::{Plan, State, users, versioning};
use crate::database::{Dialect, Error, Statements};

/// What the database and the role are like.
struct Surroundings {
    encoding: String,
    schema: Option<String>,
    role: String,
    may_create: bool,
    may_write_functions: bool,
}

/// The table itself.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a row of the catalogue, as it was asked for"
)]
struct Table {
    schema: String,
    name: String,
    kind: String,
    persistence: String,
    hides_rows: bool,
    is_owned: bool,
    owner: String,
    has_relatives: bool,
    may_have_triggers: bool,
    rows: i64,
    may_be_used: bool,
}

/// One of its columns.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a row of the catalogue, as it was asked for"
)]
struct Column {
    name: String,
    kind: String,
    declared: String,
    is_limited: bool,
    is_filled: bool,
    must_be_filled: bool,
    default: Option<String>,
    identity: String,
    generated: String,
    collation: Option<String>,
    is_bytewise: bool,
    has_own_collation: bool,
    dependants: Vec<String>,
}

impl Column {
    fn is_given(&self) -> bool {
        self.default.is_some() || !self.identity.is_empty() || !self.generated.is_empty()
    }
}

pub(super) fn look(database: &impl Statements, state: State) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let Some(mut row) = first(database, sql::DATABASE)? else {
        return Err(Error::Invalid(
            "the database does not know its own name".into(),
        ));
    };
    let surroundings = Surroundings {
        encoding: row.text()?,
        schema: row.perhaps_text()?,
        role: row.text()?,
        may_create: row.flag()?,
        may_write_functions: row.flag()?,
    };
    if surroundings.encoding != "UTF8" {
        plan.obstacle(
            "the database",
            format!(
                "its encoding is {}, which has no place for every character of a name",
                surroundings.encoding
            ),
            "create a database with ENCODING 'UTF8' and restore a dump of this one into it",
        );
    }
    let table = table(database)?;
    if !state.adopted {
        elsewhere(database, &surroundings, table.as_ref(), &mut plan)?;
    }
    match &table {
        None => missing(&surroundings, state, &mut plan),
        Some(table) if is_usable(table, &surroundings, state, &mut plan) => {
            examine(database, table, &surroundings, state, &mut plan)?;
        }
        Some(_) => {}
    }
    Ok(plan)
}

fn table(database: &impl Statements) -> Result<Option<Table>, Error> {
    let Some(mut row) = first(database, sql::RELATION)? else {
        return Ok(None);
    };
    Ok(Some(Table {
        schema: row.text()?,
        name: row.text()?,
        kind: row.text()?,
        persistence: row.text()?,
        hides_rows: row.flag()?,
        is_owned: row.flag()?,
        owner: row.text()?,
        has_relatives: row.flag()?,
        may_have_triggers: row.flag()?,
        rows: row.number()?,
        may_be_used: row.flag()?,
    }))
}

/// Other tables of this name, and whether the one that is found is meant.
fn elsewhere(
    database: &impl Statements,
    surroundings: &Surroundings,
    table: Option<&Table>,
    plan: &mut Plan,
) -> Result<(), Error> {
    for mut row in ask(database, sql::ELSEWHERE)? {
        let other = row.text()?;
        plan.advice(
            &other,
            "it is called users and is not the one that the search path leads to, so it is left alone",
            Some(format!(
                "if it is meant, set search_path to its schema: ALTER ROLE {} SET search_path = …, or options=-csearch_path%3D… in the URL",
                surroundings.role
            )),
        );
    }
    if let (Some(table), Some(schema)) = (table, &surroundings.schema)
        && table.schema != *schema
    {
        plan.obstacle(
            &table.name,
            format!(
                "the search path leads to it, but begins with the schema {schema}, where new tables are made: it is not clear whether it is meant"
            ),
            format!(
                "set search_path so that it begins with {} to take this table over, or leaves that schema out to begin with a new one",
                table.schema
            ),
        );
    }
    Ok(())
}

/// There is no table: the first migration creates one.
fn missing(surroundings: &Surroundings, state: State, plan: &mut Plan) {
    let role = &surroundings.role;
    if state.adopted {
        plan.obstacle(
            "users",
            "the table is gone, although usher_migrations says that it was created",
            "restore the table, or drop usher_migrations to begin anew; if it is in another schema, correct search_path",
        );
        return;
    }
    let Some(schema) = &surroundings.schema else {
        plan.obstacle(
            "search_path",
            "it names no schema that exists and that the role may use, so no table can be created",
            format!("CREATE SCHEMA …; ALTER ROLE {role} SET search_path = …;"),
        );
        return;
    };
    if !surroundings.may_create {
        plan.obstacle(
            schema,
            format!("permission denied for the role {role} to create tables in it (42501)"),
            format!("GRANT CREATE ON SCHEMA {schema} TO {role}; or run `usher migrate` as a role that may"),
        );
    }
    functions(surroundings, plan);
}

/// Whether the trigger's function can be written.
fn functions(surroundings: &Surroundings, plan: &mut Plan) {
    if !surroundings.may_write_functions {
        plan.obstacle(
            "plpgsql",
            format!(
                "the role {} may not write functions in it, and the trigger that raises versions is one",
                surroundings.role
            ),
            format!(
                "CREATE EXTENSION IF NOT EXISTS plpgsql; GRANT USAGE ON LANGUAGE plpgsql TO {};",
                surroundings.role
            ),
        );
    }
}

/// Whether it is a table that can be served from at all.
fn is_usable(table: &Table, surroundings: &Surroundings, state: State, plan: &mut Plan) -> bool {
    let name = &table.name;
    let what = match table.kind.as_str() {
        "r" => None,
        "p" => Some(
            "a partitioned table, whose addresses can be unique only together with the partition's key",
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
            format!("rename it (ALTER … {name} RENAME TO …), or set search_path to a schema that has a table users, or none"),
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
                "row-level security hides users from the role {}, which could then neither list nor change them",
                surroundings.role
            ),
            format!(
                "ALTER ROLE {} BYPASSRLS; or ALTER TABLE {name} DISABLE ROW LEVEL SECURITY;",
                surroundings.role
            ),
        );
    }
    if !table.may_be_used && state.adopted {
        plan.advice(
            name,
            format!(
                "the role {} may not read and write all of it",
                surroundings.role
            ),
            Some(format!(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {};",
                surroundings.role
            )),
        );
    }
    if !table.may_be_used && !state.adopted {
        plan.obstacle(
            name,
            format!(
                "permission denied for the role {} to read and write it (42501)",
                surroundings.role
            ),
            format!(
                "run `usher migrate` as {}, then GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {};",
                table.owner, surroundings.role
            ),
        );
        return false;
    }
    true
}

fn examine(
    database: &impl Statements,
    table: &Table,
    surroundings: &Surroundings,
    state: State,
    plan: &mut Plan,
) -> Result<(), Error> {
    let columns = columns(database)?;
    let find = |name: &str| columns.iter().find(|column| column.name == name);
    let (Some(id), Some(name), Some(email)) = (find("id"), find("name"), find("email")) else {
        for missing in ["id", "name", "email"] {
            if find(missing).is_none() {
                plan.obstacle(
                    &table.name,
                    format!("it has no column {missing}, so it may be another program's"),
                    match missing {
                        "id" => format!(
                            "ALTER TABLE {} ADD COLUMN id bigint GENERATED BY DEFAULT AS IDENTITY; or rename the table",
                            table.name
                        ),
                        other => format!(
                            "ALTER TABLE {0} ADD COLUMN {other} text; and fill it, or rename the table",
                            table.name
                        ),
                    },
                );
            }
        }
        return Ok(());
    };
    let obstacles = plan.refusal();
    id_column(table, id, plan);
    text_column(table, name, sql::WIDEN_NAME, plan);
    text_column(table, email, sql::WIDEN_EMAIL, plan);
    version_column(database, table, find("version"), state, plan)?;
    for column in &columns {
        foreign_column(table, column, plan);
    }
    filled(database, table, name, sql::NO_NAME, sql::KEEP_NAME, plan)?;
    filled(database, table, email, sql::NO_EMAIL, sql::KEEP_EMAIL, plan)?;
    keys(database, table, id, plan)?;
    // Ids of another type cannot be compared with numbers.
    if matches!(id.kind.as_str(), "bigint" | "integer" | "smallint") {
        ids(database, table, id, surroundings, state, plan)?;
    }
    others(database, table, state, plan)?;
    versioned(database, table, surroundings, state, plan)?;
    // A pattern says nothing of texts that are not compared byte by byte.
    let is_text = matches!(email.kind.as_str(), "text" | "character varying");
    if state.advised && !state.adopted && is_text && email.is_bytewise {
        addresses(database, table, plan)?;
    }
    if !plan.actions.is_empty() && !table.is_owned && obstacles == plan.refusal() {
        plan.obstacle(
            &table.name,
            format!(
                "permission denied: it belongs to {}, and the role {} may not change it (42501)",
                table.owner, surroundings.role
            ),
            format!("run `usher migrate` once as {}", table.owner),
        );
    }
    Ok(())
}

fn columns(database: &impl Statements) -> Result<Vec<Column>, Error> {
    let mut columns = Vec::new();
    for mut row in ask(database, sql::COLUMNS)? {
        columns.push(Column {
            name: row.text()?,
            kind: row.text()?,
            declared: row.text()?,
            is_limited: row.flag()?,
            is_filled: row.flag()?,
            must_be_filled: row.flag()?,
            default: row.perhaps_text()?,
            identity: row.text()?,
            generated: row.text()?,
            collation: row.perhaps_text()?,
            is_bytewise: row.flag()?,
            has_own_collation: row.flag()?,
            dependants: Vec::new(),
        });
    }
    for mut row in ask(database, sql::DEPENDANTS)? {
        let (name, dependant) = (row.text()?, row.text()?);
        if let Some(column) = columns.iter_mut().find(|column| column.name == name) {
            column.dependants.push(dependant);
        }
    }
    Ok(columns)
}

fn id_column(table: &Table, id: &Column, plan: &mut Plan) {
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
    } else if !id.is_given() {
        plan.obstacle(
            &subject,
            "it has no default, so a new user would have no id",
            format!(
                "ALTER TABLE {name} ALTER COLUMN id SET NOT NULL, ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY; \
                 SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}));"
            ),
        );
    }
}

/// Widens a number's type, which writes the table anew, unless something depends on the column.
fn widen(table: &Table, column: &Column, action: &'static str, plan: &mut Plan) {
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
                "widen {} to bigint; the table is written anew{rows}, and nobody can read or write it meanwhile",
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

fn text_column(table: &Table, column: &Column, action: &'static str, plan: &mut Plan) {
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
                    "if it may become text: ALTER TABLE {name} ALTER COLUMN {0} TYPE text USING {0}::text;",
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
                "if they may become different: ALTER TABLE {name} ALTER COLUMN {} TYPE text COLLATE \"default\";",
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

fn version_column(
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
    if !version.is_given() {
        plan.change(&subject, "let it be 1 for new users", sql::DEFAULT_VERSION);
    }
    filled(
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

/// A column that the service does not know, and so does not fill.
fn foreign_column(table: &Table, column: &Column, plan: &mut Plan) {
    let known = ["id", "name", "email", "version"].contains(&column.name.as_str());
    if known || column.is_given() || !(column.is_filled || column.must_be_filled) {
        return;
    }
    plan.obstacle(
        &format!("{}.{}", table.name, column.name),
        "it must have a value and has no default, so no user could be created",
        format!(
            "ALTER TABLE {0} ALTER COLUMN \"{1}\" DROP NOT NULL; or ALTER TABLE {0} ALTER COLUMN \"{1}\" SET DEFAULT …;",
            table.name, column.name
        ),
    );
}

/// Keeps a column filled, where it is.
fn filled(
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

fn keys(
    database: &impl Statements,
    table: &Table,
    id: &Column,
    plan: &mut Plan,
) -> Result<(), Error> {
    let (mut id_is_unique, mut email_is_unique, mut has_primary_key) = (false, false, false);
    for mut row in ask(database, sql::KEYS)? {
        let (index, column) = (row.text()?, row.perhaps_text()?);
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
                    "give each user an id of its own; SELECT id, count(*) FROM {} GROUP BY id HAVING count(*) > 1;",
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
                "make it the primary key; nobody can read or write the table while its index is built",
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
                format!("{shared} {plural} those of several users, and no key says that each has only one"),
                format!(
                    "leave one user for each: SELECT email, array_agg(id) FROM {} GROUP BY email HAVING count(*) > 1;",
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

/// Ids and the sequence that gives them.
fn ids(
    database: &impl Statements,
    table: &Table,
    id: &Column,
    surroundings: &Surroundings,
    state: State,
    plan: &mut Plan,
) -> Result<(), Error> {
    let subject = format!("{}.id", table.name);
    // Who may not read was told so.
    if !table.may_be_used {
        return Ok(());
    }
    let (smallest, greatest) = match first(database, sql::IDS)? {
        Some(mut row) => (row.perhaps_number()?, row.perhaps_number()?),
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
    let (sequence, kind, last) = (row.text()?, row.text()?, row.perhaps_number()?);
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
    // PostgreSQL widens the sequence of an identity column together with it.
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
            format!("the role {} may not take ids from it", surroundings.role),
            Some(format!(
                "GRANT USAGE ON SEQUENCE {sequence} TO {};",
                surroundings.role
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

/// Constraints, rules and triggers of others.
fn others(
    database: &impl Statements,
    table: &Table,
    state: State,
    plan: &mut Plan,
) -> Result<(), Error> {
    for mut row in ask(database, sql::RULES)? {
        let (rule, is_instead) = (row.text()?, row.flag()?);
        let message = format!("the rule {rule} rewrites statements on it");
        if is_instead {
            plan.obstacle(
                &table.name,
                format!("{message} into something else, so they would not do what the service says they did"),
                format!("DROP RULE {rule} ON {};", table.name),
            );
        } else if !state.adopted {
            plan.advice(&table.name, message, None);
        }
    }
    if state.adopted {
        return Ok(());
    }
    for mut row in ask(database, sql::CONSTRAINTS)? {
        let (kind, whose, name, definition) = (row.text()?, row.text()?, row.text()?, row.text()?);
        let message = match kind.as_str() {
            "f" => format!(
                "{definition} ({name}): unless it says otherwise, who is referred to cannot be deleted, which is answered with 409"
            ),
            "x" => format!("{definition} ({name}): what it excludes is answered with 409"),
            _ => format!("{definition} ({name}): what does not hold is answered with 422"),
        };
        plan.advice(&whose, message, None);
    }
    for mut row in ask(database, sql::TRIGGERS)? {
        let (name, is_own, enabled, may_rewrite) =
            (row.text()?, row.flag()?, row.flag()?, row.flag()?);
        if is_own || !enabled {
            continue;
        }
        let message = if may_rewrite {
            format!(
                "the trigger {name} may change what is stored, and an answer shows what it made of it"
            )
        } else {
            format!("the trigger {name} runs for the service's statements as well")
        };
        plan.advice(&table.name, message, None);
    }
    Ok(())
}

/// The trigger that raises versions for other writers.
fn versioned(
    database: &impl Statements,
    table: &Table,
    surroundings: &Surroundings,
    state: State,
    plan: &mut Plan,
) -> Result<(), Error> {
    let mut is_there = false;
    for mut row in ask(database, sql::TRIGGERS)? {
        let (_, is_own, enabled) = (row.text()?, row.flag()?, row.flag()?);
        is_there |= is_own && enabled;
    }
    if is_there {
        return Ok(());
    }
    if !surroundings.may_create || !table.may_have_triggers {
        let (role, owner) = (&surroundings.role, &table.owner);
        let schema = surroundings.schema.as_deref().unwrap_or("…");
        plan.obstacle(
            &table.name,
            format!("permission denied for the role {role} to give it the trigger that raises versions for other writers (42501)"),
            format!(
                "run `usher migrate` once as {owner}; or GRANT CREATE ON SCHEMA {schema} TO {role}; GRANT TRIGGER ON {} TO {role};",
                table.name
            ),
        );
        return Ok(());
    }
    functions(surroundings, plan);
    if state.versioned {
        for statement in versioning(Dialect::Postgres) {
            plan.actions.push(statement);
        }
        plan.add(
            super::FindingKind::Change,
            &table.name,
            "raise versions for other writers by the trigger usher_next_version, which is gone or off",
            None,
        );
    }
    Ok(())
}

/// Addresses that were stored by other rules.
fn addresses(database: &impl Statements, table: &Table, plan: &mut Plan) -> Result<(), Error> {
    let unusual = count(database, sql::UNUSUAL_EMAILS)?;
    if unusual > 0 {
        plan.advice(
            &format!("{}.email", table.name),
            format!(
                "{} an address that the service would have stored otherwise, such as one with capitals after the @: \
                 it is shown as it is, and is not found by its normal form",
                if unusual == 1 { "1 user has".into() } else { format!("{unusual} users have") }
            ),
            Some(format!(
                "UPDATE {} SET email = split_part(email, '@', 1) || '@' || lower(split_part(email, '@', 2)) \
                 WHERE email LIKE '%@%' AND split_part(email, '@', 2) <> lower(split_part(email, '@', 2));",
                table.name
            )),
        );
    }
    Ok(())
}
