//! A hostile component beside ordinary load, on the whole program: the load is served, probes are
//! right, and the server stops on SIGTERM.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use usher_tests::figures;
use usher_tests::http::{self, Request};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, Usher, WAIT_LIMIT};

use crate::databases::{Fresh, Kind};

const SQL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sql.wasm"));

/// Clients of the ordinary load, each with one request after another.
const CLIENTS: usize = 8;

/// How long load is measured.
const MEASURED: Duration = Duration::from_secs(2);

/// Statements that use all the time they get, inside one function or one step.
const SLOW_ON_SQLITE: &[&str] = &[
    "SELECT instr(replace(hex(zeroblob(4000000)),'0','a'), \
        replace(hex(zeroblob(2000000)),'0','a')||'b')",
    "SELECT replace(hex(zeroblob(4000000)), replace(hex(zeroblob(1000000)),'0','0')||'1', '')",
    "SELECT hex(zeroblob(40000)) LIKE '%0%0%0%0%0%0%0%0%0%0%0%0%1'",
    "SELECT hex(zeroblob(40000)) GLOB '*0*0*0*0*0*0*0*0*0*0*0*0*1'",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
];

/// The same on PostgreSQL, and statements that need more memory than a result may have.
const SLOW_ON_POSTGRES: &[&str] = &[
    "SELECT pg_sleep(30)",
    "SELECT count(*) FROM generate_series(1, 1000000000)",
    "SELECT FROM generate_series(1, 20000000)",
    "SELECT repeat('a', 100000000)",
    "SELECT repeat('a', 100000) ~ '(a*)*b'",
];

/// The program with a component that runs the statements it receives, and its addresses for clients
/// and operators.
struct Served {
    running: Running,
    clients: String,
    operators: String,
    fresh: Fresh,
    _scratch: Scratch,
}

impl Served {
    async fn new(kind: Kind) -> Self {
        let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
        std::fs::write(scratch.path().join("sql.wasm"), SQL).expect("a file");
        let mut running = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
            .current_dir(scratch.path())
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--component", "sql.wasm", "--no-migrate"])
            .args(["--database", &fresh.url])
            // On a machine that is busy with other work, neither a wait for a connection nor one of
            // seconds for the simplest statement is a fault.
            .args(["--statement-timeout", "8s", "--pool-wait", "1m"])
            .args(["--drain-timeout", "1s"])
            .spawn();
        let operators = running.operators();
        let clients = running.address();
        Self {
            running,
            clients,
            operators,
            fresh,
            _scratch: scratch,
        }
    }

    /// The status of a path for operators.
    async fn status(&self, path: &str) -> u16 {
        let stream = TcpStream::connect(&self.operators)
            .await
            .expect("a connection");
        let answer = http::send(stream, &Request::get(path), &self.operators).await;
        answer.expect("an answer").status
    }
}

fn post(address: &str, step: &Value) -> Vec<u8> {
    Request::post("/", step)
        .header("connection", "keep-alive")
        .encode(address)
}

/// One client of the ordinary load: the latency of each response. Each must be the right one.
async fn client(address: String, until: Instant) -> Vec<Duration> {
    let step = json!({"do": "query", "sql": "SELECT 1 + 1 AS two"});
    let request = post(&address, &step);
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    let mut times = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        stream.write_all(&request).await.expect("a connection");
        let answer = http::Reader::new(&mut stream).response("POST").await;
        let answer = answer.expect("an answer");
        times.push(began.elapsed());
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["rows"], json!([[2]]), "{}", answer.text());
    }
    times
}

/// The latency that 99 of 100 responses did not exceed, and their number.
async fn load(address: &str) -> (Duration, usize) {
    let until = Instant::now() + MEASURED;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(address.to_owned(), until));
    }
    let mut times = clients.join_all().await.concat();
    times.sort_unstable();
    (times[times.len() * 99 / 100], times.len())
}

/// Sends one statement again and again, and ignores the result.
async fn attack(address: String, statement: &'static str) {
    let request = post(&address, &json!({"do": "query", "sql": statement}));
    loop {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        if stream.write_all(&request).await.is_ok() {
            // An error, or a response at the deadline: both are right.
            let _ = http::Reader::new(&mut stream).response("POST").await;
        }
    }
}

async fn load_beside_attacks_is_served(kind: Kind, attacks: &[&'static str]) {
    const ATTACKERS: usize = 2;
    let served = Served::new(kind).await;
    load(&served.clients).await;
    let (alone, requests) = load(&served.clients).await;
    let mut worst: f64 = 0.0;
    for &statement in attacks {
        let mut attackers = JoinSet::new();
        for _ in 0..ATTACKERS {
            attackers.spawn(attack(served.clients.clone(), statement));
        }
        let (beside, served_beside) = load(&served.clients).await;
        assert_eq!(served.status("/live").await, 200, "{statement}");
        assert_eq!(served.status("/ready").await, 200, "{statement}");
        let ratio = beside.as_secs_f64() / alone.as_secs_f64();
        worst = worst.max(ratio);
        figures::print(
            &format!("a load on {kind:?} beside {statement:.60}"),
            &format!(
                "p99 {alone:?} alone, {beside:?} beside ({ratio:.1} times); {requests} and \
                    {served_beside} requests"
            ),
        );
        attackers.shutdown().await;
    }
    // It stops on SIGTERM even during attacks.
    let mut attackers = JoinSet::new();
    for _ in 0..ATTACKERS {
        attackers.spawn(attack(served.clients.clone(), attacks[0]));
    }
    load(&served.clients).await;
    attackers.abort_all();
    let began = Instant::now();
    served.running.terminate();
    let ended = served.running.wait();
    assert_eq!(ended.code(), Some(0), "{:?}", ended.stderr);
    assert!(began.elapsed() < WAIT_LIMIT / 2, "{:?}", began.elapsed());
    served.fresh.end().await;
    // Only a guard against hangs, because other tests share the machine.
    assert!(worst < 1000.0, "p99 of others is {worst} times as long");
}

#[tokio::test(flavor = "multi_thread")]
async fn load_beside_slow_statements_on_sqlite_is_served() {
    load_beside_attacks_is_served(Kind::File, SLOW_ON_SQLITE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_beside_slow_statements_on_postgresql_is_served() {
    load_beside_attacks_is_served(Kind::Postgres, SLOW_ON_POSTGRES).await;
}
