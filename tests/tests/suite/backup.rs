//! `usher backup` and `usher restore`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use usher_tests::http::Request;
use usher_tests::janitor::Scratch;
use usher_tests::process::Ended;

use crate::startup::{fails_with, send_request, usher};

fn user(number: usize) -> Request {
    let email = format!("u{number}@example.org");
    Request::post("/users/", &serde_json::json!({"name": "n", "email": email}))
}

fn run(scratch: &Scratch, arguments: &[&str]) -> Ended {
    let program = usher(scratch).args(arguments.iter().copied());
    program.args(["--database", "sqlite:users.db"]).run()
}

/// The ids in a database file.
fn ids(scratch: &Scratch, file: &str) -> Vec<i64> {
    let sqlite = rusqlite::Connection::open(scratch.path().join(file)).expect("a database");
    let mut ids = sqlite
        .prepare("SELECT id FROM users ORDER BY id")
        .expect("a table");
    let ids = ids.query_map([], |row| row.get(0)).expect("rows");
    ids.collect::<Result<_, _>>().expect("integers")
}

/// Starts a server, adds this many users, and ends it.
async fn with_users(scratch: &Scratch, count: usize) {
    let mut running = usher(scratch)
        .args(["--database", "sqlite:users.db"])
        .spawn();
    let address = running.address();
    for number in 0..count {
        assert_eq!(send_request(&address, user(number)).await.status, 200);
    }
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_under_writes_has_every_acknowledged_row_and_can_be_restored() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch)
        .args(["--database", "sqlite:users.db"])
        .spawn();
    let address = tokio::task::block_in_place(|| running.address());
    for number in 0..20 {
        assert_eq!(send_request(&address, user(number)).await.status, 200);
    }
    let ends = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (address, ends) = (address.clone(), Arc::clone(&ends));
        async move {
            let mut number = 20;
            while !ends.load(Relaxed) {
                assert_eq!(send_request(&address, user(number)).await.status, 200);
                number += 1;
            }
            number
        }
    });
    let copied = tokio::task::block_in_place(|| run(&scratch, &["backup", "copy.db"]));
    fails_with(&copied, 0, &["copy.db", "bytes", "verified"]);
    ends.store(true, Relaxed);
    let written = writing.await.expect("it does not fail");
    let found = ids(&scratch, "copy.db");
    assert!(
        found.len() >= 20 && found.len() <= written,
        "{} of {written}",
        found.len()
    );
    let expected: Vec<i64> = (1..).take(found.len()).collect();
    assert_eq!(found, expected);
    for log in ["copy.db-wal", "copy.db-shm"] {
        assert!(!scratch.path().join(log).exists(), "{log}");
    }

    // Not while the server has the file open, and nothing changes then.
    let refused = tokio::task::block_in_place(|| run(&scratch, &["restore", "copy.db"]));
    fails_with(&refused, 1, &["users.db", "in use"]);
    assert_eq!(send_request(&address, user(written)).await.status, 200);
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));

    let restored = run(&scratch, &["restore", "copy.db"]);
    fails_with(
        &restored,
        0,
        &["copy.db", "users.db.before-restore-", "verified"],
    );
    assert_eq!(ids(&scratch, "users.db"), found);
    let names = std::fs::read_dir(scratch.path()).expect("a folder");
    let names = names.map(|entry| entry.expect("an entry").file_name());
    let kept = names
        .filter_map(|name| name.into_string().ok())
        .find(|name| name.contains("before-restore"));
    assert_eq!(
        ids(&scratch, &kept.expect("the old file")).len(),
        written + 1
    );

    let elsewhere = Scratch::new();
    std::fs::copy(
        scratch.path().join("copy.db"),
        elsewhere.path().join("copy.db"),
    )
    .expect("a copy");
    let restored = run(&elsewhere, &["restore", "copy.db"]);
    assert_eq!(restored.code(), Some(0), "{:?}", restored.stderr);
    let mut again = usher(&elsewhere)
        .args(["--database", "sqlite:users.db"])
        .spawn();
    let address = tokio::task::block_in_place(|| again.address());
    for id in [1, found.len()] {
        let path = format!("/users/{id}");
        assert_eq!(
            send_request(&address, Request::get(&path)).await.status,
            200
        );
    }
}

#[tokio::test]
async fn plain_copy_of_a_live_file_misses_its_log() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch)
        .args(["--database", "sqlite:users.db"])
        .spawn();
    let address = running.address();
    for number in 0..20 {
        assert_eq!(send_request(&address, user(number)).await.status, 200);
    }
    let path = |name: &str| scratch.path().join(name);
    std::fs::copy(path("users.db"), path("plain.db")).expect("a copy");
    let plain = rusqlite::Connection::open(path("plain.db")).expect("a database");
    let rows = plain.query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0));
    assert!(
        rows.map_or(true, |rows| rows == 0),
        "the log was written back already"
    );
    assert_eq!(run(&scratch, &["backup", "copy.db"]).code(), Some(0));
    assert_eq!(ids(&scratch, "copy.db").len(), 20);
}

#[tokio::test]
async fn backup_to_an_existing_file_needs_force() {
    let scratch = Scratch::new();
    with_users(&scratch, 1).await;
    std::fs::write(scratch.path().join("copy.db"), "precious").expect("a file");
    let refused = run(&scratch, &["backup", "copy.db"]);
    fails_with(&refused, 2, &["copy.db", "--force"]);
    let text = std::fs::read(scratch.path().join("copy.db")).expect("a file");
    assert_eq!(text, b"precious");
    assert_eq!(
        run(&scratch, &["backup", "copy.db", "--force"]).code(),
        Some(0)
    );
    assert_eq!(ids(&scratch, "copy.db"), [1]);
    let itself = run(&scratch, &["backup", "./users.db", "--force"]);
    fails_with(&itself, 2, &["the database itself"]);
    assert_eq!(ids(&scratch, "users.db"), [1]);
}

#[tokio::test]
async fn damaged_backup_is_not_restored() {
    let scratch = Scratch::new();
    with_users(&scratch, 3).await;
    assert_eq!(run(&scratch, &["backup", "copy.db"]).code(), Some(0));
    let path = scratch.path().join("copy.db");
    let mut bytes = std::fs::read(&path).expect("a file");
    for byte in &mut bytes[4096..8192] {
        *byte ^= 0x5a;
    }
    std::fs::write(&path, &bytes).expect("a file");
    fails_with(&run(&scratch, &["restore", "copy.db"]), 1, &["copy.db"]);
    std::fs::write(&path, "no database at all, and long enough to be none").expect("a file");
    let refused = run(&scratch, &["restore", "copy.db"]);
    fails_with(&refused, 1, &["copy.db", "not an SQLite database"]);
    fails_with(
        &run(&scratch, &["restore", "nowhere.db"]),
        2,
        &["nowhere.db"],
    );
    assert_eq!(ids(&scratch, "users.db"), [1, 2, 3]);
    let left = std::fs::read_dir(scratch.path()).expect("a folder");
    let left = left.map(|entry| entry.expect("an entry").file_name());
    let left: Vec<_> = left.filter_map(|name| name.into_string().ok()).collect();
    assert!(
        !left.iter().any(|name| name.contains("partial")),
        "{left:?}"
    );
}

#[tokio::test]
async fn damaged_database_is_replaced_and_kept_with_its_log() {
    let scratch = Scratch::new();
    with_users(&scratch, 3).await;
    assert_eq!(run(&scratch, &["backup", "copy.db"]).code(), Some(0));
    std::fs::write(scratch.path().join("users.db"), vec![b'x'; 10_000]).expect("a file");
    std::fs::write(scratch.path().join("users.db-wal"), "stale").expect("a file");
    let restored = run(&scratch, &["restore", "copy.db"]);
    fails_with(&restored, 0, &["users.db.before-restore-"]);
    assert_eq!(ids(&scratch, "users.db"), [1, 2, 3]);
    assert!(!scratch.path().join("users.db-wal").exists());
}

#[test]
fn backup_of_what_is_no_file_is_refused() {
    let scratch = Scratch::new();
    let refused = run(&scratch, &["backup", "copy.db"]);
    fails_with(&refused, 2, &["users.db"]);
    for (command, program) in [("backup", "pg_dump"), ("restore", "pg_restore")] {
        let ended = usher(&scratch)
            .args([command, "copy.db"])
            .args(["--database", "postgres://me:secret@db/users"])
            .run();
        fails_with(&ended, 2, &[program, "me:***@db"]);
        let ended = usher(&scratch)
            .args([command, "copy.db", "--database", "memory:"])
            .run();
        fails_with(&ended, 2, &["memory:"]);
    }
    assert!(!scratch.path().join("copy.db").exists());
}
