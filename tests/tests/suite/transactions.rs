//! A transaction is rolled back however it is abandoned, and other requests do not notice.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use usher::sandbox::Source;
use usher_testing::{TestApp, TestError};
use usher_tests::process::WAIT_LIMIT;

use crate::databases::{ALL, Fresh, Kind};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

/// Longer than any test takes.
const NO_LIMIT: Duration = Duration::from_mins(10);

/// How long the host may take to clean up after a request: far less than [`NO_LIMIT`], and far more
/// than it needs.
pub(crate) const CLEANUP_LIMIT: Duration = Duration::from_secs(10);

struct Bench {
    app: TestApp,
    fresh: Fresh,
}

impl Bench {
    /// With a deadline that ends requests that do not end by themselves.
    async fn new(kind: Kind) -> Self {
        Self::with(kind, Duration::from_millis(500)).await
    }

    /// Without limits: only the test itself ends a request.
    async fn without_limits(kind: Kind) -> Self {
        Self::with(kind, NO_LIMIT).await
    }

    async fn with(kind: Kind, request_timeout: Duration) -> Self {
        let fresh = kind.fresh().await;
        let database = fresh
            .open(|config| {
                config.statement_timeout = NO_LIMIT;
                config.idle_transaction_timeout = NO_LIMIT;
            })
            .await;
        let app = TestApp::builder()
            .database(database)
            .component(Source::Bytes(Arc::from(HOSTILE)))
            .no_migrate()
            .request_timeout(request_timeout)
            .memory_limit(16 << 20)
            .start()
            .await
            .expect("it starts");
        let bench = Self { app, fresh };
        assert_eq!(bench.get("/table").await.0, 200);
        bench
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).await.expect("an answer")
    }

    async fn try_get(&self, path: &str) -> Result<(u16, String), TestError> {
        let response = self.app.get(path).await?;
        let text = String::from_utf8_lossy(response.body()).into_owned();
        Ok((response.status().as_u16(), text))
    }

    /// Sends a request and returns its connection after the beginning of the response, when the
    /// guest has written.
    async fn begun(&self, path: &str) -> DuplexStream {
        let mut client = self.app.connect();
        client
            .write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes())
            .await
            .expect("a connection");
        let mut read = Vec::new();
        while !read.windows(5).any(|window| window == b"begun") {
            let count = client.read_buf(&mut read).await.expect("an answer");
            assert!(count > 0, "{}", String::from_utf8_lossy(&read));
        }
        client
    }

    /// Waits until PostgreSQL runs the slow statement. On SQLite this cannot be observed.
    async fn runs_slow_statement(&self) {
        if let Some(postgres) = &self.fresh.postgres {
            let client = postgres.connect().await;
            tokio::time::timeout(CLEANUP_LIMIT, becomes(&client, SLEEPS))
                .await
                .expect("the statement runs");
        }
    }

    /// Sends a request until it is answered within the deadline. Returns the number of attempts
    /// too.
    async fn until_answered(&self, path: &str) -> (u16, String, usize) {
        let answered = async {
            for tries in 1.. {
                match self.try_get(path).await {
                    Ok((503 | 504, _)) | Err(TestError::Response(_)) => {}
                    answer => {
                        let (status, text) = answer.expect("an answer");
                        return (status, text, tries);
                    }
                }
            }
            unreachable!("the loop has no end")
        };
        tokio::time::timeout(WAIT_LIMIT, answered)
            .await
            .unwrap_or_else(|_| panic!("{path} is never answered within its deadline"))
    }

    /// Expects this many rows, no transaction on the server, and a next transaction that succeeds.
    async fn is_intact(&self, rows: usize, after: &str) {
        let (status, text, _) = self.until_answered("/count").await;
        assert_eq!(
            (status, text),
            (200, rows.to_string()),
            "rows after {after}"
        );
        if let Some(postgres) = &self.fresh.postgres {
            let client = postgres.connect().await;
            // The host cleans up right after the response.
            let clean = becomes(&client, NOTHING_LEFT);
            tokio::time::timeout(CLEANUP_LIMIT, clean)
                .await
                .unwrap_or_else(|_| panic!("a session or a lock is left after {after}"));
        }
        let (status, text, tries) = self.until_answered("/commit").await;
        assert_eq!(status, 200, "the next transaction after {after}: {text}");
        // A commit that exceeded its deadline may have taken effect.
        let (status, text, _) = self.until_answered("/count").await;
        let found = text.parse::<usize>().map(|found| found - rows);
        assert!(
            status == 200 && found.is_ok_and(|found| (1..=tries).contains(&found)),
            "{text} rows after {after} and a commit, where there were {rows}"
        );
    }
}

/// Whether every other session of the database is idle, outside a transaction, and holds no lock.
pub(crate) const NOTHING_LEFT: &str = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE \
    datname = current_database() \
    AND pid <> pg_backend_pid() AND (state LIKE 'idle in%' OR state = 'active')) \
    AND NOT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database \
    WHERE datname = current_database() AND pid <> pg_backend_pid())";

/// Whether a session of the database sleeps.
const SLEEPS: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = \
    current_database() \
    AND wait_event = 'PgSleep')";

/// Repeats a query until it returns true.
pub(crate) async fn becomes(client: &tokio_postgres::Client, question: &str) {
    while !client
        .query_one(question, &[])
        .await
        .expect("an answer")
        .get::<_, bool>(0)
    {
        tokio::task::yield_now().await;
    }
}

async fn abandoned(path: &str, status: u16) {
    for kind in ALL {
        // A request that ends by itself gets the time it needs.
        let bench = match status {
            504 => Bench::new(kind).await,
            _ => Bench::without_limits(kind).await,
        };
        let ended = async {
            loop {
                match bench.try_get(path).await {
                    // On a busy machine the deadline may pass before the transaction, or while the
                    // guest that has heard of it answers.
                    Ok((503, _)) | Err(TestError::Response(_)) if status == 504 => {}
                    ended => return ended.expect("an answer"),
                }
            }
        };
        let (got, text) = tokio::time::timeout(WAIT_LIMIT, ended)
            .await
            .unwrap_or_else(|_| panic!("{path} on {kind:?} does not end"));
        assert_eq!(got, status, "{path} on {kind:?}: {text}");
        bench.is_intact(0, &format!("{path} on {kind:?}")).await;
    }
}

#[tokio::test]
async fn committed_transaction_is_durable() {
    for kind in ALL {
        let bench = Bench::without_limits(kind).await;
        assert_eq!(bench.get("/commit").await.0, 200);
        bench.is_intact(1, "a commit").await;
    }
}

#[tokio::test]
async fn rolled_back_transaction_leaves_no_rows() {
    abandoned("/rollback", 200).await;
}

#[tokio::test]
async fn dropped_transaction_is_rolled_back() {
    abandoned("/drop", 200).await;
}

#[tokio::test]
async fn transaction_dropped_after_the_response_is_rolled_back() {
    abandoned("/answer-first", 200).await;
}

#[tokio::test]
async fn transaction_kept_beyond_its_request_is_rolled_back() {
    abandoned("/keep", 200).await;
}

#[tokio::test]
async fn trap_rolls_back_the_transaction() {
    abandoned("/trap", 500).await;
}

#[tokio::test]
async fn endless_loop_is_ended_and_rolled_back() {
    abandoned("/loop", 504).await;
}

#[tokio::test]
async fn memory_bomb_is_ended_and_rolled_back() {
    abandoned("/memory", 500).await;
}

#[tokio::test]
async fn stack_overflow_rolls_back_the_transaction() {
    abandoned("/stack", 500).await;
}

#[tokio::test]
async fn guest_without_response_rolls_back_the_transaction() {
    abandoned("/no-answer", 500).await;
}

#[tokio::test]
async fn statement_beyond_the_deadline_is_cancelled_and_rolled_back() {
    abandoned("/slow-statement", 504).await;
}

/// A client that disconnects after the guest has written. Nothing else can end the request.
async fn left(path: &str) {
    for kind in ALL {
        let bench = Bench::without_limits(kind).await;
        let client = bench.begun(path).await;
        if path.contains("statement") {
            bench.runs_slow_statement().await;
        }
        drop(client);
        let after = format!("a client left {path} on {kind:?}");
        tokio::time::timeout(2 * CLEANUP_LIMIT, bench.is_intact(0, &after))
            .await
            .unwrap_or_else(|_| panic!("{path} on {kind:?} goes on without its client"));
    }
}

#[tokio::test]
async fn client_disconnect_during_a_statement_rolls_back() {
    left("/begun-slow-statement").await;
}

#[tokio::test]
async fn client_disconnect_from_a_busy_guest_rolls_back() {
    left("/begun-loop").await;
}

#[tokio::test]
async fn client_disconnect_during_the_response_rolls_back() {
    left("/flood").await;
}

/// A response that had begun when its transaction was abandoned: it is truncated, or an error if
/// nothing of it was sent.
async fn cut_short(path: &str) {
    for kind in ALL {
        let bench = Bench::new(kind).await;
        let answer = bench.app.get(path).await;
        match answer {
            Ok(answer) => assert!(
                answer.status().is_server_error(),
                "{path} on {kind:?}: {answer:?}"
            ),
            Err(error) => assert!(
                matches!(error, TestError::Response(_)),
                "{path} on {kind:?}: {error}"
            ),
        }
        bench.is_intact(0, &format!("{path} on {kind:?}")).await;
    }
}

#[tokio::test]
async fn trap_after_the_response_began_rolls_back() {
    cut_short("/begun-trap").await;
}

#[tokio::test]
async fn deadline_after_the_response_began_rolls_back() {
    cut_short("/begun-slow-statement").await;
    cut_short("/begun-loop").await;
}

#[tokio::test]
async fn client_that_does_not_read_is_rolled_back_at_the_deadline() {
    for kind in ALL {
        let bench = Bench::new(kind).await;
        let client = bench.begun("/flood").await;
        // Others wait for the end of the transaction, some of them beyond their deadline.
        let (status, text, _) = bench.until_answered("/rollback").await;
        assert_eq!(status, 200, "on {kind:?}: {text}");
        bench
            .is_intact(0, &format!("a client that does not read on {kind:?}"))
            .await;
        drop(client);
    }
}
