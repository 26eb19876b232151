//! Thousands of transactions abandoned in every way at once leave nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use usher_tests::figures;
use usher_tests::http::{self, Request};
use usher_tests::janitor::Scratch;
use usher_tests::postgres::{self, Database};
use usher_tests::process::{Running, Usher, WAIT_LIMIT};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

/// How many transactions of each case, unless `USHER_TEST_ABANDONED` says otherwise. A thousand
/// take a minute or two, most of it for guests in endless loops.
const PER_CASE: usize = 200;

fn per_case() -> usize {
    let given = std::env::var("USHER_TEST_ABANDONED");
    given.map_or(PER_CASE, |count| count.parse().expect("a number"))
}

/// How many clients at once.
const CLIENTS: usize = 24;

/// The deadline of requests that do not end by themselves.
const DEADLINE: &str = "100ms";

/// How much the server's memory may grow in the second half, when what grows once has grown. With
/// 200 of each case, a leak of 4 KiB each would exceed it.
const GROWTH_LIMIT: u64 = 5 << 20;

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// Reads the response.
    Stays,
    /// Disconnects at once.
    LeavesAtOnce,
    /// Disconnects after the first word of the response.
    LeavesMidway,
}

/// The cases: what the component does, and what its client does.
const CASES: [(&str, Client); 14] = [
    ("/rollback", Client::Stays),
    ("/drop", Client::Stays),
    ("/drop", Client::LeavesAtOnce),
    ("/answer-first", Client::Stays),
    // An instance that keeps a transaction is retired, and the transaction with it.
    ("/keep", Client::Stays),
    ("/trap", Client::Stays),
    ("/begun-trap", Client::Stays),
    ("/loop", Client::Stays),
    ("/memory", Client::Stays),
    ("/stack", Client::Stays),
    ("/no-answer", Client::Stays),
    ("/slow-statement", Client::Stays),
    ("/begun-slow-statement", Client::LeavesMidway),
    ("/begun-loop", Client::LeavesMidway),
];

/// The cases that use the most memory.
const WORST: [(&str, Client); 2] = [("/memory", Client::Stays), ("/stack", Client::Stays)];

/// Returns whether the request counts: it ended with the expected status, or without a response.
async fn abandon(address: &str, (path, client): (&str, Client)) -> Result<(), String> {
    let wrong = |error: io::Error| format!("{path}: {error}");
    let stream = TcpStream::connect(address).await.map_err(wrong)?;
    let request = Request::get(path);
    match client {
        Client::Stays => match http::send(stream, &request, address).await {
            // Under load a request may get no connection or exceed its deadline.
            Ok(answer) if matches!(answer.status, 200 | 500 | 503 | 504) => Ok(()),
            Ok(answer) => Err(format!("{path}: {} {}", answer.status, answer.text())),
            // A response that has begun is truncated. On a busy machine the deadline may pass
            // between any head and its body.
            Err(_) if path.starts_with("/begun") => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(wrong(error)),
        },
        Client::LeavesAtOnce | Client::LeavesMidway => {
            let mut stream = stream;
            stream
                .write_all(&request.encode(address))
                .await
                .map_err(wrong)?;
            let mut read = Vec::new();
            while client == Client::LeavesMidway && !read.windows(5).any(|some| some == b"begun") {
                if stream.read_buf(&mut read).await.map_err(wrong)? == 0 {
                    break;
                }
            }
            Ok(())
        }
    }
}

/// Abandons transactions number `from` to `to`, case after case, many at the same time.
async fn abandon_all(
    address: &Arc<str>,
    cases: &'static [(&'static str, Client)],
    from: usize,
    to: usize,
) {
    let next = Arc::new(AtomicUsize::new(from));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (address, next) = (Arc::clone(address), Arc::clone(&next));
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= to {
                    return;
                }
                let abandoned = abandon(&address, cases[number % cases.len()]);
                tokio::time::timeout(WAIT_LIMIT, abandoned)
                    .await
                    .expect("every request ends")
                    .unwrap_or_else(|wrong| panic!("{wrong}"));
            }
        });
    }
    clients.join_all().await;
}

/// Commits one transaction, and tries until it is acknowledged, because on a busy machine that may
/// exceed the deadline.
async fn commit(address: &str) {
    let committed = async {
        loop {
            let stream = TcpStream::connect(address).await.expect("a connection");
            let answer = http::send(stream, &Request::get("/commit"), address).await;
            let answer = answer.expect("an answer");
            match answer.status {
                200 => return,
                503 | 504 => {}
                other => panic!("{other} {}", answer.text()),
            }
        }
    };
    tokio::time::timeout(WAIT_LIMIT, committed)
        .await
        .expect("a transaction goes through");
}

/// The number of rows.
async fn rows(database: &Database) -> i64 {
    let count = "SELECT count(*) FROM notes";
    let row = database.connect().await.query_one(count, &[]).await;
    row.expect("a count").get(0)
}

/// The numbers of other sessions in a transaction, of other active sessions, and of their locks.
const REMAINING: &str = "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = \
    current_database() AND state LIKE 'idle in%'), \
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = \
    'active' AND pid <> pg_backend_pid()), \
    (SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database \
     WHERE datname = current_database() AND pid <> pg_backend_pid())";

/// Waits until no transaction has left anything.
async fn nothing_is_left(database: &Database) {
    let client = database.connect().await;
    let began = Instant::now();
    loop {
        let row = client.query_one(REMAINING, &[]).await.expect("an answer");
        let left: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
        if left == [0; 3] {
            return;
        }
        assert!(
            began.elapsed() < WAIT_LIMIT,
            "{} sessions in a transaction, {} active, {} locks are left",
            left[0],
            left[1],
            left[2]
        );
        tokio::task::yield_now().await;
    }
}

/// Creates the table, and writes the component to a file.
async fn prepare(scratch: &Scratch, database: &Database) {
    let client = database.connect().await;
    let table = client.batch_execute("CREATE TABLE notes (body text)").await;
    table.expect("a table");
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
}

fn start(scratch: &Scratch, database: &Database, options: &[&str]) -> Running {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", database.url()])
        .args(["--component", "hostile.wasm", "--no-migrate"])
        .args(options.iter().copied())
        .spawn()
}

/// Starts the server, with a short deadline and a connection for every client.
async fn server(scratch: &Scratch, database: &Database) -> Running {
    prepare(scratch, database).await;
    let options = ["--instance-memory", "16MiB", "--request-timeout", DEADLINE];
    let options = [&options[..], &ROOMY, &["--admin-listen", "127.0.0.1:0"]].concat();
    start(scratch, database, &options)
}

/// A quarter of the connections are for transactions, half of these for each core.
const ROOMY: [&str; 4] = ["--workers", "2", "--pool-size", "96"];

/// The number of transactions that have begun and ended, from the server's metrics.
async fn ended(operators: &str) -> usize {
    let stream = TcpStream::connect(operators).await.expect("a connection");
    let metrics = http::send(stream, &Request::get("/metrics"), operators).await;
    let metrics = metrics.expect("an answer").text();
    let counts = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("usher_database_transactions_total{"));
    let counts = counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
    counts.sum()
}

/// The numbers of sessions that run a long statement, and of sessions that are idle in a
/// transaction.
const ACTIVE: &str = "SELECT count(*) FILTER (WHERE wait_event = 'PgSleep'), count(*) FILTER \
    (WHERE state = 'idle in transaction') \
    FROM pg_stat_activity WHERE datname = current_database()";

/// Waits for these numbers of sessions that run a long statement or are idle in a transaction.
async fn are_active(database: &Database, running: i64, idle: i64) {
    let client = database.connect().await;
    let active = async {
        loop {
            let row = client.query_one(ACTIVE, &[]).await.expect("an answer");
            if [row.get::<_, i64>(0), row.get(1)] == [running, idle] {
                return;
            }
        }
    };
    tokio::time::timeout(WAIT_LIMIT, active)
        .await
        .expect("all of them are active");
}

/// Sends these requests without waiting for responses.
async fn send_all(address: &str, paths: impl Iterator<Item = &'static str>) -> Vec<TcpStream> {
    let mut sent = Vec::new();
    for path in paths {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = Request::get(path).encode(address);
        stream.write_all(&request).await.expect("it is read");
        sent.push(stream);
    }
    sent
}

/// Options with which nothing ends before SIGTERM, and nothing continues after it.
const NO_DRAIN: [&str; 8] = [
    "--drain-timeout",
    "100ms",
    "--request-timeout",
    "10m",
    "--statement-timeout",
    "10m",
    "--idle-transaction-timeout",
    "10m",
];

/// Requests that would run for ten minutes when the server gets SIGTERM: a single statement, two in
/// transactions, and two transactions whose guest is busy computing or sending.
const ENDLESS: [&str; 5] = [
    "/slow-alone",
    "/slow-statement",
    "/begun-slow-statement",
    "/begun-loop",
    "/flood",
];

/// A server without time to drain ends what is in flight: nothing runs on without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_beyond_its_timeout_leaves_no_transaction() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    prepare(&scratch, &database).await;
    let mut running = start(&scratch, &database, &[&NO_DRAIN[..], &ROOMY].concat());
    let address = running.address();
    let _streams = send_all(&address, ENDLESS.into_iter()).await;
    are_active(&database, 3, 2).await;
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
    nothing_is_left(&database).await;
    assert_eq!(rows(&database).await, 0);
}

/// Prints figures: `cargo test -p usher-tests --test suite abandoned:: -- --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_abandoned_transactions_leave_nothing() {
    let per_case = per_case();
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let mut running = server(&scratch, &database).await;
    let operators = running.operators();
    let address: Arc<str> = running.address().into();

    let all = per_case * CASES.len();
    // A slot of the instance pool keeps up to 1 MiB of what its last instance touched. Once every
    // slot has had the worst case, any growth is a leak.
    abandon_all(&address, &WORST, 0, CLIENTS * 20).await;
    nothing_is_left(&database).await;
    let (began, before) = (Instant::now(), ended(&operators).await);
    let (mut sent, mut held) = (0, 0);
    let mut memory = Vec::new();
    for tenth in 1..=10 {
        // A client that disconnects at once may do so before its transaction begins, and on a busy
        // machine others may be too late to begin one. More requests make up for those.
        let needed = per_case * (CASES.len() - 1) * tenth / 10;
        while sent < all * tenth / 10 || held < needed {
            let more = (all / 10).max(CASES.len());
            abandon_all(&address, &CASES, sent, sent + more).await;
            sent += more;
            nothing_is_left(&database).await;
            held = ended(&operators).await - before;
        }
        memory.push(running.resident_bytes());
    }
    let took = began.elapsed();

    assert_eq!(rows(&database).await, 0, "nothing lasted");
    // The pool is complete: as many transactions as it has connections, and more, all succeed.
    let mut commits = JoinSet::new();
    for _ in 0..32 {
        let address = Arc::clone(&address);
        commits.spawn(async move { commit(&address).await });
    }
    commits.join_all().await;
    assert!(rows(&database).await >= 32, "what was acknowledged lasts");
    nothing_is_left(&database).await;
    let figures: Vec<String> = memory
        .iter()
        .map(|bytes| (bytes >> 10).to_string())
        .collect();
    figures::print(
        "abandoned transactions",
        &format!(
            "{held} begun by {sent} requests in {} cases, at least {per_case} each, in {took:.1?}; \
                0 sessions in a transaction, \
             0 locks, 0 rows; KiB of resident memory after each tenth: {}",
            CASES.len(),
            figures.join(" ")
        ),
    );
    assert!(
        memory[9] < memory[4] + GROWTH_LIMIT,
        "the server's memory grew from {} to {} bytes",
        memory[4],
        memory[9]
    );
    database.remove().await;
}

/// As many again as of each case in the test before, by servers that get SIGTERM while all their
/// connections are in use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_dropped_by_stopping_servers_leave_nothing() {
    // For 24 transactions; a new connection goes to the core that has the fewest.
    const HELD: usize = 20;
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    prepare(&scratch, &database).await;
    let began = Instant::now();
    let rounds = per_case().div_ceil(HELD);
    for _ in 0..rounds {
        let mut running = start(&scratch, &database, &[&NO_DRAIN[..], &ROOMY].concat());
        let address = running.address();
        let paths = ["/begun-slow-statement", "/flood"].into_iter().cycle();
        let _streams = send_all(&address, paths.take(HELD)).await;
        let half = i64::try_from(HELD / 2).expect("a small number");
        are_active(&database, half, half).await;
        running.terminate();
        assert_eq!(running.wait().code(), Some(0));
        nothing_is_left(&database).await;
    }
    assert_eq!(rows(&database).await, 0);
    figures::print(
        "transactions dropped by a drain",
        &format!(
            "{} in {rounds} servers, in {:.1?}; 0 sessions in a transaction, 0 locks, 0 rows",
            rounds * HELD,
            began.elapsed()
        ),
    );
    database.remove().await;
}

/// A server that gets SIGTERM completes the transactions in flight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_after_sigterm_leaves_no_transaction() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let mut running = server(&scratch, &database).await;
    let address: Arc<str> = running.address().into();
    let mut requests = JoinSet::new();
    for way in CASES {
        let address = Arc::clone(&address);
        // Later clients get no connection.
        requests.spawn(async move { abandon(&address, way).await.is_ok() });
    }
    requests.join_next().await;
    running.terminate();
    requests.join_all().await;
    assert_eq!(running.wait().code(), Some(0));
    nothing_is_left(&database).await;
    assert_eq!(rows(&database).await, 0);
}
