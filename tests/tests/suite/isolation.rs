//! One request that misbehaves beside ordinary load, in each way that a component can: it fails
//! alone, every other request is served, its memory returns, and one log line says which request
//! it was and why it ended.
//!
//! `USHER_TEST_ISOLATION=SECONDS` measures the latency of the others for as long: first alone, then
//! while another server has the offence, which shows what the machine has to do with it, and then
//! beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use usher_tests::figures;
use usher_tests::http::{self, Request};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, WAIT_LIMIT};

use crate::databases::Kind;
use crate::startup::{program, send_request};

const GREEDY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/greedy.wasm"));

/// Clients of the ordinary load, each with one request after another.
const CLIENTS: usize = 8;

/// The pause of such a client, so that the load alone leaves the core idle half of the time.
const PAUSE: Duration = Duration::from_millis(10);

/// Clients that send the offending request again and again.
const OFFENDERS: usize = 2;

/// The id of the first offending request.
const ID: &str = "isolation-0-0";

/// How much more memory the program may have once the offenders are gone.
const MEMORY: u64 = 32 << 20;

/// Log lines of one second: ten for each of three kinds.
const LINES: u64 = 30;

/// How an offending request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// A response with this status.
    Status(u16),
    /// A response that is cut before its end.
    Cut,
}

/// Sends ordinary requests until the load ends, each of which must be served. Returns how long each
/// took.
async fn client(address: String, has_ended: Arc<AtomicBool>) -> Vec<Duration> {
    let request = Request::get("/select").header("connection", "keep-alive");
    let request = request.encode(&address);
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    let mut times = Vec::new();
    while !has_ended.load(Relaxed) {
        let began = Instant::now();
        stream.write_all(&request).await.expect("a connection");
        let answer = http::Reader::new(&mut stream).response("GET").await;
        let answer = answer.expect("an answer");
        times.push(began.elapsed());
        assert_eq!((answer.status, &*answer.text()), (200, "1"));
        tokio::time::sleep(PAUSE).await;
    }
    times
}

/// The ordinary load while `meanwhile` runs: the latency that 99 of 100 requests did not exceed,
/// and their number.
async fn load(address: &str, meanwhile: impl Future<Output = ()>) -> (Duration, usize) {
    let (mut clients, has_ended) = (JoinSet::new(), Arc::<AtomicBool>::default());
    for _ in 0..CLIENTS {
        clients.spawn(client(address.to_owned(), Arc::clone(&has_ended)));
    }
    meanwhile.await;
    has_ended.store(true, Relaxed);
    let mut times = clients.join_all().await.concat();
    times.sort_unstable();
    let percentile = times.get(times.len() * 99 / 100).copied();
    (percentile.expect("many requests"), times.len())
}

/// Sends the offending request until `until`, at least once. Each must end as expected.
async fn offender(
    number: usize,
    address: String,
    request: Request,
    expected: &'static [Outcome],
    until: Instant,
) -> usize {
    let mut sent = 0;
    while sent == 0 || Instant::now() < until {
        let id = format!("isolation-{number}-{sent}");
        let request = request.clone().header("x-request-id", &id);
        let stream = TcpStream::connect(&address).await.expect("a connection");
        let outcome = match http::send(stream, &request, &address).await {
            Ok(answer) => Outcome::Status(answer.status),
            Err(_) => Outcome::Cut,
        };
        assert!(
            expected.contains(&outcome),
            "{outcome:?} of {}",
            request.path
        );
        sent += 1;
    }
    sent
}

/// Sends offending requests to one address for some time. Returns how many.
async fn offend(
    address: &str,
    request: &Request,
    expected: &'static [Outcome],
    time: Duration,
) -> usize {
    let (mut offenders, until) = (JoinSet::new(), Instant::now() + time);
    for number in 0..OFFENDERS {
        let (address, request) = (address.to_owned(), request.clone());
        offenders.spawn(offender(number, address, request, expected, until));
    }
    offenders.join_all().await.iter().sum()
}

/// A server of the greedy component with one core.
fn start(scratch: &Scratch, url: &str) -> (Running, String) {
    // On a busy machine, the others' deadline has to be long.
    let mut running = program()
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", url])
        .args(["--component", "greedy.wasm", "--no-migrate"])
        .args(["--workers", "1", "--request-timeout", "5s"])
        .spawn();
    let address = tokio::task::block_in_place(|| running.address());
    (running, address)
}

/// Sends an offending request beside ordinary load. The log line about it, if there is one, has one
/// of these reasons.
async fn isolated(name: &str, request: Request, expected: &'static [Outcome], reasons: &[&str]) {
    let measured = std::env::var("USHER_TEST_ISOLATION").ok();
    let measured = measured.map(|seconds| seconds.parse().expect("seconds"));
    let time = Duration::from_secs(measured.unwrap_or(1));
    let (scratch, fresh) = (Scratch::new(), Kind::Postgres.fresh().await);
    std::fs::write(scratch.file("greedy.wasm"), GREEDY).expect("a file");
    let (running, address) = start(&scratch, &fresh.url);
    let (alone, _) = load(&address, tokio::time::sleep(time)).await;
    let elsewhere = if measured.is_some() {
        let (_other, address_of_other) = start(&scratch, &fresh.url);
        let offence = offend(&address_of_other, &request, expected, time);
        let (p99, _) = load(&address, async { _ = offence.await }).await;
        format!(", {p99:.1?} with the offence at another server")
    } else {
        String::new()
    };
    let (before, began) = (running.resident_bytes(), Instant::now());
    let mut offences = 0;
    let offence = async { offences = offend(&address, &request, expected, time).await };
    let (beside, served) = load(&address, offence).await;
    let took = began.elapsed();
    let returned = async {
        // The allocator returns memory in the course of other requests.
        while running.resident_bytes() > before + MEMORY {
            load(&address, tokio::time::sleep(Duration::from_millis(10))).await;
        }
    };
    let returned = tokio::time::timeout(WAIT_LIMIT, returned).await;
    let after = running.resident_bytes();
    assert!(
        returned.is_ok(),
        "{} MiB before, {} after",
        before >> 20,
        after >> 20
    );
    let most = running.most_resident_bytes();
    let ended = tokio::task::block_in_place(|| {
        running.terminate();
        running.wait()
    });
    assert_eq!(ended.code(), Some(0), "{:?}", ended.stderr);
    let about = |line: &&String| line.contains(ID) && reasons.iter().any(|why| line.contains(why));
    let about = ended.stderr.iter().filter(about).count();
    let (is_logged, log) = (about > 0, &ended.stderr);
    assert_eq!(is_logged, !reasons.is_empty(), "{reasons:?} in {log:#?}");
    let lines = ended.stderr.len() as u64;
    assert!(
        lines < LINES * (took.as_secs() + 3),
        "{lines} lines in {took:?}"
    );
    fresh.end().await;
    figures::print(
        name,
        &format!(
            "{offences} offences, {served} others served; p99 {alone:.1?} alone{elsewhere}, \
             {beside:.1?} beside ({:.1} times); {} MiB before, {} most, {} after; \
             {lines} log lines",
            beside.as_secs_f64() / alone.as_secs_f64(),
            before >> 20,
            most >> 20,
            after >> 20,
        ),
    );
}

const FAILED: &[Outcome] = &[Outcome::Status(500)];
const LATE: &[Outcome] = &[Outcome::Status(504)];

#[tokio::test(flavor = "multi_thread")]
async fn guest_that_panics_fails_alone() {
    let request = Request::get("/panic");
    isolated("a panic", request, FAILED, &["the component failed"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guest_that_traps_fails_alone() {
    let request = Request::get("/trap");
    isolated("a trap", request, FAILED, &["unreachable"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guest_in_an_endless_loop_fails_alone() {
    let request = Request::get("/spin");
    isolated("an endless loop", request, LATE, &["deadline passed"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guest_that_allocates_without_end_fails_alone() {
    let request = Request::get("/memory");
    isolated("endless allocation", request, FAILED, &["growing memory"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guest_in_a_deep_recursion_fails_alone() {
    let request = Request::get("/stack");
    isolated("a deep recursion", request, FAILED, &["stack"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guest_that_does_not_finish_its_response_is_cut_alone() {
    let request = Request::get("/unfinished");
    isolated(
        "a response that does not end",
        request,
        &[Outcome::Cut],
        &["deadline passed"],
    )
    .await;
}

/// The host has read the body before it calls the component.
#[tokio::test(flavor = "multi_thread")]
async fn guest_that_does_not_read_a_body_is_served() {
    let request = Request::new("POST", "/unread").body(vec![b'b'; 1 << 20]);
    isolated(
        "a body that is not read",
        request,
        &[Outcome::Status(200)],
        &[],
    )
    .await;
}

/// Beside others that want the core, it may not reach the limit before its deadline.
#[tokio::test(flavor = "multi_thread")]
async fn guest_that_makes_header_fields_without_end_fails_alone() {
    let request = Request::get("/fields/900/120000");
    isolated(
        "a flood of header fields",
        request,
        &[Outcome::Status(500), Outcome::Status(504)],
        &["--request-memory", "deadline passed"],
    )
    .await;
}

/// Its last call ends at the same deadline, and it may hear of that in time to answer.
#[tokio::test(flavor = "multi_thread")]
async fn guest_that_calls_the_database_without_end_fails_alone() {
    let request = Request::get("/calls");
    isolated(
        "a flood of database calls",
        request,
        &[Outcome::Status(500), Outcome::Status(504)],
        &["deadline passed", "at its deadline"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guest_that_fails_for_each_log_line_writes_few() {
    let request = Request::get("/fault");
    isolated(
        "a flood of log lines",
        request,
        FAILED,
        &["last at the database"],
    )
    .await;
}

/// The memory of the one before is still being unmapped, and both have the only permit.
#[tokio::test(flavor = "multi_thread")]
async fn request_after_one_that_filled_its_memory_has_an_instance() {
    let scratch = Scratch::new();
    std::fs::write(scratch.file("greedy.wasm"), GREEDY).expect("a file");
    let mut running = program()
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
        .args(["--component", "greedy.wasm", "--no-migrate"])
        .args(["--workers", "1", "--max-requests", "1"])
        .spawn();
    let address = tokio::task::block_in_place(|| running.address());
    for _ in 0..10 {
        for (path, status) in [("/memory", 500), ("/memory", 500), ("/select", 200)] {
            let answer = send_request(&address, Request::get(path)).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
        }
    }
    let ended = tokio::task::block_in_place(|| {
        running.terminate();
        running.wait()
    });
    let log = ended.stderr.join("\n");
    assert!(
        log.contains("growing memory") && !log.contains("pool"),
        "{log}"
    );
}
