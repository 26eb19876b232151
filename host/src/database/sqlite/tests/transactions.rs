//! Transactions: their isolation and their end.

use super::*;

on_both!(transaction_takes_effect_only_at_commit);

async fn transaction_takes_effect_only_at_commit(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let insert = writes("INSERT INTO t VALUES (1) RETURNING i");
    for end in 0..3 {
        let mut transaction = pool
            .begin(Isolation::Serializable, false, &budget())
            .await
            .unwrap();
        assert_eq!(
            transaction
                .query(&insert, &[], &budget())
                .await
                .unwrap()
                .rows
                .len(),
            1
        );
        assert_eq!(
            transaction
                .execute(&reads("SELECT * FROM t"), &[], &budget())
                .await
                .unwrap(),
            1
        );
        match end {
            0 => drop(transaction),
            1 => transaction.rollback(&budget()).await.unwrap(),
            _ => transaction.commit(&budget()).await.unwrap(),
        }
        assert_eq!(count(pool, "t").await, i64::from(end == 2));
    }
}

on_both!(refusal_aborts_its_transaction);

async fn refusal_aborts_its_transaction(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i INTEGER UNIQUE)", &[])
        .await
        .unwrap();
    let mut transaction = pool
        .begin(Isolation::ReadCommitted, false, &budget())
        .await
        .unwrap();
    let insert = writes("INSERT INTO t VALUES ($1)");
    transaction
        .execute(&insert, &[Value::Integer(1)], &budget())
        .await
        .unwrap();
    // The host detects this before the statement begins.
    assert!(matches!(
        transaction.execute(&insert, &[], &budget()).await,
        Err(Error::Invalid(_))
    ));
    assert_eq!(
        refusal(
            transaction
                .execute(&insert, &[Value::Integer(1)], &budget())
                .await
        )
        .code,
        "23505"
    );
    assert_eq!(
        refusal(
            transaction
                .execute(&insert, &[Value::Integer(2)], &budget())
                .await
        )
        .code,
        "25P02"
    );
    assert_eq!(
        refusal(transaction.query(&reads("SELECT 1"), &[], &budget()).await).code,
        "25P02"
    );
    assert_eq!(refusal(transaction.commit(&budget()).await).code, "25P02");
    assert_eq!(count(pool, "t").await, 0);
}

on_both!(read_only_transaction_refuses_writes);

async fn read_only_transaction_refuses_writes(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let mut transaction = pool
        .begin(Isolation::Serializable, true, &budget())
        .await
        .unwrap();
    transaction
        .query(&reads("SELECT * FROM t"), &[], &budget())
        .await
        .unwrap();
    let insert = writes("INSERT INTO t VALUES (1)");
    assert_eq!(
        refusal(transaction.execute(&insert, &[], &budget()).await).code,
        "25006"
    );
    drop(transaction);
    assert_eq!(count(pool, "t").await, 0);
}

on_both!(deferred_foreign_key_refuses_the_commit);

async fn deferred_foreign_key_refuses_the_commit(_database: &Database, pool: &Pool) {
    let table = "CREATE TABLE t (i INTEGER PRIMARY KEY, \
                 of INTEGER REFERENCES t (i) DEFERRABLE INITIALLY DEFERRED)";
    run(pool, table, &[]).await.unwrap();
    let mut transaction = pool
        .begin(Isolation::Serializable, false, &budget())
        .await
        .unwrap();
    transaction
        .execute(&writes("INSERT INTO t VALUES (1, 2)"), &[], &budget())
        .await
        .unwrap();
    assert_eq!(refusal(transaction.commit(&budget()).await).code, "23503");
    assert_eq!(count(pool, "t").await, 0);
}

on_both!(concurrent_writers_lose_no_update);

async fn concurrent_writers_lose_no_update(database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    run(pool, "INSERT INTO t VALUES (0)", &[]).await.unwrap();
    let cores = [database.pool(), database.pool()];
    let increment = writes("UPDATE t SET i = i + 1");
    let work = |core: usize| {
        let pool = &cores[core];
        let increment = &increment;
        async move {
            for round in 0..50 {
                if round % 2 == 0 {
                    pool.execute(increment, &[], &budget()).await.unwrap();
                } else {
                    let mut transaction = pool
                        .begin(Isolation::Serializable, false, &budget())
                        .await
                        .unwrap();
                    transaction
                        .execute(increment, &[], &budget())
                        .await
                        .unwrap();
                    transaction.commit(&budget()).await.unwrap();
                }
                rows(pool, "SELECT i FROM t", &[]).await.unwrap();
            }
        }
    };
    tokio::join!(work(0), work(1));
    let got = rows(pool, "SELECT i FROM t", &[]).await.unwrap().rows;
    assert_eq!(format!("{got:?}"), format!("{:?}", [[Value::Integer(100)]]));
}

on_both!(writer_that_stays_busy_is_overloaded);

async fn writer_that_stays_busy_is_overloaded(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let held = pool
        .begin(Isolation::Serializable, false, &budget())
        .await
        .unwrap();
    let insert = writes("INSERT INTO t VALUES (1)");
    assert!(matches!(
        pool.execute(&insert, &[], &soon()).await,
        Err(Error::Overloaded)
    ));
    assert!(matches!(
        pool.begin(Isolation::Serializable, false, &soon()).await,
        Err(Error::Overloaded)
    ));
    held.rollback(&budget()).await.unwrap();
    assert_eq!(pool.execute(&insert, &[], &budget()).await.unwrap(), 1);
}

#[tokio::test]
async fn reader_of_a_file_sees_no_uncommitted_row_and_does_not_wait() {
    let scratch = Scratch::new();
    let database = Database::open(&scratch.file(), &config()).await.unwrap();
    let pool = database.pool();
    run(&pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let mut transaction = pool
        .begin(Isolation::Serializable, false, &budget())
        .await
        .unwrap();
    transaction
        .execute(&writes("INSERT INTO t VALUES (1)"), &[], &budget())
        .await
        .unwrap();
    assert_eq!(count(&pool, "t").await, 0);
    let mut snapshot = pool
        .begin(Isolation::RepeatableRead, true, &budget())
        .await
        .unwrap();
    transaction.commit(&budget()).await.unwrap();
    assert_eq!(count(&pool, "t").await, 1);
    assert_eq!(
        snapshot
            .execute(&reads("SELECT * FROM t"), &[], &budget())
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn reader_of_memory_waits_for_the_writer() {
    let database = Database::memory(&config()).await.unwrap();
    let pool = database.pool();
    run(&pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let mut transaction = pool
        .begin(Isolation::Serializable, false, &budget())
        .await
        .unwrap();
    transaction
        .execute(&writes("INSERT INTO t VALUES (1)"), &[], &budget())
        .await
        .unwrap();
    let (seen, ()) = tokio::join!(count(&pool, "t"), async {
        transaction.commit(&budget()).await.unwrap();
    });
    assert_eq!(seen, 1);
}

#[tokio::test]
async fn lock_of_another_process_is_waited_for() {
    let scratch = Scratch::new();
    let database = Database::open(&scratch.file(), &config()).await.unwrap();
    let pool = database.pool();
    run(&pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let other = rusqlite::Connection::open(scratch.file()).unwrap();
    other
        .execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
        .unwrap();
    let insert = writes("INSERT INTO t VALUES (2)");
    assert!(matches!(
        pool.execute(&insert, &[], &soon()).await,
        Err(Error::Overloaded)
    ));
    assert!(matches!(
        pool.begin(Isolation::Serializable, false, &soon()).await,
        Err(Error::Overloaded)
    ));
    let (budget, release) = (budget(), async {
        tokio::task::yield_now().await;
        other.execute_batch("COMMIT").unwrap();
    });
    let (written, ()) = tokio::join!(pool.execute(&insert, &[], &budget), release);
    assert_eq!(written.unwrap(), 1);
    assert_eq!(count(&pool, "t").await, 2);
}
