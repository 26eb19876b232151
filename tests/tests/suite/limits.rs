//! Limits on clients, and the responses beyond them.

use std::sync::Arc;
use std::time::Duration;

use usher::sandbox::Source;
use usher_testing::TestApp;
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;

async fn send_request(app: &TestApp, request: &Request) -> Response {
    http::send(app.connect(), request, "test")
        .await
        .expect("an answer")
}

#[track_caller]
fn is_json(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(
        response.header("content-type").as_deref(),
        Some("application/json")
    );
    assert!(response.json().get("detail").is_some());
}

/// The body of a 413, as the component's description documents it.
fn described_413() -> serde_json::Value {
    let description: serde_json::Value =
        serde_json::from_str(include_str!("../../../openapi.json")).expect("a description");
    let example =
        "/components/responses/BodyTooLarge/content/application~1json/examples/bodyTooLarge/value";
    description.pointer(example).expect("an example").clone()
}

#[tokio::test]
async fn body_over_the_limit_returns_413_before_it_is_read() {
    let app = TestApp::start("memory:").await.expect("it starts");
    // The request announces a length and sends no body, so the response cannot have waited for it.
    let announced = Request::new("POST", "/users/")
        .header("content-type", "application/json")
        .header("content-length", "1048577");
    let refused = send_request(&app, &announced).await;
    is_json(&refused, 413);
    assert_eq!(refused.json(), described_413());
    let chunked = Request::new("POST", "/users/")
        .header("content-type", "application/json")
        .header("transfer-encoding", "chunked")
        .body(vec![b' '; (1 << 20) + 1]);
    is_json(&send_request(&app, &chunked).await, 413);
    let within = Request::new("POST", "/users/")
        .header("content-type", "application/json")
        .body(vec![b' '; 1 << 20]);
    is_json(&send_request(&app, &within).await, 422);
}

#[tokio::test]
async fn invalid_http_returns_json_error() {
    let app = TestApp::start("memory:").await.expect("it starts");
    is_json(
        &send_request(&app, &Request::new("G T", "/users/1")).await,
        400,
    );
    is_json(
        &send_request(
            &app,
            &Request::get("/users/1").header("content-length", "x"),
        )
        .await,
        400,
    );
    is_json(
        &send_request(
            &app,
            &Request::get("/users/1").header("x", &"a".repeat(100 << 10)),
        )
        .await,
        431,
    );
    is_json(
        &send_request(&app, &Request::get(&format!("/{}", "a".repeat(70 << 10)))).await,
        414,
    );
    is_json(
        &send_request(
            &app,
            &Request::get("/users/1")
                .header("host", "a")
                .header("host", "b"),
        )
        .await,
        400,
    );
}

#[tokio::test]
async fn request_beyond_its_deadline_returns_504() {
    let hostile: Arc<[u8]> =
        Arc::from(&include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"))[..]);
    // A file, because in memory a writer excludes readers.
    let scratch = Scratch::new();
    let app = TestApp::builder()
        .database(format!("sqlite:{}", scratch.file("users.db")))
        .component(Source::Bytes(hostile))
        .any_statements()
        .no_migrate()
        .request_timeout(Duration::from_millis(200))
        .start()
        .await
        .expect("it starts");
    assert_eq!(
        send_request(&app, &Request::get("/table")).await.status,
        200
    );
    // While one request never ends, another one is served.
    let looping = Request::get("/loop");
    let (endless, other) = tokio::join!(send_request(&app, &looping), async {
        send_request(&app, &Request::get("/count")).await
    });
    is_json(&endless, 504);
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn lost_database_returns_503_with_retry_after() {
    use usher::database::Error;
    use usher_testing::Script;

    let script = Script::new();
    script
        .on("SELECT name, email, version FROM users *")
        .error(Error::Unavailable("gone".into()));
    script.on("INSERT INTO users *").drop_connection();
    let app = TestApp::builder()
        .database(script.database())
        .no_migrate()
        .start()
        .await
        .expect("it starts");
    let read = send_request(&app, &Request::get("/users/1")).await;
    is_json(&read, 503);
    assert_eq!(read.header("retry-after").as_deref(), Some("1"));
    let body = serde_json::json!({"name": "a", "email": "a@example.org"});
    let written = send_request(&app, &Request::post("/users/", &body)).await;
    is_json(&written, 503);
    // The outcome of a write with a lost connection is unknown, and the response says so.
    assert_ne!(written.text(), read.text());
    assert!(written.text().contains("unknown"), "{}", written.text());
}
