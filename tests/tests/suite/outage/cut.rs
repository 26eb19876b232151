//! Connections cut during a statement or a COMMIT, stalled, slow.

use std::time::{Duration, Instant};

use serde_json::json;
use usher_tests::figures;
use usher_tests::http::{Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::WAIT_LIMIT;
use usher_tests::proxy::{At, Conditions, Direction};

use super::bench::Bench;
use super::ledger::Outcome;

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

fn user(email: &str) -> Request {
    Request::post("/users/", &json!({"name": "x", "email": email}))
}

/// The number of users with this address, once the database is available.
async fn stored(bench: &Bench, email: &str) -> i64 {
    let count = "SELECT count(*) FROM users WHERE email = $1";
    let row = bench.superuser().await.query_one(count, &[&email]).await;
    row.expect("a count").get(0)
}

#[track_caller]
fn is_in_doubt(answer: &Response) {
    assert_eq!(
        Outcome::of(answer),
        Ok(Outcome::InDoubt),
        "{} {}",
        answer.status,
        answer.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_with_lost_connection_is_in_doubt() {
    let bench = Bench::new(&[]).await;
    let address = |email: &str| email.as_bytes().to_vec();
    let cases = [
        // It never reaches the server, but only the server could know that.
        (
            "a@example.org",
            Direction::Server,
            At::Before(address("a@example.org")),
            0,
        ),
        (
            "b@example.org",
            Direction::Server,
            At::After(address("b@example.org")),
            1,
        ),
        // The row that the server returns contains the address too.
        (
            "c@example.org",
            Direction::Client,
            At::Before(address("c@example.org")),
            1,
        ),
    ];
    for (email, direction, at, done) in cases {
        let was_cut = bench.proxy.cut_when(direction, at);
        is_in_doubt(&bench.send_request(&user(email)).await);
        was_cut.await;
        let settled = async { while stored(&bench, email).await != done {} };
        tokio::time::timeout(WAIT_LIMIT, settled)
            .await
            .unwrap_or_else(|_| panic!("{email} is not there {done} times"));
        // The client retries, as `Retry-After` says, and learns the outcome.
        let again = bench.send_request(&user(email)).await;
        assert_eq!(
            again.status,
            if done == 1 { 409 } else { 200 },
            "{}",
            again.text()
        );
        assert_eq!(stored(&bench, email).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_with_lost_connection_runs_again() {
    let bench = Bench::new(&[]).await;
    let created = bench.send_request(&user("a@example.org")).await;
    for direction in [Direction::Server, Direction::Client] {
        for bytes in [1, 100] {
            bench.proxy.cut();
            // The new connection is cut at its start-up, or during its statement.
            let _cut = bench.proxy.cut_when(direction, At::Bytes(bytes));
            let answer = bench.send_request(&Request::get("/users/1")).await;
            assert!(
                matches!(answer.status, 200 | 503),
                "{} {}",
                answer.status,
                answer.text()
            );
        }
        let was_cut = bench
            .proxy
            .cut_when(Direction::Client, At::Before(b"a@example.org".to_vec()));
        let read = async {
            loop {
                let answer = bench.send_request(&Request::get("/users/1")).await;
                if answer.status == 200 {
                    return answer;
                }
            }
        };
        let answer = tokio::time::timeout(WAIT_LIMIT, read)
            .await
            .expect("it recovers by itself");
        assert_eq!(answer.text(), created.text());
        was_cut.await;
    }
}

/// A server with the component `hostile`, and a table.
async fn hostile(scratch: &Scratch) -> Bench {
    let component = scratch.path().join("hostile.wasm");
    std::fs::write(&component, HOSTILE).expect("a file");
    let component = component.to_str().expect("a path");
    let bench = Bench::new(&["--no-migrate", "--component", component]).await;
    assert_eq!(
        bench.send_request(&Request::get("/table")).await.status,
        200
    );
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_with_lost_connection_is_in_doubt() {
    let scratch = Scratch::new();
    let bench = hostile(&scratch).await;
    let commit = || b"COMMIT\0".to_vec();
    let mut rows = 0;
    for (direction, at, done) in [
        (Direction::Server, At::Before(commit()), 0),
        (Direction::Server, At::After(commit()), 1),
        // The server's response begins with the completed command.
        (Direction::Client, At::Before(commit()), 1),
    ] {
        let was_cut = bench.proxy.cut_when(direction, at.clone());
        let answer = bench
            .send_request(&Request::get("/commit-and-report"))
            .await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (503, "Error::InDoubt"),
            "{at:?}"
        );
        was_cut.await;
        rows += done;
        let settled = async {
            while bench.send_request(&Request::get("/count")).await.text() != rows.to_string() {}
        };
        tokio::time::timeout(WAIT_LIMIT, settled)
            .await
            .unwrap_or_else(|_| panic!("not {rows} rows after {at:?}"));
        rows += 1;
        let next = bench
            .send_request(&Request::get("/commit-and-report"))
            .await;
        assert_eq!(next.status, 200, "the next transaction: {}", next.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_in_transaction_with_lost_connection_has_no_effect() {
    let scratch = Scratch::new();
    let bench = hostile(&scratch).await;
    // The parameter, so the statement itself is being sent.
    let parameter = || b"/commit-and-report".to_vec();
    for at in [At::Before(parameter()), At::After(parameter())] {
        let was_cut = bench.proxy.cut_when(Direction::Server, at.clone());
        let answer = bench
            .send_request(&Request::get("/commit-and-report"))
            .await;
        assert_eq!(answer.status, 503, "{at:?}");
        assert!(
            answer.text().contains("Unavailable"),
            "{at:?}: {}",
            answer.text()
        );
        was_cut.await;
        assert_eq!(
            bench.send_request(&Request::get("/count")).await.text(),
            "0",
            "{at:?}"
        );
    }
    assert_eq!(
        bench
            .send_request(&Request::get("/commit-and-report"))
            .await
            .status,
        200
    );
    assert_eq!(
        bench.send_request(&Request::get("/count")).await.text(),
        "1"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_at_any_byte_lose_no_acknowledged_write_and_repeat_none() {
    let bench = Bench::new(&[]).await;
    let load = bench.load();
    let mut cuts = 0;
    // From the first bytes of a connection's start-up to well into its statements.
    for bytes in (1..4000).step_by(173) {
        for direction in [Direction::Server, Direction::Client] {
            let was_cut = bench.proxy.cut_when(direction, At::Bytes(bytes));
            tokio::time::timeout(WAIT_LIMIT, was_cut)
                .await
                .expect("there is always a connection");
            cuts += 1;
        }
        let done = load.ledger().count(Outcome::Done);
        load.until("writes are done again", |ledger| {
            ledger.count(Outcome::Done) > done
        })
        .await;
    }
    let counted = bench.settle(load).await;
    figures::print(&format!("the outage {cuts} cuts"), &counted);
}

/// As if a network dropped every packet: no side learns that the connection is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_database_ends_the_request_at_its_deadline() {
    let bench = Bench::new(&["--request-timeout", "500ms"]).await;
    let strike = async |bench: &Bench| {
        bench.proxy.set(Conditions {
            stalled: true,
            ..Conditions::default()
        });
        let sent = Instant::now();
        let answer = bench.send_request(&Request::get("/users/1")).await;
        assert!(
            matches!(answer.status, 503 | 504),
            "{} {}",
            answer.status,
            answer.text()
        );
        assert!(
            sent.elapsed() < Duration::from_secs(5),
            "{:?}",
            sent.elapsed()
        );
    };
    let heal = async |bench: &Bench| bench.proxy.set(Conditions::default());
    bench.outage("silence", strike, heal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_with_high_latency_causes_no_error() {
    let bench = Bench::new(&[]).await;
    bench.proxy.set(Conditions {
        delay: Duration::from_millis(20),
        rate: Some(64 << 10),
        ..Conditions::default()
    });
    let load = bench.load();
    load.until("writes are done", |ledger| {
        ledger.count(Outcome::Done) >= 100
    })
    .await;
    assert_eq!(load.ledger().count_undone(), 0);
    let counted = bench.settle(load).await;
    figures::print("the outage far away", &counted);
}
