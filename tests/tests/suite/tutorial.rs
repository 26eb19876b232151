//! The examples of `docs/testing.md`, which has them word for word.

use std::path::Path;
use std::time::Duration;

use http::Request;
use usher_testing::{Recording, Script, TestDatabase, fault_walk, users};

use serde_json::json;
use usher_testing::TestApp;

#[tokio::test]
async fn created_user_can_be_read() -> Result<(), Box<dyn std::error::Error>> {
    let app = TestApp::start("memory:").await?;
    let ann = json!({"name": "Ann", "email": "ann@example.com"});
    app.post("/users/").json(&ann).await?.expect_status(200);
    let read = app.get("/users/1").await?.expect_status(200);
    assert_eq!(read.json::<serde_json::Value>()["name"], "Ann");
    Ok(())
}

use rstest::{fixture, rstest};

#[fixture]
async fn app() -> TestApp {
    TestApp::start("memory:").await.expect("it starts")
}

#[rstest]
#[case::with_an_address("ann@example.com", 200)]
#[case::without_an_address("ann", 422)]
#[tokio::test]
async fn address_decides_the_status(
    #[future(awt)] app: TestApp,
    #[case] email: &str,
    #[case] status: u16,
) -> Result<(), Box<dyn std::error::Error>> {
    let user = json!({"name": "Ann", "email": email});
    app.post("/users/").json(&user).await?.expect_status(status);
    Ok(())
}

#[tokio::test]
async fn hundredth_user_of_a_seed_can_be_read() -> Result<(), Box<dyn std::error::Error>> {
    let app = TestApp::builder()
        .database(TestDatabase::File)
        .seed(users(100))
        .configure(|config| config.sandbox.request_timeout = Duration::from_secs(2))
        .start()
        .await?;
    app.get("/users/100").await?.expect_status(200);
    Ok(())
}

#[tokio::test]
async fn deleted_user_is_back_in_a_snapshot() -> Result<(), Box<dyn std::error::Error>> {
    let app = TestApp::builder().seed(users(3)).start().await?;
    let three_users = app.snapshot().await?;
    app.delete("/users/2").await?.expect_status(204);
    app.restore(&three_users).await?;
    app.get("/users/2").await?.expect_status(200);
    // The contents of a moment can also be those of another application.
    let other = TestApp::start(&three_users).await?;
    other.get("/users/2").await?.expect_status(200);
    Ok(())
}

#[tokio::test]
async fn address_that_was_taken_in_production_is_a_conflict()
-> Result<(), Box<dyn std::error::Error>> {
    let file = Path::new("recordings/taken.jsonl");
    let script = Script::from_recording(file)?;
    let app = TestApp::start(&script).await?;
    let request = Recording::read(file)?.request.request()?;
    app.execute(request).await?.expect_status(409);
    script.assert_done();
    Ok(())
}

#[tokio::test]
async fn read_and_delete_withstand_every_fault() -> Result<(), Box<dyn std::error::Error>> {
    let app = TestApp::builder().seed(users(3)).start().await?;
    let read = Request::get("/users/1").body("")?;
    let delete = Request::delete("/users/2").header("if-match", "\"1\"");
    fault_walk(&app, [read, delete.body("")?]).await?;
    Ok(())
}

#[test]
fn examples_of_the_tutorial_are_those_that_run_here() {
    let tutorial = include_str!("../../../docs/testing.md");
    let here = include_str!("tutorial.rs");
    let mut examples = tutorial.split("```rust\n").skip(1).peekable();
    assert!(examples.peek().is_some(), "the tutorial has no example");
    for example in examples {
        let example = example.split("```").next().unwrap_or_default();
        assert!(here.contains(example), "not run by any test:\n{example}");
    }
}
