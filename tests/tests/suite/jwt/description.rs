//! The OpenAPI description says which token each operation needs.

use serde_json::{Value, json};
use usher_tests::http::Request;
use usher_tests::janitor::Scratch;

use super::issuer::{Pair, claims};
use super::{HOSTILE, with_keys};
use crate::access::{make_token, start, with};
use crate::startup::send_request;

#[tokio::test]
async fn openapi_description_says_which_token_each_operation_needs() {
    let scratch = Scratch::new();
    let plain = include_str!("../../../../openapi.json");
    let get = || Request::get("/openapi.json");
    let mut running = start(&scratch, &[]);
    let response = send_request(&running.address(), get()).await;
    assert_eq!(response.text(), plain);
    drop(running);

    let token = make_token(&scratch, "reader", "read");
    let mut running = start(&scratch, &["--tokens", "tokens"]);
    let address = running.address();
    assert_eq!(send_request(&address, get()).await.status, 401);
    let response = send_request(&address, with(get(), &token)).await;
    let described = response.json();
    let scheme = &described["components"]["securitySchemes"]["bearer"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    assert_eq!(scheme["bearerFormat"], Value::Null);
    let mut operations = 0;
    for (path, item) in described["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let scope = if method == "get" { "read" } else { "write" };
            let security = &operation["security"];
            assert_eq!(security, &json!([{"bearer": [scope]}]), "{method} {path}");
            for status in ["401", "403"] {
                let reference = operation["responses"][status]["$ref"].as_str();
                let pointer = reference.expect("a reference").trim_start_matches('#');
                let described = described.pointer(pointer).expect("it is there");
                assert!(described["headers"]["WWW-Authenticate"].is_object());
            }
            operations += 1;
        }
    }
    assert!(operations > 5, "{operations}");

    // Its entity tag is of what the client gets, and HEAD is as GET.
    let tag = response.header("etag").expect("a tag");
    let same = with(get(), &token).header("if-none-match", &tag);
    let same = send_request(&address, same).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(same.header("etag"), Some(tag.clone()));
    let other = with(get(), &token).header("if-none-match", "\"other\"");
    assert_eq!(send_request(&address, other).await.body, response.body);
    let head = with(Request::new("HEAD", "/openapi.json"), &token);
    let head = send_request(&address, head).await;
    assert_eq!(
        head.header("content-length"),
        Some(response.body.len().to_string())
    );
    assert_eq!(
        (head.status, head.header("etag"), head.body.len()),
        (200, Some(tag), 0)
    );
    drop(running);

    let pair = Pair::p256();
    let mut running = with_keys(
        &scratch,
        &[pair.jwk(json!({}))],
        &["--jwt-write-scope", "w"],
    );
    let token = pair.sign(&json!({"alg": "ES256"}), &claims("read"));
    let described = send_request(&running.address(), with(get(), &token))
        .await
        .json();
    assert_eq!(
        described["components"]["securitySchemes"]["bearer"]["bearerFormat"],
        "JWT"
    );
    let delete = &described["paths"]["/users/{user_id}"]["delete"];
    assert_eq!(delete["security"], json!([{"bearer": ["w"]}]));
}

#[tokio::test]
async fn streamed_openapi_description_says_which_token_is_needed_and_a_cut_one_is_500() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    let options = ["--component", "hostile.wasm", "--tokens", "tokens"];
    let token = make_token(&scratch, "reader", "read");
    let mut running = start(&scratch, &options);
    let address = running.address();
    let get = |path: &str| send_request(&address, with(Request::get(path), &token));
    let described = get("/openapi.json").await;
    assert_eq!(described.status, 200, "{}", described.text());
    let length = described.body.len().to_string();
    assert_eq!(described.header("content-length"), Some(length));
    assert!(described.header("etag").is_some());
    let described = described.json();
    let security = &described["paths"]["/items/{id}"]["get"]["security"];
    assert_eq!(security, &json!([{"bearer": ["read"]}]));
    assert_eq!(
        described["components"]["securitySchemes"]["bearer"]["type"],
        "http"
    );
    let cut = get("/openapi.json?cut").await;
    assert_eq!(cut.status, 500, "{}", cut.text());
    let line = running.line("its OpenAPI description was not complete");
    assert!(line.contains("/openapi.json"), "{line}");
}
