//! HTTP/2: by curl, by the library `h2`, and frame by frame.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ::http::{Method, Request, Response};
use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use usher_tests::figures;
use usher_tests::http;
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, WAIT_LIMIT};

use crate::startup::{send_request, usher};
use crate::tls::{curl, folder, port, secure};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

fn start(scratch: &Scratch, options: &[&str]) -> Running {
    usher(scratch)
        .args(["--database", "memory:", "--workers", "1"])
        .args(options.iter().copied())
        .spawn()
}

/// A client whose connection is driven by a task of its own.
async fn connect(address: &str) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (client, connection) = h2::client::handshake(stream).await.expect("settings");
    tokio::spawn(connection);
    client
}

fn request(method: &str, path: &str) -> ::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
}

/// Sends a request and reads its response.
async fn send(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    body: Option<Bytes>,
) -> Result<Response<Vec<u8>>, h2::Error> {
    let mut client = client.clone().ready().await?;
    let (response, mut stream) = client.send_request(request, body.is_none())?;
    if let Some(body) = body {
        // The server may refuse it before it is sent.
        let _ = stream.send_data(body, true);
    }
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(Response::from_parts(head, bytes))
}

async fn get(client: &SendRequest<Bytes>, path: &str) -> Response<Vec<u8>> {
    let request = request("GET", path).body(()).expect("a request");
    send(client, request, None).await.expect("a response")
}

fn text(response: &Response<Vec<u8>>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

const ANN: &str = r#"{"name":"Ann","email":"ann@example.org"}"#;

#[tokio::test]
async fn curl_speaks_http_2_with_and_without_tls_on_the_port_of_http_1() {
    let scratch = folder();
    let mut running = secure(&scratch).spawn();
    let port = port(&mut running);
    let url = format!("https://localhost:{port}/users");
    let written = "%{http_version} %{http_code} %{redirect_url}";
    let arguments = [
        "--cacert",
        "authority.crt",
        "--http2",
        "-o",
        "body",
        "-w",
        written,
        &url,
    ];
    let answer = curl(scratch.path(), &arguments);
    assert_eq!(answer, format!("2 307 https://localhost:{port}/users/"));
    let old = [
        "--cacert",
        "authority.crt",
        "--http1.1",
        "-o",
        "body",
        "-w",
        written,
        &url,
    ];
    assert!(curl(scratch.path(), &old).starts_with("1.1 307 "));

    let mut plain = start(&scratch, &[]);
    let address = plain.address();
    let url = format!("http://{address}/users/");
    let prior = [
        "--http2-prior-knowledge",
        "-w",
        " %{http_version} %{http_code}",
    ];
    let json = ["-H", "content-type: application/json", "-d", ANN, &url];
    let created = curl(scratch.path(), &[&prior[..], &json].concat());
    assert_eq!(
        created,
        r#"{"id":1,"name":"Ann","email":"ann@example.org"} 2 200"#
    );
    let head = curl(
        scratch.path(),
        &[&prior[..], &["-I", &format!("{url}1")]].concat(),
    );
    assert!(
        head.contains("content-length: 47") && head.ends_with(" 2 200"),
        "{head}"
    );
    let listed = curl(scratch.path(), &["-w", " %{http_version}", &url]);
    assert_eq!(
        listed,
        r#"[{"id":1,"name":"Ann","email":"ann@example.org"}] 1.1"#
    );
}

/// Each error of the host, and what HTTP/2 has in another form than HTTP/1.
#[tokio::test]
async fn limits_and_errors_of_http_1_hold_on_streams() {
    let scratch = Scratch::new();
    let options = [
        "--max-body",
        "1KiB",
        "--max-head",
        "8KiB",
        "--body-timeout",
        "300ms",
    ];
    let admin = ["--admin-listen", "127.0.0.1:0", "--access-log", "all"];
    let mut running = start(&scratch, &[&options[..], &admin].concat());
    let operators = running.operators();
    let address = running.address();
    let client = connect(&address).await;
    let post = || request("POST", "/users/").header("content-type", "application/json");
    let large = Some(Bytes::from(vec![b' '; 2000]));
    let answer = send(&client, post().body(()).expect("a request"), large).await;
    assert_eq!(answer.expect("a response").status(), 413);

    let long = "y".repeat(9000);
    let answer = request("GET", "/users/1").header("x-long", &long).body(());
    let answer = send(&client, answer.expect("a request"), None)
        .await
        .expect("a response");
    assert_eq!(answer.status(), 431);
    assert_eq!(
        text(&answer),
        r#"{"detail":"Request Header Fields Too Large"}"#
    );
    let mut many = request("GET", "/users/1");
    for number in 0..101 {
        many = many.header(format!("x-{number}"), "y");
    }
    let answer = send(&client, many.body(()).expect("a request"), None).await;
    assert_eq!(answer.expect("a response").status(), 431);

    // A body that does not arrive.
    let mut ready = client.clone().ready().await.expect("a connection");
    let (response, unfinished) = ready
        .send_request(post().body(()).expect("a request"), false)
        .expect("a stream");
    assert_eq!(response.await.expect("a response").status(), 408);
    drop(unfinished);

    let other = request("GET", "/users/1")
        .header("host", "elsewhere")
        .body(());
    let answer = send(&client, other.expect("a request"), None)
        .await
        .expect("a response");
    assert_eq!(answer.status(), 400);
    assert!(text(&answer).contains("Host"), "{}", text(&answer));

    let created = send(
        &client,
        post().body(()).expect("a request"),
        Some(Bytes::from_static(ANN.as_bytes())),
    );
    let created = created.await.expect("a response");
    assert_eq!(created.status(), 200);
    assert!(created.headers().contains_key("x-request-id"));
    assert!(created.headers().contains_key("date"));
    let head = request("HEAD", "/users/1").body(()).expect("a request");
    let head = send(&client, head, None).await.expect("a response");
    assert_eq!((head.status().as_u16(), head.body().len()), (200, 0));
    assert_eq!(head.headers()["content-length"], "47");
    let etag = get(&client, "/users/1").await.headers()["etag"].clone();
    let same = request("GET", "/users/1")
        .header("if-none-match", etag)
        .body(());
    let same = send(&client, same.expect("a request"), None)
        .await
        .expect("a response");
    assert_eq!((same.status().as_u16(), same.body().len()), (304, 0));
    let connect = Request::builder()
        .method(Method::CONNECT)
        .uri("localhost:1")
        .body(())
        .expect("a request");
    let refused = send(&client, connect, None).await.expect("a response");
    assert!(
        matches!(refused.status().as_u16(), 404 | 405),
        "{refused:?}"
    );

    // All of this is in the metrics and in the access log, as with HTTP/1.
    let metrics = send_request(&operators, http::Request::get("/metrics"))
        .await
        .text();
    for line in [
        r#"usher_requests_total{method="POST",route="/users/",status="413"} 1"#,
        r#"usher_requests_total{method="GET",route="/users/{user_id}",status="431"} 2"#,
        r#"usher_requests_total{method="POST",route="/users/",status="408"} 1"#,
        r#"usher_requests_total{method="GET",route="/users/{user_id}",status="304"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    running.line("status=304");
}

/// Other streams of the connection would wait with it.
#[tokio::test]
async fn stream_whose_body_finds_no_memory_is_503_at_once() {
    let scratch = Scratch::new();
    let options = ["--host-memory", "64KiB", "--body-timeout", "10m"];
    let mut running = start(&scratch, &options);
    let client = connect(&running.address()).await;
    let post = || {
        let post = request("POST", "/users/").header("content-type", "application/json");
        post.body(()).expect("a request")
    };
    let large = Some(Bytes::from(vec![b'b'; 256 << 10]));
    let refused = send(&client, post(), large).await.expect("a response");
    assert_eq!(
        (
            refused.status().as_u16(),
            refused.headers()["retry-after"].as_bytes()
        ),
        (503, &b"1"[..])
    );
    let created = send(&client, post(), Some(Bytes::from_static(ANN.as_bytes()))).await;
    assert_eq!(created.expect("a response").status(), 200);
    running.line("--host-memory");
}

#[tokio::test]
async fn streams_of_one_connection_are_served_at_once_and_large_responses_are_complete() {
    let scratch = Scratch::new();
    let mut running = start(&scratch, &[]);
    let address = running.address();
    let client = connect(&address).await;
    for number in 0..200 {
        let user = format!(r#"{{"name":"Ann","email":"ann{number}@example.org"}}"#);
        let post = request("POST", "/users/").header("content-type", "application/json");
        let created = send(
            &client,
            post.body(()).expect("a request"),
            Some(user.into()),
        );
        assert_eq!(created.await.expect("a response").status(), 200);
    }
    let mut requests = JoinSet::new();
    for _ in 0..90 {
        let client = client.clone();
        requests.spawn(async move { get(&client, "/users/?limit=100").await });
    }
    let first = get(&client, "/users/?limit=100").await;
    assert!(first.body().len() > 4000, "{}", text(&first));
    while let Some(response) = requests.join_next().await {
        let response = response.expect("it ends");
        assert_eq!(response.body(), first.body());
    }
    let streamed = get(&client, "/users.ndjson").await;
    assert_eq!(
        streamed.body().split(|&byte| byte == b'\n').count() - 1,
        200
    );
}

/// Sends requests until the server accepts none, each new connection after a GOAWAY.
async fn load(address: String, answered: Arc<AtomicUsize>, lost: Arc<AtomicUsize>) {
    while let Ok(stream) = TcpStream::connect(&address).await {
        let Ok((client, connection)) = h2::client::handshake(stream).await else {
            return;
        };
        tokio::spawn(connection);
        loop {
            // Without a connection nothing is sent.
            let Ok(_) = client.clone().ready().await else {
                break;
            };
            let get = request("GET", "/users/1").body(()).expect("a request");
            match send(&client, get, None).await {
                Ok(response) if response.status() == 404 => answered.fetch_add(1, Relaxed),
                // The server has not touched it, and says so (RFC 9113, 6.8 and 8.7).
                Err(error) if error.is_go_away() || is_refused(&error) => break,
                failed => {
                    eprintln!("lost: {failed:?}");
                    lost.fetch_add(1, Relaxed)
                }
            };
        }
    }
}

fn is_refused(error: &h2::Error) -> bool {
    error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_of_http_2_under_load_loses_no_request() {
    let (answered, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for delay in ["0s", "200ms"] {
        let scratch = Scratch::new();
        let mut running = start(&scratch, &["--drain-delay", delay]);
        let address = running.address();
        let mut clients = JoinSet::new();
        for _ in 0..32 {
            clients.spawn(load(
                address.clone(),
                Arc::clone(&answered),
                Arc::clone(&lost),
            ));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        running.terminate();
        while clients.join_next().await.is_some() {}
        assert_eq!(running.wait().code(), Some(0));
    }
    let (answered, lost) = (answered.load(Relaxed), lost.load(Relaxed));
    let shown = format!("{answered} requests answered, {lost} lost");
    figures::print("SIGTERM under load of HTTP/2", &shown);
    assert!(answered > 100 && lost == 0, "{shown}");
}

#[tokio::test]
async fn connection_of_http_2_ends_in_good_order_after_its_last_request() {
    let scratch = Scratch::new();
    let mut running = start(&scratch, &["--max-connection-requests", "3"]);
    let address = running.address();
    let stream = TcpStream::connect(&address).await.expect("a connection");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let served = tokio::spawn(connection);
    for _ in 0..3 {
        assert_eq!(get(&client, "/users/1").await.status(), 404);
    }
    served
        .await
        .expect("no panic")
        .expect("it ends in good order");
    client.ready().await.expect_err("nothing can be sent");
}

#[tokio::test]
async fn idle_connection_of_http_2_is_closed_and_one_with_a_stream_is_not() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    let mut running = start(
        &scratch,
        &[
            "--head-timeout",
            "500ms",
            "--component",
            "hostile.wasm",
            "--no-migrate",
        ],
    );
    let address = running.address();
    // Nothing but the preface, and not even that.
    for first in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b""] {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream.write_all(first).await.expect("a preface");
        let began = Instant::now();
        let read = stream.read_to_end(&mut Vec::new()).await;
        assert!(began.elapsed() < Duration::from_secs(10), "{read:?}");
    }
    let table = send_request(&address, http::Request::get("/table")).await;
    assert_eq!(table.status, 200);
    let stream = TcpStream::connect(&address).await.expect("a connection");
    let (mut client, connection) = h2::client::handshake(stream).await.expect("settings");
    let connection = tokio::spawn(connection);
    let flood = request("GET", "/flood").body(()).expect("a request");
    let (response, _) = client.send_request(flood, true).expect("a stream");
    let response = response.await.expect("a response");
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(body.data().await.expect("some data").is_ok());
    drop(body);
    // The stream is reset, and the connection ends in an orderly way.
    let ended = tokio::time::timeout(Duration::from_secs(10), connection).await;
    assert!(ended.expect("it ends").expect("no panic").is_ok());
}

/// A client that opens no window for one stream loses that stream alone.
#[tokio::test]
async fn stream_that_its_client_does_not_read_is_reset_and_others_go_on() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    let mut running = start(
        &scratch,
        &[
            "--write-timeout",
            "1s",
            "--component",
            "hostile.wasm",
            "--no-migrate",
        ],
    );
    let address = running.address();
    let client = connect(&address).await;
    assert_eq!(get(&client, "/table").await.status(), 200);
    let flood = request("GET", "/flood").body(()).expect("a request");
    let mut ready = client.clone().ready().await.expect("a connection");
    let (response, _) = ready.send_request(flood, true).expect("a stream");
    let response = response.await.expect("a response");
    assert_eq!(response.status(), 200);
    let mut unread = response.into_body();
    let began = Instant::now();
    let error = loop {
        // What arrives is taken, but no room is given back.
        match unread.data().await.expect("no orderly end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(error.is_reset(), "{error:?}");
    assert!(began.elapsed() >= Duration::from_millis(900));
    drop(unread);
    assert_eq!(get(&client, "/nothing").await.status().as_u16() / 100, 4);
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame (RFC 9113, 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A connection that has sent its preface, frame by frame.
async fn connect_by_frames(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let first = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&first).await.expect("a preface");
    stream
}

/// The next frame: kind, flags, stream and payload.
async fn read_frame(stream: &mut TcpStream) -> io::Result<(u8, u8, u32, Vec<u8>)> {
    let head = stream.read_u32().await?;
    let (length, kind) = (head >> 8, head.to_be_bytes()[3]);
    let (flags, number) = (stream.read_u8().await?, stream.read_u32().await?);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await?;
    Ok((kind, flags, number, payload))
}

#[tokio::test]
async fn preface_that_arrives_in_two_parts_begins_a_connection_of_http_2() {
    let scratch = Scratch::new();
    let mut running = start(&scratch, &[]);
    let address = running.address();
    let settings = frame(SETTINGS, 0, 0, &[]);
    // In the first and in the second line.
    for at in [5, PREFACE.len() - 5] {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        let (begin, end) = PREFACE.split_at(at);
        stream.write_all(begin).await.expect("it is open");
        // Only time lets the server read each part alone.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let rest = [end, &settings].concat();
        stream.write_all(&rest).await.expect("it is open");
        let (kind, ..) = read_frame(&mut stream).await.expect("a frame");
        assert_eq!(kind, SETTINGS, "{at}");
    }
}

#[tokio::test]
async fn client_is_told_how_much_of_bodies_it_may_send_ahead() {
    const STREAM: u32 = 256 << 10;
    const CONNECTION: u32 = 1 << 20;
    /// RFC 9113, 6.9.2.
    const INITIAL: u32 = 65_535;
    const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
    let scratch = Scratch::new();
    let mut running = start(&scratch, &[]);
    let mut stream = connect_by_frames(&running.address()).await;
    let (mut of_stream, mut of_connection) = (INITIAL, INITIAL);
    while (of_stream, of_connection) != (STREAM, CONNECTION) {
        let (kind, _, number, payload) = read_frame(&mut stream).await.expect("a frame");
        match kind {
            SETTINGS => {
                let mut settings = payload.chunks_exact(6);
                if let Some(setting) = settings.find(|s| s[..2] == INITIAL_WINDOW_SIZE) {
                    of_stream = u32::from_be_bytes(setting[2..].try_into().expect("four bytes"));
                }
            }
            WINDOW_UPDATE if number == 0 => {
                let more: [u8; 4] = payload.try_into().expect("four bytes");
                of_connection += u32::from_be_bytes(more);
            }
            other => panic!("a frame of type {other}"),
        }
    }
}

#[tokio::test]
async fn client_that_does_not_reply_to_ping_is_disconnected_and_one_that_does_is_not() {
    // It takes 40 s.
    if std::env::var_os("USHER_TEST_PING").is_none() {
        return;
    }
    let scratch = Scratch::new();
    let mut running = start(&scratch, &["--body-timeout", "10m"]);
    let address = running.address();
    let mut client = connect(&address).await.ready().await.expect("a connection");
    let post = request("POST", "/users/").header("content-type", "application/json");
    let post = post.body(()).expect("a request");
    let (response, mut body) = client.send_request(post, false).expect("a stream");
    let mut silent = connect_by_frames(&address).await;
    let unfinished = frame(HEADERS, END_HEADERS, 1, GET);
    silent.write_all(&unfinished).await.expect("a request");
    let (began, mut pings) = (Instant::now(), 0);
    let closed = async {
        while let Ok((kind, flags, ..)) = read_frame(&mut silent).await {
            pings += u32::from(kind == PING && flags & ACK == 0);
        }
    };
    let closed = tokio::time::timeout(3 * WAIT_LIMIT, closed).await;
    closed.expect("it is disconnected");
    let took = began.elapsed();
    figures::print("no reply to PING", &format!("disconnected after {took:?}"));
    assert!(
        pings >= 1 && took >= Duration::from_secs(30),
        "{pings}, {took:?}"
    );
    let sent = body.send_data(Bytes::from_static(ANN.as_bytes()), true);
    sent.expect("a connection");
    assert_eq!(response.await.expect("a response").status(), 200);
}

/// `GET /users/1` of `http://localhost`, by the static table of HPACK and literals.
const GET: &[u8] = b"\x82\x86\x41\x09localhost\x04\x08/users/1";

/// Sends a preface and then these bytes again and again, until the server closes or two seconds
/// have passed. Returns how many bytes it took, and whether it closed.
async fn flood(address: &str, mut next: impl FnMut(u32) -> Vec<u8>) -> (usize, bool) {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut read, mut write) = stream.into_split();
    let reads = tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while matches!(read.read(&mut buffer).await, Ok(1..)) {}
    });
    let (mut sent, began) = (0, Instant::now());
    let mut first = PREFACE.to_vec();
    first.extend(frame(SETTINGS, 0, 0, &[]));
    let mut written: io::Result<()> = write.write_all(&first).await;
    let mut number = 0;
    while written.is_ok() && began.elapsed() < Duration::from_secs(2) && !reads.is_finished() {
        let mut bytes = Vec::new();
        for _ in 0..100 {
            bytes.extend(next(number));
            number += 1;
        }
        let limit = Duration::from_secs(2);
        written = match tokio::time::timeout(limit, write.write_all(&bytes)).await {
            Ok(written) => written,
            Err(_) => break,
        };
        sent += bytes.len();
    }
    (sent, written.is_err() || reads.is_finished())
}

/// The next bytes of an attack, by their number.
type Next = Box<dyn FnMut(u32) -> Vec<u8> + Send>;

/// The attacks that HTTP/2 made possible: each costs its client more than the server, or its
/// connection. Meanwhile others are served, and no memory stays behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_end_or_are_bounded_while_others_are_served() {
    const GROWTH: u64 = 48 << 20;
    let scratch = Scratch::new();
    let mut running = start(&scratch, &[]);
    let address = running.address();
    let get = send_request(&address, http::Request::get("/users/1")).await;
    assert_eq!(get.status, 404);
    let before = running.resident_bytes();
    let stream = |number: u32| 2 * number + 1;
    let floods: [(&str, bool, Next); 6] = [
        (
            "requests that are reset at once",
            true,
            Box::new(move |number| {
                let mut both = frame(HEADERS, END_STREAM | END_HEADERS, stream(number), GET);
                both.extend(frame(RST_STREAM, 0, stream(number), &8_u32.to_be_bytes()));
                both
            }),
        ),
        (
            "requests whose bodies never come",
            false,
            Box::new(move |number| frame(HEADERS, END_HEADERS, stream(number), GET)),
        ),
        (
            "CONTINUATION without end",
            true,
            Box::new(move |number| match number {
                0 => frame(HEADERS, END_STREAM, 1, GET),
                _ => frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y"),
            }),
        ),
        (
            "empty CONTINUATION without end",
            true,
            Box::new(move |number| match number {
                0 => frame(HEADERS, END_STREAM, 1, GET),
                _ => frame(CONTINUATION, 0, 1, b""),
            }),
        ),
        (
            "SETTINGS",
            false,
            Box::new(|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ),
        ("PING", false, Box::new(|_| frame(PING, 0, 0, &[0; 8]))),
    ];
    for (name, ends, next) in floods {
        let flooding = tokio::spawn({
            let address = address.clone();
            async move { flood(&address, next).await }
        });
        let mut slowest = Duration::ZERO;
        while !flooding.is_finished() {
            let began = Instant::now();
            let get = send_request(&address, http::Request::get("/users/1")).await;
            assert_eq!(get.status, 404, "beside {name}");
            slowest = slowest.max(began.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (sent, has_ended) = flooding.await.expect("it ends");
        figures::print(
            name,
            &format!("{sent} bytes sent, connection ended: {has_ended}, slowest other {slowest:?}"),
        );
        assert!(has_ended || !ends, "{name}: {sent} bytes were taken");
        assert!(slowest < Duration::from_secs(2), "{name}: {slowest:?}");
    }
    let growth = running.resident_bytes().saturating_sub(before);
    figures::print(
        "floods of HTTP/2",
        &format!("{} KiB more memory", growth >> 10),
    );
    assert!(growth < GROWTH, "{} MiB", growth >> 20);
}
