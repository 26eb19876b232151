//! Every database call of every route, failed in every way that the interface can.

use std::sync::Arc;

use http::Request;
use serde_json::Value;
use usher::database::{Error, Refusal};
use usher::sandbox::Source;
use usher_testing::fault::{Fault, Seen};
use usher_testing::fault_walk::Pair;
use usher_testing::scripted::Event;
use usher_testing::{FaultWalk, Seed, TestApp, TestResponse, fault_walk, users};

/// Another service, with transactions.
const LEDGER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ledger.wasm"));

/// The constraint on the address.
const EMAIL_KEY: &str = "users_email_key";

const ANN: &str = r#"{"name":"Ann","email":"ann@example.com"}"#;
const TAKEN: &str = r#"{"name":"Ann","email":"user2@example.com"}"#;

/// A request for each way through the service.
fn requests() -> Vec<Request<&'static str>> {
    let json = |method: &str, path: &str, body: &'static str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        request.body(body).expect("a request")
    };
    let conditional = |method: &str, name: &str, value: &str, body: &'static str| {
        let mut request = json(method, "/users/1", body);
        let value = value.parse().expect("a value");
        let name: http::HeaderName = name.parse().expect("a name");
        request.headers_mut().insert(name, value);
        request
    };
    vec![
        json("POST", "/users/", ANN),
        json("POST", "/users/", TAKEN),
        json("GET", "/users/1", ""),
        json("HEAD", "/users/1", ""),
        json("GET", "/users/999", ""),
        conditional("GET", "if-none-match", "\"1\"", ""),
        json("GET", "/users/", ""),
        json("GET", "/users/?limit=2", ""),
        json("GET", "/users/?email=user2@example.com", ""),
        json("GET", "/users.ndjson", ""),
        json("PUT", "/users/1", ANN),
        json("PUT", "/users/1", TAKEN),
        json("PUT", "/users/999", ANN),
        conditional("PUT", "if-match", "\"1\"", ANN),
        conditional("PUT", "if-match", "\"7\"", ANN),
        conditional("PUT", "if-match", "\"1\", \"7\"", ANN),
        json("PATCH", "/users/1", r#"{"name":"Bo"}"#),
        conditional("PATCH", "if-none-match", "\"7\"", r#"{"name":"Bo"}"#),
        json("DELETE", "/users/1", ""),
        conditional("DELETE", "if-match", "\"1\"", ""),
        conditional("DELETE", "if-match", "\"7\"", ""),
        json("GET", "/", ""),
        json("GET", "/nothing", ""),
    ]
}

/// The documented answer to a fault: the statuses, of which the usual one is another.
fn documented(pair: &Pair<'_>) -> &'static [u16] {
    let error = match &pair.fault.seen {
        Seen::Nothing => return &[504],
        Seen::Error(error) => error,
    };
    let is_write = pair.call.writes;
    match error {
        Error::Unavailable(_) | Error::Overloaded | Error::InDoubt | Error::Denied(_) => &[503],
        Error::Timeout => &[504],
        Error::Invalid(_) | Error::TooLarge(_) => &[500],
        Error::Refused(Refusal { code, .. }) => match code.as_str() {
            "23505" | "23503" if is_write => &[409],
            // No other body of a DELETE could succeed.
            "23502" | "23514" if pair.request.method() == "DELETE" => &[409],
            "23502" | "23514" if is_write => &[422],
            "40001" | "40P01" | "57P01" | "53100" | "25006" | "42501" => &[503],
            _ => &[500],
        },
    }
}

fn check(pair: &Pair<'_>, response: &TestResponse, description: &Value) -> Result<(), String> {
    let status = response.status().as_u16();
    let expected = documented(pair);
    if !expected.contains(&status) {
        return Err(format!("answered with {status} instead of {expected:?}"));
    }
    let is_in_doubt = matches!(pair.fault.as_error(), Some(Error::InDoubt));
    if is_in_doubt && !response.text().contains("unknown") && pair.request.method() != "HEAD" {
        return Err("the answer does not say that the outcome is unknown".to_owned());
    }
    let method = pair.request.method().as_str().to_lowercase();
    let method = if method == "head" { "get" } else { &method };
    let path = match pair.request.uri().path() {
        path if path.starts_with("/users/") && path.len() > "/users/".len() => "/users/{user_id}",
        path => path,
    };
    let responses = &description["paths"][path][method]["responses"];
    if responses[status.to_string()].is_null() {
        return Err(format!("{status} is not in the OpenAPI description"));
    }
    Ok(())
}

#[tokio::test]
async fn every_call_failed_in_every_way_has_its_documented_answer() {
    for via_incoming_handler in [false, true] {
        let mut builder = TestApp::builder().seed(users(3));
        if via_incoming_handler {
            builder = builder.via_incoming_handler();
        }
        let app = builder.start().await.expect("it starts");
        let description = app.get("/openapi.json").await.expect("an answer").json();
        let walk = FaultWalk::new(&app)
            .fault(Fault::refused("23505", Some(EMAIL_KEY)))
            .expect(move |pair, response| check(pair, response, &description));
        let report = walk.run(requests()).await.expect("it walks");
        report.print();
        report.assert_passed();
        assert!(report.pairs() > 300, "{report}");
    }
}

/// A walk that finds nothing may be one that looks at nothing.
#[tokio::test]
async fn fault_walk_finds_an_answer_that_is_not_expected() {
    let app = TestApp::builder().seed(users(1)).start().await;
    let app = app.expect("it starts");
    let walk = FaultWalk::new(&app).expect(|pair, response| {
        let is_statement = matches!(pair.call.event, Event::Statement { .. });
        match response.status().as_u16() {
            504 if is_statement => Err("a timeout is never answered with 504 here".to_owned()),
            _ => Ok(()),
        }
    });
    let read = Request::get("/users/1").body("").expect("a request");
    let report = walk.run([read]).await.expect("it walks");
    let failures = report.failures();
    assert_eq!(failures.len(), 2, "{failures:#?}");
    assert!(
        failures[0].contains("GET /users/1, call 1 (SELECT") && failures[0].contains("(injected)"),
        "{}",
        failures[0]
    );
}

async fn ledger() -> TestApp {
    let builder = TestApp::builder()
        .component(Source::Bytes(Arc::from(LEDGER)))
        .any_statements()
        .seed(Seed::sql("INSERT INTO accounts VALUES ('a', 10), ('b', 0)"));
    builder.start().await.expect("it starts")
}

fn post(path: &str) -> Request<&'static str> {
    Request::post(path).body("").expect("a request")
}

#[tokio::test]
async fn transfer_in_a_transaction_passes_the_fault_walk() {
    let requests = [
        post("/transfer/a/b/7"),
        post("/transfer/a/b/70"),
        post("/transfer/a/c/7"),
        Request::get("/accounts/a").body("").expect("a request"),
    ];
    let report = fault_walk(&ledger().await, requests).await;
    let report = report.expect("it walks");
    assert!(report.pairs() > 150, "{report}");
}

#[tokio::test]
async fn transfer_without_a_transaction_is_found_to_be_half_written() {
    let app = ledger().await;
    let walk = FaultWalk::new(&app);
    let report = walk
        .run([post("/careless-transfer/a/b/7")])
        .await
        .expect("it walks");
    let failures = report.failures();
    let second = failures.iter().filter(|text| text.contains(", call 2 ("));
    let half = second.filter(|text| text.contains("half of it was written"));
    assert!(half.count() > 10, "{failures:#?}");
}

#[tokio::test]
async fn commit_in_doubt_that_is_answered_as_done_is_found() {
    let app = ledger().await;
    let walk = FaultWalk::new(&app);
    let report = walk
        .run([post("/optimistic-transfer/a/b/7")])
        .await
        .expect("it walks");
    let failures = report.failures();
    assert_eq!(failures.len(), 2, "{failures:#?}");
    for failure in failures {
        assert!(failure.contains("as if it were not in doubt"), "{failure}");
    }
}
