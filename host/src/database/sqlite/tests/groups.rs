//! Group commit: writes that wait at the same time share a transaction, and none notices.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::task::Poll;

use rusqlite::hooks::Action;
use tokio::sync::Notify;

use super::*;

/// A write that takes part in groups: it has run before and was short.
fn grouped(text: &str) -> Arc<Statement> {
    let statement = Statement::new(text.to_owned(), Effect::Changes);
    statement.micros.store(10, Relaxed);
    statement
}

/// Waits for all of these, which it polls in order.
async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let futures = futures.into_iter();
    let mut all: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        let mut is_pending = false;
        for (future, output) in all.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(ready) => *output = Some(ready),
                Poll::Pending => is_pending = true,
            }
        }
        if is_pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    all.into_iter().filter_map(|(_, output)| output).collect()
}

/// Polls a future once. Returns whether it is still pending.
async fn is_pending(mut future: Pin<&mut impl Future>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// A database in a file with a table `t`, and how often its writer has committed.
struct Served {
    // Dropped before its directory.
    pool: Pool,
    database: Database,
    scratch: Scratch,
    commits: Arc<AtomicU64>,
}

impl Served {
    async fn new(table: &str) -> Self {
        let scratch = Scratch::new();
        let database = Database::open(&scratch.file(), &config()).await.unwrap();
        let pool = database.pool();
        run(&pool, table, &[]).await.unwrap();
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        let hook = move || {
            counter.fetch_add(1, Relaxed);
            false
        };
        let served = Self {
            pool,
            database,
            scratch,
            commits,
        };
        served.set_up(|sqlite| sqlite.commit_hook(Some(hook))).await;
        served
    }

    /// Changes the connection that writes.
    async fn set_up(&self, change: impl FnOnce(&mut rusqlite::Connection) -> rusqlite::Result<()>) {
        let mut lease = self.database.shared.writer(&budget()).await.unwrap();
        change(&mut lease.conn_mut().unwrap().sqlite).unwrap();
    }

    /// Runs all of these while the writer is held, so that they wait together. Returns the results
    /// and the number of commits.
    async fn together<T>(&self, writes: Vec<impl Future<Output = T>>) -> (Vec<T>, u64) {
        let held = self.hold().await;
        let before = self.commits.load(Relaxed);
        let release = async {
            // All of them are polled first.
            tokio::task::yield_now().await;
            held.rollback(&budget()).await.unwrap();
        };
        let (results, ()) = tokio::join!(join_all(writes), release);
        (results, self.commits.load(Relaxed) - before)
    }

    async fn hold(&self) -> Transaction {
        let (isolation, budget) = (Isolation::Serializable, budget());
        self.pool.begin(isolation, false, &budget).await.unwrap()
    }

    async fn write(&self, statement: &Arc<Statement>, number: i64) -> Result<u64, Error> {
        let params = [Value::Integer(number)];
        self.pool.execute(statement, &params, &budget()).await
    }
}

#[tokio::test]
async fn writes_that_wait_together_share_one_commit() {
    let served = Served::new("CREATE TABLE t (i INTEGER UNIQUE)").await;
    let insert = grouped("INSERT INTO t VALUES ($1)");
    let writes = (0..20).map(|number| served.write(&insert, number));
    let (results, commits) = served.together(writes.collect()).await;
    assert!(results.iter().all(|result| matches!(result, Ok(1))));
    assert_eq!(commits, 1);
    assert_eq!(count(&served.pool, "t").await, 20);
}

#[tokio::test]
async fn refused_write_of_a_group_leaves_its_neighbours() {
    let served = Served::new("CREATE TABLE t (i INTEGER UNIQUE)").await;
    let insert = grouped("INSERT INTO t VALUES ($1)");
    let writes = (0..20).map(|number| served.write(&insert, number % 15));
    let (results, commits) = served.together(writes.collect()).await;
    for (number, result) in results.into_iter().enumerate() {
        if number < 15 {
            assert_eq!(result.unwrap(), 1);
        } else {
            assert_eq!(refusal(result).code, "23505");
        }
    }
    assert_eq!(commits, 1);
    assert_eq!(count(&served.pool, "t").await, 15);
}

/// `OR FAIL` keeps what the statement did before it failed, and `OR ROLLBACK` ends the transaction.
#[tokio::test]
async fn conflict_clauses_in_a_group_undo_their_own_statement_alone() {
    for clause in ["OR FAIL", "OR ROLLBACK", "OR ABORT"] {
        let served = Served::new("CREATE TABLE t (i INTEGER UNIQUE)").await;
        let insert = grouped("INSERT INTO t VALUES ($1)");
        let text = format!("INSERT {clause} INTO t VALUES (100 + $1), (0)");
        let two = grouped(&text);
        let writes = (0..10).map(|number| {
            let statement = if number % 5 == 3 { &two } else { &insert };
            served.write(statement, number)
        });
        let (results, _) = served.together(writes.collect()).await;
        for (number, result) in results.into_iter().enumerate() {
            if number % 5 == 3 {
                assert_eq!(refusal(result).code, "23505", "{clause}");
            } else {
                assert_eq!(result.unwrap(), 1, "{clause}");
            }
        }
        assert_eq!(count(&served.pool, "t").await, 8, "{clause}");
    }
}

#[tokio::test]
async fn rows_of_a_group_are_those_of_each_write() {
    let served = Served::new("CREATE TABLE t (i INTEGER PRIMARY KEY, n INTEGER)").await;
    let insert = grouped("INSERT INTO t (n) VALUES ($1) RETURNING i, n");
    let writes = (0..10).map(|number| {
        let (pool, insert) = (&served.pool, &insert);
        async move {
            let params = [Value::Integer(number)];
            pool.query(insert, &params, &budget()).await.unwrap().rows
        }
    });
    let (results, commits) = served.together(writes.collect()).await;
    assert_eq!(commits, 1);
    for (number, rows) in (0..).zip(results) {
        let expected = [[Value::Integer(number + 1), Value::Integer(number)]];
        assert_eq!(format!("{rows:?}"), format!("{expected:?}"));
    }
}

#[tokio::test]
async fn write_with_too_large_a_result_has_no_effect_in_a_group() {
    let served = Served::new("CREATE TABLE t (i INTEGER, b BLOB)").await;
    let insert = grouped("INSERT INTO t VALUES ($1, zeroblob(1000)) RETURNING b");
    let writes = (0..10).map(|number| {
        let (pool, insert) = (&served.pool, &insert);
        let rows_bytes = if number == 4 { 500 } else { 1 << 20 };
        async move {
            let budget = Budget {
                rows_bytes,
                ..budget()
            };
            pool.query(insert, &[Value::Integer(number)], &budget).await
        }
    });
    let (results, _) = served.together(writes.collect()).await;
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Ok(_) => assert_ne!(number, 4),
            Err(error) => assert!(
                number == 4 && matches!(error, Error::TooLarge(_)),
                "{error:?}"
            ),
        }
    }
    assert_eq!(count(&served.pool, "t").await, 9);
}

#[tokio::test]
async fn deferred_violation_in_a_group_is_refused_alone() {
    let table = "CREATE TABLE t (i INTEGER PRIMARY KEY, \
                 of INTEGER REFERENCES t (i) DEFERRABLE INITIALLY DEFERRED)";
    let served = Served::new(table).await;
    let own = grouped("INSERT INTO t VALUES ($1, $1)");
    // Two of these would satisfy one another, but neither could be committed alone.
    let other = grouped("INSERT INTO t VALUES ($1, 11 - $1)");
    let writes = (0..10).map(|number| {
        let statement = if matches!(number, 3 | 8) {
            &other
        } else {
            &own
        };
        served.write(statement, number)
    });
    let (results, _) = served.together(writes.collect()).await;
    for (number, result) in results.into_iter().enumerate() {
        if matches!(number, 3 | 8) {
            assert_eq!(refusal(result).code, "23503");
        } else {
            assert_eq!(result.unwrap(), 1);
        }
    }
    assert_eq!(count(&served.pool, "t").await, 8);
}

#[tokio::test]
async fn slow_write_of_a_group_times_out_and_its_neighbours_are_stored() {
    let served = Served::new("CREATE TABLE t (i INTEGER)").await;
    let insert = grouped("INSERT INTO t VALUES ($1)");
    let slow = grouped(&format!("INSERT INTO t SELECT $1 + ({ENDLESS})"));
    let writes = (0..10).map(|number| {
        let (pool, insert, slow) = (&served.pool, &insert, &slow);
        async move {
            let params = [Value::Integer(number)];
            if number == 4 {
                return pool.execute(slow, &params, &soon()).await;
            }
            pool.execute(insert, &params, &budget()).await
        }
    });
    let began = Instant::now();
    let (results, _) = served.together(writes.collect()).await;
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Ok(_) => assert_ne!(number, 4),
            Err(error) => assert!(number == 4 && matches!(error, Error::Timeout), "{error:?}"),
        }
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(count(&served.pool, "t").await, 9);
    // It is known to be slow now, and does not join another group.
    assert!(slow.is_slower_than(1000));
}

#[tokio::test]
async fn write_whose_caller_left_the_queue_does_not_run() {
    let served = Served::new("CREATE TABLE t (i INTEGER)").await;
    let insert = grouped("INSERT INTO t VALUES ($1)");
    let held = served.hold().await;
    let mut left = Box::pin(served.write(&insert, 1));
    assert!(is_pending(left.as_mut()).await);
    drop(left);
    let stays = async {
        tokio::task::yield_now().await;
        held.rollback(&budget()).await.unwrap();
    };
    let (written, ()) = tokio::join!(served.write(&insert, 2), stays);
    assert_eq!(written.unwrap(), 1);
    let rows = rows(&served.pool, "SELECT i FROM t", &[])
        .await
        .unwrap()
        .rows;
    assert_eq!(format!("{rows:?}"), format!("{:?}", [[Value::Integer(2)]]));
}

#[tokio::test]
async fn running_write_whose_caller_leaves_is_stopped_and_has_no_effect() {
    let served = Served::new("CREATE TABLE t (i INTEGER)").await;
    let insert = grouped("INSERT INTO t VALUES ($1)");
    // Its first row is inserted, and it goes on for ever.
    let slow = format!("INSERT INTO t SELECT $1 UNION ALL SELECT ({ENDLESS})");
    let slow = grouped(&slow);
    let is_running = Arc::new(Notify::new());
    let inserted = Arc::clone(&is_running);
    let hook = move |_: Action, _: &str, _: &str, _: i64| inserted.notify_one();
    served.set_up(|sqlite| sqlite.update_hook(Some(hook))).await;
    let began = Instant::now();
    let mut left = Box::pin(served.write(&slow, 1));
    tokio::select! {
        ended = &mut left => panic!("it goes on for ever: {ended:?}"),
        () = is_running.notified() => {}
    }
    let mut written = Box::pin(served.write(&insert, 2));
    assert!(is_pending(written.as_mut()).await);
    drop(left);
    assert_eq!(written.await.unwrap(), 1);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(count(&served.pool, "t").await, 1);
}

#[tokio::test]
async fn queued_write_is_overloaded_after_its_wait_and_never_runs() {
    let served = Served::new("CREATE TABLE t (i INTEGER)").await;
    let insert = grouped("INSERT INTO t VALUES (1)");
    let held = served.hold().await;
    let written = served.pool.execute(&insert, &[], &soon()).await;
    assert!(matches!(written, Err(Error::Overloaded)), "{written:?}");
    held.rollback(&budget()).await.unwrap();
    assert_eq!(
        served.pool.execute(&insert, &[], &budget()).await.unwrap(),
        1
    );
    assert_eq!(count(&served.pool, "t").await, 1);
}

/// Writes are pushed at each moment of the thread that takes them, also while it finds that all
/// callers are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_among_abandoned_ones_are_stored_once() {
    let served = Arc::new(Served::new("CREATE TABLE t (i INTEGER)").await);
    let insert = grouped("INSERT INTO t VALUES ($1)");
    let ends = Arc::new(AtomicBool::new(false));
    let (own, left, is_ended) = (Arc::clone(&served), Arc::clone(&insert), Arc::clone(&ends));
    let leaving = tokio::spawn(async move {
        let mut abandoned = 0;
        while !is_ended.load(Relaxed) {
            let mut write = Box::pin(own.write(&left, -1));
            if is_pending(write.as_mut()).await {
                abandoned += 1;
            }
            drop(write);
            tokio::task::yield_now().await;
        }
        abandoned
    });
    for number in 0..500 {
        assert_eq!(served.write(&insert, number).await.unwrap(), 1);
    }
    ends.store(true, Relaxed);
    assert!(leaving.await.unwrap() > 0);
    let stored = "SELECT count(*) FROM t WHERE i >= 0";
    let stored = rows(&served.pool, stored, &[]).await.unwrap().rows;
    assert_eq!(
        format!("{stored:?}"),
        format!("{:?}", [[Value::Integer(500)]])
    );
}

#[tokio::test]
async fn group_waits_for_the_lock_of_another_process() {
    let served = Served::new("CREATE TABLE t (i INTEGER)").await;
    let insert = grouped("INSERT INTO t VALUES ($1)");
    let other = rusqlite::Connection::open(served.scratch.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let written = served.pool.execute(&insert, &[Value::Null], &soon()).await;
    assert!(matches!(written, Err(Error::Overloaded)), "{written:?}");
    let is_refused = Arc::new(Notify::new());
    let refused = Arc::clone(&is_refused);
    let handler = move |_| {
        refused.notify_one();
        false
    };
    served
        .set_up(|sqlite| sqlite.busy_handler(Some(handler)))
        .await;
    let writes = (0..10).map(|number| served.write(&insert, number));
    let release = async {
        is_refused.notified().await;
        other.execute_batch("COMMIT").unwrap();
    };
    let (results, ()) = tokio::join!(join_all(writes), release);
    assert!(results.iter().all(|result| matches!(result, Ok(1))));
    assert_eq!(count(&served.pool, "t").await, 10);
}

#[tokio::test]
async fn group_on_a_full_disk_stores_exactly_what_it_acknowledges() {
    let served = Served::new("CREATE TABLE t (i INTEGER, b BLOB)").await;
    {
        let lease = served.database.shared.writer(&budget()).await.unwrap();
        let limited = lease
            .conn()
            .unwrap()
            .as_host(|sqlite| sqlite.execute_batch("PRAGMA max_page_count = 40"));
        limited.unwrap();
    }
    let insert = grouped("INSERT INTO t VALUES ($1, zeroblob(10000))");
    let writes = (0..30).map(|number| served.write(&insert, number));
    let (results, _) = served.together(writes.collect()).await;
    let mut stored = 0;
    for result in results {
        match result {
            Ok(_) => stored += 1,
            result => assert_eq!(refusal(result).code, "53100"),
        }
    }
    assert!((5..30).contains(&stored), "{stored}");
    assert_eq!(count(&served.pool, "t").await, stored);
}

#[tokio::test]
async fn group_committed_to_a_file_that_is_moved_meanwhile_is_in_doubt() {
    let served = Served::new("CREATE TABLE t (i INTEGER UNIQUE)").await;
    let insert = grouped("INSERT INTO t VALUES ($1)");
    served.write(&insert, 0).await.unwrap();
    let (file, away) = (served.scratch.file(), served.scratch.0.join("away.db"));
    let hook = move || {
        std::fs::rename(&file, &away).unwrap();
        false
    };
    served.set_up(|sqlite| sqlite.commit_hook(Some(hook))).await;
    let writes = (0..10).map(|number| served.write(&insert, number));
    let (results, _) = served.together(writes.collect()).await;
    for (number, result) in results.into_iter().enumerate() {
        match result {
            // It had no effect.
            Err(Error::Unavailable(_)) => assert_eq!(number, 0),
            result => assert!(matches!(result, Err(Error::InDoubt)), "{result:?}"),
        }
    }
    let later = served.write(&insert, 11).await;
    assert!(matches!(later, Err(Error::Unavailable(_))), "{later:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_beside_a_stream_of_groups_take_their_turn() {
    let served = Arc::new(Served::new("CREATE TABLE t (i INTEGER)").await);
    let insert = grouped("INSERT INTO t VALUES ($1)");
    let ends = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let (served, insert, ends) =
                (Arc::clone(&served), Arc::clone(&insert), Arc::clone(&ends));
            tokio::spawn(async move {
                let mut written = 0;
                while !ends.load(Relaxed) {
                    written += served.write(&insert, number).await.unwrap();
                }
                written
            })
        })
        .collect();
    let statement = writes("INSERT INTO t VALUES (100)");
    for _ in 0..20 {
        let mut transaction = served.hold().await;
        let executed = transaction.execute(&statement, &[], &budget()).await;
        assert_eq!(executed.unwrap(), 1);
        transaction.commit(&budget()).await.unwrap();
    }
    ends.store(true, Relaxed);
    let written: u64 = join_all(writers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .sum();
    let expected = i64::try_from(written).unwrap() + 20;
    assert_eq!(count(&served.pool, "t").await, expected);
}
