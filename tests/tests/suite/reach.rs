//! Reaching PostgreSQL: which of several servers, over which transport, by which spelling, and the
//! error if none can be reached.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio_postgres::Client;
use usher_tests::cluster::{Certificate, Cluster, Stop};
use usher_tests::figures;
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::postgres;
use usher_tests::process::{Ended, Running, Usher, WAIT_LIMIT};
use usher_tests::proxy::{Conditions, Proxy};

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

fn hostile(scratch: &Scratch, url: &str) -> Usher {
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    usher(scratch, url).args(["--component", "hostile.wasm", "--no-migrate"])
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

/// The directory of a cluster's socket, percent-encoded.
async fn socket(cluster: &Cluster) -> String {
    let client = connect(&cluster.url()).await;
    let row = client.query_one("SHOW data_directory", &[]).await;
    let directory: String = row.expect("an answer").get(0);
    directory.replace('/', "%2F")
}

/// The parts of a cluster's URL: user and password, port.
fn parts(cluster: &Cluster) -> (String, u16) {
    let url = cluster.url();
    let credentials = url
        .strip_prefix("postgres://")
        .and_then(|rest| rest.split('@').next());
    (credentials.expect("a URL").to_owned(), cluster.port())
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

/// A server that accepts connections and never sends anything.
fn silent() -> (TcpListener, u16) {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    (silent, port)
}

/// A port whose connections are dropped silently, because its queue is full and not accepted from.
async fn dropping() -> (Vec<Box<dyn Send>>, u16) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let listener = socket.listen(1).expect("a queue");
    let address = listener.local_addr().expect("an address");
    let mut kept: Vec<Box<dyn Send>> = vec![Box::new(listener)];
    let wait = Duration::from_millis(300);
    while let Ok(stream) = tokio::time::timeout(wait, TcpStream::connect(address)).await {
        kept.push(Box::new(stream.expect("room in the queue")));
    }
    (kept, address.port())
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

/// Waits for a result of this kind, and returns how long that took.
async fn until(address: &str, is_it: impl AsyncFn(&str) -> bool) -> Duration {
    let began = Instant::now();
    while !is_it(address).await {
        assert!(began.elapsed() < WAIT_LIMIT);
    }
    began.elapsed()
}

#[tokio::test]
async fn silent_first_host_is_skipped_at_start() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let ((_kept, silent), (_taken, refused)) = (silent(), refused());
    let (_full, dropping) = dropping().await;
    let web_server = web_server();
    let url = |hosts: &str, query: &str| {
        let url = database.url().replace("postgres://", "");
        let (credentials, rest) = url.split_once('@').expect("a password");
        let (place, name) = rest.split_once('/').expect("a database");
        format!(
            "postgres://{credentials}@{}/{name}{query}",
            hosts.replace("WELL", place)
        )
    };
    let alone = {
        let began = Instant::now();
        serves(usher(&scratch, &url("WELL", "")), "alone").await;
        began.elapsed()
    };
    for (hosts, query) in [
        (format!("127.0.0.1:{silent},WELL"), ""),
        (format!("127.0.0.1:{silent},WELL"), "?connect_timeout=2"),
        (format!("127.0.0.1:{silent},WELL"), "?connect_timeout=60"),
        (
            format!("127.0.0.1:{refused},127.0.0.1:{silent},WELL"),
            "?load_balance_hosts=random",
        ),
        (
            format!("127.0.0.1:{silent},127.0.0.1:{refused},127.0.0.1:{silent},WELL"),
            "?target_session_attrs=read-write",
        ),
        (format!("127.0.0.1:{dropping},WELL"), ""),
        (format!("127.0.0.1:{web_server},WELL"), ""),
    ] {
        let url = url(&hosts, query);
        let began = Instant::now();
        serves(usher(&scratch, &url), &url).await;
        let late = began.elapsed().saturating_sub(alone);
        figures::print(
            "a silent host before the well one",
            &format!("{late:?} later"),
        );
        assert!(late < RECOVERY, "{url}: {late:?} later than without");
    }
}

/// Nothing is closed: statements are sent, and nothing is returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_with_silent_sessions_is_replaced_within_two_seconds() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let direct = database.url();
    let server = direct
        .split('@')
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let server = server.expect("an address").to_owned();
    let proxy = Proxy::start(server.parse().expect("an address"))
        .await
        .expect("a port");
    let url = direct.replace(&server, &format!("{},{server}", proxy.address()));
    let (_running, address) = serves(usher(&scratch, &url).args(["--workers", "1"]), &url).await;
    for number in 0..8 {
        assert_eq!(send(&address, &write(number)).await.status, 200);
        assert_eq!(send_request(&address, "/users/?limit=2").await.status, 200);
    }
    assert!(proxy.connections() > 0, "the first host is preferred");
    proxy.set(Conditions {
        stalled: true,
        ..Conditions::default()
    });
    let reads = until(&address, async |address| {
        send_request(address, "/users/1").await.status == 200
    })
    .await;
    let writes = until(&address, async |address| {
        let number = 100 + usize::from(rand());
        send(address, &write(number)).await.status == 200
    })
    .await;
    figures::print(
        "a server falls silent",
        &format!("reads after {reads:?}, writes {writes:?} later"),
    );
    assert!(
        reads + writes < RECOVERY + Duration::from_secs(1),
        "{reads:?}, {writes:?}"
    );
    // Once it is back it is preferred again, for new connections.
    proxy.set(Conditions::default());
}

#[tokio::test]
async fn target_session_attrs_choose_among_servers_as_in_libpq() {
    let scratch = Scratch::new();
    let (primary, standby) = (cluster(), cluster());
    // Both have the schema before one of them stops accepting writes.
    for cluster in [&primary, &standby] {
        serves(usher(&scratch, &cluster.url()), "one server").await;
        let client = connect(&cluster.url()).await;
        for change in [
            "ALTER SYSTEM SET wal_level = replica",
            "ALTER ROLE usher PASSWORD 'usher'",
        ] {
            client.batch_execute(change).await.expect("a superuser may");
        }
    }
    // The setting has to be in force before the server is stopped to become a standby.
    standby.stop(Stop::Fast);
    standby.restart();
    standby.stop(Stop::Fast);
    standby.restart_as_standby();
    let (_kept, silent) = silent();
    let url = |query: &str| {
        format!(
            "postgres://usher:usher@127.0.0.1:{silent},127.0.0.1:{},127.0.0.1:{}/postgres?{query}",
            standby.port(),
            primary.port()
        )
    };
    for (requested, port) in [
        ("any", standby.port()),
        ("read-write", primary.port()),
        ("primary", primary.port()),
        ("standby", standby.port()),
        ("read-only", standby.port()),
        ("prefer-standby", standby.port()),
    ] {
        let url = url(&format!("target_session_attrs={requested}"));
        let start = usher(&scratch, &url).args(["--no-migrate", "--workers", "1"]);
        let (_running, _address) = serves(start, requested).await;
        let url = format!("postgres://usher:usher@127.0.0.1:{port}/postgres");
        let client = connect(&url).await;
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'usher'";
        let found: i64 = client
            .query_one(count, &[])
            .await
            .expect("an answer")
            .get(0);
        assert!(found > 0, "{requested}");
    }
    // No session on another server may exist.
    let alone = format!(
        "postgres://usher:usher@127.0.0.1:{}/postgres?target_session_attrs=primary",
        standby.port()
    );
    let start = usher(&scratch, &alone).args(["--database-wait", "0s"]);
    let ended = refuses(start, &alone, &["standby", "target_session_attrs"]);
    assert_eq!(ended.code(), Some(1));
    let (_running, _) = serves(
        usher(&scratch, &alone.replace("=primary", "=prefer-standby")).args(["--no-migrate"]),
        "prefer-standby",
    )
    .await;
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

#[tokio::test]
async fn certificates_made_as_in_the_manual_are_trusted() {
    for (kind, name) in [
        (Certificate::SelfSigned, "localhost"),
        (Certificate::SelfSignedV1, "localhost"),
        (Certificate::Authority, "localhost"),
        (Certificate::AuthorityV1, "localhost"),
        (Certificate::AuthorityAddress, "127.0.0.1"),
    ] {
        let scratch = Scratch::new();
        let (cluster, file) = certified(&scratch, kind, name).await;
        let url = |host: &str, mode: &str| {
            let url = cluster.url().replace("@127.0.0.1", &format!("@{host}"));
            format!("{url}?sslmode={mode}&sslrootcert={file}")
        };
        for mode in ["require", "verify-ca", "verify-full"] {
            serves(
                usher(&scratch, &url(name, mode)),
                &format!("{kind:?} {mode}"),
            )
            .await;
        }
        for mode in ["prefer", "allow", "require"] {
            let url = format!("{}?sslmode={mode}", cluster.url());
            serves(usher(&scratch, &url), &format!("{kind:?} {mode} alone")).await;
        }
        // By another name of the same server.
        let other = if name == "localhost" {
            "127.0.0.1"
        } else {
            "localhost"
        };
        serves(
            usher(&scratch, &url(other, "verify-ca")),
            &format!("{kind:?} as {other}"),
        )
        .await;
        let url = url(other, "verify-full");
        refuses(
            usher(&scratch, &url),
            &format!("{kind:?} as {other}"),
            &["certificate"],
        );
    }
}

/// Another server's certificate of the same kind is not trusted.
#[tokio::test]
async fn certificates_without_trusted_issuer_are_refused() {
    for kind in [
        Certificate::SelfSigned,
        Certificate::SelfSignedV1,
        Certificate::Authority,
        Certificate::AuthorityV1,
    ] {
        let (scratch, elsewhere) = (Scratch::new(), Scratch::new());
        let (cluster, _) = certified(&scratch, kind, "localhost").await;
        let (other, web_server) = certified(&elsewhere, kind, "localhost").await;
        drop(other);
        for mode in ["require", "verify-ca", "verify-full"] {
            let url = cluster.url().replace("127.0.0.1", "localhost");
            let url = format!("{url}?sslmode={mode}&sslrootcert={web_server}");
            let ended = refuses(
                usher(&scratch, &url),
                &format!("{kind:?} {mode}"),
                &["certificate"],
            );
            assert_eq!(ended.code(), Some(2), "{kind:?} {mode}");
        }
    }
}

/// The URLs of every transport.
async fn transports(cluster: &Cluster) -> Vec<String> {
    let (credentials, port) = parts(cluster);
    let socket = socket(cluster).await;
    vec![
        format!("{}?sslmode=disable", cluster.url()),
        format!("{}?sslmode=require", cluster.url()),
        format!("postgres://{credentials}@{socket}:{port}/postgres"),
        // One of each, so that none can be left out silently.
        format!("postgres://{credentials}@{socket},127.0.0.1/postgres?port={port},{port}"),
    ]
}

#[tokio::test]
async fn row_of_any_size_uses_bounded_memory_on_every_transport() {
    let scratch = Scratch::new();
    let (cluster, _) = certified(&scratch, Certificate::Authority, "localhost").await;
    for url in transports(&cluster).await {
        let limits = [
            ["--workers", "1"],
            ["--max-rows-bytes", "1MiB"],
            // On a busy machine so much text takes its time.
            ["--statement-timeout", "1m"],
            ["--request-timeout", "2m"],
        ];
        let mut running = hostile(&scratch, &url).args(limits.concat()).spawn();
        let address = running.address();
        // The function exists from the second time on.
        send_request(&address, "/table").await;
        let before = running.most_resident_bytes();
        for path in ["/giant", "/giant-error"] {
            let answer = send_request(&address, path).await.text();
            assert!(answer.contains("TooLarge(1"), "{url} {path}: {answer}");
            // The connection is still usable.
            assert_eq!(send_request(&address, "/count").await.text(), "0");
        }
        let grown = running.most_resident_bytes() - before;
        assert!(grown < 16 << 20, "{url}: {grown} bytes more");
    }
}

/// No session sleeps any more, long before the statement would have ended by itself.
#[tokio::test]
async fn statement_is_cancelled_on_every_transport() {
    let scratch = Scratch::new();
    let (cluster, _) = certified(&scratch, Certificate::Authority, "localhost").await;
    let client = connect(&cluster.url()).await;
    let sleeping = async || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        let found: i64 = client
            .query_one(count, &[])
            .await
            .expect("an answer")
            .get(0);
        found > 0
    };
    for url in transports(&cluster).await {
        let mut running = hostile(&scratch, &url)
            .args(["--request-timeout", "1500ms", "--workers", "1"])
            .spawn();
        let address = running.address();
        // The function exists from the second time on.
        send_request(&address, "/table").await;
        for path in ["/slow-alone", "/slow-statement"] {
            assert_eq!(
                send_request(&address, path).await.status,
                504,
                "{url} {path}"
            );
            let began = Instant::now();
            while sleeping().await {
                assert!(
                    began.elapsed() < Duration::from_secs(5),
                    "{url} {path} runs on"
                );
            }
        }
    }
}

/// A number that no earlier request had.
fn rand() -> u16 {
    use std::hash::BuildHasher as _;
    let random = std::hash::RandomState::new().hash_one(0);
    u16::try_from(random & 0xffff).unwrap_or_default()
}
