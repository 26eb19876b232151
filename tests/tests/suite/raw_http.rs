//! HTTP/1.x byte by byte over real TCP (RFC 9110, 9112): what a client library would never send,
//! and how it is sent.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use usher_tests::http::Request;
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, Usher, WAIT_LIMIT};

use crate::startup::{send_request, usher};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

fn serve(scratch: &Scratch) -> (Running, String) {
    let mut running = usher(scratch)
        .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
        .spawn();
    let address = running.address();
    (running, address)
}

async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).await.expect("a connection")
}

/// Everything that the server sends until it closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(WAIT_LIMIT, stream.read_to_end(&mut bytes));
    // A reset after a complete response is no fault of the response.
    let _end = read.await.expect("the server closes the connection");
    String::from_utf8(bytes).expect("text")
}

/// Sends these pieces and returns everything that the server sends.
async fn send_bytes(address: &str, pieces: &[&[u8]]) -> String {
    let mut stream = connect(address).await;
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        if pieces.len() > 1 {
            // So that each piece is a segment of its own.
            stream.flush().await.expect("it is sent");
            tokio::task::yield_now().await;
        }
    }
    rest(&mut stream).await
}

fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
    status.unwrap_or_else(|| panic!("no response: {answer:?}"))
}

fn detail(answer: &str) -> Value {
    let (_, body) = answer.rsplit_once("\r\n\r\n").expect("a head");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer:?}"));
    body["detail"].clone()
}

#[tokio::test]
async fn host_that_is_no_host_returns_400() {
    let scratch = Scratch::new();
    let (_running, address) = serve(&scratch);
    for host in [
        "evil.example/x?",
        "u@h",
        "a b",
        "a, b",
        "h:abc",
        "[::1",
        "<x>",
        "",
        "h:80:90",
        "a#b",
        "h:65536",
    ] {
        for version in ["1.1", "1.0"] {
            let request =
                format!("GET /users HTTP/{version}\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = send_bytes(&address, &[request.as_bytes()]).await;
            assert_eq!(status(&answer), 400, "{host}: {answer}");
            assert_eq!(detail(&answer), "Missing or invalid Host header");
        }
    }
    let target = "GET http://u@h/users HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = send_bytes(&address, &[target.as_bytes()]).await;
    assert_eq!(status(&answer), 400, "{answer}");
    for host in ["h", "h:8000", "h:", "[::1]:80", "127.0.0.1"] {
        let request = format!("GET /users HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = send_bytes(&address, &[request.as_bytes()]).await;
        let location = format!("location: http://{host}/users/\r\n");
        assert!(answer.contains(&location), "{host}: {answer}");
    }
}

#[tokio::test]
async fn malformed_request_returns_json_in_every_version_and_state() {
    let scratch = Scratch::new();
    let (_running, address) = serve(&scratch);
    for before in [
        "",
        "GET /users/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        for malformed in ["garbage\r\n\r\n", "GET / HTTP/1.1\r\nX : y\r\n\r\n"] {
            let pieces = [before.as_bytes(), malformed.as_bytes()];
            for pieces in [&pieces[..], &[&pieces.concat()[..]]] {
                let answer = send_bytes(&address, pieces).await;
                let last = answer.rfind("HTTP/1.").map(|at| &answer[at..]);
                let last = last.expect("a response");
                assert_eq!(status(last), 400, "{answer}");
                assert_eq!(detail(last), "Malformed request", "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn error_response_to_head_has_no_content() {
    let scratch = Scratch::new();
    let (_running, address) = serve(&scratch);
    let first = "HEAD /users/ HTTP/1.1\r\nHost: a\r\n\r\n";
    for (before, request) in [
        ("", "HEAD /users/1 HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"),
        ("", "HEAD /users/1 HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (first, "HEAD /users/1 HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"),
    ] {
        let mut stream = connect(&address).await;
        if !before.is_empty() {
            stream.write_all(before.as_bytes()).await.expect("sent");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a head"));
            }
        }
        stream.write_all(request.as_bytes()).await.expect("sent");
        let answer = rest(&mut stream).await;
        assert_eq!(status(&answer), 400, "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(answer.matches("\r\n\r\n").count() == 1, "{answer}");
    }
}

#[tokio::test]
async fn request_line_counts_towards_the_head() {
    let scratch = Scratch::new();
    let (_running, address) = serve(&scratch);
    let request = |line: usize, field: usize| {
        let (line, field) = ("a".repeat(line), "b".repeat(field));
        format!(
            "GET /users/?x={line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {field}\r\n\r\n"
        )
    };
    let both = send_bytes(&address, &[request(50_000, 50_000).as_bytes()]).await;
    assert_eq!(status(&both), 431, "{both}");
    for (line, field) in [(50_000, 1), (1, 50_000), (30_000, 30_000)] {
        let answer = send_bytes(&address, &[request(line, field).as_bytes()]).await;
        assert_eq!(status(&answer), 200, "{line} and {field}: {answer}");
    }
}

#[tokio::test]
async fn long_target_returns_414_however_it_arrives() {
    let scratch = Scratch::new();
    let (_running, address) = serve(&scratch);
    for length in [70_000, 100_000, 1_000_000] {
        let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(length));
        for size in [1000, 4096, request.len()] {
            let pieces: Vec<&[u8]> = request.as_bytes().chunks(size).collect();
            let answer = send_bytes(&address, &pieces).await;
            assert_eq!(status(&answer), 414, "{length} by {size}: {answer}");
            assert_eq!(detail(&answer), "URI Too Long");
        }
    }
}

#[tokio::test]
async fn hundred_fields_are_accepted_and_one_more_returns_431() {
    let scratch = Scratch::new();
    let (_running, address) = serve(&scratch);
    for (fields, expected) in [(98, 200), (99, 431)] {
        let fields = (0..fields).map(|n| format!("X-{n}: y\r\n"));
        let fields = fields.collect::<Vec<_>>().concat();
        let request =
            format!("GET /users/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
        let answer = send_bytes(&address, &[request.as_bytes()]).await;
        assert_eq!(status(&answer), expected, "{answer}");
    }
}

#[tokio::test]
async fn client_that_waits_to_send_gets_the_final_status_of_no_route_at_once() {
    let scratch = Scratch::new();
    let (_running, address) = serve(&scratch);
    let user = r#"{"name":"Ann","email":"ann@example.org"}"#;
    let length = user.len();
    for (request, expected) in [
        ("POST /nothing", 404),
        ("PUT /users/", 405),
        ("POST /users/1", 405),
        ("POST /users", 307),
    ] {
        let request = format!(
            "{request} HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = send_bytes(&address, &[request.as_bytes()]).await;
        assert_eq!(status(&answer), expected, "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    // Where there is a route, also under a percent-encoded path, the body is asked for.
    for (path, expected) in [("/users/", 200), ("/%75sers/", 409)] {
        let mut stream = connect(&address).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).await.expect("an answer");
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(user.as_bytes()).await.expect("sent");
        let answer = rest(&mut stream).await;
        assert_eq!(status(&answer), expected, "{answer}");
    }
}

/// A client that closes its sending side after its request, as `nc -N` does.
async fn half_closed(address: &str, request: &Request) -> String {
    let mut stream = connect(address).await;
    let request = request.clone().header("connection", "keep-alive");
    let bytes = request.encode(address);
    stream.write_all(&bytes).await.expect("it is sent");
    stream.shutdown().await.expect("it is half-closed");
    rest(&mut stream).await
}

#[tokio::test]
async fn half_closed_client_gets_its_response() {
    let scratch = Scratch::new();
    let url = format!("sqlite:{}", scratch.file("users.db"));
    let mut running = usher(&scratch)
        .args(["--listen", "127.0.0.1:0", "--database", &url])
        .spawn();
    let address = running.address();
    for number in 0..60 {
        let user = json!({"name": "a".repeat(1000), "email": format!("a{number}@example.org")});
        let answer = half_closed(&address, &Request::post("/users/", &user)).await;
        // A slow flush to the disk lets the server probe the connection first.
        let last = answer.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(status(last), 200, "{answer}");
    }
    // A response larger than what the socket buffers at once.
    let list = half_closed(&address, &Request::get("/users/?limit=1000")).await;
    assert_eq!(status(&list), 200);
    assert!(
        list.ends_with(r#"a59@example.org"}]"#),
        "{} bytes",
        list.len()
    );
    let stream = Request::get("/users/").header("accept", "application/x-ndjson");
    let stream = half_closed(&address, &stream).await;
    assert!(stream.ends_with("0\r\n\r\n"), "the list is complete");
}

#[tokio::test]
async fn slow_response_to_a_half_closed_client_follows_an_interim_one() {
    let scratch = Scratch::new();
    std::fs::write(scratch.file("hostile.wasm"), HOSTILE).expect("a file");
    let hostile = |command: Usher| {
        command
            .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
            .args(["--component", "hostile.wasm", "--no-migrate"])
            .args([
                "--database-statements",
                "any",
                "--request-timeout",
                "1500ms",
            ])
    };
    let mut running = hostile(usher(&scratch)).spawn();
    let address = running.address();
    let table = send_request(&address, Request::get("/table")).await;
    assert_eq!(table.status, 200);
    let answer = half_closed(&address, &Request::get("/loop")).await;
    assert!(
        answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 504 "),
        "{answer}"
    );
}

#[tokio::test]
async fn request_of_a_client_that_is_gone_is_cancelled() {
    let scratch = Scratch::new();
    std::fs::write(scratch.file("hostile.wasm"), HOSTILE).expect("a file");
    for version in ["1.1", "1.0"] {
        // One request in flight at once: the next is served only after the first has ended.
        let mut running = usher(&scratch)
            .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
            .args([
                "--component",
                "hostile.wasm",
                "--no-migrate",
                "--workers",
                "1",
            ])
            .args(["--database-statements", "any", "--max-requests", "1"])
            .args(["--request-timeout", "10m", "--cpu-time", "10m"])
            .spawn();
        let address = running.address();
        let table = send_request(&address, Request::get("/table")).await;
        assert_eq!(table.status, 200);
        let began = Instant::now();
        let mut stream = connect(&address).await;
        let request = format!("GET /loop HTTP/{version}\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        drop(stream);
        let next = send_request(&address, Request::get("/count")).await;
        assert_eq!(next.status, 200, "{}", next.text());
        assert!(began.elapsed() < Duration::from_mins(1));
    }
}
