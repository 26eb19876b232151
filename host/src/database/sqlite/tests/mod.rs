//! Tests of this back end, most of them in memory and in a file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::cursor::Cursor;
use super::database::{Database, Pool};
use super::error::Failure;
use super::execution::Output;
use super::inline;
use super::transaction::Transaction;
use crate::database::budget::Budget;
use crate::database::config::Config;
use crate::database::error::OpenError;
use crate::database::statement::{Effect, Statement};
use crate::database::types::{Error, Isolation, Refusal, Rows, Value};
use crate::database::url::Url;

/// A temporary directory for a database file.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "usher-sqlite-{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Relaxed)
        );
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
    let now = Instant::now();
    Budget::new(now, now + Duration::from_secs(20), 1 << 20)
}

fn soon() -> Budget {
    Budget {
        deadline: Instant::now() + Duration::from_millis(150),
        ..budget()
    }
}

fn reads(text: &str) -> Arc<Statement> {
    Statement::new(text.to_owned(), Effect::Reads)
}

fn writes(text: &str) -> Arc<Statement> {
    Statement::new(text.to_owned(), Effect::Writes)
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
    let rows = rows(pool, &format!("SELECT count(*) FROM {table}"), &[])
        .await
        .unwrap()
        .rows;
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

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

const USERS: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, \
     email TEXT NOT NULL UNIQUE, first TEXT, last TEXT, \
     age INTEGER CONSTRAINT users_age_check CHECK (age >= 0), UNIQUE (first, last))";

#[expect(clippy::print_stdout, reason = "a long run reports its count")]
fn report(count: &str) {
    println!("{count}");
}

/// Tests a function on a database in memory and on one in a file.
macro_rules! on_both {
    ($test:ident) => {
        mod $test {
            use super::*;

            #[tokio::test]
            async fn in_memory() {
                let database = Database::memory(&config()).await.unwrap();
                super::$test(&database, &database.pool()).await;
            }

            #[tokio::test]
            async fn in_a_file() {
                let scratch = Scratch::new();
                let database = Database::open(&scratch.file(), &config()).await.unwrap();
                super::$test(&database, &database.pool()).await;
            }
        }
    };
}

// After the macro that they use.
mod costly;
mod databases;
mod denied;
mod functions;
mod generated;
mod groups;
mod identity;
mod limits;
mod statements;
mod transactions;
