//! The conformance suite of `usher:database`, run from inside the sandbox over every back end.

use std::sync::Arc;

use tokio::task::JoinSet;
use usher::sandbox::Source;
use usher_testing::TestApp;
use usher_tests::pgbouncer::Pooling;
use usher_tests::process::WAIT_LIMIT;

use crate::databases::Kind;

pub(crate) const SUITE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/conformance.wasm"));

/// How many cases run at once, each with a database of its own.
const AT_ONCE: usize = 8;

async fn app(kind: Kind) -> (TestApp, crate::databases::Fresh) {
    let fresh = kind.fresh().await;
    let database = fresh
        .open(|config| {
            config.max_rows_bytes = (1 << 20) + 1024;
            config.max_statement_bytes = 64 << 10;
            config.max_parameters = 100;
            config.max_transactions = 4;
            // `impatient` tests the timeouts; here a busy machine must not be a failure.
            config.statement_timeout = WAIT_LIMIT;
            config.pool_wait = WAIT_LIMIT;
            // The policy allows this function, so that the database itself reports that it does not
            // exist.
            config.allowed.functions = vec!["no_such_function".to_owned()];
        })
        .await;
    let builder = TestApp::builder()
        .database(database)
        .component(Source::Bytes(Arc::from(SUITE)))
        .request_timeout(WAIT_LIMIT)
        .no_migrate();
    (builder.start().await.expect("the suite starts"), fresh)
}

async fn run(kind: Kind, case: String) -> Option<String> {
    let (app, fresh) = app(kind).await;
    let answer = app
        .post(&format!("/{case}"))
        .json_text("")
        .await
        .expect("an answer");
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    drop(app);
    fresh.end().await;
    (answer.status() != 200).then(|| format!("{case}: {text}"))
}

async fn conforms(kind: Kind) {
    let (list, _fresh) = app(kind).await;
    let names = list.get("/").await.expect("the list").into_body();
    let names: Vec<String> = String::from_utf8_lossy(&names)
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(
        names.len() >= 86,
        "the suite has only {} cases",
        names.len()
    );
    let mut running = JoinSet::new();
    let mut failed = Vec::new();
    for name in names {
        if running.len() == AT_ONCE {
            failed.extend(
                running
                    .join_next()
                    .await
                    .expect("one runs")
                    .expect("it does not panic"),
            );
        }
        running.spawn(run(kind, name));
    }
    while let Some(done) = running.join_next().await {
        failed.extend(done.expect("it does not panic"));
    }
    assert!(
        failed.is_empty(),
        "{} cases fail on {kind:?}:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[tokio::test]
async fn memory_conforms() {
    conforms(Kind::Memory).await;
}

#[tokio::test]
async fn sqlite_file_conforms() {
    conforms(Kind::File).await;
}

#[tokio::test]
async fn postgresql_conforms() {
    conforms(Kind::Postgres).await;
}

#[tokio::test]
async fn postgresql_behind_session_pooler_conforms() {
    conforms(Kind::Pooled(Pooling::Session)).await;
}

#[tokio::test]
async fn postgresql_behind_transaction_pooler_conforms() {
    conforms(Kind::Pooled(Pooling::Transaction)).await;
}
