//! The cost of a memory database per test, in a build without optimisation.

use std::time::{Duration, Instant};

use usher_testing::TestApp;

#[tokio::test]
async fn memory_database_per_test_costs_less_than_ten_milliseconds() {
    // The first one starts the engine that all tests of the process share.
    drop(TestApp::start("memory:").await.expect("it starts"));
    let mut took = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        let app = TestApp::start("memory:").await.expect("it starts");
        took.push(began.elapsed());
        assert_eq!(app.get("/users/1").await.expect("an answer").status(), 404);
    }
    // Other tests run at the same time, so the fastest one counts.
    let least = took.iter().min().expect("fifty of them");
    assert!(
        *least < Duration::from_millis(10),
        "the quickest of 50 took {least:?}"
    );
}

#[tokio::test]
async fn memory_databases_are_independent() {
    let (one, other) = (
        TestApp::start("memory:").await.expect("it starts"),
        TestApp::start("memory:").await.expect("it starts"),
    );
    let created = one
        .post("/users/")
        .json_text(r#"{"name":"a","email":"a@example.org"}"#)
        .await
        .expect("an answer");
    assert_eq!(created.status(), 200);
    assert_eq!(one.get("/users/1").await.expect("an answer").status(), 200);
    assert_eq!(
        other.get("/users/1").await.expect("an answer").status(),
        404
    );
}
