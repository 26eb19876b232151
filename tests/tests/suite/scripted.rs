//! The service over a scripted database: what no real database does on demand.

use std::time::Duration;

use usher::database::{Error, Value};
use usher_testing::Script;
use usher_testing::TestApp;

async fn app(script: &Script) -> TestApp {
    TestApp::builder()
        .database(script.database())
        .no_migrate()
        .request_timeout(Duration::from_millis(500))
        .start()
        .await
        .expect("it starts")
}

async fn post(app: &TestApp, name: &str) -> (u16, String) {
    let body = format!(r#"{{"name":"{name}","email":"{name}@example.org"}}"#);
    let answer = app
        .post("/users/")
        .json_text(body)
        .await
        .expect("an answer");
    (
        answer.status().as_u16(),
        String::from_utf8_lossy(answer.body()).into_owned(),
    )
}

fn user(id: i64, name: &str) -> Vec<Value> {
    let email = format!("{name}@example.org");
    vec![
        Value::Integer(id),
        Value::Text(name.into()),
        Value::Text(email),
        Value::Integer(1),
    ]
}

const COLUMNS: [&str; 4] = ["id", "name", "email", "version"];

#[tokio::test]
async fn script_returns_rows_and_logs_statements_with_parameters() {
    let script = Script::new();
    script
        .on("INSERT INTO users *")
        .rows(COLUMNS, [user(7, "ann")]);
    script.on("*FROM users WHERE id = $1").rows(COLUMNS, []);
    let app = app(&script).await;
    assert_eq!(
        post(&app, "ann").await,
        (
            200,
            r#"{"id":7,"name":"ann","email":"ann@example.org"}"#.into()
        )
    );
    assert_eq!(app.get("/users/8").await.expect("an answer").status(), 404);
    let log: Vec<_> = script.log().iter().map(ToString::to_string).collect();
    assert_eq!(
        log,
        [
            concat!(
                "INSERT INTO users (name, email) VALUES ($1, $2) ",
                r#"RETURNING id, name, email, version ($1 = "ann", $2 = "ann@example.org")"#,
            ),
            "SELECT name, email, version FROM users WHERE id = $1 ($1 = 8)",
        ]
    );
    script.assert_done();
}

#[tokio::test]
async fn script_returns_faults_by_pattern_and_by_count() {
    let script = Script::new();
    let inserts = "INSERT INTO users *";
    script.on(inserts).times(1).error(Error::Overloaded);
    script.on(inserts).times(1).drop_connection();
    script.on(inserts).times(1).hang();
    script.on(inserts).times(1).error(Error::Timeout);
    script
        .on(inserts)
        .with_params(&[
            Value::Text("eve".into()),
            Value::Text("eve@example.org".into()),
        ])
        .error(Error::Denied("not her".into()));
    script
        .on(inserts)
        .delay(Duration::from_millis(50))
        .rows(COLUMNS, [user(1, "ann")]);
    let app = app(&script).await;
    let (busy, doubtful) = (post(&app, "ann").await, post(&app, "ann").await);
    assert_eq!((busy.0, doubtful.0), (503, 503));
    assert!(doubtful.1.contains("unknown"), "{}", doubtful.1);
    assert_eq!(post(&app, "ann").await.0, 504);
    assert_eq!(post(&app, "ann").await.0, 504);
    assert_eq!(post(&app, "eve").await.0, 503);
    let began = std::time::Instant::now();
    assert_eq!(post(&app, "ann").await.0, 200);
    assert!(began.elapsed() >= Duration::from_millis(50));
    script.assert_done();
}

#[tokio::test]
async fn statement_without_scripted_result_is_an_error_with_its_text() {
    let script = Script::new();
    let app = app(&script).await;
    // Internal errors are not shown to clients.
    let (status, text) = post(&app, "ann").await;
    assert_eq!(
        (status, text.as_str()),
        (500, r#"{"detail":"Internal Server Error"}"#)
    );
    let unmatched = script.unmatched();
    assert!(
        matches!(unmatched.as_slice(), [only] if only.starts_with("INSERT INTO \
            users") && only.contains(r#"$1 = "ann""#)),
        "{unmatched:?}"
    );
}
