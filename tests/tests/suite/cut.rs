//! Clients of HTTP/1.0 and 1.1, and clients behind a proxy, can tell a truncated response from a
//! complete one.

use std::io;
use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use usher_tests::http::{Reader, Request};
use usher_tests::janitor::Scratch;
use usher_tests::nginx::Nginx;
use usher_tests::postgres;
use usher_tests::process::{Running, Usher};
use usher_tests::programs::Program;
use usher_tests::proxy::{At, Direction, Proxy};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

/// Users of a long list, some 15 MB.
const USERS: usize = 120_000;

/// After how many bytes the connection to the database is cut while that list is read.
const CUT: u64 = 4 << 20;

/// The head of a request for a list, in this version of HTTP.
fn lines(version: &str, path: &str) -> String {
    format!("GET {path} HTTP/{version}\r\nhost: x\r\naccept: application/x-ndjson\r\n\r\n")
}

/// Reads a response to its end, as a client of this version does: the number of its lines, or the
/// error.
async fn read(address: &str, version: &str, path: &str) -> io::Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(lines(version, path).as_bytes()).await?;
    finish(stream, version).await
}

async fn finish(mut stream: TcpStream, version: &str) -> io::Result<usize> {
    let count = |bytes: &[u8]| bytes.split(|&byte| byte == b'\n').count() - 1;
    if version == "1.1" {
        let mut found = 0;
        let mut reader = Reader::new(stream);
        let answer = reader.streamed(|chunk| found += count(chunk)).await?;
        assert_eq!(answer.status, 200);
        return Ok(found);
    }
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await?;
    let end = all.windows(4).position(|end| end == b"\r\n\r\n");
    let (head, body) = all.split_at(end.expect("a head") + 4);
    let head = String::from_utf8_lossy(head).to_lowercase();
    assert!(head.starts_with("http/1.0 200"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    Ok(count(body))
}

#[track_caller]
fn is_cut(read: &io::Result<usize>, version: &str, what: &str) {
    let kind = match read {
        Ok(lines) => panic!("{what} by HTTP/{version}: {lines} lines look like all of them"),
        Err(error) => error.kind(),
    };
    // Without a length only a reset tells a truncated response from a complete one.
    let expected: &[io::ErrorKind] = match version {
        "1.0" => &[io::ErrorKind::ConnectionReset],
        _ => &[io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof],
    };
    assert!(expected.contains(&kind), "{what} by HTTP/{version}: {kind}");
}

fn program(scratch: &Scratch, database: &str) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", database])
}

fn hostile(scratch: &Scratch) -> Usher {
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    // In a file, because in memory a writer excludes readers.
    program(scratch, "sqlite:notes.db").args(["--component", "hostile.wasm", "--no-migrate"])
}

/// A database with many users.
async fn listed() -> postgres::Database {
    let database = postgres::database().await;
    let migrate = Usher::new(env!("CARGO_BIN_EXE_usher-under-test")).args([
        "migrate",
        "--database",
        database.url(),
    ]);
    let migrated = tokio::task::block_in_place(|| migrate.run());
    assert_eq!(migrated.code(), Some(0), "{:?}", migrated.stderr);
    let client = database.connect().await;
    let insert = format!(
        "INSERT INTO users (name, email) SELECT repeat('n', 80), 'u' || i || '@example.org' FROM \
            generate_series(1, {USERS}) AS i"
    );
    client.batch_execute(&insert).await.expect("users");
    database
}

/// The program, with a proxy in front of its database.
async fn start(scratch: &Scratch, database: &postgres::Database) -> (Running, String, Proxy) {
    let (_, server) = database.url().rsplit_once('@').expect("a user");
    let (server, _) = server.split_once('/').expect("a database");
    let server: SocketAddr = server.parse().expect("an address");
    let proxy = Proxy::start(server).await.expect("a free port");
    let mut running = program(scratch, &proxy.url(database.url())).spawn();
    let address = tokio::task::block_in_place(|| running.address());
    (running, address, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn list_with_lost_database_is_truncated_in_every_http_version() {
    let scratch = Scratch::new();
    let database = listed().await;
    for version in ["1.0", "1.1"] {
        let (_running, address, proxy) = start(&scratch, &database).await;
        let was_cut = proxy.cut_when(Direction::Client, At::Bytes(CUT));
        let cut = read(&address, version, "/users/").await;
        was_cut.await;
        is_cut(&cut, version, "a database that is gone");
        // Without a fault the list is complete, even where only the end of the connection ends it.
        let (_running, address, proxy) = start(&scratch, &database).await;
        let all = read(&address, version, "/users/").await;
        assert_eq!(all.expect("all of it"), USERS);
        drop(proxy);
        let (_running, address, proxy) = start(&scratch, &database).await;
        // The exit code of curl is what a script sees.
        let was_cut = proxy.cut_when(Direction::Client, At::Bytes(CUT));
        let http = format!("--http{version}");
        let url = format!("http://{address}/users/");
        let program = Program::find("curl", "curl").unwrap_or_else(|error| panic!("{error}"));
        let curl = || {
            program
                .command()
                .args(["-s", &http, "-H", "accept: application/x-ndjson", &url])
                .stdout(Stdio::null())
                .status()
        };
        let curl = tokio::task::block_in_place(curl).expect("curl starts");
        was_cut.await;
        assert!(matches!(curl.code(), Some(18 | 56)), "{curl}");
    }
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn list_with_lost_database_is_truncated_behind_nginx() {
    let scratch = Scratch::new();
    let database = listed().await;
    for location in [
        "location / { proxy_pass http://ADDRESS; }",
        "location / { proxy_pass http://ADDRESS; proxy_buffering off; }",
        "location / { proxy_pass http://ADDRESS; proxy_http_version 1.1; proxy_set_header \
            Connection ''; }",
    ] {
        let (_running, address, proxy) = start(&scratch, &database).await;
        let nginx = Nginx::start(&location.replace("ADDRESS", &address));
        let was_cut = proxy.cut_when(Direction::Client, At::Bytes(CUT));
        let cut = read(nginx.address(), "1.1", "/users/").await;
        was_cut.await;
        is_cut(&cut, "1.1", location);
        let (_running, address, _proxy) = start(&scratch, &database).await;
        let nginx = Nginx::start(&location.replace("ADDRESS", &address));
        let all = read(nginx.address(), "1.1", "/users/").await;
        assert_eq!(all.expect("all of it"), USERS, "{location}");
    }
    database.remove().await;
}

/// A guest may fail in any way after its response has begun.
#[tokio::test]
async fn response_of_failed_guest_is_truncated_in_every_http_version() {
    let scratch = Scratch::new();
    let mut running = hostile(&scratch)
        .args(["--request-timeout", "500ms", "--statement-timeout", "300ms"])
        .spawn();
    let address = running.address();
    let table = Request::get("/table").encode(&address);
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    stream.write_all(&table).await.expect("it is read");
    assert_eq!(
        Reader::new(stream)
            .response("GET")
            .await
            .expect("an answer")
            .status,
        200
    );
    for version in ["1.0", "1.1"] {
        for path in ["/flood-trap", "/begun-loop", "/begun-slow-statement"] {
            is_cut(&read(&address, version, path).await, version, path);
        }
    }
}

/// A client that has read the beginning of an endless response.
async fn begun(address: &str, version: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = lines(version, "/flood");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.expect("an answer");
    stream
}

/// Reads on after the letter that [`begun`] has read.
async fn rest(mut stream: TcpStream, version: &str) -> io::Result<usize> {
    if version == "1.0" {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await?;
        return Ok(all.len());
    }
    let mut reader = Reader::new(io::Cursor::new(b"H").chain(stream));
    let mut found = 0;
    reader.streamed(|chunk| found += chunk.len()).await?;
    Ok(found)
}

#[tokio::test]
async fn response_of_ended_server_is_truncated_in_every_http_version() {
    for version in ["1.0", "1.1"] {
        for how in ["drained", "terminated twice", "killed"] {
            let scratch = Scratch::new();
            let mut running = hostile(&scratch).args(["--drain-timeout", "300ms"]).spawn();
            let address = running.address();
            let table = read_status(&address, "/table").await;
            assert_eq!(table, 200);
            let stream = begun(&address, version).await;
            match how {
                "drained" => {
                    running.terminate();
                    running.line("draining");
                    drop(running.wait());
                }
                "terminated twice" => {
                    running.terminate();
                    running.line("draining");
                    running.terminate();
                    drop(running.wait());
                }
                _ => drop(running),
            }
            is_cut(&rest(stream, version).await, version, how);
        }
    }
}

async fn read_status(address: &str, path: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = Request::get(path).encode(address);
    stream.write_all(&request).await.expect("a request");
    Reader::new(stream)
        .response("GET")
        .await
        .expect("an answer")
        .status
}
