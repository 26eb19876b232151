//! Another component takes the place of the one that is served, without a lost request.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use usher::sandbox::USERS_WASM as USERS;
use usher_tests::figures;
use usher_tests::http::{Reader, Request};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, Usher};

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

/// A start takes as long as the database does.
#[tokio::test]
async fn component_that_changes_during_the_start_is_served_after_it() {
    for options in [&["--watch"][..], &[]] {
        let scratch = Scratch::new();
        let file = scratch.path().join("users.db");
        let file = rusqlite::Connection::open(file).expect("a file");
        file.execute_batch("CREATE TABLE t (c); BEGIN EXCLUSIVE")
            .expect("it is locked");
        let mut running = serving(&scratch, HOSTILE)
            .args(["--database", "sqlite:users.db", "--log", "debug"])
            .args(options.iter().copied())
            .spawn();
        running.line("trying again");
        put(&scratch, USERS);
        if options.is_empty() {
            hang_up(&running);
        }
        file.execute_batch("ROLLBACK").expect("it is free");
        running.line("was replaced");
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_of_a_component_that_is_replaced_under_load_are_complete() {
    const SWAPS: usize = 3;
    const ONE_IN: usize = 20;
    let scratch = Scratch::new();
    put(&scratch, HOSTILE);
    let mut running = usher(&scratch)
        .args(["--component", "served.wasm", "--workers", "1", "--watch"])
        .args(["--database", "memory:", "--record", "tape"])
        .args(["--record-one-in", &ONE_IN.to_string()])
        // Names of routes that are not declared would be masked.
        .args(["--record-personal-data"])
        .spawn();
    let address = running.address();
    assert_eq!(status(&address, "/table").await, 200);
    let (ends, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut clients = JoinSet::new();
    for _ in 0..2 {
        let (ends, answered) = (Arc::clone(&ends), Arc::clone(&answered));
        clients.spawn(load(address.clone(), ends, answered));
    }
    let mut components = vec![digest(HOSTILE)];
    for number in 0..SWAPS {
        let variant = variant(HOSTILE, number);
        components.push(digest(&variant));
        put(&scratch, &variant);
        // The first by its name, the others by a signal.
        if number > 0 {
            hang_up(&running);
        }
        tokio::task::block_in_place(|| running.line("was replaced"));
        for _ in 0..ONE_IN {
            assert_eq!(status(&address, "/count").await, 200);
        }
    }
    ends.store(true, Relaxed);
    while let Some(client) = clients.join_next().await {
        client.expect("every response is 200");
    }
    // The last one is another service, with other routes.
    put(&scratch, USERS);
    hang_up(&running);
    tokio::task::block_in_place(|| running.line("was replaced"));
    components.push(digest(USERS));
    for _ in 0..ONE_IN {
        assert_eq!(status(&address, "/users/9").await, 404);
    }
    running.terminate();
    let ended = running.wait();
    assert_eq!(ended.code(), Some(0));

    // The recorder may be behind, and says so then.
    let is_behind = ended
        .stderr
        .iter()
        .any(|line| line.contains("not recorded"));
    let files = std::fs::read_dir(scratch.path().join("tape")).expect("a folder");
    let (mut found, mut recorded) = (vec![0; components.len()], 0);
    for file in files {
        let file = file.expect("an entry").path();
        let text = std::fs::read_to_string(&file).expect("a file");
        let last = text.lines().last().expect("it has lines");
        assert_eq!(last, r#"{"end":"replayable"}"#, "{text}");
        let of = |digest: &String| text.contains(&format!("\"component\":\"{digest}\""));
        let component = components
            .iter()
            .position(of)
            .expect("it names its component");
        // By its component it is moved to a folder.
        let folder = scratch.path().join(component.to_string());
        std::fs::create_dir_all(&folder).expect("a folder");
        let name = file.file_name().expect("it has a name");
        std::fs::rename(&file, folder.join(name)).expect("it is moved");
        found[component] += 1;
        recorded += 1;
    }
    // With the one for the table.
    let requests = 1 + answered.load(Relaxed) + (SWAPS + 1) * ONE_IN;
    let all = requests.div_ceil(ONE_IN);
    assert!(is_behind || recorded == all, "{found:?} of {requests}");
    assert_eq!(
        found.iter().position(|count| *count == 0),
        None,
        "{found:?}"
    );
    let figures = format!("{requests} requests, recordings of each component {found:?}");
    figures::print(&format!("{SWAPS} replacements"), &figures);
    for component in [0, SWAPS, SWAPS + 1] {
        let served = match component {
            0 => HOSTILE.to_vec(),
            SWAPS => variant(HOSTILE, SWAPS - 1),
            _ => USERS.to_vec(),
        };
        put(&scratch, &served);
        let folder = component.to_string();
        let replayed = usher_program(&scratch)
            .args(["replay", &folder, "--component", "served.wasm"])
            .run();
        let text = String::from_utf8_lossy(&replayed.stdout);
        assert_eq!(replayed.code(), Some(0), "{text}");
        let last = text.lines().last().unwrap_or_default();
        let all = format!("{} replayed, 0 differ, 0", found[component]);
        assert!(last.starts_with(&all), "{last}");
    }
}

fn usher_program(scratch: &Scratch) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test")).current_dir(scratch.path())
}

/// The SHA-256 of a component.
fn digest(component: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, component);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Replaces the file by a pipe, which can be read only once.
fn put_pipe(scratch: &Scratch) {
    let aside = scratch.path().join("aside.pipe");
    let made = Command::new("mkfifo").arg(&aside).status();
    assert!(made.expect("coreutils").success());
    std::fs::rename(&aside, scratch.path().join("served.wasm")).expect("it is renamed");
}

/// Writes to the pipe once it is read.
fn write_pipe(scratch: &Scratch, component: Vec<u8>) -> JoinHandle<std::io::Result<()>> {
    let pipe = scratch.path().join("served.wasm");
    std::thread::spawn(move || {
        let mut pipe = OpenOptions::new().write(true).open(pipe)?;
        pipe.write_all(&component)
    })
}

#[tokio::test]
async fn component_is_read_once_at_start_and_once_to_replace_another() {
    let scratch = Scratch::new();
    put_pipe(&scratch);
    let written = write_pipe(&scratch, HOSTILE.to_vec());
    let mut running = usher(&scratch)
        .args(["--component", "served.wasm", "--workers", "2"])
        .args(["--database", "memory:"])
        .spawn();
    let address = running.address();
    assert_eq!(status(&address, "/table").await, 200);
    written.join().expect("no panic").expect("it is read");
    // It is known which one is served, although its file is not what it was.
    for component in [variant(HOSTILE, 1), variant(HOSTILE, 2)] {
        put_pipe(&scratch);
        hang_up(&running);
        let written = write_pipe(&scratch, component);
        running.line("was replaced");
        written.join().expect("no panic").expect("it is read");
        assert_eq!(status(&address, "/count").await, 200);
    }
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
}
