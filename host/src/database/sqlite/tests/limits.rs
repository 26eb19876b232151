//! Statements over their time or size, and cursors.

use super::*;

on_both!(statement_at_its_deadline_times_out);

async fn statement_at_its_deadline_times_out(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    assert!(matches!(
        pool.query(&reads(ENDLESS), &[], &soon()).await,
        Err(Error::Timeout)
    ));
    let insert = writes(&format!("INSERT INTO t {ENDLESS}"));
    assert!(matches!(
        pool.execute(&insert, &[], &soon()).await,
        Err(Error::Timeout)
    ));
    let mut transaction = pool
        .begin(Isolation::Serializable, false, &budget())
        .await
        .unwrap();
    transaction
        .execute(&writes("INSERT INTO t VALUES (1)"), &[], &budget())
        .await
        .unwrap();
    assert!(matches!(
        transaction.execute(&insert, &[], &soon()).await,
        Err(Error::Timeout)
    ));
    assert_eq!(refusal(transaction.commit(&budget()).await).code, "25P02");
    assert_eq!(count(pool, "t").await, 0);
    assert_eq!(run(pool, "INSERT INTO t VALUES (1)", &[]).await.unwrap(), 1);
}

on_both!(slow_statement_does_not_block_the_core);

async fn slow_statement_does_not_block_the_core(_database: &Database, pool: &Pool) {
    let slow = reads(ENDLESS);
    let deadline = soon();
    let mut answers = 0_u32;
    let others = async {
        while !deadline.is_over() {
            rows(pool, "SELECT 1", &[]).await.unwrap();
            answers += 1;
            tokio::task::yield_now().await;
        }
    };
    let (slow, ()) = tokio::join!(pool.query(&slow, &[], &deadline), others);
    assert!(matches!(slow, Err(Error::Timeout)));
    assert!(answers > 10, "{answers}");
}

on_both!(dropped_call_ends_its_statement);

async fn dropped_call_ends_its_statement(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let insert = writes(&format!("INSERT INTO t {ENDLESS}"));
    let given_up = tokio::time::timeout(
        Duration::from_millis(50),
        pool.execute(&insert, &[], &budget()),
    )
    .await;
    assert!(given_up.is_err());
    let before = Instant::now();
    assert_eq!(run(pool, "INSERT INTO t VALUES (1)", &[]).await.unwrap(), 1);
    assert!(before.elapsed() < Duration::from_secs(5));
    assert_eq!(count(pool, "t").await, 1);
}

on_both!(result_over_its_budget_is_too_large);

async fn result_over_its_budget_is_too_large(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i TEXT)", &[]).await.unwrap();
    let small = Budget {
        rows_bytes: 1000,
        ..budget()
    };
    let many =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) SELECT i FROM n";
    assert!(matches!(
        pool.query(&reads(many), &[], &small).await,
        Err(Error::TooLarge(1000))
    ));
    assert!(matches!(
        pool.query(&reads("SELECT hex(zeroblob(1000))"), &[], &small)
            .await,
        Err(Error::TooLarge(1000))
    ));
    assert_eq!(
        pool.query(&reads("SELECT hex(zeroblob(100))"), &[], &small)
            .await
            .unwrap()
            .rows
            .len(),
        1
    );
    let insert = writes(&format!("INSERT INTO t {many} RETURNING i"));
    assert!(matches!(
        pool.query(&insert, &[], &small).await,
        Err(Error::TooLarge(1000))
    ));
    assert_eq!(count(pool, "t").await, 0);
}

on_both!(cursor_returns_all_rows_in_order_then_none);

async fn cursor_returns_all_rows_in_order_then_none(_database: &Database, pool: &Pool) {
    let many = reads(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) SELECT i FROM n",
    );
    let mut cursor = pool.open(&many, Vec::new(), &budget()).await.unwrap();
    assert_eq!(cursor.columns(), ["i"]);
    let mut seen = Vec::new();
    loop {
        // 20 rows are within the limit.
        let batch = cursor
            .next(
                30,
                &Budget {
                    rows_bytes: 960,
                    ..budget()
                },
            )
            .await
            .unwrap();
        if batch.is_empty() {
            break;
        }
        assert!(batch.len() <= 20);
        seen.extend(batch.into_iter().flatten());
    }
    let expected: Vec<_> = (1..=100).map(Value::Integer).collect();
    assert_eq!(format!("{seen:?}"), format!("{expected:?}"));
    assert!(cursor.next(1, &budget()).await.unwrap().is_empty());
}

on_both!(cursor_shows_the_snapshot_of_its_opening);

async fn cursor_shows_the_snapshot_of_its_opening(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    run(pool, "INSERT INTO t VALUES (1), (2), (3)", &[])
        .await
        .unwrap();
    let mut cursor = pool
        .open(&reads("SELECT i FROM t"), Vec::new(), &budget())
        .await
        .unwrap();
    run(pool, "DELETE FROM t", &[]).await.unwrap();
    assert_eq!(cursor.next(2, &budget()).await.unwrap().len(), 2);
    drop(cursor);
    let mut none = pool
        .open(&reads("SELECT i FROM t"), Vec::new(), &budget())
        .await
        .unwrap();
    assert_eq!(none.columns(), ["i"]);
    assert!(none.next(2, &budget()).await.unwrap().is_empty());
    let mut written = pool
        .open(
            &writes("INSERT INTO t VALUES (7) RETURNING i"),
            Vec::new(),
            &budget(),
        )
        .await
        .unwrap();
    assert_eq!(count(pool, "t").await, 1);
    assert_eq!(written.next(2, &budget()).await.unwrap().len(), 1);
    assert!(matches!(
        pool.open(&reads(ENDLESS), Vec::new(), &soon()).await,
        Err(Error::Timeout)
    ));
}

#[tokio::test]
async fn interrupted_statement_had_no_effect() {
    let database = Database::memory(&config()).await.unwrap();
    let pool = database.pool();
    run(&pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let lease = database.shared.writer(&budget()).await.unwrap();
    let (mut done, mut interrupted) = (0, 0);
    for text in [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (1) RETURNING i",
    ] {
        // SQLite checks the time every so many instructions, also after the last change.
        for _ in 0..1000 {
            match inline::execute(
                lease.conn().unwrap(),
                &writes(text),
                &[],
                &Output::Count,
                &Budget {
                    deadline: Instant::now(),
                    ..budget()
                },
            ) {
                Ok(_) => done += 1,
                Err(Failure::Interrupted) => interrupted += 1,
                Err(failure) => panic!("{failure:?}"),
            }
        }
    }
    drop(lease);
    assert!(interrupted > 0);
    assert_eq!(count(&pool, "t").await, done);
}

#[tokio::test]
async fn statement_stopped_inline_runs_once_on_a_separate_thread() {
    let database = Database::memory(&config()).await.unwrap();
    let pool = database.pool();
    run(&pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) \
                SELECT i FROM n";
    assert_eq!(
        run(&pool, &format!("INSERT INTO t {many}"), &[])
            .await
            .unwrap(),
        200_000
    );
    assert_eq!(count(&pool, "t").await, 200_000);
    let mut transaction = pool
        .begin(Isolation::Serializable, false, &budget())
        .await
        .unwrap();
    transaction
        .execute(&writes("DELETE FROM t WHERE i = 1"), &[], &budget())
        .await
        .unwrap();
    assert_eq!(
        transaction
            .execute(&reads(many), &[], &budget())
            .await
            .unwrap(),
        200_000
    );
    assert_eq!(
        transaction
            .execute(&reads("SELECT 1 FROM t"), &[], &budget())
            .await
            .unwrap(),
        199_999
    );
    transaction.commit(&budget()).await.unwrap();
    assert_eq!(count(&pool, "t").await, 199_999);
}
