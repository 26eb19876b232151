//! More requests than permits, and slow clients.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::postgres;
use usher_tests::process::{Usher, WAIT_LIMIT};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

/// The program with one core and one permit, on a port of its own.
fn narrow(scratch: &Scratch, database: &str) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", database])
        .args(["--workers", "1", "--max-requests", "1"])
}

async fn send_request(address: &str, request: Request) -> Response {
    let stream = TcpStream::connect(address).await.expect("a connection");
    http::send(stream, &request, address)
        .await
        .expect("an answer")
}

#[tokio::test]
async fn request_without_permit_in_time_returns_503_with_retry_after() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    let mut running = narrow(&scratch, "memory:")
        .args(["--component", "hostile.wasm", "--no-migrate"])
        .args(["--request-timeout", "500ms"])
        .spawn();
    let address = running.address();
    assert_eq!(
        send_request(&address, Request::get("/table")).await.status,
        200
    );
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let address = address.clone();
        requests.spawn(async move { send_request(&address, Request::get("/spin")).await });
    }
    let (mut busy, mut late) = (0, 0);
    for answer in requests.join_all().await {
        assert_eq!(
            answer.header("content-type").as_deref(),
            Some("application/json"),
            "{} {}",
            answer.status,
            answer.text()
        );
        assert!(answer.json()["detail"].is_string(), "{}", answer.text());
        match answer.status {
            503 => {
                assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
                busy += 1;
            }
            504 => late += 1,
            other => panic!("{other} {}", answer.text()),
        }
    }
    // The request with the permit exceeded its deadline; the others never began.
    assert!(busy > 0 && late > 0, "{busy} x 503, {late} x 504");
    assert_eq!(
        send_request(&address, Request::get("/count")).await.text(),
        "0"
    );
}

/// One core, and a guest on it that does not end by itself.
#[tokio::test]
async fn endless_loop_does_not_stop_other_requests() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    let mut running = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
        .args(["--component", "hostile.wasm", "--no-migrate"])
        .args(["--workers", "1", "--request-timeout", "5s"])
        .spawn();
    let address = running.address();
    assert_eq!(
        send_request(&address, Request::get("/table")).await.status,
        200
    );
    let busy = tokio::spawn({
        let address = address.clone();
        async move { send_request(&address, Request::get("/spin")).await }
    });
    // Each on a connection of its own, which the core has to accept first.
    for _ in 0..50 {
        assert_eq!(
            send_request(&address, Request::get("/count")).await.status,
            200
        );
    }
    assert!(!busy.is_finished(), "they had to wait for its end");
    assert_eq!(busy.await.expect("it does not panic").status, 504);
}

#[tokio::test]
async fn waiting_request_gets_a_released_permit() {
    let scratch = Scratch::new();
    let mut running = narrow(&scratch, "memory:").spawn();
    let address = running.address();
    let mut requests = JoinSet::new();
    for number in 0..100 {
        let address = address.clone();
        let body = serde_json::json!({"name": "x", "email": format!("u{number}@example.org")});
        requests.spawn(async move {
            send_request(&address, Request::post("/users/", &body))
                .await
                .status
        });
    }
    assert_eq!(requests.join_all().await, [200; 100]);
}

/// The service has one connection for statements that wait in the database, and its table is
/// locked.
#[tokio::test]
async fn request_without_connection_in_time_returns_503_with_retry_after() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let mut running = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", database.url()])
        .args(["--workers", "1", "--pool-size", "2", "--pool-wait", "200ms"])
        .args(["--statement-timeout", "10m", "--request-timeout", "10m"])
        .spawn();
    let address = running.address();
    let holder = database.connect().await;
    let lock = "BEGIN; LOCK TABLE users IN SHARE MODE";
    holder.batch_execute(lock).await.expect("a lock");
    let mut requests = JoinSet::new();
    for number in 0..5 {
        let address = address.clone();
        let body = serde_json::json!({"name": "x", "email": format!("u{number}@example.org")});
        requests
            .spawn(async move { send_request(&address, Request::post("/users/", &body)).await });
    }
    // One of them waits for the lock, the others for its connection.
    for _ in 0..4 {
        let answer = requests.join_next().await.expect("an answer");
        let answer = answer.expect("it does not panic");
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
        assert_eq!(answer.json()["detail"], "Service Unavailable");
    }
    // A read needs neither.
    assert_eq!(
        send_request(&address, Request::get("/users/99"))
            .await
            .status,
        404
    );
    holder.batch_execute("COMMIT").await.expect("it held");
    let answer = requests.join_next().await.expect("an answer");
    assert_eq!(answer.expect("it does not panic").status, 200);
    let listed = send_request(&address, Request::get("/users/")).await;
    assert_eq!(listed.json().as_array().map(Vec::len), Some(1));
    drop(running);
    database.remove().await;
}

/// Another program writes to the file.
#[tokio::test]
async fn write_to_a_locked_file_returns_503_with_retry_after() {
    let scratch = Scratch::new();
    let mut running = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", "sqlite:users.db"])
        .args(["--statement-timeout", "500ms"])
        .spawn();
    let address = running.address();
    let other = rusqlite::Connection::open(scratch.file("users.db")).expect("the file");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let ann = serde_json::json!({"name": "Ann", "email": "ann@example.org"});
    let answer = send_request(&address, Request::post("/users/", &ann)).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    assert_eq!(
        send_request(&address, Request::get("/users/1"))
            .await
            .status,
        404
    );
    other.execute_batch("COMMIT").expect("it held");
    let stored = async {
        while send_request(&address, Request::post("/users/", &ann))
            .await
            .status
            != 200
        {}
    };
    tokio::time::timeout(WAIT_LIMIT, stored)
        .await
        .expect("the file can be written to again");
}

/// One core, whose short requests are limited, and another program that writes to the file.
#[tokio::test]
async fn many_slow_requests_do_not_stop_other_requests() {
    const SLOW: usize = 48;
    let scratch = Scratch::new();
    let mut running = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", "sqlite:users.db"])
        .args(["--workers", "1", "--request-timeout", "10m"])
        .args(["--statement-timeout", "10m", "--pool-wait", "10m"])
        .spawn();
    let address = running.address();
    let other = rusqlite::Connection::open(scratch.file("users.db")).expect("the file");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let mut slow = JoinSet::new();
    for number in 0..SLOW {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        let user = serde_json::json!({"name": "x", "email": format!("u{number}@example.org")});
        let request = Request::post("/users/", &user).encode(&address);
        stream.write_all(&request).await.expect("a request");
        slow.spawn(async move {
            let mut status = [0; 12];
            stream.read_exact(&mut status).await.expect("an answer");
            status
        });
    }
    for _ in 0..50 {
        let answer =
            tokio::time::timeout(WAIT_LIMIT, send_request(&address, Request::get("/users/"))).await;
        assert_eq!(answer.expect("it waits for nothing").text(), "[]");
    }
    assert!(slow.try_join_next().is_none(), "the file was locked");
    other.execute_batch("COMMIT").expect("it held");
    assert_eq!(slow.join_all().await, [*b"HTTP/1.1 200"; SLOW]);
}

#[tokio::test]
async fn client_that_does_not_read_holds_its_permit_until_the_deadline() {
    let scratch = Scratch::new();
    // A list larger than the buffers of both ends of a connection, stored with a longer deadline.
    let mut running = narrow(&scratch, "sqlite:users.db").spawn();
    let address = running.address();
    let name = "x".repeat((1 << 20) - 100);
    for number in 0..15 {
        let body = serde_json::json!({"name": name, "email": format!("u{number}@example.org")});
        let stored = send_request(&address, Request::post("/users/", &body)).await;
        assert_eq!(stored.status, 200);
    }
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
    let mut running = narrow(&scratch, "sqlite:users.db")
        .args(["--request-timeout", "10s", "--write-timeout", "500ms"])
        .spawn();
    let address = running.address();
    let begun = async {
        loop {
            let mut idle = TcpStream::connect(&address).await.expect("a connection");
            let request = Request::get("/users/").header("accept", "application/x-ndjson");
            let request = request.encode(&address);
            idle.write_all(&request).await.expect("a request");
            let mut status = [0; 12];
            idle.read_exact(&mut status).await.expect("an answer");
            // On a busy machine so large a list may not begin before the deadline.
            if &status == b"HTTP/1.1 200" {
                return idle;
            }
        }
    };
    let _idle = tokio::time::timeout(WAIT_LIMIT, begun)
        .await
        .expect("an answer begins in time");
    // The response has begun and is not read. Other requests may wait for its deadline, but no
    // longer.
    let served = async {
        while send_request(&address, Request::get("/users/99"))
            .await
            .status
            != 404
        {}
    };
    tokio::time::timeout(WAIT_LIMIT, served)
        .await
        .expect("others are served");
}

#[tokio::test]
async fn body_beyond_body_timeout_returns_408() {
    let scratch = Scratch::new();
    let mut running = narrow(&scratch, "memory:")
        .args(["--body-timeout", "200ms"])
        .spawn();
    let address = running.address();
    let request = Request::new("POST", "/users/")
        .header("content-type", "application/json")
        .header("content-length", "10")
        .body("{");
    let answer = send_request(&address, request).await;
    assert_eq!(answer.status, 408, "{}", answer.text());
    assert!(answer.json()["detail"].is_string());
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
}

#[tokio::test]
async fn slow_sender_holds_no_permit() {
    let scratch = Scratch::new();
    let mut running = narrow(&scratch, "memory:").spawn();
    let address = running.address();
    let mut slow = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream
            .write_all(b"POST /users/ HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
            .await
            .expect("a beginning");
        slow.push(stream);
    }
    assert_eq!(
        send_request(&address, Request::get("/users/1"))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn idle_connection_is_closed() {
    let scratch = Scratch::new();
    let mut running = narrow(&scratch, "memory:")
        .args(["--head-timeout", "200ms"])
        .spawn();
    let address = running.address();
    for beginning in ["", "GET /users/1 HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream
            .write_all(beginning.as_bytes())
            .await
            .expect("a connection");
        let closed = http::Reader::new(stream).rest();
        tokio::time::timeout(WAIT_LIMIT, closed)
            .await
            .expect("it is closed")
            .expect("it is closed in order");
    }
}
