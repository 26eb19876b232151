//! How the program starts, fails to start, and ends.

use std::net::TcpListener;
use std::path::PathBuf;

use tokio::net::TcpStream;
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Ended, Usher};

/// The program that the tests of long loads start: that of this build, or `USHER_TEST_PROGRAM`.
pub(crate) fn program() -> Usher {
    Usher::new(program_file())
}

/// Its file.
pub(crate) fn program_file() -> PathBuf {
    match std::env::var_os("USHER_TEST_PROGRAM") {
        Some(file) => std::path::absolute(file).expect("a path"),
        None => env!("CARGO_BIN_EXE_usher-under-test").into(),
    }
}

/// The program, on a port of its own, in an empty directory.
pub(crate) fn usher(scratch: &Scratch) -> Usher {
    program()
        .env("USHER_LISTEN", "127.0.0.1:0")
        .current_dir(scratch.path())
}

pub(crate) async fn send_request(address: &str, request: Request) -> Response {
    let stream = TcpStream::connect(address).await.expect("a connection");
    http::send(stream, &request, address)
        .await
        .expect("an answer")
}

fn ann() -> Request {
    Request::post(
        "/users/",
        &serde_json::json!({"name": "Ann", "email": "ann@example.org"}),
    )
}

/// Expects one line with all of these texts, and an exit code.
#[track_caller]
pub(crate) fn fails_with(ended: &Ended, code: i32, parts: &[&str]) {
    let line = ended.only_line();
    assert_eq!(ended.code(), Some(code), "{line}");
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
}

#[tokio::test]
async fn default_database_file_survives_a_restart() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch).spawn();
    running.line("sqlite:usher.db");
    let address = running.address();
    let created = send_request(&address, ann()).await;
    assert_eq!(
        (created.status, created.text().as_str()),
        (200, r#"{"id":1,"name":"Ann","email":"ann@example.org"}"#)
    );
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));

    let mut again = usher(&scratch).spawn();
    let address = again.address();
    assert_eq!(
        send_request(&address, Request::get("/users/1"))
            .await
            .text(),
        created.text()
    );
    again.interrupt();
    assert_eq!(again.wait().code(), Some(0));
}

#[tokio::test]
async fn instance_reuse_1_gives_each_request_a_new_instance() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch)
        .args(["--database", "memory:", "--instance-reuse", "1"])
        .args(["--admin-listen", "127.0.0.1:0"])
        .spawn();
    let operators = running.operators();
    let address = running.address();
    for _ in 0..5 {
        assert_eq!(
            send_request(&address, Request::get("/users/1"))
                .await
                .status,
            404
        );
    }
    let metrics = send_request(&operators, Request::get("/metrics"))
        .await
        .text();
    assert!(metrics.contains("usher_instances_total 5"), "{metrics}");
    assert_eq!(
        send_request(&operators, Request::get("/ready"))
            .await
            .status,
        200
    );
}

#[test]
fn unknown_database_scheme_is_reported_in_one_line() {
    for how in ["option", "variable"] {
        let (scratch, url) = (Scratch::new(), "mysql://root:secret@localhost/x");
        let start = if how == "option" {
            usher(&scratch).args(["--database", url])
        } else {
            usher(&scratch).env("DATABASE_URL", url)
        };
        let ended = start.run();
        assert!(
            !ended.stderr.join("\n").contains("secret"),
            "the password is printed: {:?}",
            ended.stderr
        );
        fails_with(&ended, 2, &["mysql", "postgres://"]);
    }
}

#[test]
fn port_in_use_is_reported_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = usher(&Scratch::new())
        .args(["--database", "memory:", "--listen", &address])
        .run();
    fails_with(&ended, 2, &[&address, "in use"]);
}

#[test]
fn unopenable_database_file_is_reported_in_one_line() {
    let scratch = Scratch::new();
    let ended = usher(&scratch)
        .args(["--database", "sqlite:nowhere/users.db"])
        .run();
    fails_with(&ended, 2, &["sqlite:nowhere/users.db"]);
    std::fs::write(
        scratch.path().join("text.db"),
        "this is no database, and too long to be an empty one",
    )
    .expect("a file");
    let ended = usher(&scratch).args(["--database", "sqlite:text.db"]).run();
    fails_with(&ended, 2, &["sqlite:text.db"]);
}

#[tokio::test]
async fn locked_database_file_is_waited_for() {
    let scratch = Scratch::new();
    let other = rusqlite::Connection::open(scratch.file("users.db")).expect("a file");
    let lock = "CREATE TABLE other (id integer); BEGIN EXCLUSIVE";
    other.execute_batch(lock).expect("a lock");
    let start = || usher(&scratch).args(["--database", "sqlite:users.db"]);
    let ended = start().args(["--database-wait", "0s"]).run();
    fails_with(&ended, 1, &["sqlite:users.db", "locked by another process"]);
    let mut running = start()
        .args(["--database-wait", "10m", "--log", "debug"])
        .spawn();
    running.line("trying again");
    other.execute_batch("COMMIT").expect("it held");
    let address = running.address();
    assert_eq!(send_request(&address, ann()).await.status, 200);
}

/// `(component (import "wasi:sockets/tcp@0.2.0" (instance (export "f" (func)))))`, in binary.
fn unsupported_component() -> Vec<u8> {
    let header = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];
    let function = [0x01, 0x40, 0x00, 0x01, 0x00];
    let export = [0x04, 0x00, 0x01, b'f', 0x01, 0x00];
    let types = [&[0x07, 0x0e, 0x01, 0x42, 0x02], &function[..], &export].concat();
    let name = b"wasi:sockets/tcp@0.2.0";
    let imports = [&[0x0a, 0x1b, 0x01, 0x00, 0x16], &name[..], &[0x05, 0x00]].concat();
    [&header[..], &types, &imports].concat()
}

#[test]
fn unreadable_component_is_reported_in_one_line() {
    let scratch = Scratch::new();
    let run = |file: &str| {
        usher(&scratch)
            .args(["--database", "memory:", "--component", file])
            .run()
    };
    fails_with(&run("nowhere.wasm"), 2, &["nowhere.wasm"]);
    std::fs::write(scratch.path().join("text.wasm"), "no component").expect("a file");
    fails_with(&run("text.wasm"), 2, &["text.wasm"]);
    std::fs::write(scratch.path().join("module.wasm"), b"\0asm\x01\0\0\0").expect("a file");
    fails_with(&run("module.wasm"), 2, &["module.wasm"]);
    std::fs::write(
        scratch.path().join("cut.wasm"),
        &usher::sandbox::USERS_WASM[..1000],
    )
    .expect("a file");
    fails_with(&run("cut.wasm"), 2, &["cut.wasm"]);
    std::fs::write(
        scratch.path().join("unsupported_component.wasm"),
        unsupported_component(),
    )
    .expect("a file");
    fails_with(
        &run("unsupported_component.wasm"),
        2,
        &["unsupported_component.wasm", "wasi:sockets/tcp"],
    );
}

#[test]
fn unreachable_postgresql_is_reported_with_masked_password() {
    // Bound and not listening: connections are refused, and no other process can take the port.
    let taken = tokio::net::TcpSocket::new_v4().expect("a socket");
    taken.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let url = format!("postgres://me:secret@127.0.0.1:{port}/users");
    let ended = usher(&Scratch::new())
        .args(["--database-wait", "1s", "--database", &url])
        .run();
    fails_with(&ended, 1, &["me:***@127.0.0.1"]);
    assert!(!ended.only_line().contains("secret"));
}

#[tokio::test]
async fn request_in_flight_is_completed_after_sigterm() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch).args(["--database", "memory:"]).spawn();
    let address = running.address();
    let request = ann().header("expect", "100-continue").encode(&address);
    let (head, rest) = request.split_at(request.len() - 5);
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    tokio::io::AsyncWriteExt::write_all(&mut stream, head)
        .await
        .expect("the beginning");
    // The server reports when it has begun with the request.
    let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut interim = [0; 25];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut interim)
        .await
        .expect("an interim answer");
    assert_eq!(&interim, expected);
    running.terminate();
    running.line("draining");
    tokio::io::AsyncWriteExt::write_all(&mut stream, rest)
        .await
        .expect("the end");
    let response = http::Reader::new(stream)
        .response("POST")
        .await
        .expect("an answer");
    assert_eq!(response.status, 200);
    assert_eq!(running.wait().code(), Some(0));
    assert!(TcpStream::connect(&address).await.is_err());
}

#[test]
fn migrate_command_updates_the_schema_alone() {
    let scratch = Scratch::new();
    let migrate = || {
        usher(&scratch)
            .args(["migrate", "--database", "sqlite:users.db"])
            .run()
    };
    let first = migrate();
    assert_eq!(first.code(), Some(0));
    assert!(
        first.stderr[0].contains("0001_users") && first.stderr.len() == 2,
        "{:?}",
        first.stderr
    );
    let second = migrate();
    assert_eq!(second.code(), Some(0));
    assert!(second.only_line().contains("nothing to do"));
}

#[tokio::test]
async fn no_migrate_leaves_the_schema_unchanged() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch)
        .args(["--database", "memory:", "--no-migrate"])
        .spawn();
    let address = running.address();
    assert_eq!(
        send_request(&address, Request::get("/users/1"))
            .await
            .status,
        500
    );
}

#[test]
fn component_command_writes_the_embedded_component() {
    let scratch = Scratch::new();
    let ended = usher(&scratch)
        .args(["component", "--output", "users.wasm"])
        .run();
    assert_eq!(ended.code(), Some(0));
    let written = std::fs::read(scratch.path().join("users.wasm")).expect("a file");
    assert!(written == usher::sandbox::USERS_WASM);
    let ended = usher(&scratch)
        .args(["component", "--output", "nowhere/users.wasm"])
        .run();
    fails_with(&ended, 2, &["nowhere/users.wasm"]);
}

#[tokio::test]
async fn written_component_can_be_served() {
    let scratch = Scratch::new();
    usher(&scratch)
        .args(["component", "--output", "users.wasm"])
        .run();
    let mut running = usher(&scratch)
        .args(["--database", "memory:", "--component", "users.wasm"])
        .spawn();
    let address = running.address();
    assert_eq!(send_request(&address, ann()).await.status, 200);
}
