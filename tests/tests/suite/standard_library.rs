//! A component of `wasm32-wasip2`, which uses Rust's whole standard library: what it prints is
//! logged, and what it asks for beyond that is empty or denied.

use serde_json::Value;
use usher_tests::http::{Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, Usher};

use crate::startup::{fails_with, send_request, usher};

pub(crate) const STANDARD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/standard.wasm"));

/// The lines that components may print in a second.
pub(crate) const PRINTED_LINES: usize = 100;

fn standard(scratch: &Scratch) -> Usher {
    std::fs::write(scratch.path().join("standard.wasm"), STANDARD).expect("a file");
    usher(scratch)
        .env("USHER_LOG_FORMAT", "json")
        .args(["--database", "memory:", "--workers", "1"])
        .args(["--component", "standard.wasm"])
}

/// The address in the line that says it.
pub(crate) fn address(running: &mut Running) -> String {
    running.address().trim_end_matches(['"', '}']).to_owned()
}

pub(crate) async fn get(address: &str, path: &str) -> Response {
    send_request(address, Request::get(path)).await
}

/// The lines of a program that ends now.
pub(crate) fn lines(running: Running) -> Vec<Value> {
    running.terminate();
    let ended = running.wait();
    let read = |line: &String| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    ended.stderr.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_line_is_logged_with_the_id_of_its_request() {
    let scratch = Scratch::new();
    let mut running = standard(&scratch).spawn();
    let address = address(&mut running);
    let response = get(&address, "/print").await;
    assert_eq!(response.status, 200);
    let id = response.header("x-request-id").expect("an id");
    let printed: Vec<_> = lines(running)
        .iter()
        .filter(|line| line["id"] == id.as_str())
        .map(|line| {
            let text = |name: &str| line[name].as_str().expect("a text").to_owned();
            (text("level"), text("message"))
        })
        .collect();
    let expected = [
        ("INFO", "the component printed: a line on standard output"),
        (
            "WARN",
            "the component printed on standard error: a line in two pieces",
        ),
        ("INFO", "the component printed: no end of line"),
    ];
    let expected = expected.map(|(level, message)| (level.to_owned(), message.to_owned()));
    assert_eq!(printed, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn component_that_prints_without_end_fills_no_disk() {
    let scratch = Scratch::new();
    let mut running = standard(&scratch).spawn();
    let address = address(&mut running);
    let began = std::time::Instant::now();
    assert_eq!(get(&address, "/flood").await.status, 200);
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("a short time");
    let lines = lines(running);
    let is_printed = |line: &&Value| {
        let message = line["message"].as_str();
        message.is_some_and(|text| text.starts_with("the component printed: line "))
    };
    let printed = lines.iter().filter(is_printed).count();
    // The limit of each second that the request touched.
    let most = PRINTED_LINES * (seconds + 2);
    assert!((PRINTED_LINES..=most).contains(&printed), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn component_gets_clocks_and_nothing_of_its_host() {
    let scratch = Scratch::new();
    let mut running = standard(&scratch).env("SECRET", "of the host").spawn();
    let address = address(&mut running);
    for (path, expected) in [
        ("/environment", r#"0 0 """#),
        ("/clocks", "true true 3"),
        ("/request", "ErrorCode::HttpRequestDenied"),
        ("/files", "NotFound NotFound NotFound NotFound"),
        (
            "/sockets",
            "PermissionDenied PermissionDenied PermissionDenied Uncategorized",
        ),
    ] {
        let response = get(&address, path).await;
        assert_eq!(
            (response.status, &*response.text()),
            (200, expected),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_or_panic_ends_only_its_request() {
    let scratch = Scratch::new();
    let mut running = standard(&scratch).spawn();
    let address = address(&mut running);
    for (path, printed, logged) in [
        // WASI before 0.2.12 passes on only whether it failed.
        ("/exit", "before the end", "exited with status 1"),
        ("/panic", "of its own accord", "unreachable"),
    ] {
        assert_eq!(get(&address, path).await.status, 500, "{path}");
        tokio::task::block_in_place(|| {
            running.line(printed);
            running.line(logged);
        });
        assert_eq!(get(&address, "/count").await.text(), "1", "{path}");
    }
}

/// Its runtime keeps the streams to which it prints.
#[tokio::test(flavor = "multi_thread")]
async fn instance_that_printed_is_reused() {
    let scratch = Scratch::new();
    let mut running = standard(&scratch).spawn();
    let address = address(&mut running);
    for count in ["1", "2", "3"] {
        assert_eq!(get(&address, "/count").await.text(), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn component_that_imports_what_is_denied_is_refused() {
    let scratch = Scratch::new();
    for denied in ["wasi:sockets", "wasi:random,wasi:cli/stdout"] {
        let ended = standard(&scratch)
            .env("USHER_LOG_FORMAT", "text")
            .args(["--deny-imports", denied])
            .run();
        fails_with(
            &ended,
            2,
            &["standard.wasm imports wasi:", "--deny-imports"],
        );
    }
    let ended = standard(&scratch)
        .env("USHER_LOG_FORMAT", "text")
        .args(["--deny-imports", "wasi:clock"])
        .run();
    assert_eq!(ended.code(), Some(2));
    let shown = ended.stderr.join("\n");
    assert!(shown.contains("wasi:clock is no interface"), "{shown}");
}

#[test]
fn info_lists_what_a_component_gets_by_each_import() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("standard.wasm"), STANDARD).expect("a file");
    let ended = usher(&scratch)
        .args(["component", "--info", "standard.wasm"])
        .run();
    assert_eq!(ended.code(), Some(0));
    let shown = String::from_utf8_lossy(&ended.stdout);
    for part in [
        "wasi:cli/environment@0.2.6: no variables and no arguments",
        "wasi:cli/stdout@0.2.6: lines of the log",
        "wasi:filesystem/preopens@0.2.6: no directory",
        "wasi:sockets/tcp@0.2.6: sockets and names are denied",
        "wasi:http/outgoing-handler@0.2.12: every request is denied",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
}
