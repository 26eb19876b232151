//! Statements that policy misses and that must not reach the connection or the host.

use super::*;

on_both!(statement_that_outlives_its_request_is_denied);

async fn statement_that_outlives_its_request_is_denied(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    for statement in [
        "CREATE TABLE temp.t (i INTEGER)",
        "CREATE TABLE \"TEMP\".t (i INTEGER)",
        "CREATE TABLE [Temp].[t] AS SELECT 1 AS i",
        "CREATE TABLE IF NOT EXISTS `temp` . `t` (i INTEGER)",
        "CREATE/**/TABLE--\ntemp/**/./**/t(i)",
        "CREATE TEMPORARY TABLE t (i INTEGER)",
        "CREATE VIEW temp.t AS SELECT 1 AS i",
        "CREATE TEMP VIEW t AS SELECT 1 AS i",
        "CREATE TRIGGER temp.tr AFTER INSERT ON t BEGIN DELETE FROM t; END",
        "CREATE TRIGGER temp.tr AFTER INSERT ON main.t BEGIN DELETE FROM t; END",
        "CREATE TEMP TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM t; END",
        "CREATE INDEX temp.x ON t (i)",
        "INSERT INTO temp.sqlite_master VALUES ('table', 't', 't', 2, 'CREATE TABLE t (i)')",
        "INSERT INTO sqlite_temp_schema VALUES ('table', 't', 't', 2, 'CREATE TABLE t (i)')",
        "SELECT last_insert_rowid()",
        "SELECT changes()",
        "SELECT total_changes()",
    ] {
        let got = run(pool, statement, &[]).await;
        assert!(
            matches!(got, Err(Error::Denied(_) | Error::Refused(_))),
            "{statement}: {got:?}"
        );
    }
    run(pool, "INSERT INTO t VALUES (1)", &[]).await.unwrap();
    assert_eq!(count(pool, "main.t").await, 1);
}

on_both!(statement_that_shows_the_host_is_denied);

async fn statement_that_shows_the_host_is_denied(_database: &Database, pool: &Pool) {
    for statement in [
        "SELECT * FROM pragma_database_list",
        "SELECT file FROM \"pragma_database_list\"",
        "SELECT count(*) FROM PRAGMA_DATABASE_LIST",
        "SELECT 1 FROM pragma_compile_options",
        "SELECT * FROM pragma_function_list",
        "SELECT * FROM pragma_data_version",
        "SELECT * FROM pragma_table_info('t', 'temp')",
        "SELECT * FROM dbstat",
        "SELECT * FROM sqlite_dbpage",
        "SELECT * FROM fts3tokenize('simple', 'a b')",
        "SELECT sqlite_source_id()",
        "SELECT sqlite_compileoption_get(1)",
        "SELECT sqlite_log(1, 'x')",
        "SELECT load_extension('x')",
        "SELECT fts5(1)",
        "SELECT fts3_tokenizer('simple')",
        "SELECT rtreecheck('t')",
        "SELECT json_patch('{}', '{}')",
        "VACUUM INTO '/tmp/x'",
        "VACUUM",
        "EXPLAIN SELECT * FROM json_each('[]')",
    ] {
        let got = rows(pool, statement, &[]).await;
        assert!(
            matches!(got, Err(Error::Denied(_) | Error::Refused(_))),
            "{statement}: {got:?}"
        );
        if let Err(Error::Denied(why)) = &got {
            assert!(!why.contains("/tmp"), "{why}");
        }
    }
}

on_both!(denied_function_is_denied_in_any_clause);

async fn denied_function_is_denied_in_any_clause(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    for statement in [
        "CREATE TABLE u (i DEFAULT (changes()))",
        "CREATE TABLE u (i CHECK (changes() > 0))",
        "CREATE TABLE u (i, j AS (json_patch(i, i)))",
        "CREATE INDEX x ON t (json_patch(i, i))",
        "CREATE INDEX x ON t (i) WHERE json_patch(i, i)",
    ] {
        let got = run(pool, statement, &[]).await;
        assert!(
            matches!(got, Err(Error::Denied(_) | Error::Refused(_))),
            "{statement}: {got:?}"
        );
    }
    run(pool, "CREATE VIEW v AS SELECT total_changes() AS n", &[])
        .await
        .unwrap();
    let got = rows(pool, "SELECT n FROM v", &[]).await;
    assert!(matches!(got, Err(Error::Denied(_))), "{got:?}");
    run(
        pool,
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET i = changes(); END",
        &[],
    )
    .await
    .unwrap();
    let got = run(pool, "INSERT INTO t VALUES (1)", &[]).await;
    assert!(matches!(got, Err(Error::Denied(_))), "{got:?}");
    assert_eq!(count(pool, "t").await, 0);
}

on_both!(schema_is_readable);

async fn schema_is_readable(_database: &Database, pool: &Pool) {
    run(
        pool,
        "CREATE TABLE t (i INTEGER PRIMARY KEY, j TEXT UNIQUE REFERENCES t (j))",
        &[],
    )
    .await
    .unwrap();
    for (statement, expected) in [
        ("SELECT name FROM sqlite_master WHERE name = 't'", 1),
        ("SELECT name FROM sqlite_schema WHERE name = 't'", 1),
        ("SELECT name FROM pragma_table_info('t')", 2),
        ("SELECT name FROM pragma_table_xinfo('t')", 2),
        ("SELECT name FROM pragma_table_list WHERE name = 't'", 1),
        (
            "SELECT x.name FROM pragma_index_list('t') AS l, pragma_index_info(l.name) AS x",
            1,
        ),
        (
            "SELECT x.name FROM pragma_index_list('t') AS l, pragma_index_xinfo(l.name) AS x",
            2,
        ),
        ("SELECT \"table\" FROM pragma_foreign_key_list('t')", 1),
        ("EXPLAIN QUERY PLAN SELECT * FROM t", 1),
        ("SELECT value FROM json_each('[1, 2]')", 2),
    ] {
        let got = rows(pool, statement, &[]).await.map(|rows| rows.rows.len());
        assert!(
            matches!(got, Ok(length) if length == expected),
            "{statement}: {got:?}"
        );
    }
}

on_both!(table_rebuild_is_allowed);

async fn table_rebuild_is_allowed(_database: &Database, pool: &Pool) {
    for statement in [
        "CREATE TABLE t (i INTEGER PRIMARY KEY AUTOINCREMENT, j TEXT)",
        "CREATE INDEX x ON t (j)",
        "CREATE TRIGGER tr AFTER UPDATE ON t BEGIN UPDATE t SET j = 'y' WHERE i = new.i; END",
        "CREATE VIEW v AS SELECT j FROM t",
        "INSERT INTO t (j) VALUES ('x')",
        "ALTER TABLE t RENAME TO old",
        "ALTER TABLE old RENAME COLUMN j TO k",
        "ALTER TABLE old ADD COLUMN l INTEGER DEFAULT 1",
        "ANALYZE",
        "CREATE TABLE new (i INTEGER PRIMARY KEY AUTOINCREMENT, k TEXT)",
        "INSERT INTO new SELECT i, k FROM old",
        "UPDATE sqlite_sequence SET seq = 41 WHERE name = 'new'",
        "DROP VIEW v",
        "DROP TRIGGER tr",
        "DROP TABLE old",
        "ALTER TABLE new RENAME TO t",
        "REINDEX",
    ] {
        let got = run(pool, statement, &[]).await;
        assert!(got.is_ok(), "{statement}: {got:?}");
    }
    let poisoned = run(pool, "UPDATE sqlite_stat1 SET stat = '1 1 1'", &[]).await;
    assert!(matches!(poisoned, Err(Error::Denied(_))), "{poisoned:?}");
    let next = rows(
        pool,
        "SELECT seq FROM sqlite_sequence WHERE name = 't'",
        &[],
    )
    .await
    .unwrap();
    assert_eq!(format!("{:?}", next.rows), "[[Value::Integer(41)]]");
}
