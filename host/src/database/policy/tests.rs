//! The checks of both dialects, on the text of statements.

use super::{POSTGRES, SQLITE};
use crate::database::config::Allowed;
use crate::database::statement::{Caller, Effect};
use crate::database::types::Error;

fn checked(text: &str) -> String {
    match POSTGRES.check(text, Caller::Request, &Allowed::default()) {
        Ok(effect) => format!("{effect:?}"),
        Err(Error::Denied(_)) => "denied".into(),
        Err(Error::Invalid(_)) => "invalid".into(),
        Err(Error::Refused(refusal)) => refusal.code,
        Err(other) => format!("{other:?}"),
    }
}

#[test]
fn denied_statement_is_denied_in_any_spelling() {
    for text in [
        "SET role admin",
        "set\tROLE admin",
        "/* a /* nested */ comment */ SET role admin",
        "-- a comment\rSET role admin",
        "\u{a0}SET role admin",
        "((SET role admin))",
        "BEGIN",
        "begin;",
        "COMMIT",
        "ROLLBACK AND CHAIN",
        "SAVEPOINT a",
        "PREPARE x AS SELECT 1",
        "EXECUTE s0",
        "EXPLAIN ANALYZE EXECUTE s0",
        "CREATE TABLE x AS EXECUTE s0",
        "COPY users TO PROGRAM 'sh'",
        "DO $$ BEGIN END $$",
        "CALL p()",
        "LOCK TABLE users",
        "LISTEN x",
        "DISCARD ALL",
        "SELECT set_config('a', 'b', false)",
        "SELECT pg_catalog . \"set_config\" /* */ ('a', 'b', false)",
        "SELECT U&\"set\\005fconfig\"('a', 'b', false)",
        "WITH x AS (SELECT pg_advisory_lock(1)) SELECT * FROM x",
        "SELECT 1 INTO TEMP t",
        "CREATE TEMP TABLE t (a int)",
        "CREATE LOCAL TEMPORARY TABLE t (a int)",
        "CREATE TABLE pg_temp.t (a int)",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER SYSTEM SET fsync = off",
        "ALTER ROLE me SET search_path = x",
        "DROP DATABASE x",
        "VACUUM",
        "PRAGMA journal_mode = DELETE",
        "ATTACH 'x' AS y",
    ] {
        assert_eq!(checked(text), "denied", "{text}");
    }
}

#[test]
fn quoted_text_and_comments_are_not_checked() {
    for (text, expected) in [
        ("SELECT 'SET role; COMMIT'", "Reads"),
        ("SELECT E'it\\'s; COMMIT'", "Reads"),
        ("SELECT $$ ; COMMIT $$", "Reads"),
        ("SELECT $a$ $$ ; COMMIT $a$ AS x", "Reads"),
        ("SELECT \"set_config\" FROM t", "Reads"),
        ("SELECT 1 /* ; COMMIT */ -- ; COMMIT", "Reads"),
        ("SELECT 1;", "Reads"),
        (
            "INSERT INTO t (name) VALUES ('DROP ROLE x') RETURNING id",
            "Changes",
        ),
    ] {
        assert_eq!(checked(text), expected, "{text}");
    }
}

#[test]
fn two_statements_are_invalid_in_any_spelling() {
    for text in [
        "SELECT 1; SELECT 2",
        "SELECT 'a\\'; COMMIT; --'",
        ";SELECT 1",
        "",
        " -- nothing",
        "SELECT 'open",
        "SELECT /* open",
        "SELECT $$ open",
        "SELECT E'a'\n'b\\'' , set_config('a', 'b', false) --'",
    ] {
        assert_eq!(checked(text), "invalid", "{text}");
    }
}

#[test]
fn statement_has_the_effect_of_its_nodes() {
    for (text, expected) in [
        ("SELECT id, name FROM users WHERE id = $1", "Reads"),
        ("(SELECT 1) UNION (SELECT 2)", "Reads"),
        (
            "SELECT count(*) FROM users WHERE lower(name) IN ('a')",
            "Reads",
        ),
        ("WITH n(i) AS (SELECT 1) SELECT i FROM n", "Reads"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
            "Reads",
        ),
        (
            "WITH n(i) AS (SELECT nextval('s')) SELECT i FROM n",
            "MayWrite",
        ),
        ("INSERT INTO t (a) VALUES (nextval('s'))", "Changes"),
        (
            "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
            "Writes",
        ),
        ("UPDATE t SET a = 1", "Changes"),
        ("DELETE FROM t", "Changes"),
        (
            "MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE",
            "Writes",
        ),
        ("SELECT nextval('s')", "MayWrite"),
        ("SELECT * FROM users FOR UPDATE", "Writes"),
        ("SELECT * FROM t FOR KEY SHARE OF t", "Writes"),
        (
            "WITH x AS (DELETE FROM users RETURNING *) SELECT * FROM x",
            "Writes",
        ),
        ("EXPLAIN DELETE FROM users", "Reads"),
        ("EXPLAIN ANALYZE DELETE FROM users", "Writes"),
        ("CREATE TABLE t (a int)", "Writes"),
        ("CREATE UNIQUE INDEX i ON t (a)", "Writes"),
    ] {
        assert_eq!(checked(text), expected, "{text}");
    }
}

#[test]
fn sqlite_text_is_lexed_as_by_sqlite() {
    let checked = |text| {
        SQLITE
            .check(text, Caller::Request, &Allowed::default())
            .map_err(|error| matches!(error, Error::Denied(_)))
    };
    // Its comments do not nest, so this sets something.
    assert_eq!(checked("/* /* */ PRAGMA x */"), Err(true));
    assert_eq!(checked("SELECT [load_extension]('x')"), Err(true));
    assert_eq!(checked("SELECT load_extension\u{feff}('x')"), Err(true));
    assert_eq!(checked("SELECT `name` FROM [users]"), Ok(Effect::Reads));
    assert_eq!(
        checked("CREATE TRIGGER t AFTER INSERT ON u BEGIN SELECT 1; SELECT 2; END"),
        Ok(Effect::Writes)
    );
    assert_eq!(checked("SELECT 1; SELECT 2"), Err(false));
}
