//! Connections that wait for a request, for so long that the server holds nothing of them but the
//! socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use usher_tests::http::{Reader, Request};
use usher_tests::janitor::Scratch;

use crate::startup::usher;
use crate::tls::{folder, port, secure, trusting};

/// Longer than a connection is served at once. No client can see when it is not any more.
const LONG: Duration = Duration::from_millis(1500);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn statuses(stream: &mut dyn Stream, count: usize) -> Vec<u16> {
    let (mut reader, mut statuses) = (Reader::new(stream), Vec::new());
    for _ in 0..count {
        let response = reader.response("GET").await.expect("a response");
        statuses.push(response.status);
    }
    statuses
}

/// Sends requests on three connections that have been idle: one at once, two of which the first
/// arrives in parts, and one whose body arrives later.
async fn send_in_each_way(streams: &mut [Box<dyn Stream>; 3]) {
    let get = Request::get("/users/1").header("connection", "keep-alive");
    let get = get.encode("localhost");
    let user = json!({"name": "Ann", "email": "not an address"});
    let post = Request::post("/users/", &user).header("connection", "keep-alive");
    let post = post.encode("localhost");
    let body = post.len() - user.to_string().len();
    for _ in 0..2 {
        tokio::time::sleep(LONG).await;
        let [at_once, in_parts, with_body] = streams;
        at_once.write_all(&get).await.expect("it is open");
        assert_eq!(statuses(at_once, 1).await, [404]);

        for part in [&get[..5], &get[5..40], &[&get[40..], &get].concat()] {
            in_parts.write_all(part).await.expect("it is open");
            in_parts.flush().await.expect("it is open");
            // Only time lets the server read each part alone.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(statuses(in_parts, 2).await, [404, 404]);

        with_body
            .write_all(&post[..body])
            .await
            .expect("it is open");
        with_body.flush().await.expect("it is open");
        tokio::time::sleep(LONG).await;
        with_body
            .write_all(&post[body..])
            .await
            .expect("it is open");
        assert_eq!(statuses(with_body, 1).await, [422]);
    }
}

#[tokio::test]
async fn idle_connection_serves_a_request_however_it_arrives_and_ends_with_the_drain() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch).args(["--database", "memory:"]).spawn();
    let address = running.address();
    let connect = || async {
        let stream = TcpStream::connect(&address).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        Box::new(stream) as Box<dyn Stream>
    };
    let mut streams = [connect().await, connect().await, connect().await];
    send_in_each_way(&mut streams).await;
    let mut silent = connect().await;
    tokio::time::sleep(LONG).await;
    running.terminate();
    running.line("draining");
    for stream in streams.iter_mut().chain([&mut silent]) {
        let read = stream.read(&mut [0; 1]).await;
        assert_eq!(read.expect("an orderly end"), 0);
    }
    assert_eq!(running.wait().code(), Some(0));
}

#[tokio::test]
async fn idle_connection_over_tls_serves_a_request_however_it_arrives() {
    let scratch = folder();
    let mut running = secure(&scratch).spawn();
    let port = port(&mut running);
    let connector = TlsConnector::from(trusting(&scratch.path().join("authority.crt")));
    let connector = Arc::new(connector);
    let connect = || async {
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await;
        let stream = stream.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = connector.connect(name, stream).await;
        Box::new(stream.expect("a handshake")) as Box<dyn Stream>
    };
    let mut streams = [connect().await, connect().await, connect().await];
    send_in_each_way(&mut streams).await;
    running.terminate();
    for stream in &mut streams {
        // With close_notify.
        let read = stream.read(&mut [0; 1]).await;
        assert_eq!(read.expect("an orderly end"), 0);
    }
    assert_eq!(running.wait().code(), Some(0));
}

#[tokio::test]
async fn idle_connection_is_closed_after_head_timeout_and_not_before() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch)
        .args(["--database", "memory:", "--head-timeout", "2s"])
        .spawn();
    let address = running.address();
    let mut served = TcpStream::connect(&address).await.expect("a connection");
    let get = Request::get("/users/1").header("connection", "keep-alive");
    let began = Instant::now();
    served
        .write_all(&get.encode(&address))
        .await
        .expect("it is open");
    assert_eq!(statuses(&mut served, 1).await, [404]);
    let mut part = TcpStream::connect(&address).await.expect("a connection");
    tokio::time::sleep(LONG).await;
    part.write_all(b"GET /").await.expect("it is open");
    for mut stream in [served, part] {
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest).await;
        assert!(
            read.is_ok() && began.elapsed() >= Duration::from_secs(2),
            "{read:?}"
        );
    }
}
