//! The program is killed under load: an SQLite file has every write that was acknowledged.
//!
//! `USHER_TEST_KILLS` sets how often it is killed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use usher_tests::figures;
use usher_tests::http::{Reader, Request};
use usher_tests::janitor::Scratch;

use crate::startup::usher;

/// Enough clients that writes wait for one another and are committed together.
const CLIENTS: usize = 32;

/// How long the clients write before the program is killed. It differs, so that the kills hit
/// statements, commits and checkpoints.
const TIMES: [u64; 5] = [400, 130, 270, 530, 190];

fn kills() -> usize {
    let given = std::env::var("USHER_TEST_KILLS").ok();
    given.map_or(3, |given| {
        given.parse().expect("USHER_TEST_KILLS is a number")
    })
}

/// The numbers of users that one client was told are stored.
type Acknowledged = Vec<u64>;

fn email(number: u64) -> String {
    format!("user{number}@example.org")
}

/// Writes users until the program ends. Every seventh write repeats an address that is stored.
async fn write(address: String, numbers: Arc<AtomicU64>) -> Acknowledged {
    let mut acknowledged = Vec::new();
    let Ok(stream) = TcpStream::connect(&address).await else {
        return acknowledged;
    };
    let (read, mut write) = stream.into_split();
    let mut reader = Reader::new(read);
    for turn in 1.. {
        let repeated = (turn % 7 == 0)
            .then(|| acknowledged.last().copied())
            .flatten();
        let number = repeated.unwrap_or_else(|| numbers.fetch_add(1, Relaxed));
        let body = serde_json::json!({"name": "Ann", "email": email(number)});
        let request = Request::post("/users/", &body).encode(&address);
        if write.write_all(&request).await.is_err() {
            break;
        }
        let Ok(answer) = reader.response("POST").await else {
            break;
        };
        match (answer.status, repeated) {
            (200, None) => acknowledged.push(number),
            (409, Some(_)) => {}
            (other, _) => panic!("{other}: {}", answer.text()),
        }
    }
    acknowledged
}

/// The addresses in the file, which must be intact.
#[track_caller]
fn stored(scratch: &Scratch) -> HashSet<String> {
    let sqlite = rusqlite::Connection::open(scratch.path().join("users.db")).expect("a database");
    let all: String = sqlite
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("a check");
    assert_eq!(all, "ok");
    let mut rows = sqlite.prepare("SELECT email FROM users").expect("a table");
    let rows = rows.query_map([], |row| row.get(0)).expect("rows");
    rows.map(|row| row.expect("an address")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_program_loses_no_acknowledged_write_to_a_file() {
    let scratch = Scratch::new();
    let numbers = Arc::new(AtomicU64::new(0));
    let mut acknowledged = Vec::new();
    for kill in 0..kills() {
        let mut running = usher(&scratch)
            .args(["--database", "sqlite:users.db"])
            .spawn();
        let address = tokio::task::block_in_place(|| running.address());
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(write(address.clone(), Arc::clone(&numbers)));
        }
        let time = TIMES.get(kill % TIMES.len()).copied().unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(time)).await;
        // SIGKILL.
        tokio::task::block_in_place(|| drop(running));
        let before = acknowledged.len();
        acknowledged.extend(clients.join_all().await.into_iter().flatten());
        assert!(acknowledged.len() > before, "no write was acknowledged");
        let stored = stored(&scratch);
        let lost = acknowledged.iter().map(|number| email(*number));
        let lost: Vec<_> = lost.filter(|email| !stored.contains(email)).collect();
        assert!(
            lost.is_empty(),
            "kill {kill}: {} lost: {lost:?}",
            lost.len()
        );
        let sent: HashSet<_> = (0..numbers.load(Relaxed)).map(email).collect();
        assert!(stored.is_subset(&sent), "nobody sent what is stored");
    }
    figures::print(
        "writes acknowledged and found after a kill",
        &acknowledged.len().to_string(),
    );
}
