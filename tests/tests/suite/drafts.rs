//! A component that imports `wasi:logging` and `wasi:config`: what it logs becomes lines of the
//! log, and of its configuration it gets what the operator has set, and nothing else.

use serde_json::{Value, json};
use usher_tests::http::Request;
use usher_tests::janitor::Scratch;
use usher_tests::process::Usher;

use crate::standard_library::{PRINTED_LINES, address, get, lines};
use crate::startup::{fails_with, send_request, usher};

const DRAFTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/drafts.wasm"));

fn drafts(scratch: &Scratch) -> Usher {
    std::fs::write(scratch.path().join("drafts.wasm"), DRAFTS).expect("a file");
    usher(scratch)
        .env("USHER_LOG_FORMAT", "json")
        .args(["--database", "memory:", "--workers", "1"])
        .args(["--component", "drafts.wasm"])
}

/// The lines that the component has logged.
fn logged(lines: &[Value]) -> Vec<&Value> {
    let is_logged = |line: &&Value| {
        let message = line["message"].as_str();
        message.is_some_and(|text| text.starts_with("the component logged"))
    };
    lines.iter().filter(is_logged).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn logged_line_has_its_level_its_context_and_the_names_of_its_request() {
    let scratch = Scratch::new();
    let mut running = drafts(&scratch).args(["--log", "trace"]).spawn();
    let address = address(&mut running);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request =
        Request::get("/levels").header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let response = send_request(&address, request).await;
    assert_eq!(response.status, 200);
    let id = response.header("x-request-id").expect("an id");
    let lines = lines(running);
    let found: Vec<_> = logged(&lines)
        .into_iter()
        .map(|line| {
            assert_eq!(line["id"], id.as_str(), "{line}");
            assert_eq!(line["trace"], trace, "{line}");
            assert_eq!(line["method"], "GET", "{line}");
            assert_eq!(line["route"], "-", "{line}");
            (&line["level"], &line["context"], &line["message"])
        })
        .map(|(level, context, message)| json!([level, context, message]))
        .collect();
    let expected = [
        json!(["TRACE", "steps", "the component logged: a step"]),
        json!(["DEBUG", "steps", "the component logged: a detail"]),
        json!([
            "INFO",
            "orders",
            "the component logged: an order of two lines"
        ]),
        json!([
            "WARN",
            null,
            "the component logged: a line without a context"
        ]),
        json!(["ERROR", "orders", "the component logged: a failure"]),
        json!([
            "ERROR",
            "orders",
            "the component logged as critical: the end"
        ]),
    ];
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn component_that_logs_without_end_fills_no_disk() {
    let scratch = Scratch::new();
    let mut running = drafts(&scratch).spawn();
    let address = address(&mut running);
    let began = std::time::Instant::now();
    assert_eq!(get(&address, "/flood").await.status, 200);
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("a short time");
    let lines = lines(running);
    let count = logged(&lines).len();
    // The limit of each second that the request touched.
    let most = PRINTED_LINES * (seconds + 2);
    assert!((PRINTED_LINES..=most).contains(&count), "{count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn line_of_a_level_that_is_not_logged_uses_nothing_of_the_limit() {
    let scratch = Scratch::new();
    let mut running = drafts(&scratch).spawn();
    let address = address(&mut running);
    assert_eq!(get(&address, "/quiet-flood").await.status, 200);
    let lines = lines(running);
    let messages: Vec<_> = logged(&lines).iter().map(|line| &line["message"]).collect();
    assert_eq!(messages, ["the component logged: the end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn logged_line_of_a_megabyte_is_shortened_and_so_is_its_context() {
    let scratch = Scratch::new();
    let mut running = drafts(&scratch).spawn();
    let address = address(&mut running);
    assert_eq!(get(&address, "/long").await.status, 200);
    let lines = lines(running);
    let [line] = logged(&lines)[..] else {
        panic!("one line is expected: {lines:?}");
    };
    for (part, letter) in [("context", 'c'), ("message", 'm')] {
        let text = line[part].as_str().expect("a text");
        let length = text.len();
        assert!((1024..1100).contains(&length), "{part}: {length}");
        assert!(text.ends_with(&format!("{letter}…")), "{part}: {text}");
    }
}

#[test]
fn component_that_imports_a_denied_draft_is_refused() {
    let scratch = Scratch::new();
    for denied in ["wasi:logging", "wasi:logging/logging"] {
        let ended = drafts(&scratch)
            .env("USHER_LOG_FORMAT", "text")
            .args(["--deny-imports", denied])
            .run();
        fails_with(
            &ended,
            2,
            &["drafts.wasm imports wasi:logging/logging@0.1.0-draft"],
        );
    }
}

#[test]
fn info_lists_what_a_component_gets_by_each_draft() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("drafts.wasm"), DRAFTS).expect("a file");
    let ended = usher(&scratch)
        .args(["component", "--info", "drafts.wasm"])
        .run();
    assert_eq!(ended.code(), Some(0));
    let shown = String::from_utf8_lossy(&ended.stdout);
    for part in ["wasi:logging/logging@0.1.0-draft: lines of the log"] {
        assert!(shown.contains(part), "{shown}");
    }
}
