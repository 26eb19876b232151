//! What the component is told about who sends a request.

use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use usher::sandbox::Source;
use usher_testing::TestApp;
use usher_tests::http::Request;
use usher_tests::janitor::Scratch;

use super::issuer::{Pair, claims};
use super::{HOSTILE, with_keys};
use crate::access::{make_token, start, with};
use crate::startup::send_request;

#[tokio::test]
async fn component_is_told_who_sends_a_request_and_a_client_cannot_say_so() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    let pair = Pair::p256();
    let file = make_token(&scratch, "ci", "read");
    let component = [
        "--component",
        "hostile.wasm",
        "--database-statements",
        "any",
    ];
    let token = |subject: &str| {
        let mut said = claims("read other:scope");
        said["sub"] = json!(subject);
        pair.sign(&json!({"alg": "ES256"}), &said)
    };
    let forged = || {
        Request::get("/sender")
            .header("usher-subject", "root")
            .header("Usher_Subject", "root")
            .header("usher-scopes", "write")
            .header("usher-issuer", "me")
            .header("usher-anything", "else")
    };
    // A client on this machine is a trusted proxy, and is not believed either.
    let told = [&component[..], &["--tokens", "tokens", "--pass-subject"]].concat();
    let mut running = with_keys(&scratch, &[pair.jwk(json!({}))], &told);
    let address = running.address();
    for (token, expected) in [
        (
            token("auth0|7"),
            "usher-issuer: https://id.example/\nusher-scopes: read other:scope\n\
             usher-subject: auth0|7",
        ),
        (
            token("\u{e4}\r\nusher-scopes: write"),
            "usher-issuer: https://id.example/\nusher-scopes: read other:scope\n\
             usher-subject: %C3%A4%0D%0Ausher-scopes:%20write",
        ),
        (file.clone(), "usher-scopes: read\nusher-subject: ci"),
    ] {
        let response = send_request(&address, with(forged(), &token)).await;
        assert_eq!((response.status, response.text().as_str()), (200, expected));
    }
    drop(running);
    // It is not told unless the operator says so, and nobody else says so either.
    let mut running = with_keys(&scratch, &[pair.jwk(json!({}))], &component);
    let response = send_request(&running.address(), with(forged(), &token("auth0|7"))).await;
    assert_eq!((response.status, response.text().as_str()), (200, ""));
    drop(running);
    let mut running = start(&scratch, &component);
    let response = send_request(&running.address(), forged()).await;
    assert_eq!((response.status, response.text().as_str()), (200, ""));
}

#[tokio::test]
async fn test_of_a_component_says_who_sends_a_request() {
    let app = TestApp::builder()
        .component(Source::Bytes(Arc::from(HOSTILE)))
        .no_migrate()
        .any_statements();
    let app = app.start().await.expect("it starts");
    let told = app.get("/sender").header("usher-subject", "ann");
    assert_eq!(told.await.expect("an answer").text(), "usher-subject: ann");
    // Over a connection the test is a client.
    let mut client = app.connect();
    let request = "GET /sender HTTP/1.0\r\nhost: test\r\nusher-subject: ann\r\n\r\n";
    let sent = client.write_all(request.as_bytes()).await;
    sent.expect("a connection");
    let mut read = String::new();
    let received = client.read_to_string(&mut read).await;
    received.expect("an answer");
    assert!(
        read.starts_with("HTTP/1.0 200 OK") && !read.contains("ann"),
        "{read}"
    );
}
