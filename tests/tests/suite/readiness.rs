//! `/ready` agrees with requests, and takes no connection from them.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio_postgres::Client;
use usher_tests::cluster::{Cluster, Stop};
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::postgres;
use usher_tests::process::{Running, Usher};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

async fn send_request(address: &str, path: &str) -> Response {
    let stream = TcpStream::connect(address).await.expect("a connection");
    http::send(stream, &Request::get(path), address)
        .await
        .expect("an answer")
}

fn usher(scratch: &Scratch, url: &str) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--workers", "1", "--database", url])
}

fn addresses(running: &mut Running) -> (String, String) {
    let operators = running.operators();
    (operators, running.address())
}

async fn sessions(client: &Client) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity \
                 WHERE application_name = 'usher' AND datname = current_database()";
    client.query_one(count, &[]).await.expect("a count").get(0)
}

/// The server has no room for one connection more than requests use, all of which are in use.
#[tokio::test]
async fn ready_probe_with_all_connections_in_use_takes_none() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let client = database.connect().await;
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    let mut running = usher(&scratch, database.url())
        .args([
            "--component",
            "hostile.wasm",
            "--no-migrate",
            "--pool-size",
            "4",
        ])
        .spawn();
    let (operators, address) = addresses(&mut running);
    assert_eq!(send_request(&address, "/table").await.status, 200);
    // One holds a transaction; others come and go.
    let holder = tokio::spawn({
        let address = address.clone();
        async move { send_request(&address, "/begun-loop").await }
    });
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let address = address.clone();
        requests.spawn(async move { send_request(&address, "/count").await.status });
    }
    let mut most = 0;
    for _ in 0..20 {
        assert_eq!(send_request(&operators, "/ready").await.status, 200);
        most = most.max(sessions(&client).await);
    }
    while requests.join_next().await.is_some() {
        most = most.max(sessions(&client).await);
    }
    assert!(most <= 4, "{most} sessions");
    holder.abort();
}

/// A role that may have no more connections than there are.
#[tokio::test]
async fn ready_probe_at_the_role_connection_limit_agrees_with_requests() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let client = database.connect().await;
    let name: String = client
        .query_one("SELECT current_database()::text", &[])
        .await
        .expect("a name")
        .get(0);
    client
        .batch_execute(&format!(
            "CREATE ROLE {name}_r LOGIN PASSWORD 'r' CONNECTION LIMIT 2; \
             GRANT ALL ON SCHEMA public TO {name}_r"
        ))
        .await
        .expect("a role");
    let (_, place) = database.url().rsplit_once('@').expect("a role in the URL");
    let mut running = usher(&scratch, &format!("postgres://{name}_r:r@{place}"))
        .args(["--pool-size", "2"])
        .spawn();
    let (operators, address) = addresses(&mut running);
    // A closed connection of the start releases its place a moment later.
    while send_request(&address, "/users/1").await.status != 404 {}
    for _ in 0..5 {
        assert_eq!(send_request(&address, "/users/1").await.status, 404);
        assert_eq!(send_request(&operators, "/ready").await.status, 200);
    }
    drop(running);
    client
        .batch_execute(&format!(
            "DROP OWNED BY {name}_r CASCADE; DROP ROLE {name}_r"
        ))
        .await
        .expect("a role that is not used any more");
}

#[tokio::test]
async fn database_loss_and_return_log_one_line_each() {
    let scratch = Scratch::new();
    let cluster = Cluster::start().unwrap_or_else(|error| panic!("{error}"));
    let mut running = usher(&scratch, &cluster.url()).spawn();
    let (operators, address) = addresses(&mut running);
    assert_eq!(send_request(&address, "/users/1").await.status, 404);
    cluster.stop(Stop::Fast);
    for _ in 0..20 {
        let answer = send_request(&address, "/users/1").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(send_request(&operators, "/ready").await.status, 503);
    cluster.restart();
    while send_request(&address, "/users/1").await.status != 404 {}
    assert_eq!(send_request(&operators, "/ready").await.status, 200);
    running.terminate();
    let ended = running.wait();
    for text in [
        "the database cannot be reached",
        "the database is reached again",
    ] {
        let lines = ended
            .stderr
            .iter()
            .filter(|line| line.contains(text) && !line.contains("not ready"));
        assert_eq!(lines.count(), 1, "{text}: {:?}", ended.stderr);
    }
}
