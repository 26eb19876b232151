//! Good and bad requests of every kind at once, for long: nothing that a client or a component can
//! do leaves memory, descriptors or a broken server behind.
//!
//! `USHER_TEST_MIXED=1000000` sends as many requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ::http::Request as Http2Request;
use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use usher_tests::figures;
use usher_tests::http::{self, Reader, Request};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, WAIT_LIMIT};

use crate::raw_table;
use crate::startup::program;

const GREEDY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/greedy.wasm"));

/// Clients at once.
const CLIENTS: usize = 16;

/// How much more memory each program may have than after the first tenth of the requests. Which
/// pages an allocator keeps varies by some MiB.
const MEMORY: u64 = 32 << 20;

/// How many more descriptors.
const DESCRIPTORS: usize = 20;

/// The programs under load: the service, and a component with routes that misbehave.
struct Programs {
    service: Running,
    greedy: Running,
    addresses: Addresses,
    _scratch: Scratch,
}

#[derive(Clone, Debug)]
struct Addresses {
    service: String,
    greedy: String,
}

/// What the kernel knows of a program.
#[derive(Clone, Copy, Debug)]
struct Kept {
    memory: u64,
    descriptors: usize,
}

impl Kept {
    fn of(running: &Running) -> Self {
        Self {
            memory: running.resident_bytes(),
            descriptors: running.descriptors(),
        }
    }

    fn is_within(self, before: Self) -> bool {
        self.memory <= before.memory + MEMORY
            && self.descriptors <= before.descriptors + DESCRIPTORS
    }

    fn show(self) -> String {
        format!(
            "{} MiB, {} descriptors",
            self.memory >> 20,
            self.descriptors
        )
    }
}

impl Programs {
    fn start() -> Self {
        let scratch = Scratch::new();
        std::fs::write(scratch.file("greedy.wasm"), GREEDY).expect("a file");
        let usher = || {
            program()
                .current_dir(scratch.path())
                .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
                // A client resets connections that it has just opened, so that some count longer.
                .args(["--request-timeout", "20s"])
        };
        let mut service = usher().spawn();
        let mut greedy = usher()
            .args(["--component", "greedy.wasm", "--no-migrate"])
            .spawn();
        let addresses = Addresses {
            service: service.address(),
            greedy: greedy.address(),
        };
        Self {
            service,
            greedy,
            addresses,
            _scratch: scratch,
        }
    }

    fn kept(&self) -> [Kept; 2] {
        [&self.service, &self.greedy].map(Kept::of)
    }
}

async fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    stream
}

/// The status of a request on a connection of its own.
async fn status(address: &str, request: &Request) -> u16 {
    let answer = http::send(connect(address).await, request, address).await;
    answer.expect("an answer").status
}

/// A user from its creation to its deletion, on one connection.
async fn life_of_a_user(address: &str, number: usize) -> usize {
    let mut stream = connect(address).await;
    let mut send = async |request: Request| {
        let request = request.header("connection", "keep-alive");
        let bytes = request.encode(address);
        stream.write_all(&bytes).await.expect("a connection");
        let answer = Reader::new(&mut stream).response(&request.method).await;
        answer.expect("an answer")
    };
    let user = serde_json::json!({"name": "Ann", "email": format!("mixed{number}@example.org")});
    let created = send(Request::post("/users/", &user)).await;
    assert_eq!(created.status, 200, "{}", created.text());
    let path = format!("/users/{}", created.json()["id"]);
    assert_eq!(send(Request::get(&path)).await.status, 200);
    let change = Request::new("PATCH", &path)
        .header("content-type", "application/json")
        .body(r#"{"name":"Bob"}"#);
    assert_eq!(send(change).await.json()["name"], "Bob");
    assert_eq!(send(Request::get("/users/?limit=10")).await.status, 200);
    assert_eq!(send(Request::new("DELETE", &path)).await.status, 204);
    assert_eq!(send(Request::get(&path)).await.status, 404);
    6
}

/// Requests of the table of `raw_table`, which are followed by another one and half-closed. What
/// each is answered depends on the users that exist; here it only has to be answered, or closed.
async fn raw(address: &str, number: usize) -> usize {
    let (_, text) = raw_table::line(number);
    let outcome = raw_table::outcome(address, &raw_table::bytes(text)).await;
    assert!(
        !matches!(&*outcome, "open" | "junk"),
        "{outcome}: {text:.200}"
    );
    2
}

/// Clients that leave: after half a head, half a body or a whole request, with a reset or without.
async fn leaves(address: &str, number: usize) -> usize {
    const WHOLE: &[u8] = b"POST /users/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
        Content-Length: 20\r\n\r\n{\"name\":\"never whole";
    let mut stream = connect(address).await;
    let end = [0, 1, 30, 80, 95, WHOLE.len() - 1][number % 6];
    for byte in WHOLE[..end].chunks(1 + number % 40) {
        stream.write_all(byte).await.expect("a connection");
        tokio::task::yield_now().await;
    }
    if number.is_multiple_of(2) {
        stream.set_zero_linger().expect("an option");
    }
    1
}

/// A complete request whose client resets the connection in place of reading.
async fn resets(address: &str) -> usize {
    let mut stream = connect(address).await;
    let request = Request::get("/users/?limit=100").encode(address);
    stream.write_all(&request).await.expect("a connection");
    stream.set_zero_linger().expect("an option");
    1
}

/// A body that is larger than allowed, with its length or in chunks.
async fn oversized(address: &str, number: usize) -> usize {
    let mut request = Request::new("POST", "/users/").header("content-type", "application/json");
    if number.is_multiple_of(2) {
        request = request.header("transfer-encoding", "chunked");
    }
    let request = request.body(vec![b' '; (1 << 20) + 1]);
    assert_eq!(status(address, &request).await, 413);
    1
}

/// A body whose bytes arrive one by one.
async fn slow_bytes(address: &str) -> usize {
    let request = Request::new("POST", "/users/")
        .header("content-type", "application/json")
        .body(r#"{"name":7}"#)
        .encode(address);
    let mut stream = connect(address).await;
    let (head, body) = request.split_at(request.len() - 10);
    stream.write_all(head).await.expect("a connection");
    for byte in body.chunks(1) {
        stream.write_all(byte).await.expect("a connection");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let answer = Reader::new(stream).response("POST").await;
    assert_eq!(answer.expect("an answer").status, 422);
    1
}

fn http2_request(path: &str) -> Http2Request<()> {
    let request = Http2Request::get(format!("http://localhost{path}"));
    request.body(()).expect("a request")
}

async fn ready(client: &SendRequest<Bytes>) -> SendRequest<Bytes> {
    client.clone().ready().await.expect("a connection")
}

/// Streams of one connection of HTTP/2, every second of which is reset; and a connection that is
/// dropped under way.
async fn streams(address: &str, number: usize) -> usize {
    const STREAMS: usize = 10;
    let stream = connect(address).await;
    let (client, connection) = h2::client::handshake(stream).await.expect("settings");
    let connection = tokio::spawn(connection);
    for nth in 0..STREAMS {
        let mut sent = ready(&client).await;
        let (response, mut stream) = sent
            .send_request(http2_request("/users/2000000000"), nth % 4 != 1)
            .expect("a stream");
        if nth.is_multiple_of(2) {
            assert_eq!(response.await.expect("a response").status(), 404);
        } else {
            stream.send_reset(h2::Reason::CANCEL);
        }
    }
    if number.is_multiple_of(3) {
        connection.abort();
    } else {
        drop(client);
        // It has no stream any more, and ends.
        drop(connection.await);
    }
    STREAMS
}

/// A request that misbehaves, and one after it that is served.
async fn misbehaves(address: &str, number: usize) -> usize {
    let (path, expected) = [
        ("/panic", 500),
        ("/trap", 500),
        ("/stack", 500),
        ("/fault", 500),
        ("/status/500", 500),
        ("/buffered/header/50000000", 500),
        ("/buffered/head/200/5/00", 500),
        ("/spin-for/5", 200),
        ("/fields/300/6000", 200),
        ("/buffered/body/100000", 200),
    ][number % 10];
    let answered = status(address, &Request::get(path)).await;
    // A guest that is busy for long beside others may come to its deadline first.
    let is_late = expected == 500 && answered == 504;
    assert!(answered == expected || is_late, "{answered} for {path}");
    if number % 10 == 9 {
        // A response that does not end, and a client that leaves it.
        let mut stream = connect(address).await;
        let request = Request::get("/unfinished").encode(address);
        stream.write_all(&request).await.expect("a connection");
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    assert_eq!(status(address, &Request::get("/ok")).await, 200);
    2
}

/// Sends requests of a kind that the number chooses, and returns how many.
async fn send(addresses: &Addresses, number: usize) -> usize {
    let service = addresses.service.as_str();
    match number % 16 {
        0..=4 => life_of_a_user(service, number).await,
        5..=7 => raw(service, number / 16 * 3 + number % 16 - 5).await,
        8 => leaves(service, number / 16).await,
        9 => resets(service).await,
        10 if number.is_multiple_of(5) => oversized(service, number / 16).await,
        11 if number.is_multiple_of(5) => slow_bytes(service).await,
        10..=12 => streams(service, number / 16).await,
        13 => misbehaves(&addresses.greedy, number / 16).await,
        _ => {
            assert_eq!(status(service, &Request::get("/nothing")).await, 404);
            assert_eq!(status(service, &Request::new("PUT", "/users/")).await, 405);
            2
        }
    }
}

/// Sends requests until there were so many. Returns when the last response has come.
async fn load(
    addresses: &Addresses,
    next: &Arc<AtomicUsize>,
    sent: &Arc<AtomicUsize>,
    until: usize,
) {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let addresses = addresses.clone();
        let (next, sent) = (Arc::clone(next), Arc::clone(sent));
        clients.spawn(async move {
            while sent.load(Relaxed) < until {
                let requests = send(&addresses, next.fetch_add(1, Relaxed)).await;
                sent.fetch_add(requests, Relaxed);
            }
        });
    }
    clients.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn good_and_bad_requests_at_once_leave_nothing_behind() {
    let requests = std::env::var("USHER_TEST_MIXED").ok();
    let requests = requests.map_or(6000, |requests| requests.parse().expect("a number"));
    let programs = tokio::task::block_in_place(Programs::start);
    // Raw requests are about the first users, and all others about their own.
    for number in 0..20 {
        let user = serde_json::json!({"name": "Ann", "email": format!("{number}@example.org")});
        let created = status(
            &programs.addresses.service,
            &Request::post("/users/", &user),
        )
        .await;
        assert_eq!(created, 200);
    }
    let (next, sent) = (Arc::default(), Arc::default());
    let began = Instant::now();
    load(&programs.addresses, &next, &sent, requests / 10).await;
    let before = programs.kept();
    for tenth in 2..=10 {
        load(&programs.addresses, &next, &sent, requests / 10 * tenth).await;
        let shown = programs.kept().map(Kept::show);
        figures::print(
            &format!("{} mixed requests", sent.load(Relaxed)),
            &format!(
                "{:.0?}; the service {}, the other {}",
                began.elapsed(),
                shown[0],
                shown[1]
            ),
        );
    }
    let settled = async {
        while !programs
            .kept()
            .iter()
            .zip(before)
            .all(|(now, then)| now.is_within(then))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let settled = tokio::time::timeout(WAIT_LIMIT, settled).await;
    assert!(
        settled.is_ok(),
        "{before:?} before, {:?} after",
        programs.kept()
    );
    // Both end in order.
    for running in [programs.service, programs.greedy] {
        running.terminate();
        let ended = tokio::task::block_in_place(|| running.wait());
        assert_eq!(ended.code(), Some(0), "{:?}", ended.stderr);
    }
}
