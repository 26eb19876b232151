//! Another component takes the place of the one that is served, without a lost request.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use usher::sandbox::USERS_WASM as USERS;
use usher_tests::figures;
use usher_tests::http::{Reader, Request};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, Usher};

use crate::conformance::SUITE;
use crate::startup::{send_request, usher};

/// A small component. `/table` and `/count` answer 200.
const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

/// How often the component is replaced under load.
fn replacements() -> usize {
    let count = std::env::var("USHER_TEST_REPLACEMENTS").ok();
    count.and_then(|count| count.parse().ok()).unwrap_or(5)
}

/// The same component as other bytes: with one more custom section, which means nothing.
fn variant(component: &[u8], number: usize) -> Vec<u8> {
    let content = format!("\u{7}variant{number:08}");
    let length = u8::try_from(content.len()).expect("it is short");
    let mut bytes = component.to_vec();
    bytes.extend([0, length]);
    bytes.extend(content.as_bytes());
    bytes
}

/// Puts a component in the place of the file, as a build does.
fn put(scratch: &Scratch, component: &[u8]) {
    let aside = scratch.path().join("aside.wasm");
    std::fs::write(&aside, component).expect("a file");
    std::fs::rename(&aside, scratch.path().join("served.wasm")).expect("it is renamed");
}

fn serving(scratch: &Scratch, component: &[u8]) -> Usher {
    put(scratch, component);
    usher(scratch).args(["--component", "served.wasm", "--workers", "2"])
}

pub(crate) fn hang_up(running: &Running) {
    let pid = Pid::from_raw(i32::try_from(running.id()).expect("a process id"));
    kill_process(pid.expect("it runs"), Signal::HUP).expect("it runs");
}

async fn status(address: &str, path: &str) -> u16 {
    send_request(address, Request::get(path)).await.status
}

/// Sends the same request again and again on one connection, until it shall end.
async fn load(address: String, ends: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    let stream = TcpStream::connect(&address).await.expect("a connection");
    let (read, mut write) = tokio::io::split(stream);
    let mut reader = Reader::new(read);
    let request = Request::get("/count").header("connection", "keep-alive");
    let request = request.encode(&address);
    while !ends.load(Relaxed) {
        write.write_all(&request).await.expect("it is sent");
        let response = reader.response("GET").await.expect("a response");
        assert_eq!(response.status, 200, "{}", response.text());
        answered.fetch_add(1, Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn component_replaced_under_load_loses_no_request() {
    let scratch = Scratch::new();
    let mut running = serving(&scratch, HOSTILE)
        .args(["--database", "memory:"])
        .spawn();
    let address = running.address();
    assert_eq!(status(&address, "/table").await, 200);
    let (ends, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        clients.spawn(load(
            address.clone(),
            Arc::clone(&ends),
            Arc::clone(&answered),
        ));
    }
    for number in 0..replacements() {
        put(&scratch, &variant(HOSTILE, number));
        hang_up(&running);
        tokio::task::block_in_place(|| running.line("was replaced"));
    }
    ends.store(true, Relaxed);
    while let Some(client) = clients.join_next().await {
        client.expect("every response is 200");
    }
    let figures = format!("{} requests, none failed", answered.load(Relaxed));
    figures::print(&format!("{} replacements", replacements()), &figures);
    assert!(answered.load(Relaxed) > replacements());
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
}

#[tokio::test]
async fn watched_file_is_served_once_it_is_a_component_and_not_before() {
    let scratch = Scratch::new();
    let mut running = serving(&scratch, HOSTILE)
        .args(["--database", "memory:", "--watch"])
        .spawn();
    let address = running.address();
    assert_eq!(status(&address, "/table").await, 200);
    put(&scratch, &HOSTILE[..HOSTILE.len() / 2]);
    let line = running.line("was not replaced");
    assert!(line.contains("served.wasm"), "{line}");
    assert_eq!(status(&address, "/count").await, 200);
    // It is served on the same data, and its routes are known.
    put(&scratch, USERS);
    running.line("was replaced");
    let ann = serde_json::json!({"name": "Ann", "email": "ann@example.org"});
    let created = send_request(&address, Request::post("/users/", &ann)).await;
    assert_eq!(created.status, 200, "{}", created.text());
    put(&scratch, HOSTILE);
    running.line("was replaced");
    assert_eq!(status(&address, "/count").await, 200);
}

#[tokio::test]
async fn metrics_after_a_replacement_have_the_routes_of_both_components() {
    let scratch = Scratch::new();
    let mut running = serving(&scratch, HOSTILE)
        .args(["--database", "memory:", "--admin-listen", "127.0.0.1:0"])
        .spawn();
    let operators = running.operators();
    let address = running.address();
    assert_eq!(status(&address, "/items/1").await, 500);
    put(&scratch, USERS);
    hang_up(&running);
    running.line("was replaced");
    assert_eq!(status(&address, "/users/9").await, 404);
    let metrics = send_request(&operators, Request::get("/metrics"))
        .await
        .text();
    for route in ["/items/{id}", "/users/{user_id}"] {
        let has = |line: &str| line.contains(&format!("route=\"{route}\""));
        assert!(metrics.lines().any(has), "{route} is not in {metrics}");
    }
}

#[tokio::test]
async fn component_older_than_the_schema_does_not_replace_another() {
    let scratch = Scratch::new();
    let file = scratch.path().join("users.db");
    newer_schema(&file);
    let mut running = serving(&scratch, HOSTILE)
        .args(["--database", "sqlite:users.db"])
        .spawn();
    let address = running.address();
    assert_eq!(status(&address, "/table").await, 200);
    put(&scratch, USERS);
    hang_up(&running);
    let line = running.line("was not replaced");
    assert!(line.contains("0009_later"), "{line}");
    assert_eq!(status(&address, "/count").await, 200);
}

/// A database that records a migration which no component here has.
fn newer_schema(file: &Path) {
    let database = rusqlite::Connection::open(file).expect("a file");
    let sql = "CREATE TABLE usher_migrations (version bigint PRIMARY KEY, name text NOT NULL, \
               checksum text NOT NULL, applied_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP); \
               INSERT INTO usher_migrations (version, name, checksum) VALUES \
               (9, '0009_later', '0')";
    database.execute_batch(sql).expect("it is written");
}

#[tokio::test]
async fn component_is_not_replaced_while_requests_are_recorded() {
    let scratch = Scratch::new();
    let mut running = serving(&scratch, HOSTILE)
        .args(["--database", "memory:", "--record", "tape"])
        .spawn();
    let address = running.address();
    put(&scratch, SUITE);
    hang_up(&running);
    let line = running.line("was not replaced");
    assert!(line.contains("--record"), "{line}");
    assert_eq!(status(&address, "/table").await, 200);
}
