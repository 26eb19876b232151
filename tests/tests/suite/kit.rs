//! The test kit itself: requests, expectations, databases, and what a test costs.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::json;
use usher::database::Value;
use usher::sandbox::Source;
use usher_testing::{Clock, Postgres, Script, Seed, TestApp, TestDatabase, TestError, users};
use usher_tests::figures;
use usher_tests::janitor::Scratch;

use crate::standard_library::STANDARD;
use crate::startup::usher;

const DRAFTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/drafts.wasm"));
const LEDGER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ledger.wasm"));

#[derive(Debug, Serialize)]
struct NewUser {
    name: String,
    email: String,
}

#[derive(Debug, Deserialize, PartialEq)]
struct User {
    id: i64,
    name: String,
    email: String,
}

fn ann() -> NewUser {
    NewUser {
        name: "Ann".into(),
        email: "ann@example.com".into(),
    }
}

async fn start(database: impl Into<TestDatabase>) -> TestApp {
    TestApp::start(database).await.expect("it starts")
}

/// The text with which a task panics.
async fn panic_of(task: impl Future<Output = ()> + Send + 'static) -> String {
    let ended = tokio::spawn(task).await.expect_err("it panics");
    let text = ended.into_panic().downcast::<String>();
    *text.expect("a panic has a text")
}

#[tokio::test]
async fn request_with_json_returns_a_value_after_its_expectations() {
    let app = start("memory:").await;
    let created = app.post("/users/").json(&ann()).await.expect("an answer");
    let user = created.expect_status(200).json::<User>();
    assert_eq!((user.id, user.name.as_str()), (1, "Ann"));
    let read = app.get("/users/1").header("if-none-match", "\"1\"").await;
    read.expect("an answer").expect_status(304).expect_text("");
    let changed = app
        .patch("/users/1")
        .header("if-match", "\"1\"")
        .json(&json!({"name": "Bo"}))
        .await;
    changed
        .expect("an answer")
        .expect_status(200)
        .expect_header("etag", "\"2\"");
}

#[tokio::test]
async fn streamed_bodies_arrive_in_pieces_both_ways() {
    let app = TestApp::builder().seed(users(300)).start().await;
    let app = app.expect("it starts");
    let pieces = [r#"{"name":"Ann","#, r#""email":"ann@example.com"}"#];
    let request = app
        .post("/users/")
        .header("content-type", "application/json");
    let created = request.chunks(pieces).await.expect("an answer");
    assert_eq!(created.expect_status(200).json::<User>().id, 301);
    let mut list = app.get("/users.ndjson").stream().await.expect("a head");
    assert_eq!(list.header("content-type"), Some("application/x-ndjson"));
    let (mut pieces, mut lines) = (0, 0);
    while let Some(piece) = list.chunk().await.expect("the body is complete") {
        pieces += 1;
        lines += piece.split(|&byte| byte == b'\n').count() - 1;
    }
    assert_eq!(lines, 301);
    assert!(pieces > 1, "{pieces}");
}

#[tokio::test]
async fn failed_expectation_shows_request_response_and_statements() {
    let app = start("memory:").await;
    app.post("/users/").json(&ann()).await.expect("an answer");
    let text = panic_of(async move {
        let again = app.post("/users/").json(&ann()).await.expect("an answer");
        again.expect_status(200);
    })
    .await;
    for part in [
        "expected the status 200 OK, got 409 Conflict",
        "request\n  POST /users/\n  content-type: application/json\n",
        r#"{"name":"Ann","email":"ann@example.com"}"#,
        "409 Conflict\n",
        r#"{"detail":"Email already registered"}"#,
        "1. INSERT INTO users (name, email) VALUES ($1, $2)",
        r#"     $1 = "Ann", $2 = "ann@example.com""#,
        "constraint users_email_key",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    // The statement of the first request is not among them.
    assert!(!text.contains("  2. "), "{text}");
}

#[tokio::test]
async fn statements_of_concurrent_requests_are_told_apart() {
    let app = Arc::new(TestApp::builder().seed(users(9)).start().await.expect("it"));
    let mut reads = tokio::task::JoinSet::new();
    for id in 1..=9 {
        let app = Arc::clone(&app);
        reads.spawn(async move {
            let read = app.get(&format!("/users/{id}")).await.expect("an answer");
            let calls: Vec<String> = read.calls().iter().map(ToString::to_string).collect();
            assert_eq!(calls.len(), 1, "{calls:?}");
            assert!(calls[0].contains(&format!("$1 = {id}\n")), "{calls:?}");
        });
    }
    while let Some(read) = reads.join_next().await {
        read.expect("no panic");
    }
}

#[tokio::test]
async fn each_database_is_chosen_in_one_call() {
    let databases = [
        TestDatabase::Memory,
        TestDatabase::File,
        TestDatabase::Postgres,
    ];
    for database in databases {
        let app = start(database).await;
        let created = app.post("/users/").json(&ann()).await.expect("an answer");
        created.expect_status(200).expect_header("etag", "\"1\"");
        let rows = app.sql("SELECT name FROM users WHERE id = $1", &[Value::Integer(1)]);
        let rows = rows.await.expect("rows").rows;
        assert!(matches!(&rows[..], [row] if matches!(&row[..], [Value::Text(_)])));
    }
    let script = Script::new();
    script.on("SELECT *").rows(["name", "email", "version"], []);
    let app = start(&script).await;
    app.get("/users/1").await.expect("it").expect_status(404);
}

#[tokio::test]
async fn limits_are_set_in_one_call() {
    let app = TestApp::builder()
        .configure(|config| {
            config.connections.max_body = 10;
            config.sandbox.request_timeout = Duration::from_secs(1);
        })
        .start()
        .await
        .expect("it starts");
    let large = app.post("/users/").json(&ann()).await.expect("an answer");
    large.expect_status(413);
}

#[tokio::test]
async fn component_gets_the_values_of_its_own_application() {
    let builder = || TestApp::builder().component(Source::Bytes(Arc::from(DRAFTS)));
    let greeted = || builder().component_config("greeting", "hello");
    for (builder, expected) in [
        (builder(), "[]"),
        (greeted(), r#"[("greeting", "hello")]"#),
        (
            greeted().component_config("greeting", "a=b"),
            r#"[("greeting", "a=b")]"#,
        ),
        (
            greeted().component_config("limit", ""),
            r#"[("greeting", "hello"), ("limit", "")]"#,
        ),
        (builder(), "[]"),
    ] {
        let app = builder.start().await.expect("it starts");
        let all = app.get("/all").await.expect("an answer");
        all.expect_status(200).expect_text(expected);
    }
}

#[tokio::test]
async fn component_gets_the_time_and_the_random_numbers_of_its_test() {
    let builder = || TestApp::builder().component(Source::Bytes(Arc::from(STANDARD)));
    let text = async |app: &TestApp, path: &str| {
        let response = app.get(path).await.expect("an answer");
        response.expect_status(200).text()
    };
    let clock = Clock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let app = builder().clock(&clock).start().await.expect("it starts");
    assert_eq!(text(&app, "/now").await, "1000000000s");
    clock.advance(Duration::from_millis(1500));
    assert_eq!(text(&app, "/now").await, "1000000001.5s");
    assert_eq!(text(&app, "/clocks").await, "true true 3");

    // The first numbers of two instances.
    let numbers = async |seed: u64| {
        let fresh = builder().instance_reuse(NonZeroU32::MIN).random_seed(seed);
        let app = fresh.start().await.expect("it starts");
        [text(&app, "/random").await, text(&app, "/random").await]
    };
    let of_seven = numbers(7).await;
    assert_ne!(of_seven[0], of_seven[1]);
    assert_eq!(numbers(7).await, of_seven);
    assert_ne!(numbers(8).await[0], of_seven[0]);
}

#[tokio::test]
async fn denied_import_and_missing_token_are_refused_as_by_the_program() {
    let source = Source::Bytes(Arc::from(DRAFTS));
    let denied = TestApp::builder().component(source).configure(|config| {
        config.sandbox.deny_imports = vec!["wasi:config".parse().expect("a package")];
    });
    let error = denied.start().await.expect_err("it imports wasi:config");
    assert!(matches!(error, TestError::Load(_)), "{error}");

    let scratch = Scratch::new();
    let ended = usher(&scratch)
        .args([
            "token", "new", "ci", "--scopes", "read", "--tokens", "tokens",
        ])
        .run();
    let token = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
    let file = scratch.file("tokens");
    let app = TestApp::builder()
        .configure(|config| config.access.tokens = Some(file.into()))
        .start()
        .await
        .expect("it starts");
    app.get("/users/").await.expect("it").expect_status(401);
    let permitted = app
        .get("/users/")
        .header("authorization", &format!("Bearer {token}"));
    permitted.await.expect("it").expect_status(200);
}

#[tokio::test]
async fn seed_is_there_before_the_first_request() {
    let seed = users(3).then("UPDATE users SET name = 'Zoe' WHERE id = 2", []);
    for database in [TestDatabase::Memory, TestDatabase::Postgres] {
        let builder = TestApp::builder().database(database).seed(seed.clone());
        let app = builder.start().await.expect("it starts");
        let list: Vec<User> = app.get("/users/").await.expect("an answer").json();
        let names: Vec<_> = list.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, ["User 1", "Zoe", "User 3"]);
        assert_eq!(app.calls().len(), 1, "{:?}", app.calls());
    }
}

#[tokio::test]
async fn restored_snapshot_has_the_contents_of_its_moment() {
    let app = TestApp::builder().seed(users(2)).start().await;
    let app = app.expect("it starts");
    let snapshot = app.snapshot().await.expect("a snapshot");
    for _ in 0..3 {
        app.delete("/users/1").await.expect("it").expect_status(204);
        app.get("/users/1").await.expect("it").expect_status(404);
        app.restore(&snapshot).await.expect("it is restored");
        app.get("/users/1").await.expect("it").expect_status(200);
    }
    let other = start(&snapshot).await;
    other
        .delete("/users/2")
        .await
        .expect("it")
        .expect_status(204);
    app.get("/users/2").await.expect("it").expect_status(200);
    let file = start(TestDatabase::File).await;
    assert!(matches!(
        file.snapshot().await,
        Err(TestError::Statement(_))
    ));
}

#[tokio::test]
async fn panic_removes_the_database_of_its_test() {
    let server = Postgres::start().expect("a server");
    let app = start(TestDatabase::Postgres).await;
    let url = app.postgres().expect("it has one").url().to_owned();
    let text = panic_of(async move {
        app.get("/users/1").await.expect("it").expect_status(200);
    })
    .await;
    assert!(text.contains("404 Not Found"), "{text}");
    let name = url.rsplit('/').next().expect("a name");
    let other = server.database().await;
    let client = other.connect().await;
    let count = "SELECT count(*) FROM pg_database WHERE datname = $1";
    let left = client.query_one(count, &[&name]).await.expect("a count");
    assert_eq!(left.get::<_, i64>(0), 0, "{name} is left");
}

#[tokio::test]
async fn component_of_another_service_is_tested_by_the_same_kit() {
    for database in [TestDatabase::Memory, TestDatabase::Postgres] {
        let app = TestApp::builder()
            .component(Source::Bytes(Arc::from(LEDGER)))
            .any_statements()
            .database(database)
            .seed(Seed::sql("INSERT INTO accounts VALUES ('a', 10), ('b', 0)"))
            .start()
            .await
            .expect("it starts");
        let transfer = app.post("/transfer/a/b/7").await.expect("an answer");
        let calls = transfer.expect_status(204).calls();
        let calls: Vec<String> = calls.iter().map(|call| call.event.to_string()).collect();
        assert_eq!(calls.len(), 4, "{calls:?}");
        assert_eq!(calls[3], "COMMIT");
        let read = app.get("/accounts/b").await.expect("an answer");
        read.expect_status(200).expect_text("7");
        let more = app.post("/transfer/a/b/7").await.expect("an answer");
        more.expect_status(409);
        let rows = app.sql("SELECT sum(cents) FROM accounts", &[]).await;
        assert_eq!(rows.expect("rows").rows.len(), 1);
    }
}

/// Prints what a test costs, in the build that runs it.
#[tokio::test]
async fn costs_of_a_test_are_bounded() {
    let work = async |database: TestDatabase| {
        let app = start(database).await;
        let created = app.post("/users/").json(&ann()).await.expect("an answer");
        created.expect_status(200);
        app.get("/users/1").await.expect("it").expect_status(200);
    };
    let average = async |name: &str, database: &dyn Fn() -> TestDatabase| {
        work(database()).await;
        let (apps, began) = (100, Instant::now());
        for _ in 0..apps {
            work(database()).await;
        }
        let took = began.elapsed() / apps;
        figures::print("the kit", &format!("{name}, a create and a get: {took:?}"));
    };
    average("an application in memory", &|| TestDatabase::Memory).await;
    // A URL in other letters is not recognised, so that this one migrates its own database.
    let migrated = || TestDatabase::Url("sqlite::memory:".into());
    average("one that runs the migrations", &migrated).await;

    let app = TestApp::builder().seed(users(100)).start().await;
    let app = app.expect("it starts");
    let (snapshot, snapshot_took) = least(async || app.snapshot().await.expect("a snapshot")).await;
    let ((), restore_took) = least(async || app.restore(&snapshot).await.expect("it is")).await;
    figures::print(
        "the kit",
        &format!("of 100 users a snapshot: {snapshot_took:?}, its restoration: {restore_took:?}"),
    );
    assert!(
        snapshot_took < Duration::from_millis(1),
        "{snapshot_took:?}"
    );
    assert!(restore_took < Duration::from_millis(1), "{restore_took:?}");

    drop(start(TestDatabase::Postgres).await);
    let (_, postgres) = least(async || start(TestDatabase::Postgres).await).await;
    figures::print(
        "the kit",
        &format!("an application on a PostgreSQL database: {postgres:?}"),
    );
    // While a test runs, the next database is made.
    let mut took = Vec::new();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        let _app = start(TestDatabase::Postgres).await;
        took.push(began.elapsed());
    }
    took.sort();
    figures::print(
        "the kit",
        &format!(
            "the same while tests take 300 ms, the median of 10: {:?}",
            took[5]
        ),
    );
}

/// The last of some results, and the least time. Other tests run at the same time.
async fn least<T>(work: impl AsyncFn() -> T) -> (T, Duration) {
    let mut least = Duration::MAX;
    for _ in 0..20 {
        let began = Instant::now();
        let _done = work().await;
        least = least.min(began.elapsed());
    }
    (work().await, least)
}
