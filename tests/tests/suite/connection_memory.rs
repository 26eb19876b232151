//! The memory that one connection takes while its client is idle or slow.
//!
//! `USHER_TEST_CONNECTIONS=10000` opens as many of each kind, from several addresses of this
//! machine. Both processes need as many descriptors.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use usher_tests::figures;
use usher_tests::http::Request;
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, WAIT_LIMIT};

use crate::startup::{program, send_request};
use crate::tls::{folder, port, trusting};

/// Connections of one client address, fewer than `--max-client-connections`.
const PER_ADDRESS: usize = 900;

/// What connections take at most, each, in KiB: twice what few of them were seen to take, which
/// includes what the allocator sets aside.
const MOST: u64 = 60;

/// As `MOST`, of connections that wait for a request without TLS.
const MOST_IDLE: u64 = 20;

/// Longer than the server waits before it holds less of a connection.
const SETTLE: Duration = Duration::from_millis(1500);

/// The beginning of a request.
const HEAD: &[u8] = b"POST /users/ HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a slow client\r\n\
    Accept: */*\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n";

/// What a client does before it is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing.
    Silent,
    /// It has had a response.
    Idle,
    /// It has sent half of a head.
    SlowHead,
    /// It has sent one byte of a body.
    SlowBody,
    /// It has sent hundreds of bytes of a body, each in a segment of its own.
    DribbledBody,
    /// It has had a response over TLS.
    IdleTls,
    /// It has had a response over HTTP/2.
    IdleHttp2,
}

/// A connection that is kept open.
trait Stream: Send {}

impl<T: Send> Stream for T {}

/// How many connections each test opens.
fn count() -> usize {
    let count = std::env::var("USHER_TEST_CONNECTIONS").ok();
    count.map_or(200, |count| count.parse().expect("a number"))
}

/// A program whose clients have time.
fn patient(scratch: &Scratch, options: &[&str]) -> Running {
    program()
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
        .args(options.iter().copied())
        .args(["--head-timeout", "10m", "--body-timeout", "10m"])
        .args(["--max-connections", "20000"])
        .spawn()
}

async fn connect(number: usize, port: u16) -> TcpStream {
    let last = u8::try_from(2 + number / PER_ADDRESS).expect("fewer than 254 addresses");
    let socket = TcpSocket::new_v4().expect("a socket");
    let own = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    socket.bind(own).expect("an address of this machine");
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = socket.connect(server).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    stream
}

/// Opens one connection, and does what comes before it is idle.
async fn open(kind: Kind, number: usize, port: u16, tls: &Arc<ClientConfig>) -> Box<dyn Stream> {
    let mut stream = connect(number, port).await;
    let get = Request::get("/users/1").header("connection", "keep-alive");
    let get = get.encode("localhost");
    match kind {
        Kind::Silent => {}
        Kind::Idle => {
            stream.write_all(&get).await.expect("a connection");
            assert!(stream.read(&mut [0; 4096]).await.expect("a response") > 0);
        }
        Kind::SlowHead => stream.write_all(&HEAD[..60]).await.expect("a connection"),
        Kind::SlowBody => {
            stream.write_all(HEAD).await.expect("a connection");
            stream.write_all(b"{").await.expect("a connection");
        }
        Kind::DribbledBody => {
            stream.write_all(HEAD).await.expect("a connection");
            for _ in 0..300 {
                stream.write_all(b" ").await.expect("a connection");
                // Only time lets the server read each byte alone.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Kind::IdleTls => {
            let name = ServerName::try_from("localhost").expect("a name");
            let connector = TlsConnector::from(Arc::clone(tls));
            let stream = connector.connect(name, stream).await;
            let mut stream = stream.expect("a handshake");
            stream.write_all(&get).await.expect("a connection");
            assert!(stream.read(&mut [0; 4096]).await.expect("a response") > 0);
            return Box::new(stream);
        }
        Kind::IdleHttp2 => {
            let (client, connection) = h2::client::handshake(stream).await.expect("settings");
            tokio::spawn(connection);
            let get = http::Request::get("http://localhost/users/1").body(());
            let mut client = client.ready().await.expect("a connection");
            let response = client.send_request(get.expect("a request"), true);
            let response = response.expect("a stream").0.await;
            assert_eq!(response.expect("a response").status(), 404);
            return Box::new(client);
        }
    }
    Box::new(stream)
}

/// Opens connections of a kind, each of which may take so many KiB.
async fn measure(kind: Kind, most: u64) {
    let (count, is_tls) = (count(), kind == Kind::IdleTls);
    let scratch = if is_tls { folder() } else { Scratch::new() };
    let tls = if is_tls {
        trusting(&scratch.path().join("authority.crt"))
    } else {
        let nobody = rustls::RootCertStore::empty();
        let config = ClientConfig::builder().with_root_certificates(nobody);
        Arc::new(config.with_no_client_auth())
    };
    let (running, port) = tokio::task::block_in_place(|| {
        if is_tls {
            let tls = ["--tls-cert", "server.crt", "--tls-key", "server.key"];
            let mut running = patient(&scratch, &tls);
            let port = port(&mut running);
            (running, port)
        } else {
            let mut running = patient(&scratch, &[]);
            let address = running.address();
            let port = address.rsplit(':').next().unwrap_or_default().to_owned();
            (running, port)
        }
    });
    let port: u16 = port.parse().expect("a port");
    // What the first connections of each core set up is not theirs.
    let mut open_connections = Vec::new();
    for number in 0..20 {
        open_connections.push(open(kind, number, port, &tls).await);
    }
    let (before, sockets) = (running.resident_bytes(), running.sockets());
    let mut opening = tokio::task::JoinSet::new();
    for number in 0..count {
        while opening.len() >= 50 {
            let opened = opening.join_next().await.expect("one of them");
            open_connections.push(opened.expect("a connection"));
        }
        let tls = Arc::clone(&tls);
        opening.spawn(async move { open(kind, number, port, &tls).await });
    }
    open_connections.extend(opening.join_all().await);
    let accepted = async {
        while running.sockets() < sockets + count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let accepted = tokio::time::timeout(WAIT_LIMIT, accepted).await;
    accepted.expect("all are accepted");
    if matches!(kind, Kind::Idle | Kind::IdleTls | Kind::SlowHead) {
        // No client can see what the server holds of its connection.
        tokio::time::sleep(SETTLE).await;
    }
    let grown = || running.resident_bytes().saturating_sub(before);
    let each = || grown() / 1024 / count as u64;
    let settled = async {
        while each() > most {
            // The allocator gives memory back in the course of other requests.
            let address = format!("127.0.0.1:{port}");
            if is_tls {
                tokio::time::sleep(SETTLE).await;
            } else {
                let answer = send_request(&address, Request::get("/users/1")).await;
                assert_eq!(answer.status, 404);
            }
        }
    };
    let settled = tokio::time::timeout(WAIT_LIMIT, settled).await;
    let (each, all) = (each(), grown() >> 20);
    figures::print(
        &format!("{count} connections, {kind:?}"),
        &format!("{each} KiB each, {all} MiB together"),
    );
    assert!(settled.is_ok(), "{kind:?}: {each} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_take_little_memory() {
    for kind in [Kind::Silent, Kind::Idle] {
        measure(kind, MOST_IDLE).await;
    }
    for kind in [Kind::IdleTls, Kind::IdleHttp2] {
        measure(kind, MOST).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_connections_take_little_memory_however_they_send() {
    for kind in [Kind::SlowHead, Kind::SlowBody, Kind::DribbledBody] {
        measure(kind, MOST).await;
    }
}
