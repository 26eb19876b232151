//! A healthy server that accepts no more writes, because another one does now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_postgres::Client;
use usher_tests::cluster::Cluster;
use usher_tests::figures;
use usher_tests::http::{Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, Usher, WAIT_LIMIT};
use usher_tests::proxy::Proxy;

use super::bench::{blocking, cluster, connect, send_request};

/// Within this time of a server that accepts writes, they must be served again.
const RECOVERY: Duration = Duration::from_secs(2);

fn url(port: u16) -> String {
    format!("postgres://clerk:clerk@127.0.0.1:{port}/postgres")
}

fn usher(scratch: &Scratch, url: &str) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--database", url])
}

/// A server with the schema, and a superuser's connection to it.
async fn migrated(scratch: &Scratch) -> (Arc<Cluster>, Client) {
    let cluster = cluster().await;
    let ended = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["migrate", "--database", &url(cluster.port())])
        .run();
    assert_eq!(ended.code(), Some(0), "{:?}", ended.stderr);
    let client = connect(&cluster.url()).await;
    (cluster, client)
}

/// Makes the server refuse or accept writes, also on its open connections.
async fn take_writes(client: &Client, takes: bool) {
    let value = if takes { "off" } else { "on" };
    let change = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
    client
        .batch_execute("SET default_transaction_read_only = off")
        .await
        .expect("a setting");
    client
        .batch_execute(&change)
        .await
        .expect("a superuser may");
    client
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .expect("a superuser may");
    // Every process of the server reads the file by itself, and affects only its own sessions.
    let is = "SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_read_only'";
    while client
        .query_one(is, &[])
        .await
        .expect("a row")
        .get::<_, &str>(0)
        != value
    {}
}

fn user(name: &str) -> Request {
    let email = format!("{name}@example.org");
    Request::post("/users/", &json!({"name": name, "email": email}))
}

/// A user that no other call creates.
fn another(name: &str) -> Request {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    user(&format!("{name}{}", NEXT.fetch_add(1, Relaxed)))
}

async fn answer(address: &str, request: Request) -> Response {
    send_request(address, &request).await.expect("an answer")
}

/// Waits until writes of every kind are served again, each of them a few times.
async fn until_written(address: &str, name: &str) -> Duration {
    let began = Instant::now();
    let written = async {
        let (mut in_a_row, mut number) = (0, 0);
        while in_a_row < 8 {
            number += 1;
            let created = answer(address, user(&format!("{name}{number}"))).await;
            assert!(matches!(created.status, 200 | 503), "{}", created.text());
            in_a_row = if created.status == 200 {
                in_a_row + 1
            } else {
                0
            };
        }
    };
    tokio::time::timeout(WAIT_LIMIT, written)
        .await
        .expect("writes are served again");
    began.elapsed()
}

async fn count(client: &Client, name: &str) -> i64 {
    client
        .query_one(
            "SELECT count(*) FROM users WHERE name LIKE $1",
            &[&format!("{name}%")],
        )
        .await
        .expect("a count")
        .get(0)
}

async fn start(usher: Usher) -> (Running, String, String) {
    // A proxy continues meanwhile.
    blocking(move || {
        let mut running = usher.args(["--workers", "2"]).spawn();
        let operators = running.operators();
        let address = running.address();
        (running, address, operators)
    })
    .await
}

#[tokio::test]
async fn demoted_server_is_replaced_by_another_host() {
    let scratch = Scratch::new();
    let (first, at_first) = migrated(&scratch).await;
    let (second, at_second) = migrated(&scratch).await;
    let url = format!(
        "postgres://clerk:clerk@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
        first.port(),
        second.port()
    );
    let (_running, address, operators) = start(usher(&scratch, &url)).await;
    until_written(&address, "before").await;
    take_writes(&at_first, false).await;
    // Writes that its sessions accepted before they read the setting do not count.
    let at_second_is_one = async {
        while count(&at_second, "heard").await == 0 {
            answer(&address, another("heard")).await;
        }
    };
    tokio::time::timeout(RECOVERY, at_second_is_one)
        .await
        .expect("the other host is found");
    let took = until_written(&address, "after").await;
    figures::print("a switch-over to another host", &format!("{took:?}"));
    assert!(took < RECOVERY, "{took:?}");
    assert!(count(&at_second, "after").await >= 8);
    assert_eq!(count(&at_first, "after").await, 0);
    assert_eq!(answer(&operators, Request::get("/ready")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demoted_server_is_replaced_behind_the_same_address() {
    let scratch = Scratch::new();
    let (first, at_first) = migrated(&scratch).await;
    let (second, at_second) = migrated(&scratch).await;
    let at = |cluster: &Cluster| SocketAddr::from(([127, 0, 0, 1], cluster.port()));
    let proxy = Proxy::start(at(&first)).await.expect("a port");
    let (_running, address, operators) = start(usher(&scratch, &proxy.url(&url(0)))).await;
    until_written(&address, "before").await;
    take_writes(&at_first, false).await;
    while answer(&address, another("heard")).await.status != 503 {}
    assert_eq!(answer(&address, Request::get("/users/")).await.status, 200);
    assert_eq!(answer(&operators, Request::get("/ready")).await.status, 503);
    proxy.forward_to(at(&second));
    let took = until_written(&address, "after").await;
    figures::print("a switch-over behind an address", &format!("{took:?}"));
    assert!(took < RECOVERY, "{took:?}");
    assert!(count(&at_second, "after").await >= 8);
    assert_eq!(count(&at_first, "after").await, 0);
    assert_eq!(answer(&operators, Request::get("/ready")).await.status, 200);
}

/// While it lasts, writes are refused, reads are served, and no core is busy.
#[tokio::test]
async fn read_only_server_serves_reads_with_few_connection_attempts() {
    let scratch = Scratch::new();
    let (cluster, client) = migrated(&scratch).await;
    let (_running, address, operators) = start(usher(&scratch, &url(cluster.port()))).await;
    until_written(&address, "before").await;
    take_writes(&client, false).await;
    let sessions = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()";
    let before: i64 = client
        .query_one(sessions, &[])
        .await
        .expect("a count")
        .get(0);
    while answer(&address, another("heard")).await.status != 503 {}
    let began = Instant::now();
    let mut writes = 0;
    while began.elapsed() < Duration::from_secs(3) {
        assert_eq!(answer(&address, user("refused")).await.status, 503);
        assert_eq!(answer(&address, Request::get("/users/")).await.status, 200);
        writes += 1;
    }
    let after: i64 = client
        .query_one(sessions, &[])
        .await
        .expect("a count")
        .get(0);
    let made = after - before;
    figures::print(
        "a database that only reads",
        &format!("{made} connections made in 3 s, for {writes} writes"),
    );
    assert!(made <= 12, "{made} connections for {writes} writes");
    let ready = answer(&operators, Request::get("/ready")).await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("takes no writes"), "{}", ready.text());
    take_writes(&client, true).await;
    let took = until_written(&address, "after").await;
    assert!(took < RECOVERY, "{took:?}");
    assert_eq!(answer(&operators, Request::get("/ready")).await.status, 200);
    assert_eq!(count(&client, "refused").await, 0);
}
