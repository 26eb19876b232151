//! Statements that the policy denies on every database.

use crate::Case;
use crate::tools::*;

pub const CASES: &[Case] = &[
    (
        "session_statements_are_denied_in_any_spelling",
        session_statements_are_denied_in_any_spelling,
    ),
    (
        "denied_statement_is_denied_in_every_spelling",
        denied_statement_is_denied_in_every_spelling,
    ),
    (
        "denied_statement_is_denied_behind_with",
        denied_statement_is_denied_behind_with,
    ),
    (
        "statement_that_reaches_outside_the_database_is_denied",
        statement_that_reaches_outside_the_database_is_denied,
    ),
    (
        "two_statements_in_one_text_are_invalid",
        two_statements_in_one_text_are_invalid,
    ),
    (
        "quoted_text_is_not_taken_for_a_statement",
        quoted_text_is_not_taken_for_a_statement,
    ),
    (
        "policy_holds_inside_transactions_and_cursors",
        policy_holds_inside_transactions_and_cursors,
    ),
];

fn denied(statement: &str) -> Result<(), String> {
    fails(execute(statement, &[]), "denied", statement)?;
    fails(query(statement, &[]), "denied", statement)
}

fn session_statements_are_denied_in_any_spelling() -> Result<(), String> {
    for verb in [
        "BEGIN",
        "START TRANSACTION",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ABORT",
        "SAVEPOINT s",
        "RELEASE s",
        "PREPARE p AS SELECT 1",
        "SET x = 1",
        "RESET ALL",
        "DISCARD ALL",
        "LISTEN x",
        "UNLISTEN *",
        "COPY t FROM STDIN",
        "DECLARE c CURSOR FOR SELECT 1",
        "LOCK TABLE t",
        "DO 'x'",
        "CALL p()",
        "PRAGMA journal_mode",
        "ATTACH 'x' AS y",
        "DETACH y",
        "VACUUM",
    ] {
        denied(verb)?;
        denied(&verb.to_lowercase())?;
        denied(&format!("/* SELECT 1 */ -- SELECT 2\n\t{verb} ;"))?;
        denied(&format!("((({verb})))"))?;
    }
    denied("\u{a0}BEGIN")
}

/// Spellings that one of the databases accepts as white space, comments, quotes or letters. On the
/// other one they are no statement and are invalid.
fn denied_statement_is_denied_in_every_spelling() -> Result<(), String> {
    for verb in [
        "COMMIT",
        "Set x = 1",
        "pragma user_version = 1",
        "COPY t TO PROGRAM 'sh'",
        "LOCK TABLE t",
    ] {
        let (first, rest) = verb.split_at(1);
        for spelled in [
            format!("\t\n\r\u{b}\u{c} {verb}"),
            format!("{verb}/**/"),
            format!("/* /* */ {verb}"),
            format!("/* /* */ */ {verb}"),
            format!("/* ' */{verb}/* ' */"),
            format!("-- \r{verb}"),
            format!("-- \r\n{verb}"),
            format!("--\u{2028}\n{verb}"),
            format!("( /* ( */ ( {verb}"),
            format!("\u{feff}{verb}"),
            format!("\u{a0}{verb}"),
            format!("\u{3000}{verb}"),
            format!("\u{85}{verb}"),
            format!("{first}\u{200b}{rest}"),
            format!("{first}\u{301}{rest}"),
            format!("{first}\0{rest}"),
            format!("\"{first}\"{rest}"),
            format!("'x'{verb}"),
            format!("$${verb}"),
            format!("E'\\'' {verb}"),
            format!(";{verb}"),
            format!("{verb};{verb}"),
            format!("\\{verb}"),
            format!("1{verb}"),
            verb.replace(['S', 's'], "\u{17f}")
                .replace(['K', 'k'], "\u{212a}"),
            verb.chars()
                .map(|c| match c {
                    'A'..='Z' => char::from_u32(c as u32 + 0xfee0).unwrap_or(c),
                    c => c,
                })
                .collect(),
        ] {
            for result in [
                execute(&spelled, &[]).map(drop),
                query(&spelled, &[]).map(drop),
            ] {
                match result {
                    Err(Error::Denied(_) | Error::Invalid(_)) => {}
                    other => return Err(format!("{spelled:?}: {other:?}")),
                }
            }
        }
    }
    let after = one("SELECT 1", &[])?;
    if !same(&after, &integer(1)) {
        return Err(format!("{after:?}"));
    }
    Ok(())
}

fn denied_statement_is_denied_behind_with() -> Result<(), String> {
    for statement in [
        "WITH x AS (SELECT set_config('a.b', 'c', false)) SELECT * FROM x",
        "WITH x AS (SELECT load_extension('x')) SELECT * FROM x",
        "wItH x(a) AS NOT MATERIALIZED (SELECT 1), y AS (SELECT Pg_Advisory_Lock\n(1)) SELECT * \
            FROM x, y",
        "WITH RECURSIVE x(a) AS (SELECT 1 UNION ALL SELECT pg_read_file('/etc/passwd')) SELECT * \
            FROM x",
        "WITH x AS (SELECT 1 AS a) SELECT a INTO TEMP t FROM x",
        "SELECT * FROM (SELECT \"pg_catalog\".\"set_config\"('a.b', 'c', false)) AS x",
        "SELECT 1 WHERE EXISTS (SELECT inet_server_addr())",
        "INSERT INTO t SELECT lo_import('/etc/passwd')",
        "CREATE TABLE t (a text DEFAULT set_config('a.b', 'c', false))",
        "CREATE VIEW v AS SELECT pg_read_binary_file('/etc/passwd')",
        "EXPLAIN ANALYZE SELECT set_config('a.b', 'c', false)",
    ] {
        denied(statement)?;
    }
    // A verb in the wrong place does not run.
    for statement in [
        "WITH x AS (SELECT 1) COMMIT",
        "WITH x AS (COMMIT) SELECT 1",
        "SELECT (COMMIT)",
        "EXPLAIN COMMIT",
        "EXPLAIN (ANALYZE) VACUUM",
    ] {
        if let Ok(answer) = query(statement, &[]) {
            return Err(format!("{statement}: {answer:?}"));
        }
    }
    Ok(())
}

fn statement_that_reaches_outside_the_database_is_denied() -> Result<(), String> {
    for statement in [
        "SELECT load_extension('x')",
        "SELECT set_config('a.b', 'c', false)",
        "SELECT \"set_config\" /* */ ('a.b', 'c', false)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_advisory_lock(1)",
        "SELECT lo_import('/etc/passwd')",
        "SELECT pg_terminate_backend(1)",
        "SELECT inet_server_addr()",
        "WITH x AS (SELECT lastval()) SELECT * FROM x",
        "CREATE TEMP TABLE t (a bigint)",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE x",
        "DROP DATABASE x",
        "EXPLAIN ANALYZE COMMIT",
    ] {
        if statement.starts_with("EXPLAIN") {
            // The database refuses EXPLAIN of such a statement; it must not run.
            if execute(statement, &[]).is_ok() {
                return Err(format!("{statement} ran"));
            }
        } else {
            denied(statement)?;
        }
    }
    Ok(())
}

fn two_statements_in_one_text_are_invalid() -> Result<(), String> {
    for statement in [
        "SELECT 1; SELECT 2",
        "SELECT 1;;SELECT 2",
        "SELECT ';' ; COMMIT",
        "",
        ";",
        "-- nothing",
        "SELECT 'open",
        "SELECT /* open",
    ] {
        fails(query(statement, &[]), "invalid", statement)?;
    }
    Ok(())
}

fn quoted_text_is_not_taken_for_a_statement() -> Result<(), String> {
    for (statement, expected) in [
        ("SELECT 'COMMIT; ROLLBACK'", "COMMIT; ROLLBACK"),
        (
            "SELECT 'it''s -- /* fine' /* COMMIT */ -- COMMIT",
            "it's -- /* fine",
        ),
        ("SELECT 'set_config(1)';", "set_config(1)"),
    ] {
        let found = one(statement, &[])?;
        if !same(&found, &text(expected)) {
            return Err(format!("{statement}: {found:?}"));
        }
    }
    Ok(())
}

fn policy_holds_inside_transactions_and_cursors() -> Result<(), String> {
    let transaction = Transaction::begin(Isolation::ReadCommitted, false)
        .map_err(|error| format!("{error:?}"))?;
    fails(
        transaction.query("ROLLBACK", &[]),
        "denied",
        "in a transaction",
    )?;
    drop(transaction);
    fails(
        Cursor::open("COMMIT", &[]).map(|_| ()),
        "denied",
        "in a cursor",
    )
}
