//! A transaction is rolled back however it is abandoned, and nobody else notices.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use usher::runtime::Source;
use usher::testing::TestApp;

use crate::databases::{ALL, Fresh, Kind};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

struct Bench {
    app: TestApp,
    fresh: Fresh,
}

impl Bench {
    async fn new(kind: Kind) -> Self {
        let fresh = kind.fresh().await;
        let database = fresh.open(|_| ()).await;
        let app = TestApp::builder()
            .open_database(database)
            .component(Source::Bytes(Arc::from(HOSTILE)))
            .no_migrate()
            .request_timeout(Duration::from_millis(500))
            .memory_limit(16 << 20)
            .start()
            .await
            .expect("it starts");
        let bench = Self { app, fresh };
        assert_eq!(bench.get("/table").await.0, 200);
        bench
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let response: http::Response<Bytes> = self.app.get(path).await.expect("an answer");
        (
            response.status().as_u16(),
            String::from_utf8_lossy(response.body()).into_owned(),
        )
    }

    /// Expects so many rows, no transaction left on the server, and a next transaction that goes through.
    async fn is_whole(&self, rows: usize, after: &str) {
        assert_eq!(
            self.get("/count").await,
            (200, rows.to_string()),
            "rows after {after}"
        );
        if let Some(postgres) = &self.fresh.postgres {
            let client = postgres.connect().await;
            let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                        AND pid <> pg_backend_pid() AND (state LIKE 'idle in%' OR state = 'active')";
            // The host cleans up after the answer, at once but not before it.
            let clean = async {
                while client
                    .query_one(left, &[])
                    .await
                    .expect("a count")
                    .get::<_, i64>(0)
                    > 0
                {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), clean)
                .await
                .unwrap_or_else(|_| panic!("a session is left after {after}"));
        }
        assert_eq!(
            self.get("/commit").await.0,
            200,
            "the next transaction after {after}"
        );
        assert_eq!(
            self.get("/count").await,
            (200, (rows + 1).to_string()),
            "after {after} and a commit"
        );
    }
}

async fn abandoned(path: &str, status: u16) {
    for kind in ALL {
        let bench = Bench::new(kind).await;
        let (got, text) = bench.get(path).await;
        assert_eq!(got, status, "{path} on {kind:?}: {text}");
        bench.is_whole(0, &format!("{path} on {kind:?}")).await;
    }
}

#[tokio::test]
async fn a_committed_transaction_lasts() {
    for kind in ALL {
        let bench = Bench::new(kind).await;
        assert_eq!(bench.get("/commit").await.0, 200);
        bench.is_whole(1, "a commit").await;
    }
}

#[tokio::test]
async fn rollback_leaves_nothing() {
    abandoned("/rollback", 200).await;
}

#[tokio::test]
async fn a_dropped_transaction_is_rolled_back() {
    abandoned("/drop", 200).await;
}

#[tokio::test]
async fn a_transaction_dropped_after_the_answer_is_rolled_back() {
    abandoned("/answer-first", 200).await;
}

#[tokio::test]
async fn a_transaction_kept_beyond_its_request_is_rolled_back() {
    abandoned("/keep", 200).await;
}

#[tokio::test]
async fn a_trap_rolls_back() {
    abandoned("/trap", 500).await;
}

#[tokio::test]
async fn an_endless_loop_is_ended_and_rolls_back() {
    abandoned("/loop", 504).await;
}

#[tokio::test]
async fn a_memory_bomb_rolls_back() {
    abandoned("/memory", 500).await;
}

#[tokio::test]
async fn a_stack_overflow_rolls_back() {
    abandoned("/stack", 500).await;
}

#[tokio::test]
async fn a_guest_without_an_answer_rolls_back() {
    abandoned("/no-answer", 500).await;
}

#[tokio::test]
async fn a_statement_beyond_the_deadline_is_cancelled_and_rolled_back() {
    abandoned("/slow-statement", 504).await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_transaction_along() {
    for kind in ALL {
        let bench = Bench::new(kind).await;
        let mut client = bench.app.connect();
        client
            .write_all(b"GET /slow-statement HTTP/1.1\r\nhost: test\r\n\r\n")
            .await
            .expect("a connection");
        // Left while the statement runs, or before: no answer may come of it either way.
        tokio::task::yield_now().await;
        drop(client);
        bench
            .is_whole(0, &format!("a client that left, on {kind:?}"))
            .await;
    }
}
