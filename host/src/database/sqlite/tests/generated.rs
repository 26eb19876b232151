//! Generated statements, of which none may change the connection.

use super::*;

/// The state of the writer that could outlive a request.
async fn state_of_the_writer(database: &Database) -> Vec<String> {
    let lease = database.shared.writer(&budget()).await.unwrap();
    let conn = lease.conn().unwrap();
    let query = |text: String| {
        conn.query_as_host(&text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
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
        .map(|pragma| format!("{pragma} {:?}", query(format!("PRAGMA {pragma}"))))
        .collect();
    state.push(format!(
        "temporary {:?}",
        query("SELECT * FROM sqlite_temp_schema".to_owned())
    ));
    state.push(format!(
        "schema {:?}",
        query("SELECT name, sql FROM sqlite_schema WHERE name LIKE 'kept%'".to_owned())
    ));
    state.push(format!(
        "rows {:?}",
        query("SELECT * FROM main.kept".to_owned())
    ));
    state.push(format!("autocommit {:?}", conn.state()));
    state
}

/// A statement composed of parts, determined by its number.
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
            "CREATE{gap}TRIGGER{gap}{schema}{dot}tr AFTER INSERT ON {name} \
             BEGIN SELECT {called}; END"
        ),
        "f" => format!(
            "CREATE{gap}TEMPORARY{gap}TRIGGER tr INSTEAD OF INSERT ON kept_view \
             BEGIN SELECT {called}; END"
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

/// The number of statements for each database; the variable sets another.
fn generated_statements() -> u64 {
    std::env::var("USHER_TEST_STATEMENTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(3000)
}

on_both!(generated_statements_leave_the_connection_unchanged);

async fn generated_statements_leave_the_connection_unchanged(database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE kept (i INTEGER)", &[])
        .await
        .unwrap();
    run(pool, "INSERT INTO kept VALUES (1)", &[]).await.unwrap();
    run(pool, "CREATE VIEW kept_view AS SELECT i FROM kept", &[])
        .await
        .unwrap();
    let (before, mut done) = (state_of_the_writer(database).await, 0);
    for number in 0..generated_statements() {
        // Without policy, which would deny most of them.
        let text = generated(number);
        let ran = if number % 2 == 0 {
            run(pool, &text, &[]).await.is_ok()
        } else {
            rows(pool, &text, &[]).await.is_ok()
        };
        done += u64::from(ran);
        // Undo what a statement may do.
        for undo in [
            "DROP TABLE IF EXISTS main.other",
            "DROP VIEW IF EXISTS main.other",
            "DROP TRIGGER IF EXISTS main.tr",
            "DROP INDEX IF EXISTS main.x",
        ] {
            if ran {
                let _none_of_that_name = run(pool, undo, &[]).await;
            }
        }
        if number % 50 == 0 {
            assert_eq!(
                comparable(&state_of_the_writer(database).await),
                comparable(&before),
                "after {text}"
            );
        }
    }
    assert_eq!(
        comparable(&state_of_the_writer(database).await),
        comparable(&before)
    );
    assert!(done > 0);
    report(&format!(
        "{done} of {} generated statements ran",
        generated_statements()
    ));
}

/// The state without the count of changes, which no statement can read.
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
