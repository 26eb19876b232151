//! Errors of the database, with SQLSTATE, constraint and column.

use crate::tools::*;
use crate::{Case, ensure};

pub const CASES: &[Case] = &[
    (
        "unique_violation_names_its_constraint",
        unique_violation_names_its_constraint,
    ),
    (
        "primary_key_violation_names_its_constraint",
        primary_key_violation_names_its_constraint,
    ),
    (
        "foreign_key_violation_is_reported",
        foreign_key_violation_is_reported,
    ),
    (
        "not_null_violation_names_its_column",
        not_null_violation_names_its_column,
    ),
    (
        "check_violation_names_its_constraint",
        check_violation_names_its_constraint,
    ),
    ("refusal_quotes_no_row", refusal_quotes_no_row),
    (
        "refused_statement_has_no_effect",
        refused_statement_has_no_effect,
    ),
    ("invalid_sql_is_refused", invalid_sql_is_refused),
    (
        "statement_with_unknown_objects_is_refused",
        statement_with_unknown_objects_is_refused,
    ),
    (
        "statement_after_a_refusal_runs",
        statement_after_a_refusal_runs,
    ),
    (
        "execute_returns_the_number_of_rows",
        execute_returns_the_number_of_rows,
    ),
    (
        "returning_clause_returns_rows",
        returning_clause_returns_rows,
    ),
];

fn tables() -> Result<(), String> {
    run(
        "CREATE TABLE parents (id bigint PRIMARY KEY, email text UNIQUE)",
        &[],
    )?;
    run(
        "CREATE TABLE children (id bigint PRIMARY KEY, parent bigint REFERENCES parents (id), \
            name text NOT NULL, age bigint \
         CONSTRAINT children_age_check CHECK (age >= 0), a bigint, b bigint, UNIQUE (a, b))",
        &[],
    )?;
    run("INSERT INTO parents VALUES (1, 'secret@example.org')", &[]).map(drop)
}

fn refusal(
    statement: &str,
    code: &str,
    is: RefusalKind,
) -> Result<(Option<String>, Option<String>, String), String> {
    match execute(statement, &[]) {
        Err(Error::Refused(refusal)) if refusal.code == code && refusal.kind == is => {
            Ok((refusal.constraint, refusal.column, refusal.message))
        }
        other => Err(format!("{statement}: {code} was expected, not {other:?}")),
    }
}

fn unique_violation_names_its_constraint() -> Result<(), String> {
    tables()?;
    let (constraint, ..) = refusal(
        "INSERT INTO parents VALUES (2, 'secret@example.org')",
        "23505",
        RefusalKind::UniqueViolation,
    )?;
    ensure!(
        constraint.as_deref() == Some("parents_email_key"),
        "{constraint:?}"
    );
    run(
        "INSERT INTO children (id, name, a, b) VALUES (1, 'a', 1, 1)",
        &[],
    )?;
    let (constraint, ..) = refusal(
        "INSERT INTO children (id, name, a, b) VALUES (2, 'b', 1, 1)",
        "23505",
        RefusalKind::UniqueViolation,
    )?;
    ensure!(
        constraint.as_deref() == Some("children_a_b_key"),
        "{constraint:?}"
    );
    Ok(())
}

fn primary_key_violation_names_its_constraint() -> Result<(), String> {
    tables()?;
    let (constraint, ..) = refusal(
        "INSERT INTO parents VALUES (1, 'b')",
        "23505",
        RefusalKind::UniqueViolation,
    )?;
    ensure!(
        constraint.as_deref() == Some("parents_pkey"),
        "{constraint:?}"
    );
    Ok(())
}

fn foreign_key_violation_is_reported() -> Result<(), String> {
    tables()?;
    let (constraint, ..) = refusal(
        "INSERT INTO children (id, parent, name) VALUES (1, 7, 'a')",
        "23503",
        RefusalKind::ForeignKeyViolation,
    )?;
    // SQLite does not report which.
    ensure!(
        !is_postgres() || constraint.as_deref() == Some("children_parent_fkey"),
        "{constraint:?}"
    );
    run(
        "INSERT INTO children (id, parent, name) VALUES (1, 1, 'a')",
        &[],
    )?;
    refusal(
        "DELETE FROM parents WHERE id = 1",
        "23503",
        RefusalKind::ForeignKeyViolation,
    )
    .map(drop)
}

fn not_null_violation_names_its_column() -> Result<(), String> {
    tables()?;
    let (_, column, _) = refusal(
        "INSERT INTO children (id) VALUES (1)",
        "23502",
        RefusalKind::NotNullViolation,
    )?;
    ensure!(column.as_deref() == Some("name"), "{column:?}");
    Ok(())
}

fn check_violation_names_its_constraint() -> Result<(), String> {
    tables()?;
    let (constraint, ..) = refusal(
        "INSERT INTO children (id, name, age) VALUES (1, 'a', -1)",
        "23514",
        RefusalKind::CheckViolation,
    )?;
    ensure!(
        constraint.as_deref() == Some("children_age_check"),
        "{constraint:?}"
    );
    Ok(())
}

fn refusal_quotes_no_row() -> Result<(), String> {
    tables()?;
    let (.., message) = refusal(
        "INSERT INTO parents VALUES (2, 'secret@example.org')",
        "23505",
        RefusalKind::UniqueViolation,
    )?;
    ensure!(!message.contains("secret"), "{message}");
    Ok(())
}

fn refused_statement_has_no_effect() -> Result<(), String> {
    tables()?;
    refusal(
        "INSERT INTO parents VALUES (5, 'new'), (6, 'secret@example.org')",
        "23505",
        RefusalKind::UniqueViolation,
    )?;
    let count = one("SELECT count(*) FROM parents", &[])?;
    ensure!(same(&count, &integer(1)), "{count:?} rows");
    Ok(())
}

fn invalid_sql_is_refused() -> Result<(), String> {
    for statement in [
        "SELECT FROM WHERE",
        "INSERT INTO",
        "UPDATE SET x",
        "SELECT 1 +",
    ] {
        refuses(query(statement, &[]), "42601", statement)?;
    }
    Ok(())
}

fn statement_with_unknown_objects_is_refused() -> Result<(), String> {
    tables()?;
    refuses(query("SELECT * FROM nowhere", &[]), "42P01", "a table")?;
    refuses(
        query("SELECT missing FROM parents", &[]),
        "42703",
        "a column",
    )?;
    refuses(
        query("SELECT no_such_function(1)", &[]),
        "42883",
        "a function",
    )
}

fn statement_after_a_refusal_runs() -> Result<(), String> {
    tables()?;
    for _ in 0..50 {
        refuses(
            execute("INSERT INTO parents VALUES (1, 'b')", &[]),
            "23505",
            "the same key",
        )?;
        refuses(query("SELECT * FROM nowhere", &[]), "42P01", "no table")?;
    }
    run("INSERT INTO parents VALUES (2, 'b')", &[]).map(drop)
}

fn execute_returns_the_number_of_rows() -> Result<(), String> {
    tables()?;
    for (statement, expected) in [
        ("INSERT INTO parents VALUES (2, 'b'), (3, 'c'), (4, 'd')", 3),
        ("UPDATE parents SET email = NULL WHERE id > 2", 2),
        ("UPDATE parents SET email = NULL WHERE id > 100", 0),
        ("DELETE FROM parents WHERE id > 1", 3),
    ] {
        let count = run(statement, &[])?;
        ensure!(count == expected, "{statement}: {count}");
    }
    Ok(())
}

fn returning_clause_returns_rows() -> Result<(), String> {
    tables()?;
    let found = rows(
        "INSERT INTO parents VALUES (2, 'b'), (3, 'c') RETURNING id, email",
        &[],
    )?;
    ensure!(
        found.len() == 2 && same(&found[1][1], &text("c")),
        "{found:?}"
    );
    let count = one("SELECT count(*) FROM parents", &[])?;
    ensure!(same(&count, &integer(3)), "{count:?}");
    let count = run("DELETE FROM parents WHERE id > 1 RETURNING id", &[])?;
    ensure!(count == 2, "{count} from execute");
    Ok(())
}
