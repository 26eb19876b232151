//! Transactions abandoned by the thousand, in every way at once: nothing of them is left.

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
use usher_tests::process::{PATIENCE, Running, Usher};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

/// How many of each way, unless `USHER_TEST_ABANDONED` says otherwise. A thousand take a minute or two, most of them spent by guests that
/// run in circles.
const OF_EACH: usize = 1000;

fn of_each() -> usize {
    let given = std::env::var("USHER_TEST_ABANDONED");
    given.map_or(OF_EACH, |count| count.parse().expect("a number"))
}

/// Clients at the same time.
const CLIENTS: usize = 24;

/// What ends a request that does not end by itself.
const DEADLINE: &str = "100ms";

/// How much the server's memory may grow between a tenth of the way and its end. Of a thousand in each way, a kibibyte lost with each
/// would be more.
const FLAT: u64 = 8 << 20;

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// Reads its answer.
    Stays,
    /// Leaves without waiting for anything.
    LeavesAtOnce,
    /// Leaves when it has read the first word of its answer.
    LeavesMidway,
}

/// The ways to abandon a transaction: what the component does, and what its client does.
const WAYS: [(&str, Client); 14] = [
    ("/rollback", Client::Stays),
    ("/drop", Client::Stays),
    ("/drop", Client::LeavesAtOnce),
    ("/answer-first", Client::Stays),
    // An instance that keeps a transaction is retired, and takes it along.
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

/// Those that take the most memory.
const WORST: [(&str, Client); 2] = [("/memory", Client::Stays), ("/stack", Client::Stays)];

/// Ended, in a way that counts: by its answer's status, or without one.
async fn abandon(address: &str, (path, client): (&str, Client)) -> Result<(), String> {
    let wrong = |error: io::Error| format!("{path}: {error}");
    let stream = TcpStream::connect(address).await.map_err(wrong)?;
    let request = Request::get(path);
    match client {
        Client::Stays => match http::exchange(stream, &request, address).await {
            // Where many are at work, each of them may find no connection or no time.
            Ok(answer) if matches!(answer.status, 200 | 500 | 503 | 504) => Ok(()),
            Ok(answer) => Err(format!("{path}: {} {}", answer.status, answer.text())),
            // An answer that had begun breaks off. On a busy machine the deadline may pass between the
            // head and the end of any.
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

/// Abandons transactions number `from` to `to`, way after way, many at the same time.
async fn abandon_all(
    address: &Arc<str>,
    ways: &'static [(&'static str, Client)],
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
                let abandoned = abandon(&address, ways[number % ways.len()]);
                tokio::time::timeout(PATIENCE, abandoned)
                    .await
                    .expect("every request ends")
                    .unwrap_or_else(|wrong| panic!("{wrong}"));
            }
        });
    }
    clients.join_all().await;
}

/// Commits one transaction. On a busy machine that may take longer than a request has, so it is tried until it is acknowledged.
async fn commit(address: &str) {
    let committed = async {
        loop {
            let stream = TcpStream::connect(address).await.expect("a connection");
            let answer = http::exchange(stream, &Request::get("/commit"), address).await;
            let answer = answer.expect("an answer");
            match answer.status {
                200 => return,
                503 | 504 => {}
                other => panic!("{other} {}", answer.text()),
            }
        }
    };
    tokio::time::timeout(PATIENCE, committed)
        .await
        .expect("a transaction goes through");
}

/// How many rows there are.
async fn rows(database: &Database) -> i64 {
    let count = "SELECT count(*) FROM notes";
    let row = database.connect().await.query_one(count, &[]).await;
    row.expect("a count").get(0)
}

/// Sessions of the database that are in a transaction, sessions at work, and locks, of all but the one who asks.
const LEFT: &str = "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'), \
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()), \
    (SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database \
     WHERE datname = current_database() AND pid <> pg_backend_pid())";

/// Waits until nothing is left of any transaction.
async fn nothing_is_left(database: &Database) {
    let client = database.connect().await;
    let began = Instant::now();
    loop {
        let row = client.query_one(LEFT, &[]).await.expect("an answer");
        let left: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
        if left == [0; 3] {
            return;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{} sessions in a transaction, {} at work, {} locks are left",
            left[0],
            left[1],
            left[2]
        );
        tokio::task::yield_now().await;
    }
}

/// A table for the component to write to, and the component.
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

/// The server, with a deadline that ends what does not end by itself, and a connection for every client.
async fn server(scratch: &Scratch, database: &Database) -> Running {
    prepare(scratch, database).await;
    let options = ["--instance-memory", "16MiB", "--request-timeout", DEADLINE];
    let options = [&options[..], &ROOMY, &["--admin-listen", "127.0.0.1:0"]].concat();
    start(scratch, database, &options)
}

/// A quarter of the connections are for transactions, and of these each core has its half.
const ROOMY: [&str; 4] = ["--workers", "2", "--pool-size", "96"];

/// The transactions that have begun and ended so far, by the server's own count.
async fn ended(operators: &str) -> usize {
    let stream = TcpStream::connect(operators).await.expect("a connection");
    let metrics = http::exchange(stream, &Request::get("/metrics"), operators).await;
    let metrics = metrics.expect("an answer").text();
    let counts = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("usher_database_transactions_total{"));
    let counts = counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
    counts.sum()
}

/// Sessions that run a statement that takes long, and those that are in a transaction and run none.
const AT_WORK: &str = "SELECT count(*) FILTER (WHERE wait_event = 'PgSleep'), count(*) FILTER (WHERE state = 'idle in transaction') \
    FROM pg_stat_activity WHERE datname = current_database()";

/// Waits until so many sessions run a statement that takes long, and so many are in a transaction and run none.
async fn are_at_work(database: &Database, running: i64, idle: i64) {
    let client = database.connect().await;
    let at_work = async {
        loop {
            let row = client.query_one(AT_WORK, &[]).await.expect("an answer");
            if [row.get::<_, i64>(0), row.get(1)] == [running, idle] {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, at_work)
        .await
        .expect("all of them are at work");
}

/// Asks for all of this, and waits for no answer.
async fn ask_all(address: &str, paths: impl Iterator<Item = &'static str>) -> Vec<TcpStream> {
    let mut asked = Vec::new();
    for path in paths {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = Request::get(path).encode(address);
        stream.write_all(&request).await.expect("it is read");
        asked.push(stream);
    }
    asked
}

/// Options that end nothing before the server is told to stop, and then let nothing go on.
const HURRIED: [&str; 8] = [
    "--drain-timeout",
    "100ms",
    "--request-timeout",
    "10m",
    "--statement-timeout",
    "10m",
    "--idle-transaction-timeout",
    "10m",
];

/// What is at work when the server is told to stop, and would be for ten minutes: a statement on its own, two in transactions, and
/// two transactions whose guest is busy with itself or with its client.
const ENDLESS: [&str; 5] = [
    "/slow-alone",
    "/slow-statement",
    "/begun-slow-statement",
    "/begun-loop",
    "/flood",
];

/// A server that is told to stop and has no time for what it is at ends it: nothing of it runs on without a server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_beyond_its_timeout_leaves_no_transaction() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    prepare(&scratch, &database).await;
    let mut running = start(&scratch, &database, &[&HURRIED[..], &ROOMY].concat());
    let address = running.address();
    let _asked = ask_all(&address, ENDLESS.into_iter()).await;
    are_at_work(&database, 3, 2).await;
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
    nothing_is_left(&database).await;
    assert_eq!(rows(&database).await, 0);
}

/// With figures: `cargo test -p usher-tests --test suite abandoned:: -- --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_abandoned_transactions_leave_nothing() {
    let of_each = of_each();
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let mut running = server(&scratch, &database).await;
    let operators = running.operators();
    let address: Arc<str> = running.address().into();

    let all = of_each * WAYS.len();
    // Of what an instance touched, its place keeps up to 1 MiB for the next one. Once every place had the worst that there is, what
    // grows is lost.
    abandon_all(&address, &WORST, 0, CLIENTS * 20).await;
    nothing_is_left(&database).await;
    let (began, before) = (Instant::now(), ended(&operators).await);
    let (mut asked, mut held) = (0, 0);
    let mut memory = Vec::new();
    for tenth in 1..=10 {
        // A client that leaves at once may do so before its transaction begins; of the others, on a busy machine, some come too late
        // to begin one. They make way for others.
        let wanted = of_each * (WAYS.len() - 1) * tenth / 10;
        while asked < all * tenth / 10 || held < wanted {
            let more = (all / 10).max(WAYS.len());
            abandon_all(&address, &WAYS, asked, asked + more).await;
            asked += more;
            nothing_is_left(&database).await;
            held = ended(&operators).await - before;
        }
        memory.push(running.resident_bytes());
    }
    let took = began.elapsed();

    assert_eq!(rows(&database).await, 0, "nothing lasted");
    // The pool is whole: as many transactions as it has room for, and more, all go through.
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
    figures::tell(
        "abandoned transactions",
        &format!(
            "{held} begun by {asked} requests in {} ways, at least {of_each} each, in {took:.1?}; 0 sessions in a transaction, \
             0 locks, 0 rows; KiB of resident memory after each tenth: {}",
            WAYS.len(),
            figures.join(" ")
        ),
    );
    assert!(
        memory[9] < memory[0] + FLAT,
        "the server's memory grew from {} to {} bytes",
        memory[0],
        memory[9]
    );
    database.remove().await;
}

/// As many again as in each way of the test before, by servers that are told to stop with all their connections taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_dropped_by_stopping_servers_leave_nothing() {
    // For 24 transactions; a connection is handed to the core that has the fewest.
    const HELD: usize = 20;
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    prepare(&scratch, &database).await;
    let began = Instant::now();
    let rounds = of_each().div_ceil(HELD);
    for _ in 0..rounds {
        let mut running = start(&scratch, &database, &[&HURRIED[..], &ROOMY].concat());
        let address = running.address();
        let paths = ["/begun-slow-statement", "/flood"].into_iter().cycle();
        let _asked = ask_all(&address, paths.take(HELD)).await;
        let half = i64::try_from(HELD / 2).expect("a small number");
        are_at_work(&database, half, half).await;
        running.terminate();
        assert_eq!(running.wait().code(), Some(0));
        nothing_is_left(&database).await;
    }
    assert_eq!(rows(&database).await, 0);
    figures::tell(
        "transactions dropped by a drain",
        &format!(
            "{} in {rounds} servers, in {:.1?}; 0 sessions in a transaction, 0 locks, 0 rows",
            rounds * HELD,
            began.elapsed()
        ),
    );
    database.remove().await;
}

/// A server that is told to stop ends the transactions it has, in their time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_after_sigterm_leaves_no_transaction() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let mut running = server(&scratch, &database).await;
    let address: Arc<str> = running.address().into();
    let mut asked = JoinSet::new();
    for way in WAYS {
        let address = Arc::clone(&address);
        // Those that come too late find nobody.
        asked.spawn(async move { abandon(&address, way).await.is_ok() });
    }
    asked.join_next().await;
    running.terminate();
    asked.join_all().await;
    assert_eq!(running.wait().code(), Some(0));
    nothing_is_left(&database).await;
    assert_eq!(rows(&database).await, 0);
}
