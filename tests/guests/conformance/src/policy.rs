//! What no component may say, whatever the database.

use crate::Case;
use crate::tools::*;

pub const CASES: &[Case] = &[
    (
        "session_statements_are_denied_in_any_spelling",
        session_statements_are_denied_in_any_spelling,
    ),
    ("what_reaches_out_is_denied", what_reaches_out_is_denied),
    (
        "two_statements_in_one_are_invalid",
        two_statements_in_one_are_invalid,
    ),
    ("what_quotes_hold_is_not_said", what_quotes_hold_is_not_said),
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

fn what_reaches_out_is_denied() -> Result<(), String> {
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
            // What EXPLAIN takes no statement of is for the database to refuse; it must not run.
            if execute(statement, &[]).is_ok() {
                return Err(format!("{statement} ran"));
            }
        } else {
            denied(statement)?;
        }
    }
    Ok(())
}

fn two_statements_in_one_are_invalid() -> Result<(), String> {
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

fn what_quotes_hold_is_not_said() -> Result<(), String> {
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
