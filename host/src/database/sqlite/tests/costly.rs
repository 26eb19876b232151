//! Statements that take much time or memory, which end soon and do not block the core.

use std::fmt::Write as _;

use super::*;

/// Runs a statement beside others, and gives how long it took and the longest that the others
/// waited.
async fn beside_others(pool: &Pool, statement: &str) -> (Result<u64, Error>, Duration, Duration) {
    let deadline = Duration::from_millis(300);
    let budget = Budget {
        deadline: Instant::now() + deadline,
        ..budget()
    };
    let statement = reads(statement);
    let short = reads("SELECT 1");
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
            pool.query(&short, &[], &super::budget()).await.unwrap();
            tokio::task::yield_now().await;
            longest = longest.max(began.elapsed());
        }
        longest
    };
    let ((done, took), longest) = tokio::join!(attack, others);
    (done, took, longest)
}

/// Far more than either takes, even on a busy machine.
const SOON: Duration = Duration::from_secs(5);

on_both!(slow_functions_end_at_the_deadline_without_blocking_the_core);

async fn slow_functions_end_at_the_deadline_without_blocking_the_core(
    _database: &Database,
    pool: &Pool,
) {
    const A: &str = "hex(zeroblob(4000000))";
    const B: &str = "hex(zeroblob(2000000)) || '1'";
    const NUMBERS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
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
        "SELECT trim(s, s) FROM (\
             WITH RECURSIVE n(i) AS (SELECT 300 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
             SELECT group_concat(char(i), '') AS s FROM n)"
            .to_owned(),
        format!("SELECT unhex({A}, {A})"),
        "SELECT printf('%1000000000d', 1), printf('%.*c', 1000000000, 'x')".to_owned(),
        "SELECT hex(randomblob(100000000))".to_owned(),
        format!("{NUMBERS} SELECT group_concat({A}) FROM n"),
        format!("{NUMBERS} SELECT count(*) FROM n WHERE length({A} || i) < 0"),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000000) \
         SELECT i FROM n ORDER BY random()"
            .to_owned(),
        format!("SELECT json_extract('[' || {A} || ']', '$[0]')"),
        chain,
    ] {
        let (done, took, longest) = beside_others(pool, &statement).await;
        let shown = statement.get(..60).unwrap_or(&statement);
        assert!(took < SOON, "{shown} took {took:?}: {done:?}");
        assert!(
            longest < SOON / 5,
            "others waited {longest:?} beside {shown}"
        );
    }
}

on_both!(function_with_large_arguments_ends_soon);

async fn function_with_large_arguments_ends_soon(database: &Database, pool: &Pool) {
    let names = {
        let lease = database.shared.writer(&budget()).await.unwrap();
        lease
            .conn()
            .unwrap()
            .query_as_host("SELECT DISTINCT name, narg, type FROM pragma_function_list")
            .unwrap()
    };
    assert!(names.len() > 100, "{}", names.len());
    rows(pool, "SELECT 1", &[]).await.unwrap();
    let (mut ran, mut denied) = (0, 0);
    for function in names {
        let mut parts = function.trim_matches('|').split('|');
        let (name, count, kind) = (
            parts.next().unwrap(),
            parts.next().unwrap(),
            parts.next().unwrap(),
        );
        let calls: &[&str] = match count {
            "0" => &[""],
            "1" => &["a"],
            "2" => &["a, b", "b, a", "1, a"],
            "3" => &["a, b, a", "a, 1, 9"],
            _ => &["a", "a, b", "a, b, a", "a, 1, b, 2, a, b"],
        };
        let window = if kind == "w"
            && !matches!(
                name,
                "count" | "sum" | "avg" | "total" | "min" | "max" | "group_concat"
            ) {
            " OVER ()"
        } else {
            ""
        };
        for arguments in calls {
            let statement = format!(
                "SELECT \"{name}\"({arguments}){window} FROM \
                 (SELECT hex(zeroblob(1000000)) AS a, hex(zeroblob(500000)) || '1' AS b)"
            );
            let (done, took, longest) = beside_others(pool, &statement).await;
            assert!(took < SOON, "{name}({arguments}) took {took:?}");
            assert!(
                longest < SOON / 5,
                "others waited {longest:?} beside {name}({arguments})"
            );
            match done {
                Ok(_) => ran += 1,
                Err(Error::Denied(_)) => denied += 1,
                Err(_) => {}
            }
        }
    }
    report(&format!("{ran} calls ran, {denied} were denied"));
    assert!(ran > 50 && denied > 20, "{ran} {denied}");
}

on_both!(rows_and_column_names_count_towards_the_limit);

async fn rows_and_column_names_count_towards_the_limit(_database: &Database, pool: &Pool) {
    let small = Budget {
        rows_bytes: 100_000,
        ..budget()
    };
    let empty = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000) \
                 SELECT '' FROM n";
    assert!(matches!(
        pool.query(&reads(empty), &[], &small).await,
        Err(Error::TooLarge(_))
    ));
    let name = "n".repeat(60_000);
    let named = format!("SELECT x.*, x.* FROM (SELECT 1 AS \"{name}\") AS x");
    assert!(matches!(
        pool.query(&reads(&named), &[], &small).await,
        Err(Error::TooLarge(_))
    ));
    let many = format!(
        "SELECT {} FROM (SELECT 1 AS \"{name}\") AS x",
        ["x.*"; 500].join(", ")
    );
    assert!(matches!(
        pool.query(&reads(&many), &[], &budget()).await,
        Err(Error::TooLarge(_))
    ));
    let opened = pool.open(&reads(&many), Vec::new(), &budget()).await;
    assert!(matches!(opened, Err(Error::TooLarge(_))));
}

on_both!(statement_that_grows_during_preparation_is_stopped);

async fn statement_that_grows_during_preparation_is_stopped(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let mut nested = String::from("WITH c0 AS (SELECT 1 AS i)");
    for level in 1..30 {
        write!(
            nested,
            ", c{level} AS (SELECT a.i FROM c{0} AS a, c{0} AS b)",
            level - 1
        )
        .unwrap();
    }
    nested.push_str(" SELECT count(*) FROM c29");
    for level in 1..24 {
        let below = if level == 1 {
            "t".to_owned()
        } else {
            format!("v{}", level - 1)
        };
        run(
            pool,
            &format!("CREATE VIEW v{level} AS SELECT a.i FROM {below} AS a, {below} AS b"),
            &[],
        )
        .await
        .unwrap();
    }
    let joins = format!(
        "SELECT count(*) FROM {}",
        (0..60)
            .map(|n| format!("t AS t{n}"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let ors = format!(
        "SELECT i FROM t WHERE {}",
        vec!["i IN (SELECT i FROM t)"; 900].join(" OR ")
    );
    for statement in [nested.as_str(), "SELECT count(*) FROM v23", &joins, &ors] {
        let (_, took, longest) = beside_others(pool, statement).await;
        let shown = statement.get(..60).unwrap_or(statement);
        assert!(took < SOON * 6, "{shown} took {took:?}");
        assert!(
            longest < SOON / 5,
            "others waited {longest:?} beside {shown}"
        );
    }
}
