//! Every response 500 logs one line with its cause and without values, and their number is limited.

use rusqlite::Connection;
use tokio::net::TcpStream;
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Ended, Usher};

const GREEDY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/greedy.wasm"));

fn usher(scratch: &Scratch, database: &str) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args([
            "--listen",
            "127.0.0.1:0",
            "--database",
            database,
            "--workers",
            "1",
        ])
}

fn greedy(scratch: &Scratch) -> Usher {
    std::fs::write(scratch.path().join("greedy.wasm"), GREEDY).expect("a file");
    usher(scratch, "memory:").args([
        "--component",
        "greedy.wasm",
        "--no-migrate",
        "--database-statements",
        "any",
    ])
}

async fn send_request(address: &str, target: &str) -> Response {
    let stream = TcpStream::connect(address).await.expect("a connection");
    http::send(stream, &Request::get(target), address)
        .await
        .expect("an answer")
}

/// The lines of level ERROR that a program logged.
fn errors(ended: &Ended) -> Vec<&str> {
    let errors = ended.stderr.iter().filter(|line| line.contains("ERROR"));
    errors.map(String::as_str).collect()
}

#[tokio::test]
async fn response_500_logs_one_line_with_its_cause_and_no_value() {
    for target in ["/fault", "/buffered/fault"] {
        let scratch = Scratch::new();
        let mut running = greedy(&scratch).spawn();
        let address = running.address();
        assert_eq!(send_request(&address, target).await.status, 500);
        running.terminate();
        let ended = running.wait();
        let errors = errors(&ended);
        let [line] = errors[..] else {
            panic!("{errors:?}")
        };
        for part in [
            "500",
            "GET",
            "42P01",
            "no such table: missing",
            "SELECT secret FROM missing WHERE a = …",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        for hidden in ["4711", "'secret'", "fault"] {
            assert!(!line.contains(hidden), "{hidden} is in {line}");
        }
    }
}

#[tokio::test]
async fn response_500_after_a_failed_request_logs_only_its_own_cause() {
    let scratch = Scratch::new();
    let mut running = greedy(&scratch).spawn();
    let address = running.address();
    // One instance serves all three: the error of the first must not show in the third.
    assert_eq!(send_request(&address, "/parameter/1").await.status, 200);
    assert_eq!(send_request(&address, "/statement/1").await.status, 200);
    assert_eq!(send_request(&address, "/status/500").await.status, 500);
    running.terminate();
    let ended = running.wait();
    let errors = errors(&ended);
    let [line] = errors[..] else {
        panic!("{errors:?}")
    };
    assert!(
        line.contains("nothing had failed at the database"),
        "{line}"
    );
}

#[tokio::test]
async fn response_500_for_a_missing_table_logs_the_failed_statement() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch, "sqlite:users.db").spawn();
    let address = running.address();
    let other = Connection::open(scratch.path().join("users.db")).expect("the file");
    other
        .execute_batch("DROP TABLE users")
        .expect("it is dropped");
    assert_eq!(send_request(&address, "/users/1").await.status, 500);
    running.terminate();
    let ended = running.wait();
    let errors = errors(&ended);
    let [line] = errors[..] else {
        panic!("{errors:?}")
    };
    assert!(
        line.contains("42P01") && line.contains("FROM users WHERE"),
        "{line}"
    );
}

#[tokio::test]
async fn many_responses_500_log_few_lines_and_their_count() {
    const REQUESTS: usize = 300;
    let scratch = Scratch::new();
    let mut running = greedy(&scratch).spawn();
    let address = running.address();
    for _ in 0..REQUESTS {
        assert_eq!(send_request(&address, "/buffered/fault").await.status, 500);
    }
    running.terminate();
    let ended = running.wait();
    let lines = errors(&ended).len();
    assert!((1..REQUESTS / 2).contains(&lines), "{lines} lines");
}

#[tokio::test]
async fn error_text_of_megabytes_is_shortened_in_the_log() {
    let scratch = Scratch::new();
    let mut running = greedy(&scratch).spawn();
    let address = running.address();
    assert_eq!(
        send_request(&address, "/error-text/8000000").await.status,
        500
    );
    running.terminate();
    let ended = running.wait();
    let errors = errors(&ended);
    let [line] = errors[..] else {
        panic!("{} lines", errors.len())
    };
    assert!(line.len() < 2048, "{} bytes", line.len());
    assert!(line.contains("InternalError"), "{line}");
}
