//! Connections cut in mid-statement and in mid-commit, stalled, slow.

use std::time::{Duration, Instant};

use serde_json::json;
use usher_tests::figures;
use usher_tests::http::{Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::PATIENCE;
use usher_tests::proxy::{At, Towards, Way};

use super::bench::Bench;
use super::ledger::Told;

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

fn user(email: &str) -> Request {
    Request::post("/users/", &json!({"name": "x", "email": email}))
}

/// The users with this address, once the database can be asked.
async fn stored(bench: &Bench, email: &str) -> i64 {
    let count = "SELECT count(*) FROM users WHERE email = $1";
    let row = bench.superuser().await.query_one(count, &[&email]).await;
    row.expect("a count").get(0)
}

#[track_caller]
fn is_in_doubt(answer: &Response) {
    assert_eq!(
        Told::of(answer),
        Ok(Told::InDoubt),
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
        // It never reaches the server, which nobody but the server can know.
        (
            "a@example.org",
            Towards::Server,
            At::Before(address("a@example.org")),
            0,
        ),
        (
            "b@example.org",
            Towards::Server,
            At::After(address("b@example.org")),
            1,
        ),
        // The row that the server answers with names the address too.
        (
            "c@example.org",
            Towards::Client,
            At::Before(address("c@example.org")),
            1,
        ),
    ];
    for (email, towards, at, done) in cases {
        let sprung = bench.proxy.cut_when(towards, at);
        is_in_doubt(&bench.ask(&user(email)).await);
        sprung.await;
        let settled = async { while stored(&bench, email).await != done {} };
        tokio::time::timeout(PATIENCE, settled)
            .await
            .unwrap_or_else(|_| panic!("{email} is not there {done} times"));
        // The client asks again, as it was told to, and learns how it was.
        let again = bench.ask(&user(email)).await;
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
    let created = bench.ask(&user("a@example.org")).await;
    for towards in [Towards::Server, Towards::Client] {
        for bytes in [1, 100] {
            bench.proxy.cut();
            // The new connection is cut in its beginning, or in the middle of what is asked on it.
            let _sprung = bench.proxy.cut_when(towards, At::Bytes(bytes));
            let answer = bench.ask(&Request::get("/users/1")).await;
            assert!(
                matches!(answer.status, 200 | 503),
                "{} {}",
                answer.status,
                answer.text()
            );
        }
        let sprung = bench
            .proxy
            .cut_when(Towards::Client, At::Before(b"a@example.org".to_vec()));
        let read = async {
            loop {
                let answer = bench.ask(&Request::get("/users/1")).await;
                if answer.status == 200 {
                    return answer;
                }
            }
        };
        let answer = tokio::time::timeout(PATIENCE, read)
            .await
            .expect("it recovers by itself");
        assert_eq!(answer.text(), created.text());
        sprung.await;
    }
}

/// A server with the component that does as its path says, and a table.
async fn hostile(scratch: &Scratch) -> Bench {
    let component = scratch.path().join("hostile.wasm");
    std::fs::write(&component, HOSTILE).expect("a file");
    let component = component.to_str().expect("a path");
    let bench = Bench::new(&["--no-migrate", "--component", component]).await;
    assert_eq!(bench.ask(&Request::get("/table")).await.status, 200);
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_with_lost_connection_is_in_doubt() {
    let scratch = Scratch::new();
    let bench = hostile(&scratch).await;
    let commit = || b"COMMIT\0".to_vec();
    let mut rows = 0;
    for (towards, at, done) in [
        (Towards::Server, At::Before(commit()), 0),
        (Towards::Server, At::After(commit()), 1),
        // The server's answer begins with the command it has completed.
        (Towards::Client, At::Before(commit()), 1),
    ] {
        let sprung = bench.proxy.cut_when(towards, at.clone());
        let answer = bench.ask(&Request::get("/commit-and-tell")).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (503, "Error::InDoubt"),
            "{at:?}"
        );
        sprung.await;
        rows += done;
        let settled =
            async { while bench.ask(&Request::get("/count")).await.text() != rows.to_string() {} };
        tokio::time::timeout(PATIENCE, settled)
            .await
            .unwrap_or_else(|_| panic!("not {rows} rows after {at:?}"));
        rows += 1;
        let next = bench.ask(&Request::get("/commit-and-tell")).await;
        assert_eq!(next.status, 200, "the next transaction: {}", next.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_in_transaction_with_lost_connection_has_no_effect() {
    let scratch = Scratch::new();
    let bench = hostile(&scratch).await;
    // The parameter, that is the statement itself is on its way.
    let parameter = || b"/commit-and-tell".to_vec();
    for at in [At::Before(parameter()), At::After(parameter())] {
        let sprung = bench.proxy.cut_when(Towards::Server, at.clone());
        let answer = bench.ask(&Request::get("/commit-and-tell")).await;
        assert_eq!(answer.status, 503, "{at:?}");
        assert!(
            answer.text().contains("Unavailable"),
            "{at:?}: {}",
            answer.text()
        );
        sprung.await;
        assert_eq!(
            bench.ask(&Request::get("/count")).await.text(),
            "0",
            "{at:?}"
        );
    }
    assert_eq!(
        bench.ask(&Request::get("/commit-and-tell")).await.status,
        200
    );
    assert_eq!(bench.ask(&Request::get("/count")).await.text(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_at_any_byte_lose_no_acknowledged_write_and_repeat_none() {
    let bench = Bench::new(&[]).await;
    let load = bench.load();
    let mut cuts = 0;
    // From the first bytes of a connection's greeting to well into its statements.
    for bytes in (1..4000).step_by(173) {
        for towards in [Towards::Server, Towards::Client] {
            let sprung = bench.proxy.cut_when(towards, At::Bytes(bytes));
            tokio::time::timeout(PATIENCE, sprung)
                .await
                .expect("there is always a connection");
            cuts += 1;
        }
        let done = load.ledger().count(Told::Done);
        load.until("writes are done again", |ledger| {
            ledger.count(Told::Done) > done
        })
        .await;
    }
    let counted = bench.settle(load).await;
    figures::tell(&format!("the outage {cuts} cuts"), &counted);
}

/// As where a network loses every packet: nobody is told that the connection is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_database_ends_the_request_at_its_deadline() {
    let bench = Bench::new(&["--request-timeout", "500ms"]).await;
    let strike = async |bench: &Bench| {
        bench.proxy.set(Way {
            stalled: true,
            ..Way::default()
        });
        let asked = Instant::now();
        let answer = bench.ask(&Request::get("/users/1")).await;
        assert!(
            matches!(answer.status, 503 | 504),
            "{} {}",
            answer.status,
            answer.text()
        );
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "{:?}",
            asked.elapsed()
        );
    };
    let heal = async |bench: &Bench| bench.proxy.set(Way::default());
    bench.outage("silence", strike, heal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_with_high_latency_causes_no_error() {
    let bench = Bench::new(&[]).await;
    bench.proxy.set(Way {
        delay: Duration::from_millis(20),
        rate: Some(64 << 10),
        ..Way::default()
    });
    let load = bench.load();
    load.until("writes are done", |ledger| ledger.count(Told::Done) >= 100)
        .await;
    assert_eq!(load.ledger().count_undone(), 0);
    let counted = bench.settle(load).await;
    figures::tell("the outage far away", &counted);
}
