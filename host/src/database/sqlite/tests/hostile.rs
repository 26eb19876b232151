//! Statements that are made to do harm: to the connection, to the core's time, to the host's memory.

use std::fmt::Write as _;

use super::*;

on_both! {
    async fn what_outlives_a_request_is_denied(_database: &Database, pool: &Pool) {
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
            assert!(matches!(got, Err(Error::Denied(_) | Error::Refused(_))), "{statement}: {got:?}");
        }
        run(pool, "INSERT INTO t VALUES (1)", &[]).await.unwrap();
        assert_eq!(count(pool, "main.t").await, 1);
    }
}

on_both! {
    async fn what_shows_the_host_is_denied(_database: &Database, pool: &Pool) {
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
            assert!(matches!(got, Err(Error::Denied(_) | Error::Refused(_))), "{statement}: {got:?}");
            if let Err(Error::Denied(why)) = &got {
                assert!(!why.contains("/tmp"), "{why}");
            }
        }
    }
}

on_both! {
    async fn a_denied_function_is_denied_wherever_it_is_hidden(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
        for statement in [
            "CREATE TABLE u (i DEFAULT (changes()))",
            "CREATE TABLE u (i CHECK (changes() > 0))",
            "CREATE TABLE u (i, j AS (json_patch(i, i)))",
            "CREATE INDEX x ON t (json_patch(i, i))",
            "CREATE INDEX x ON t (i) WHERE json_patch(i, i)",
        ] {
            let got = run(pool, statement, &[]).await;
            assert!(matches!(got, Err(Error::Denied(_) | Error::Refused(_))), "{statement}: {got:?}");
        }
        run(pool, "CREATE VIEW v AS SELECT total_changes() AS n", &[]).await.unwrap();
        let got = rows(pool, "SELECT n FROM v", &[]).await;
        assert!(matches!(got, Err(Error::Denied(_))), "{got:?}");
        run(pool, "CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET i = changes(); END", &[]).await.unwrap();
        let got = run(pool, "INSERT INTO t VALUES (1)", &[]).await;
        assert!(matches!(got, Err(Error::Denied(_))), "{got:?}");
        assert_eq!(count(pool, "t").await, 0);
    }
}

on_both! {
    async fn the_schema_can_be_read(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i INTEGER PRIMARY KEY, j TEXT UNIQUE REFERENCES t (j))", &[]).await.unwrap();
        for (statement, expected) in [
            ("SELECT name FROM sqlite_master WHERE name = 't'", 1),
            ("SELECT name FROM sqlite_schema WHERE name = 't'", 1),
            ("SELECT name FROM pragma_table_info('t')", 2),
            ("SELECT name FROM pragma_table_xinfo('t')", 2),
            ("SELECT name FROM pragma_table_list WHERE name = 't'", 1),
            ("SELECT x.name FROM pragma_index_list('t') AS l, pragma_index_info(l.name) AS x", 1),
            ("SELECT x.name FROM pragma_index_list('t') AS l, pragma_index_xinfo(l.name) AS x", 2),
            ("SELECT \"table\" FROM pragma_foreign_key_list('t')", 1),
            ("EXPLAIN QUERY PLAN SELECT * FROM t", 1),
            ("SELECT value FROM json_each('[1, 2]')", 2),
        ] {
            let got = rows(pool, statement, &[]).await.map(|rows| rows.rows.len());
            assert!(matches!(got, Ok(length) if length == expected), "{statement}: {got:?}");
        }
    }
}

on_both! {
    async fn tables_can_be_rebuilt(_database: &Database, pool: &Pool) {
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
        let next = rows(pool, "SELECT seq FROM sqlite_sequence WHERE name = 't'", &[]).await.unwrap();
        assert_eq!(format!("{:?}", next.rows), "[[Value::Integer(41)]]");
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the count is what a long run is asked for"
)]
fn say(count: &str) {
    println!("{count}");
}

/// What of a connection could outlive a request, asked by the host itself.
async fn state_of_the_writer(database: &Database) -> Vec<String> {
    let lease = database.shared.writer(&budget()).await.unwrap();
    let conn = lease.conn().unwrap();
    let ask = |question: String| {
        conn.ask_as_host(&question)
            .unwrap_or_else(|error| panic!("{question}: {error}"))
    };
    let pragmas = [
        "application_id",
        "automatic_index",
        "busy_timeout",
        "cache_size",
        "cache_spill",
        "cell_size_check",
        "checkpoint_fullfsync",
        "count_changes",
        "defer_foreign_keys",
        "empty_result_callbacks",
        "encoding",
        "foreign_keys",
        "full_column_names",
        "fullfsync",
        "ignore_check_constraints",
        "journal_mode",
        "journal_size_limit",
        "legacy_alter_table",
        "locking_mode",
        "max_page_count",
        "mmap_size",
        "page_size",
        "query_only",
        "read_uncommitted",
        "recursive_triggers",
        "reverse_unordered_selects",
        "secure_delete",
        "short_column_names",
        "soft_heap_limit",
        "hard_heap_limit",
        "synchronous",
        "temp_store",
        "threads",
        "trusted_schema",
        "user_version",
        "wal_autocheckpoint",
        "writable_schema",
        "analysis_limit",
    ];
    let mut state: Vec<_> = pragmas
        .iter()
        .map(|pragma| format!("{pragma} {:?}", ask(format!("PRAGMA {pragma}"))))
        .collect();
    state.push(format!(
        "temporary {:?}",
        ask("SELECT * FROM sqlite_temp_schema".to_owned())
    ));
    state.push(format!(
        "schema {:?}",
        ask("SELECT name, sql FROM sqlite_schema WHERE name LIKE 'kept%'".to_owned())
    ));
    state.push(format!(
        "rows {:?}",
        ask("SELECT * FROM main.kept".to_owned())
    ));
    state.push(format!("autocommit {:?}", conn.state()));
    state
}

/// A statement out of parts, the same for the same number.
fn generated(number: u64) -> String {
    let mut seed = number
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(0x1234_5678);
    let mut pick = |from: &[&'static str]| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        from.get(usize::try_from(seed % from.len() as u64).unwrap())
            .copied()
            .unwrap()
    };
    let gap = pick(&[" ", "/**/", "\n", " -- temp\n", "\t", " /* ; */ "]);
    let schema = pick(&[
        "temp", "TEMP", "\"temp\"", "[temp]", "`Temp`", "main", "\"main\"", "temp ",
    ]);
    let dot = pick(&[".", " . ", "/**/./**/"]);
    let name = pick(&[
        "kept",
        "\"kept\"",
        "[kept]",
        "other",
        "sqlite_sequence",
        "sqlite_temp_schema",
        "sqlite_master",
        "kept_view",
    ]);
    let called = pick(&[
        "changes()",
        "last_insert_rowid()",
        "total_changes()",
        "load_extension('x')",
        "sqlite_log(1, 'x')",
        "random()",
        "1",
        "(SELECT 1 FROM pragma_database_list)",
        "(SELECT file FROM pragma_database_list)",
        "fts3_tokenizer('simple')",
    ]);
    let pragma = pick(&[
        "user_version = 7",
        "writable_schema = 1",
        "temp_store = 2",
        "query_only = 1",
        "foreign_keys = 0",
        "journal_mode = DELETE",
        "trusted_schema = 1",
        "application_id = 9",
        "locking_mode = EXCLUSIVE",
        "secure_delete = 1",
        "synchronous = 0",
        "case_sensitive_like = 1",
        "wal_autocheckpoint = 0",
        "defer_foreign_keys = 1",
        "recursive_triggers = 1",
    ]);
    let object = format!("{schema}{dot}{name}");
    match pick(&[
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
    ]) {
        "a" => format!("CREATE{gap}TABLE{gap}{object}(i{gap}DEFAULT{gap}({called}))"),
        "b" => format!("CREATE{gap}TABLE{gap}IF NOT EXISTS {object} AS SELECT {called} AS i"),
        "c" => format!("CREATE{gap}TEMP{gap}TABLE{gap}{name}(i)"),
        "d" => format!("CREATE{gap}VIEW{gap}{object} AS SELECT {called} AS i"),
        "e" => format!(
            "CREATE{gap}TRIGGER{gap}{schema}{dot}tr AFTER INSERT ON {name} BEGIN SELECT {called}; END"
        ),
        "f" => format!(
            "CREATE{gap}TEMPORARY{gap}TRIGGER tr INSTEAD OF INSERT ON kept_view BEGIN SELECT {called}; END"
        ),
        "g" => format!("PRAGMA{gap}{pragma}"),
        "h" => format!("EXPLAIN{gap}CREATE TABLE {object}(i)"),
        "i" => format!("EXPLAIN QUERY PLAN{gap}PRAGMA{gap}{pragma}"),
        "j" => format!("SELECT{gap}{called} FROM {object}"),
        "k" => format!("WITH x AS (SELECT {called}) SELECT{gap}* FROM x, {object}"),
        "l" => format!("ATTACH{gap}':memory:'{gap}AS{gap}{name}"),
        "m" => format!("INSERT INTO{gap}{object} SELECT {called} WHERE 0"),
        "n" => format!("ALTER{gap}TABLE{gap}other RENAME TO {name}"),
        "o" => pick(&[
            "BEGIN",
            "SAVEPOINT s",
            "BEGIN EXCLUSIVE",
            "RELEASE s",
            "DETACH temp",
            "VACUUM",
            "REINDEX",
            "END",
        ])
        .to_owned(),
        _ => format!("CREATE{gap}INDEX{gap}{schema}{dot}x ON {name}(i)"),
    }
}

/// How many statements are generated for each database: many more where this variable says so.
fn generated_statements() -> u64 {
    std::env::var("USHER_TEST_STATEMENTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(3000)
}

on_both! {
    async fn generated_statements_leave_nothing_on_the_connection(database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE kept (i INTEGER)", &[]).await.unwrap();
        run(pool, "INSERT INTO kept VALUES (1)", &[]).await.unwrap();
        run(pool, "CREATE VIEW kept_view AS SELECT i FROM kept", &[]).await.unwrap();
        let (before, mut done) = (state_of_the_writer(database).await, 0);
        for number in 0..generated_statements() {
            // Policy is not asked here: this is what is behind it.
            let text = generated(number);
            let ran = if number % 2 == 0 {
                run(pool, &text, &[]).await.is_ok()
            } else {
                rows(pool, &text, &[]).await.is_ok()
            };
            done += u64::from(ran);
            // What a statement may do, made undone.
            for undo in ["DROP TABLE IF EXISTS main.other", "DROP VIEW IF EXISTS main.other", "DROP TRIGGER IF EXISTS main.tr", "DROP INDEX IF EXISTS main.x"] {
                if ran {
                    let _none_of_that_name = run(pool, undo, &[]).await;
                }
            }
            if number % 50 == 0 {
                assert_eq!(comparable(&state_of_the_writer(database).await), comparable(&before), "after {text}");
            }
        }
        assert_eq!(comparable(&state_of_the_writer(database).await), comparable(&before));
        assert!(done > 0);
        say(&format!("{done} of {} generated statements ran", generated_statements()));
    }
}

/// Without the count of changes, which no statement can ask for.
fn comparable(state: &[String]) -> Vec<String> {
    state
        .iter()
        .map(|line| match line.split_once("changes: ") {
            Some((_, after)) => after
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .to_owned(),
            None => line.clone(),
        })
        .collect()
}

/// Runs a statement beside others, and gives how long it took and the longest that the others waited.
async fn beside_others(pool: &Pool, statement: &str) -> (Result<u64, Error>, Duration, Duration) {
    let deadline = Duration::from_millis(300);
    let budget = Budget {
        deadline: Instant::now() + deadline,
        ..budget()
    };
    let statement = reads(statement);
    let quick = reads("SELECT 1");
    let is_done = std::cell::Cell::new(false);
    let attack = async {
        let began = Instant::now();
        let done = pool.execute(&statement, &[], &budget).await;
        is_done.set(true);
        (done, began.elapsed())
    };
    let others = async {
        let mut longest = Duration::ZERO;
        while !is_done.get() {
            let began = Instant::now();
            pool.query(&quick, &[], &super::budget()).await.unwrap();
            tokio::task::yield_now().await;
            longest = longest.max(began.elapsed());
        }
        longest
    };
    let ((done, took), longest) = tokio::join!(attack, others);
    (done, took, longest)
}

/// Far more than either takes, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(5);

on_both! {
    async fn slow_functions_end_at_the_deadline_and_leave_the_core_to_others(_database: &Database, pool: &Pool) {
        const A: &str = "hex(zeroblob(4000000))";
        const B: &str = "hex(zeroblob(2000000)) || '1'";
        rows(pool, "SELECT 1", &[]).await.unwrap();
        let mut chain = String::from("SELECT 1");
        for _ in 0..3000 {
            chain.push_str(" + length(a)");
        }
        write!(chain, " FROM (SELECT {A} AS a)").unwrap();
        for statement in [
            format!("SELECT instr({A}, {B})"),
            format!("SELECT instr(CAST({A} AS BLOB), CAST({B} AS BLOB))"),
            format!("SELECT replace({A}, {B}, 'c')"),
            format!("SELECT replace({A}, '0', {A})"),
            format!("SELECT {A} LIKE '%' || substr({A}, 1, 2000) || '1'"),
            format!("SELECT {A} LIKE '%0%0%0%0%0%0%0%0%0%0%1'"),
            format!("SELECT {A} GLOB '*' || substr({A}, 1, 2000) || '1'"),
            format!("SELECT {A} GLOB '*[0-9][0-9][0-9][0-9]*[1-3]1'"),
            format!("SELECT trim({A}, {B})"),
            "SELECT trim(s, s) FROM (WITH RECURSIVE n(i) AS (SELECT 300 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT group_concat(char(i), '') AS s FROM n)".to_owned(),
            format!("SELECT unhex({A}, {A})"),
            "SELECT printf('%1000000000d', 1), printf('%.*c', 1000000000, 'x')".to_owned(),
            "SELECT hex(randomblob(100000000))".to_owned(),
            format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT group_concat({A}) FROM n"),
            format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE length({A} || i) < 0"),
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000000) SELECT i FROM n ORDER BY random()".to_owned(),
            format!("SELECT json_extract('[' || {A} || ']', '$[0]')"),
            chain,
        ] {
            let (done, took, longest) = beside_others(pool, &statement).await;
            let shown = statement.get(..60).unwrap_or(&statement);
            assert!(took < SOON, "{shown} took {took:?}: {done:?}");
            assert!(longest < SOON / 5, "others waited {longest:?} beside {shown}");
        }
    }
}

on_both! {
    async fn every_function_with_large_arguments_ends_soon(database: &Database, pool: &Pool) {
        let names = {
            let lease = database.shared.writer(&budget()).await.unwrap();
            lease.conn().unwrap().ask_as_host("SELECT DISTINCT name, narg, type FROM pragma_function_list").unwrap()
        };
        assert!(names.len() > 100, "{}", names.len());
        rows(pool, "SELECT 1", &[]).await.unwrap();
        let (mut ran, mut denied) = (0, 0);
        for function in names {
            let mut parts = function.trim_matches('|').split('|');
            let (name, count, kind) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            let calls: &[&str] = match count {
                "0" => &[""],
                "1" => &["a"],
                "2" => &["a, b", "b, a", "1, a"],
                "3" => &["a, b, a", "a, 1, 9"],
                _ => &["a", "a, b", "a, b, a", "a, 1, b, 2, a, b"],
            };
            let window = if kind == "w" && !matches!(name, "count" | "sum" | "avg" | "total" | "min" | "max" | "group_concat") { " OVER ()" } else { "" };
            for arguments in calls {
                let statement = format!(
                    "SELECT \"{name}\"({arguments}){window} FROM (SELECT hex(zeroblob(1000000)) AS a, hex(zeroblob(500000)) || '1' AS b)"
                );
                let (done, took, longest) = beside_others(pool, &statement).await;
                assert!(took < SOON, "{name}({arguments}) took {took:?}");
                assert!(longest < SOON / 5, "others waited {longest:?} beside {name}({arguments})");
                match done {
                    Ok(_) => ran += 1,
                    Err(Error::Denied(_)) => denied += 1,
                    Err(_) => {}
                }
            }
        }
        say(&format!("{ran} calls ran, {denied} were denied"));
        assert!(ran > 50 && denied > 20, "{ran} {denied}");
    }
}

on_both! {
    async fn own_functions_give_what_sqlite_gives(database: &Database, _pool: &Pool) {
        let own = database.shared.writer(&budget()).await.unwrap();
        let sqlite = rusqlite::Connection::open_in_memory().unwrap();
        let values = [
            "NULL", "''", "'a'", "'b'", "'ab'", "'aab'", "'aaab'", "'ABab'", "'%'", "'_'", "'a%'", "'%b'", "'%a%b'", "'a_b'", "'_%_'",
            "'*'", "'a*b'", "'[a-b]*'", "'[^a]b'", "'[]]'", "'[a'", "'[a-'", "'?b'", "'a?'", "'\\%'", "'é'", "'éa'", "'aé'", "'日本語'",
            "'%本%'", "'ÉA'", "x''", "x'61'", "x'6162'", "x'c3'", "x'a9'", "x'c3a9'", "x'00'", "x'610062'", "1", "12", "-1", "1.5", "0.1",
            "1e20", "-1.5e-7", "123456789012345680.0", "1e15", "1e16", "1e17", "3.0", "'31'", "'6 1'", "'6162'", "'61-62'", "' '", "'-'", "'  a '",
            "9223372036854775807", "1e300", "0.0001", "0.00001", "CAST(x'61ff62' AS TEXT)",
        ];
        let ask = |expression: &str| {
            let text = format!("SELECT typeof(x), hex(x) FROM (SELECT {expression} AS x)");
            let expected: Result<(String, String), _> =
                sqlite.query_row(&text, [], |row| Ok((row.get(0)?, row.get(1)?)));
            let got = own.conn().unwrap().ask_as_host(&text);
            match (expected, got) {
                (Ok((kind, hex)), Ok(got)) => assert_eq!(got, [format!("|{kind}|{hex}|")], "{expression}"),
                (Err(_), Err(_)) => {}
                (expected, got) => panic!("{expression}: {expected:?} and {got:?}"),
            }
        };
        for one in values {
            ask(&format!("{one} || ''"));
            for other in values {
                for function in ["instr", "trim", "ltrim", "rtrim", "unhex", "like", "glob"] {
                    ask(&format!("{function}({one}, {other})"));
                }
                ask(&format!("replace({one}, {other}, 'xy')"));
                ask(&format!("replace('aabab', {one}, {other})"));
                ask(&format!("{one} LIKE {other} ESCAPE '\\'"));
                ask(&format!("{one} LIKE {other} ESCAPE '%'"));
                ask(&format!("{one} LIKE 'a' ESCAPE {other}"));
            }
        }
    }
}

on_both! {
    async fn rows_and_names_are_charged(_database: &Database, pool: &Pool) {
        let small = Budget { rows_bytes: 100_000, ..budget() };
        let empty = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000) SELECT '' FROM n";
        assert!(matches!(pool.query(&reads(empty), &[], &small).await, Err(Error::TooLarge(_))));
        let name = "n".repeat(60_000);
        let named = format!("SELECT x.*, x.* FROM (SELECT 1 AS \"{name}\") AS x");
        assert!(matches!(pool.query(&reads(&named), &[], &small).await, Err(Error::TooLarge(_))));
        let many = format!("SELECT {} FROM (SELECT 1 AS \"{name}\") AS x", ["x.*"; 500].join(", "));
        assert!(matches!(pool.query(&reads(&many), &[], &budget()).await, Err(Error::TooLarge(_))));
        let opened = pool.open(&reads(&many), Vec::new(), &budget()).await;
        assert!(matches!(opened, Err(Error::TooLarge(_))));
    }
}

on_both! {
    async fn a_statement_that_grows_while_it_is_prepared_is_stopped(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
        let mut nested = String::from("WITH c0 AS (SELECT 1 AS i)");
        for level in 1..30 {
            write!(nested, ", c{level} AS (SELECT a.i FROM c{0} AS a, c{0} AS b)", level - 1).unwrap();
        }
        nested.push_str(" SELECT count(*) FROM c29");
        for level in 1..24 {
            let below = if level == 1 { "t".to_owned() } else { format!("v{}", level - 1) };
            run(pool, &format!("CREATE VIEW v{level} AS SELECT a.i FROM {below} AS a, {below} AS b"), &[]).await.unwrap();
        }
        let joins = format!("SELECT count(*) FROM {}", (0..60).map(|n| format!("t AS t{n}")).collect::<Vec<_>>().join(", "));
        let ors = format!("SELECT i FROM t WHERE {}", vec!["i IN (SELECT i FROM t)"; 900].join(" OR "));
        for statement in [nested.as_str(), "SELECT count(*) FROM v23", &joins, &ors] {
            let (_, took, longest) = beside_others(pool, statement).await;
            let shown = statement.get(..60).unwrap_or(statement);
            assert!(took < SOON * 6, "{shown} took {took:?}");
            assert!(longest < SOON / 5, "others waited {longest:?} beside {shown}");
        }
    }
}
