//! Reaching PostgreSQL: which of several servers, over which transport, by which spelling, and the
//! error if none can be reached.

mod certificates;
mod servers;
mod transports;

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio_postgres::Client;
use usher_tests::cluster::{Certificate, Cluster, Stop};
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Ended, Running, Usher};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

/// How soon the service must be back once there is a server for it.
const RECOVERY: Duration = Duration::from_secs(2);

async fn send(address: &str, request: &Request) -> Response {
    let stream = TcpStream::connect(address).await.expect("a connection");
    http::send(stream, request, address)
        .await
        .expect("an answer")
}

async fn send_request(address: &str, path: &str) -> Response {
    send(address, &Request::get(path)).await
}

fn write(number: usize) -> Request {
    let user = serde_json::json!({"name": "Ann", "email": format!("ann{number}@example.org")});
    Request::post("/users/", &user)
}

fn usher(scratch: &Scratch, url: &str) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .env("HOME", &scratch.path().display().to_string())
        .args(["--listen", "127.0.0.1:0", "--database", url])
}

/// Expects it to serve, although it tries only once.
async fn serves(start: Usher, what: &str) -> (Running, String) {
    let mut running = start.args(["--database-wait", "0s"]).spawn();
    let address = running.address();
    assert_eq!(
        send_request(&address, "/users/999999").await.status,
        404,
        "{what}"
    );
    (running, address)
}

/// Expects it to fail at once with one line.
#[track_caller]
fn refuses(start: Usher, what: &str, parts: &[&str]) -> Ended {
    let began = Instant::now();
    let ended = start.run();
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{what} was waited for"
    );
    let line = ended.only_line();
    for part in parts {
        assert!(line.contains(part), "{what}: {part:?} is not in {line:?}");
    }
    ended
}

fn cluster() -> Cluster {
    Cluster::start().unwrap_or_else(|error| panic!("{error}"))
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("a server that runs");
    // The user of the client sees its end.
    tokio::spawn(async move { drop(connection.await) });
    client
}

/// The parts of a cluster's URL: user and password, port.
fn parts(cluster: &Cluster) -> (String, u16) {
    let url = cluster.url();
    let credentials = url
        .strip_prefix("postgres://")
        .and_then(|rest| rest.split('@').next());
    (credentials.expect("a URL").to_owned(), cluster.port())
}

/// A port with a web server.
fn web_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // The client may have closed already.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    port
}

/// A port that refuses connections and that no other process can bind.
fn refused() -> (tokio::net::TcpSocket, u16) {
    let taken = tokio::net::TcpSocket::new_v4().expect("a socket");
    taken.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    (taken, port)
}

/// A cluster with this kind of certificate for a name, and the file that its clients have to trust.
async fn certified(scratch: &Scratch, kind: Certificate, name: &str) -> (Cluster, String) {
    let cluster = cluster();
    cluster.certify_as(kind, name);
    cluster.stop(Stop::Fast);
    cluster.restart();
    let client = connect(&cluster.url()).await;
    let read = "SELECT pg_read_file('ca.crt')";
    let certificate: String = client.query_one(read, &[]).await.expect("a file").get(0);
    let file = scratch.file("ca.crt");
    std::fs::write(&file, certificate).expect("a file");
    (cluster, file)
}

/// The directory of a cluster's socket, percent-encoded.
async fn socket(cluster: &Cluster) -> String {
    let client = connect(&cluster.url()).await;
    let row = client.query_one("SHOW data_directory", &[]).await;
    let directory: String = row.expect("an answer").get(0);
    directory.replace('/', "%2F")
}

/// A number that no earlier request had.
fn unused_number() -> u16 {
    use std::hash::BuildHasher as _;
    let random = std::hash::RandomState::new().hash_one(0);
    u16::try_from(random & 0xffff).unwrap_or_default()
}

#[tokio::test]
async fn hosts_and_ports_in_every_spelling_reach_the_server() {
    let (scratch, cluster) = (Scratch::new(), cluster());
    let ((credentials, port), (_taken, refused)) = (parts(&cluster), refused());
    let (user, password) = credentials.split_once(':').expect("a password");
    let socket = socket(&cluster).await;
    let path = socket.replace("%2F", "/");
    for url in [
        format!("postgres://{credentials}@/postgres?host=127.0.0.1:{port}"),
        format!(
            "postgres://{credentials}@/postgres?host=127.0.0.1:{refused}&host=127.0.0.1:{port}"
        ),
        format!(
            "postgres://{credentials}@/postgres?host=127.0.0.1,127.0.0.1&port={refused},{port}"
        ),
        format!("postgres://{credentials}@127.0.0.1/postgres?port={port}"),
        format!("postgres://{credentials}@127.0.0.1:{refused}/postgres?port={port}"),
        format!("postgresql+asyncpg://{credentials}@127.0.0.1:{port}/postgres?ssl=prefer"),
        format!("postgresql+asyncpg://{credentials}@127.0.0.1:{port}/postgres?ssl=allow"),
        format!("postgres://{credentials}@nowhere.invalid:{port}/postgres?hostaddr=127.0.0.1"),
        format!("postgres://{credentials}@{socket}:{port}/postgres"),
        format!("postgres:///postgres?host={path}&port={port}&user={user}&password={password}"),
        format!("postgres://{credentials}@/postgres?host={path}/.s.PGSQL.{port}"),
        format!("host=127.0.0.1 port={port} user={user} password='{password}' dbname=postgres"),
        format!("postgres://{credentials}@127.0.0.1:{port}/postgres\n"),
        // libpq ignores it on a socket.
        format!("postgres://{credentials}@{socket}:{port}/postgres?sslmode=require"),
        format!("postgres://{credentials}@{socket}:{port}/postgres?sslmode=verify-full"),
        format!("postgres://{credentials}@{socket},127.0.0.1/postgres?port={refused},{port}"),
    ] {
        serves(usher(&scratch, &url), &url).await;
    }
}

#[tokio::test]
async fn environment_and_password_file_complete_the_url() {
    let (scratch, cluster) = (Scratch::new(), cluster());
    let (credentials, port) = parts(&cluster);
    let (user, password) = credentials.split_once(':').expect("a password");
    let environment = |start: Usher| {
        start
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", &port.to_string())
            .env("PGUSER", user)
            .env("PGDATABASE", "postgres")
    };
    let start = environment(usher(&scratch, "postgres://")).env("PGPASSWORD", password);
    serves(start, "all of it").await;
    let file = scratch.file(".pgpass");
    std::fs::write(&file, format!("127.0.0.1:{port}:*:{user}:{password}\n")).expect("a file");
    std::os::unix::fs::chown(&file, None, None).expect("one's own");
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("one's own");
    };
    mode(0o600);
    serves(environment(usher(&scratch, "postgres://")), "~/.pgpass").await;
    // The environment precedes the file, and the URL precedes both.
    let wrong = environment(usher(&scratch, "postgres://")).env("PGPASSWORD", "wrong");
    refuses(wrong, "a wrong password", &["28P01"]);
    let other = usher(
        &scratch,
        &format!("postgres://{credentials}@127.0.0.1:{port}"),
    );
    serves(
        other
            .env("PGDATABASE", "postgres")
            .env("PGPASSWORD", "wrong"),
        "the URL",
    )
    .await;
    // A file that other users may read is ignored.
    mode(0o644);
    let ended = environment(usher(&scratch, "postgres://")).run();
    assert_eq!(ended.code(), Some(2), "{:?}", ended.stderr);
    let output = ended.stderr.join("\n");
    assert!(
        output.contains("0600") && output.contains("asks for a password"),
        "{output}"
    );
    // Another database does not need them.
    let mut running = environment(usher(&scratch, "memory:")).spawn();
    running.address();
}

#[test]
fn permanent_connection_error_is_reported_at_once() {
    let scratch = Scratch::new();
    let cluster = cluster();
    let ((credentials, port), web_server) = (parts(&cluster), web_server());
    let user = credentials.split(':').next().expect("a user");
    for (url, code, part) in [
        (
            format!("postgres://{credentials}@127.0.0.1:{web_server}/postgres"),
            2,
            "no PostgreSQL server",
        ),
        (
            format!("postgres://{credentials}@127.0.0.1:{web_server}/postgres?sslmode=disable"),
            2,
            "no PostgreSQL server",
        ),
        (
            format!("postgres://{user}@127.0.0.1:{port}/postgres"),
            2,
            "password",
        ),
        (format!("{}?sslmode=require", cluster.url()), 2, "TLS"),
        (format!("{}?sslmode=verify-full", cluster.url()), 2, "TLS"),
        (
            format!("{}?channel_binding=require", cluster.url()),
            2,
            "channel binding",
        ),
        (
            format!(
                "{}?sslmode=verify-full&sslrootcert=nowhere.crt",
                cluster.url()
            ),
            2,
            "nowhere.crt",
        ),
        (
            format!("{}?sslcert=nowhere.crt&sslkey=nowhere.key", cluster.url()),
            2,
            "nowhere.crt",
        ),
        (
            format!("{}?connect_timeout=soon", cluster.url()),
            2,
            "connect_timeout",
        ),
        (format!("{}?service=other", cluster.url()), 2, "service"),
        (format!("{}?sslmode=always", cluster.url()), 2, "prefer"),
        (
            format!("postgres://{credentials}@127.0.0.1:{port}/nowhere"),
            2,
            "3D000",
        ),
        (
            format!("postgres://{user}:wrong@127.0.0.1:{port}/postgres"),
            2,
            "28P01",
        ),
        (
            format!("postgres://{credentials}@a,b/postgres?port=1,2,3"),
            2,
            "ports",
        ),
        (
            format!("postgres://{credentials}@127.0.0.1/postgres?host=a!"),
            2,
            "host 1",
        ),
    ] {
        let ended = refuses(usher(&scratch, &url), &url, &[part]);
        assert_eq!(ended.code(), Some(code), "{url}");
    }
}

/// No part of the password is printed, whatever it contains and wherever the URL is set.
#[test]
fn error_output_shows_no_part_of_a_password() {
    let scratch = Scratch::new();
    let pieces = ["Zaq", "Wsx", "Cde"];
    let start = |url: &str| {
        Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
            .current_dir(scratch.path())
            .env("USHER_LISTEN", "127.0.0.1:0")
            .args(["--log", "trace", "--database-wait", "0s"])
            .env("DATABASE_URL", url)
    };
    let (_taken, port) = refused();
    let mut ended = Vec::new();
    for sign in [
        "?", "#", "@", "/", ":", "%", "&", "=", " ", "'", "\"", "\\", "\n", "%40", "?host=",
    ] {
        let secret = format!("Zaq{sign}Wsx{sign}Cde");
        let url = format!("postgres://me:{secret}@127.0.0.1:{port}/users");
        ended.push(start(&url).run());
        ended.push(start("x").args(["--database", &url]).run());
        ended.push(start("x").args([url.as_str()]).run());
        ended.push(start("x").args(["migrate", &url]).run());
        ended.push(
            start(&format!(
                "postgres://user=me password={secret} host=127.0.0.1"
            ))
            .run(),
        );
        ended.push(
            start(&format!(
                "host=127.0.0.1 port={port} password={secret} user=me"
            ))
            .run(),
        );
        ended.push(
            start(&format!(
                "host=127.0.0.1 port={port} password='{secret}' user=me"
            ))
            .run(),
        );
        ended.push(start(&format!("postgres://127.0.0.1:{port}/?password={secret}")).run());
    }
    let secret = "postgres://me:Zaq?Wsx@127.0.0.1/Cde";
    ended.push(start(secret).args(["--help"]).run());
    ended.push(start(secret).args(["serve", "--help"]).run());
    // As a shell splits it without quotes.
    ended.push(
        start("x")
            .args(["--database", "postgres://me:Zaq", "Wsx", "Cde@h/d"])
            .run(),
    );
    ended.push(
        start("x")
            .args(["--database", "postgres://me:Zaq", "Wsx@h/d"])
            .run(),
    );
    ended.push(start("x").args(["--datbase=postgres://me:Zaq@h/d"]).run());
    ended.push(
        start("x")
            .args(["--database=postgres://me:x@h/d", "-Zaq", "--Wsx"])
            .run(),
    );
    for ended in ended {
        let output = ended.stderr.join("\n") + &String::from_utf8_lossy(&ended.stdout);
        for piece in pieces {
            assert!(!output.contains(piece), "{output}");
        }
    }
}
