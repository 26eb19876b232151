//! An SQLite file that is moved, replaced or removed while the program runs.

use std::path::Path;

use usher_tests::http::Request;
use usher_tests::janitor::Scratch;
use usher_tests::process::Running;

use crate::startup::{send_request, usher};

const ROWS: &str = "SELECT email FROM users ORDER BY id";

fn post(number: usize) -> Request {
    Request::post(
        "/users/",
        &serde_json::json!({"name": "Ann", "email": format!("user{number}@example.org")}),
    )
}

/// The addresses in a file, which must be intact.
#[track_caller]
fn addresses(path: &Path) -> Vec<String> {
    let sqlite = rusqlite::Connection::open(path).expect("a database");
    let all: String = sqlite
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("a check");
    assert_eq!(all, "ok", "{}", path.display());
    let mut rows = sqlite.prepare(ROWS).expect("a table of users");
    let rows = rows.query_map([], |row| row.get(0)).expect("rows");
    rows.map(|row| row.expect("an address")).collect()
}

fn serve(scratch: &Scratch) -> Running {
    usher(scratch)
        .args(["--database", "sqlite:users.db"])
        .args(["--admin-listen", "127.0.0.1:0"])
        .spawn()
}

/// The saved copy of a file that had lost its name.
#[track_caller]
fn saved(scratch: &Scratch) -> std::path::PathBuf {
    std::fs::read_dir(scratch.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.to_string_lossy().contains(".saved-"))
        .expect("a copy")
}

#[tokio::test]
async fn replaced_file_under_load_loses_no_acknowledged_write() {
    let scratch = Scratch::new();
    let (file, backup) = (
        scratch.path().join("users.db"),
        scratch.path().join("backup.db"),
    );
    let mut running = serve(&scratch);
    let operators = running.operators();
    let address = running.address();
    assert_eq!(send_request(&address, post(0)).await.status, 200);
    rusqlite::Connection::open(&file)
        .and_then(|sqlite| sqlite.execute("VACUUM INTO ?1", [backup.display().to_string()]))
        .expect("a backup");
    let mut acknowledged = vec!["user0@example.org".to_owned()];
    let mut refused = 0;
    for number in 1..400 {
        if number == 200 {
            std::fs::rename(&backup, &file).expect("it is replaced");
        }
        let answer = send_request(&address, post(number)).await;
        match answer.status {
            200 => acknowledged.push(format!("user{number}@example.org")),
            503 => refused += 1,
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert_eq!((acknowledged.len(), refused), (200, 200));
    running.line("was replaced while in use");
    assert_eq!(
        send_request(&operators, Request::get("/ready"))
            .await
            .status,
        503
    );
    assert_eq!(
        send_request(&address, Request::get("/users/1"))
            .await
            .status,
        503
    );
    running.line("all that was written");
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
    assert_eq!(addresses(&file), ["user0@example.org"]);
    assert_eq!(addresses(&saved(&scratch)), acknowledged);

    let mut again = serve(&scratch);
    let address = again.address();
    assert_eq!(
        send_request(&address, Request::get("/users/1"))
            .await
            .status,
        200
    );
    assert_eq!(
        send_request(&address, Request::get("/users/2"))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn moved_file_and_its_return_log_one_line_each() {
    let scratch = Scratch::new();
    let (file, moved) = (
        scratch.path().join("users.db"),
        scratch.path().join("moved.db"),
    );
    let mut running = serve(&scratch);
    let address = running.address();
    assert_eq!(send_request(&address, post(0)).await.status, 200);
    std::fs::rename(&file, &moved).expect("it is moved");
    // The file is looked at once a while, and by every write.
    while send_request(&address, post(1)).await.status != 503 {}
    for _ in 0..20 {
        let answer = send_request(&address, Request::get("/users/1")).await;
        assert_eq!(answer.status, 503);
    }
    running.line("all that was written");
    std::fs::rename(&moved, &file).expect("it is back");
    while send_request(&address, Request::get("/users/1"))
        .await
        .status
        != 200
    {}
    running.terminate();
    let ended = running.wait();
    for text in [
        "requests are answered with 503",
        "requests are answered again",
    ] {
        let lines = ended.stderr.iter().filter(|line| line.contains(text));
        assert_eq!(lines.count(), 1, "{text}: {:?}", ended.stderr);
    }
}

#[tokio::test]
async fn removed_file_without_requests_is_saved_at_shutdown() {
    let scratch = Scratch::new();
    let file = scratch.path().join("users.db");
    let mut running = serve(&scratch);
    let address = running.address();
    assert_eq!(send_request(&address, post(0)).await.status, 200);
    std::fs::remove_file(&file).expect("it is removed");
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
    assert!(!file.exists());
    assert_eq!(addresses(&saved(&scratch)), ["user0@example.org"]);
}

#[test]
fn plan_of_a_file_without_write_ahead_log_reports_no_moved_file() {
    let scratch = Scratch::new();
    let file = rusqlite::Connection::open(scratch.path().join("users.db")).expect("a file");
    file.execute_batch(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, \
         email TEXT NOT NULL UNIQUE)",
    )
    .expect("a table");
    drop(file);
    let ended = usher(&scratch)
        .args(["migrate", "--plan", "--database", "sqlite:users.db"])
        .run();
    assert_eq!(ended.code(), Some(0));
    assert!(ended.stderr.is_empty(), "{:?}", ended.stderr);
}

#[tokio::test]
async fn overwritten_file_is_refused_and_served_intact_after_a_restart() {
    let backup = Scratch::new();
    let mut running = serve(&backup);
    let address = running.address();
    for number in 100..400 {
        let created = send_request(&address, post(number)).await;
        assert_eq!(created.status, 200);
    }
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
    let backup = std::fs::read(backup.path().join("users.db")).expect("a backup");

    for is_of_same_length in [false, true] {
        let scratch = Scratch::new();
        let file = scratch.path().join("users.db");
        if is_of_same_length {
            std::fs::write(&file, &backup).expect("a file");
        }
        let mut running = serve(&scratch);
        let address = running.address();
        assert_eq!(send_request(&address, post(0)).await.status, 200);
        // As cp does: the same inode, another content.
        std::fs::write(&file, &backup).expect("it is overwritten");
        assert_eq!(send_request(&address, post(1)).await.status, 503);
        assert_eq!(send_request(&address, post(2)).await.status, 503);
        let line = running.line("was overwritten while in use");
        assert!(line.contains("users.db-wal.saved-"), "{line}");
        running.terminate();
        assert_eq!(running.wait().code(), Some(0));
        assert!(
            std::fs::read(&file).expect("a file") == backup,
            "the backup was changed"
        );

        let mut running = serve(&scratch);
        let address = running.address();
        assert_eq!(send_request(&address, post(500)).await.status, 200);
        running.terminate();
        assert_eq!(running.wait().code(), Some(0));
        let kept = addresses(&file);
        assert_eq!(kept.len(), 301);
        assert!(!kept.contains(&"user0@example.org".to_owned()));
    }
}
