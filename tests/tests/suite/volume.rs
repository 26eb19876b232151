//! Results of any length in bounded memory.
//!
//! `cargo test -p usher-tests --test suite volume:: -- --nocapture` prints the figures;
//! `USHER_TEST_USERS` sets another number of users.

use std::time::Instant;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use usher_tests::figures;
use usher_tests::http::{Reader, Request};
use usher_tests::janitor::Scratch;
use usher_tests::postgres;
use usher_tests::process::{Running, Usher};

use crate::databases::ALL;
use crate::options::{holds, suite};

/// Bytes of each name: enough that unbounded memory would show.
const NAME: usize = 300;

/// How many bytes the program may grow. It is the same for any number of users.
const GROWTH: u64 = 64 << 20;

fn users() -> u64 {
    let given = std::env::var("USHER_TEST_USERS").ok();
    given.map_or(250_000, |given| {
        given.parse().expect("USHER_TEST_USERS is a number")
    })
}

fn start(scratch: &Scratch, url: &str) -> (Running, String) {
    let mut running = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", url])
        .spawn();
    let address = running.address();
    (running, address)
}

/// Reads all users (with this query), and returns the number of users and of bytes.
async fn read(address: &str, query: &str) -> (u64, u64) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = Request::get(&format!("/users/{query}")).header("accept", "application/x-ndjson");
    stream
        .write_all(&request.encode(address))
        .await
        .expect("it is read");
    let (mut lines, mut bytes) = (0, 0);
    let count = |chunk: &[u8]| {
        lines += chunk.split(|&byte| byte == b'\n').count() as u64 - 1;
        bytes += chunk.len() as u64;
    };
    Reader::new(stream)
        .streamed(count)
        .await
        .expect("all of it");
    (lines, bytes)
}

/// Runs work that streams this many rows through the program, and expects bounded growth.
async fn grows_little(running: &Running, what: &str, work: impl Future<Output = u64>) {
    let (before, began) = (running.resident_bytes(), Instant::now());
    let bytes = work.await;
    let took = began.elapsed();
    let growth = running.most_resident_bytes().saturating_sub(before);
    figures::print(
        what,
        &format!(
            "{} MiB in {took:.1?}, while the program grew by {} KiB",
            bytes >> 20,
            growth >> 10
        ),
    );
    // With fewer bytes the test would show nothing.
    assert!(bytes > GROWTH, "{bytes} bytes");
    assert!(growth < GROWTH, "it grew by {growth} bytes");
}

async fn goes_through(running: &Running, address: &str, on: &str) {
    // The memory of any list, such as an instance and connections, is not measured.
    read(address, "?limit=1000").await;
    let everyone = async {
        let (lines, bytes) = read(address, "").await;
        assert_eq!(lines, users());
        bytes
    };
    grows_little(running, &format!("{} users on {on}", users()), everyone).await;
}

/// A component that reads a cursor to its end, on each database.
#[tokio::test]
async fn million_rows_stream_through_a_component_in_bounded_memory() {
    for kind in ALL {
        let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
        let mut running = suite(&scratch, &fresh.url)
            .args(["--statement-timeout", "10m", "--request-timeout", "10m"])
            .spawn();
        let address = running.address();
        holds(kind, &address, "cursor_returns_every_row_once_in_order").await;
        let million = async {
            holds(kind, &address, "million_rows_can_be_streamed").await;
            // Each with a text of a hundred bytes, which the case checks.
            100 * 1_000_000
        };
        grows_little(&running, &format!("a million rows on {kind:?}"), million).await;
    }
}

#[tokio::test]
async fn listing_all_users_of_postgresql_uses_bounded_memory() {
    let database = postgres::database().await;
    let scratch = Scratch::new();
    let (running, address) = start(&scratch, database.url());
    let client = database.connect().await;
    let insert = format!(
        "INSERT INTO users (name, email) SELECT repeat('n', {NAME}), 'u' || i || '@example.org' \
            FROM generate_series(1, {}) AS i",
        users()
    );
    client.batch_execute(&insert).await.expect("users");
    goes_through(&running, &address, "PostgreSQL").await;
    drop(running);
    database.remove().await;
}

#[tokio::test]
async fn listing_all_users_of_a_file_uses_bounded_memory() {
    let scratch = Scratch::new();
    let file = scratch.file("users.db");
    let (running, address) = start(&scratch, &format!("sqlite:{file}"));
    let insert = format!(
        "INSERT INTO users (name, email) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 \
            FROM n WHERE i < {}) \
         SELECT printf('%.*c', {NAME}, 'n'), 'u' || i || '@example.org' FROM n",
        users()
    );
    let database = rusqlite::Connection::open(file).expect("the file");
    database.execute(&insert, []).expect("users");
    goes_through(&running, &address, "SQLite").await;
}
