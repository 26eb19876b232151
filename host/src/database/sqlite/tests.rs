//! What holds on every database of this back end, in memory and in a file.

use std::path::PathBuf;

use super::*;
use crate::database::{Refusal, Url};

/// A file that is deleted with what SQLite keeps beside it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!("usher-sqlite-{}-{}", std::process::id(), MADE.fetch_add(1, Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    fn file(&self) -> PathBuf {
        self.0.join("users.db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config() -> Arc<Config> {
    Arc::new(Config::new(Url::memory()))
}

fn budget() -> Budget {
    Budget { deadline: Instant::now() + Duration::from_secs(20), rows_bytes: 1 << 20 }
}

fn soon() -> Budget {
    Budget { deadline: Instant::now() + Duration::from_millis(150), ..budget() }
}

fn reads(text: &str) -> Arc<Statement> {
    Statement::new(text.to_owned(), false)
}

fn writes(text: &str) -> Arc<Statement> {
    Statement::new(text.to_owned(), true)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

async fn run(pool: &Pool, statement: &str, params: &[Value]) -> Result<u64, Error> {
    pool.execute(&writes(statement), params, &budget()).await
}

async fn rows(pool: &Pool, statement: &str, params: &[Value]) -> Result<Rows, Error> {
    pool.query(&reads(statement), params, &budget()).await
}

async fn count(pool: &Pool, table: &str) -> i64 {
    let rows = rows(pool, &format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().rows;
    match rows.first().and_then(|row| row.first()) {
        Some(Value::Integer(count)) => *count,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

const USERS: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, first TEXT, last TEXT, \
     age INTEGER CONSTRAINT users_age_check CHECK (age >= 0), UNIQUE (first, last))";

/// Runs the same on a database in memory and on one in a file.
macro_rules! on_both {
    ($(#[$attribute:meta])* async fn $name:ident($database:ident: &Database, $pool:ident: &Pool) $body:block) => {
        mod $name {
            use super::*;

            async fn on($database: &Database, $pool: &Pool) $body

            #[tokio::test]
            async fn in_memory() {
                let database = Database::memory(&config()).await.unwrap();
                on(&database, &database.pool()).await;
            }

            #[tokio::test]
            async fn in_a_file() {
                let scratch = Scratch::new();
                let database = Database::open(&scratch.file(), &config()).await.unwrap();
                on(&database, &database.pool()).await;
            }
        }
    };
}

on_both! {
    async fn values_come_back_as_they_went_in(_database: &Database, pool: &Pool) {
        let table = "CREATE TABLE kinds (a BOOLEAN, b BIGINT, c DOUBLE PRECISION, d TEXT, e BYTEA, f UUID, g TIMESTAMPTZ, \
             h NUMERIC, i JSONB, j TEXT)";
        run(pool, table, &[]).await.unwrap();
        let given = [
            Value::Boolean(true),
            Value::Integer(i64::MIN),
            Value::Real(f64::INFINITY),
            text("gr\u{fc}n 1"),
            Value::Bytes(vec![0, 255]),
            Value::Uuid((1, u64::MAX)),
            Value::Timestamp(-1),
            Value::Decimal("-12.34".to_owned()),
            Value::Json("{\"a\":[1.0]}".to_owned()),
            Value::Null,
        ];
        let insert = "INSERT INTO kinds VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        assert_eq!(run(pool, insert, &given).await.unwrap(), 1);
        let got = rows(pool, "SELECT * FROM kinds", &[]).await.unwrap();
        assert_eq!(got.columns, ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
        assert_eq!(format!("{:?}", got.rows), format!("{:?}", [&given]));
        let returned = pool.query(&writes("UPDATE kinds SET a = $1 RETURNING *"), &[Value::Boolean(true)], &budget()).await;
        assert_eq!(format!("{:?}", returned.unwrap().rows), format!("{:?}", [&given]));
    }
}

on_both! {
    async fn parameters_are_bound_by_their_number(_database: &Database, pool: &Pool) {
        let got = rows(pool, "SELECT $2, $1, $2", &[text("one"), text("two")]).await.unwrap();
        assert_eq!(format!("{:?}", got.rows), format!("{:?}", [[text("two"), text("one"), text("two")]]));
        assert!(matches!(rows(pool, "SELECT $2", &[text("one")]).await, Err(Error::Invalid(_))));
        assert!(matches!(rows(pool, "SELECT 1", &[text("one")]).await, Err(Error::Invalid(_))));
        for other in ["SELECT ?", "SELECT ?1", "SELECT :a", "SELECT @a", "SELECT $a", "SELECT $1::text", "SELECT 1; SELECT 2", " "] {
            let got = rows(pool, other, &[]).await;
            assert!(matches!(got, Err(Error::Invalid(_))), "{other}: {got:?}");
        }
        for value in [Value::Real(f64::NAN), text("a\0b"), Value::Json("{".to_owned()), Value::Decimal("1e5".to_owned())] {
            let got = rows(pool, "SELECT $1", &[value]).await;
            assert!(matches!(got, Err(Error::Invalid(_))), "{got:?}");
        }
    }
}

on_both! {
    async fn refusals_name_what_was_violated(_database: &Database, pool: &Pool) {
        run(pool, USERS, &[]).await.unwrap();
        run(pool, "CREATE TABLE notes (of INTEGER NOT NULL REFERENCES users (id), title TEXT)", &[]).await.unwrap();
        run(pool, "CREATE UNIQUE INDEX notes_once ON notes (of, title)", &[]).await.unwrap();
        let insert = "INSERT INTO users (id, email, first, last, age) VALUES ($1, $2, $3, 'z', $4)";
        let user = |id, email, first, age| [Value::Integer(id), text(email), text(first), Value::Integer(age)];
        run(pool, insert, &user(1, "a@b.c", "a", 1)).await.unwrap();
        run(pool, "INSERT INTO notes VALUES (1, 'x')", &[]).await.unwrap();

        let constraint = |refusal: Refusal| (refusal.code, refusal.constraint, refusal.column);
        let named = |code: &str, name: &str| (code.to_owned(), Some(name.to_owned()), None);
        let refused = refusal(run(pool, insert, &user(1, "b@b.c", "b", 1)).await);
        assert_eq!(constraint(refused), named("23505", "users_pkey"));
        let refused = refusal(run(pool, insert, &user(2, "a@b.c", "b", 1)).await);
        assert_eq!(constraint(refused), named("23505", "users_email_key"));
        run(pool, "CREATE UNIQUE INDEX users_lowered ON users (lower(email))", &[]).await.unwrap();
        let refused = refusal(run(pool, insert, &user(2, "A@b.c", "b", 1)).await);
        assert_eq!(constraint(refused), named("23505", "users_lowered"));
        let refused = refusal(run(pool, insert, &user(2, "b@b.c", "a", 1)).await);
        assert_eq!(constraint(refused), named("23505", "users_first_last_key"));
        let refused = refusal(run(pool, insert, &user(2, "b@b.c", "b", -1)).await);
        assert_eq!(constraint(refused), named("23514", "users_age_check"));
        let refused = refusal(run(pool, "INSERT INTO notes VALUES (1, 'x')", &[]).await);
        assert_eq!(constraint(refused), named("23505", "notes_once"));
        let refused = refusal(run(pool, "INSERT INTO users (email) VALUES (NULL)", &[]).await);
        assert_eq!(constraint(refused), ("23502".to_owned(), None, Some("email".to_owned())));
        let refused = refusal(run(pool, "INSERT INTO notes VALUES (9, 'x')", &[]).await);
        assert_eq!(constraint(refused), ("23503".to_owned(), None, None));
    }
}

on_both! {
    async fn refusals_have_the_codes_of_postgresql(_database: &Database, pool: &Pool) {
        run(pool, USERS, &[]).await.unwrap();
        for (statement, code) in [
            ("SELEC 1", "42601"),
            ("SELECT (", "42601"),
            ("SELECT * FROM nowhere", "42P01"),
            ("SELECT nought FROM users", "42703"),
            ("SELECT \"nought\"", "42703"),
            ("INSERT INTO users (nought) VALUES (1)", "42703"),
            ("SELECT nought(1)", "42883"),
            ("CREATE TABLE users (id INTEGER)", "42P07"),
            ("INSERT INTO users (id, email) VALUES ('a', 'b')", "22P02"),
        ] {
            assert_eq!(refusal(run(pool, statement, &[]).await).code, code, "{statement}");
        }
        // Judged to read, and yet it writes: the connection is the second line.
        let refused = pool.query(&reads("INSERT INTO users (email) VALUES ('x') RETURNING id"), &[], &budget()).await;
        assert_eq!(refusal(refused).code, "25006");
    }
}

on_both! {
    async fn what_policy_overlooks_is_denied(_database: &Database, pool: &Pool) {
        for statement in [
            "ATTACH 'other.db' AS other",
            "PRAGMA user_version = 3",
            "SELECT * FROM pragma_database_list",
            "BEGIN",
            "SAVEPOINT s",
            "VACUUM",
            "CREATE TEMP TABLE t (i INTEGER)",
            "CREATE VIRTUAL TABLE t USING fts5(i)",
            "SELECT load_extension('x')",
        ] {
            let got = run(pool, statement, &[]).await;
            assert!(matches!(got, Err(Error::Denied(_))), "{statement}: {got:?}");
        }
        run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
        run(pool, "ALTER TABLE t ADD COLUMN j INTEGER", &[]).await.unwrap();
        run(pool, "ALTER TABLE t RENAME COLUMN j TO k", &[]).await.unwrap();
        run(pool, "ALTER TABLE t DROP COLUMN k", &[]).await.unwrap();
        run(pool, "DROP TABLE t", &[]).await.unwrap();
    }
}

on_both! {
    async fn a_changed_schema_is_seen_by_prepared_statements(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i BOOLEAN)", &[]).await.unwrap();
        run(pool, "INSERT INTO t VALUES (1)", &[]).await.unwrap();
        assert_eq!(rows(pool, "SELECT * FROM t", &[]).await.unwrap().columns, ["i"]);
        run(pool, "ALTER TABLE t ADD COLUMN j BOOLEAN DEFAULT 0", &[]).await.unwrap();
        let got = rows(pool, "SELECT * FROM t", &[]).await.unwrap();
        assert_eq!(got.columns, ["i", "j"]);
        assert_eq!(format!("{:?}", got.rows), format!("{:?}", [[Value::Boolean(true), Value::Boolean(false)]]));
    }
}

on_both! {
    async fn affected_rows_are_counted(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
        assert_eq!(run(pool, "INSERT INTO t VALUES (1), (2), (3)", &[]).await.unwrap(), 3);
        assert_eq!(run(pool, "CREATE TABLE u (i INTEGER)", &[]).await.unwrap(), 0);
        assert_eq!(run(pool, "UPDATE t SET i = 0 WHERE i > 1", &[]).await.unwrap(), 2);
        assert_eq!(run(pool, "UPDATE t SET i = 0 WHERE i > 1", &[]).await.unwrap(), 0);
        assert_eq!(pool.execute(&reads("SELECT * FROM t"), &[], &budget()).await.unwrap(), 3);
        assert_eq!(run(pool, "DELETE FROM t RETURNING i", &[]).await.unwrap(), 3);
    }
}

on_both! {
    async fn a_transaction_takes_effect_only_with_its_commit(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
        let insert = writes("INSERT INTO t VALUES (1) RETURNING i");
        for end in 0..3 {
            let mut transaction = pool.begin(Isolation::Serializable, false, &budget()).await.unwrap();
            assert_eq!(transaction.query(&insert, &[], &budget()).await.unwrap().rows.len(), 1);
            assert_eq!(transaction.execute(&reads("SELECT * FROM t"), &[], &budget()).await.unwrap(), 1);
            match end {
                0 => drop(transaction),
                1 => transaction.rollback(&budget()).await.unwrap(),
                _ => transaction.commit(&budget()).await.unwrap(),
            }
            assert_eq!(count(pool, "t").await, i64::from(end == 2));
        }
    }
}

on_both! {
    async fn a_refusal_aborts_its_transaction(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i INTEGER UNIQUE)", &[]).await.unwrap();
        let mut transaction = pool.begin(Isolation::ReadCommitted, false, &budget()).await.unwrap();
        let insert = writes("INSERT INTO t VALUES ($1)");
        transaction.execute(&insert, &[Value::Integer(1)], &budget()).await.unwrap();
        // The host finds this out before the statement begins.
        assert!(matches!(transaction.execute(&insert, &[], &budget()).await, Err(Error::Invalid(_))));
        assert_eq!(refusal(transaction.execute(&insert, &[Value::Integer(1)], &budget()).await).code, "23505");
        assert_eq!(refusal(transaction.execute(&insert, &[Value::Integer(2)], &budget()).await).code, "25P02");
        assert_eq!(refusal(transaction.query(&reads("SELECT 1"), &[], &budget()).await).code, "25P02");
        assert_eq!(refusal(transaction.commit(&budget()).await).code, "25P02");
        assert_eq!(count(pool, "t").await, 0);
    }
}

on_both! {
    async fn a_transaction_for_reading_refuses_to_write(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
        let mut transaction = pool.begin(Isolation::Serializable, true, &budget()).await.unwrap();
        transaction.query(&reads("SELECT * FROM t"), &[], &budget()).await.unwrap();
        let insert = writes("INSERT INTO t VALUES (1)");
        assert_eq!(refusal(transaction.execute(&insert, &[], &budget()).await).code, "25006");
        drop(transaction);
        assert_eq!(count(pool, "t").await, 0);
    }
}

on_both! {
    async fn a_deferred_foreign_key_refuses_the_commit(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i INTEGER PRIMARY KEY, of INTEGER REFERENCES t (i) DEFERRABLE INITIALLY DEFERRED)", &[])
            .await
            .unwrap();
        let mut transaction = pool.begin(Isolation::Serializable, false, &budget()).await.unwrap();
        transaction.execute(&writes("INSERT INTO t VALUES (1, 2)"), &[], &budget()).await.unwrap();
        assert_eq!(refusal(transaction.commit(&budget()).await).code, "23503");
        assert_eq!(count(pool, "t").await, 0);
    }
}

on_both! {
    async fn the_deadline_ends_a_statement(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
        assert!(matches!(pool.query(&reads(ENDLESS), &[], &soon()).await, Err(Error::Timeout)));
        let insert = writes(&format!("INSERT INTO t {ENDLESS}"));
        assert!(matches!(pool.execute(&insert, &[], &soon()).await, Err(Error::Timeout)));
        let mut transaction = pool.begin(Isolation::Serializable, false, &budget()).await.unwrap();
        transaction.execute(&writes("INSERT INTO t VALUES (1)"), &[], &budget()).await.unwrap();
        assert!(matches!(transaction.execute(&insert, &[], &soon()).await, Err(Error::Timeout)));
        assert_eq!(refusal(transaction.commit(&budget()).await).code, "25P02");
        assert_eq!(count(pool, "t").await, 0);
        assert_eq!(run(pool, "INSERT INTO t VALUES (1)", &[]).await.unwrap(), 1);
    }
}

on_both! {
    async fn what_is_slow_leaves_the_core_to_others(_database: &Database, pool: &Pool) {
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
}

on_both! {
    async fn a_statement_that_nobody_waits_for_is_ended(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
        let insert = writes(&format!("INSERT INTO t {ENDLESS}"));
        let given_up = tokio::time::timeout(Duration::from_millis(50), pool.execute(&insert, &[], &budget())).await;
        assert!(given_up.is_err());
        let before = Instant::now();
        assert_eq!(run(pool, "INSERT INTO t VALUES (1)", &[]).await.unwrap(), 1);
        assert!(before.elapsed() < Duration::from_secs(5));
        assert_eq!(count(pool, "t").await, 1);
    }
}

on_both! {
    async fn a_result_over_the_limit_is_refused(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i TEXT)", &[]).await.unwrap();
        let small = Budget { rows_bytes: 1000, ..budget() };
        let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) SELECT i FROM n";
        assert!(matches!(pool.query(&reads(many), &[], &small).await, Err(Error::TooLarge(1000))));
        assert!(matches!(pool.query(&reads("SELECT hex(zeroblob(1000))"), &[], &small).await, Err(Error::TooLarge(1000))));
        assert_eq!(pool.query(&reads("SELECT hex(zeroblob(100))"), &[], &small).await.unwrap().rows.len(), 1);
        let insert = writes(&format!("INSERT INTO t {many} RETURNING i"));
        assert!(matches!(pool.query(&insert, &[], &small).await, Err(Error::TooLarge(1000))));
        assert_eq!(count(pool, "t").await, 0);
    }
}

on_both! {
    async fn a_cursor_gives_all_rows_in_order_and_then_none(_database: &Database, pool: &Pool) {
        let many = reads("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) SELECT i FROM n");
        let mut cursor = pool.open(&many, Vec::new(), &budget()).await.unwrap();
        assert_eq!(cursor.columns(), ["i"]);
        let mut seen = Vec::new();
        loop {
            // 20 rows are within the limit.
            let batch = cursor.next(30, &Budget { rows_bytes: 320, ..budget() }).await.unwrap();
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
}

on_both! {
    async fn a_cursor_shows_what_was_there_when_it_began(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
        run(pool, "INSERT INTO t VALUES (1), (2), (3)", &[]).await.unwrap();
        let mut cursor = pool.open(&reads("SELECT i FROM t"), Vec::new(), &budget()).await.unwrap();
        run(pool, "DELETE FROM t", &[]).await.unwrap();
        assert_eq!(cursor.next(2, &budget()).await.unwrap().len(), 2);
        drop(cursor);
        let mut none = pool.open(&reads("SELECT i FROM t"), Vec::new(), &budget()).await.unwrap();
        assert_eq!(none.columns(), ["i"]);
        assert!(none.next(2, &budget()).await.unwrap().is_empty());
        let mut written = pool.open(&writes("INSERT INTO t VALUES (7) RETURNING i"), Vec::new(), &budget()).await.unwrap();
        assert_eq!(count(pool, "t").await, 1);
        assert_eq!(written.next(2, &budget()).await.unwrap().len(), 1);
        assert!(matches!(pool.open(&reads(ENDLESS), Vec::new(), &soon()).await, Err(Error::Timeout)));
    }
}

on_both! {
    async fn writers_on_all_cores_take_turns(database: &Database, pool: &Pool) {
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
                        let mut transaction = pool.begin(Isolation::Serializable, false, &budget()).await.unwrap();
                        transaction.execute(increment, &[], &budget()).await.unwrap();
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
}

on_both! {
    async fn a_writer_that_does_not_come_free_is_an_overload(_database: &Database, pool: &Pool) {
        run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
        let held = pool.begin(Isolation::Serializable, false, &budget()).await.unwrap();
        let insert = writes("INSERT INTO t VALUES (1)");
        assert!(matches!(pool.execute(&insert, &[], &soon()).await, Err(Error::Overloaded)));
        assert!(matches!(pool.begin(Isolation::Serializable, false, &soon()).await, Err(Error::Overloaded)));
        held.rollback(&budget()).await.unwrap();
        assert_eq!(pool.execute(&insert, &[], &budget()).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn databases_in_memory_are_apart_and_shared_by_their_clones() {
    let (one, other) = (Database::memory(&config()).await.unwrap(), Database::memory(&config()).await.unwrap());
    run(&one.pool(), "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    assert_eq!(count(&one.clone().pool(), "t").await, 0);
    assert_eq!(refusal(rows(&other.pool(), "SELECT * FROM t", &[]).await).code, "42P01");
}

#[tokio::test]
async fn readers_of_a_file_see_nothing_uncommitted_and_do_not_wait() {
    let scratch = Scratch::new();
    let database = Database::open(&scratch.file(), &config()).await.unwrap();
    let pool = database.pool();
    run(&pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let mut transaction = pool.begin(Isolation::Serializable, false, &budget()).await.unwrap();
    transaction.execute(&writes("INSERT INTO t VALUES (1)"), &[], &budget()).await.unwrap();
    assert_eq!(count(&pool, "t").await, 0);
    let mut snapshot = pool.begin(Isolation::RepeatableRead, true, &budget()).await.unwrap();
    transaction.commit(&budget()).await.unwrap();
    assert_eq!(count(&pool, "t").await, 1);
    assert_eq!(snapshot.execute(&reads("SELECT * FROM t"), &[], &budget()).await.unwrap(), 0);
}

#[tokio::test]
async fn readers_of_memory_wait_for_the_writer() {
    let database = Database::memory(&config()).await.unwrap();
    let pool = database.pool();
    run(&pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let mut transaction = pool.begin(Isolation::Serializable, false, &budget()).await.unwrap();
    transaction.execute(&writes("INSERT INTO t VALUES (1)"), &[], &budget()).await.unwrap();
    let (seen, ()) = tokio::join!(count(&pool, "t"), async { transaction.commit(&budget()).await.unwrap() });
    assert_eq!(seen, 1);
}

#[tokio::test]
async fn a_lock_of_another_process_is_waited_for() {
    let scratch = Scratch::new();
    let database = Database::open(&scratch.file(), &config()).await.unwrap();
    let pool = database.pool();
    run(&pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    let other = rusqlite::Connection::open(scratch.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").unwrap();
    let insert = writes("INSERT INTO t VALUES (2)");
    assert!(matches!(pool.execute(&insert, &[], &soon()).await, Err(Error::Overloaded)));
    assert!(matches!(pool.begin(Isolation::Serializable, false, &soon()).await, Err(Error::Overloaded)));
    let (budget, release) = (budget(), async {
        tokio::task::yield_now().await;
        other.execute_batch("COMMIT").unwrap();
    });
    let (written, ()) = tokio::join!(pool.execute(&insert, &[], &budget), release);
    assert_eq!(written.unwrap(), 1);
    assert_eq!(count(&pool, "t").await, 2);
}

#[tokio::test]
async fn what_is_written_to_a_file_stays() {
    let scratch = Scratch::new();
    let database = Database::open(&scratch.file(), &config()).await.unwrap();
    run(&database.pool(), "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    drop(database);
    let database = Database::open(&scratch.file(), &config()).await.unwrap();
    assert_eq!(count(&database.pool(), "t").await, 0);
    let read_only = Arc::new(Config { read_only: true, ..Config::new(Url::memory()) });
    let reader = Database::open(&scratch.file(), &read_only).await.unwrap();
    assert_eq!(count(&reader.pool(), "t").await, 0);
    assert_eq!(refusal(run(&reader.pool(), "DELETE FROM t", &[]).await).code, "25006");
    database.check().await.unwrap();
    std::fs::remove_file(scratch.file()).unwrap();
    assert!(matches!(database.check().await, Err(OpenError::Unreachable { .. })));
}

#[tokio::test]
async fn what_is_no_database_is_a_wrong_configuration() {
    let scratch = Scratch::new();
    std::fs::write(scratch.0.join("prose"), "this is no database, however long it may be; ".repeat(100)).unwrap();
    let read_only = Arc::new(Config { read_only: true, ..Config::new(Url::memory()) });
    for (path, config) in [
        (scratch.0.join("prose"), config()),
        (scratch.0.clone(), config()),
        (scratch.0.join("nowhere").join("users.db"), config()),
        (scratch.0.join("prose").join("users.db"), config()),
        (scratch.0.join("missing.db"), read_only),
    ] {
        match Database::open(&path, &config).await {
            Err(OpenError::Configuration { reason, .. }) => assert!(!reason.is_empty() && !reason.contains('\n')),
            other => panic!("{}: {other:?}", path.display()),
        }
    }
}

#[test]
fn every_future_may_move_between_threads() {
    fn send<T: Send>(_: &T) {}
    fn all(pool: &Pool, statement: &Arc<Statement>, budget: &Budget) {
        send(&pool.query(statement, &[], budget));
        send(&pool.execute(statement, &[], budget));
        send(&pool.begin(Isolation::Serializable, false, budget));
        send(&pool.open(statement, Vec::new(), budget));
    }
    fn ends(mut transaction: Transaction, mut cursor: Cursor, statement: &Arc<Statement>, budget: &Budget) {
        send(&transaction.query(statement, &[], budget));
        send(&transaction.commit(budget));
        send(&cursor.next(1, budget));
    }
    let _ = (all, ends);
}
