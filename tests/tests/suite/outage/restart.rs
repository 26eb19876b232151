//! The database is late, lost, and returns.

use tokio::net::TcpStream;
use usher_tests::cluster::{Cluster, Stop};
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Usher, WAIT_LIMIT};

async fn send_request(address: &str, request: Request) -> Response {
    let stream = TcpStream::connect(address).await.expect("a connection");
    http::send(stream, &request, address)
        .await
        .expect("an answer")
}

fn user(name: &str) -> Request {
    let email = format!("{name}@example.org");
    Request::post(
        "/users/",
        &serde_json::json!({"name": name, "email": email}),
    )
}

/// A durable server for one test. Other tests switch durability off, which makes them faster.
async fn cluster() -> Cluster {
    let cluster = Cluster::start().unwrap_or_else(|error| panic!("{error}"));
    let (client, connection) = tokio_postgres::connect(&cluster.url(), tokio_postgres::NoTls)
        .await
        .expect("a server that was started");
    let serving = tokio::spawn(connection);
    client
        .batch_execute("ALTER DATABASE postgres SET synchronous_commit = on")
        .await
        .expect("a superuser may");
    drop(client);
    serving
        .await
        .expect("it does not panic")
        .expect("it is closed in order");
    cluster
}

fn usher(scratch: &Scratch, cluster: &Cluster) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .env("DATABASE_URL", &cluster.url())
        .args(["--listen", "127.0.0.1:0"])
}

#[track_caller]
fn is_unavailable(answer: &Response) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(
        answer.header("content-type").as_deref(),
        Some("application/json")
    );
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    let text = answer.text();
    assert!(
        !text.contains("127.0.0.1") && !text.contains("postgres"),
        "the response names what is behind the service: {text}"
    );
}

/// Sends the request until it returns 200; until then it must return that the database is away.
async fn until_served(address: &str, request: &Request) -> Response {
    let served = async {
        loop {
            let answer = send_request(address, request.clone()).await;
            if answer.status == 200 {
                return answer;
            }
            is_unavailable(&answer);
        }
    };
    tokio::time::timeout(WAIT_LIMIT, served)
        .await
        .expect("it recovers by itself")
}

/// A database that is stopped and started again while the server runs.
async fn comes_back(how: Stop) {
    let (scratch, cluster) = (Scratch::new(), cluster().await);
    let mut running = usher(&scratch, &cluster)
        .args(["--admin-listen", "127.0.0.1:0"])
        .spawn();
    let operators = running.operators();
    let address = running.address();
    let created = send_request(&address, user("ann")).await;
    assert_eq!(created.status, 200, "{}", created.text());
    assert_eq!(
        send_request(&operators, Request::get("/ready"))
            .await
            .status,
        200
    );

    cluster.stop(how);
    for _ in 0..5 {
        is_unavailable(&send_request(&address, Request::get("/users/1")).await);
        is_unavailable(&send_request(&address, user("bob")).await);
    }
    // Requests without the database are served as before.
    assert_eq!(
        send_request(&address, Request::get("/users/x"))
            .await
            .status,
        422
    );
    assert_eq!(
        send_request(&operators, Request::get("/live")).await.status,
        200
    );
    assert_eq!(
        send_request(&operators, Request::get("/ready"))
            .await
            .status,
        503
    );

    cluster.restart();
    let read = until_served(&address, &Request::get("/users/1")).await;
    assert_eq!(read.text(), created.text());
    // Every core recovers by itself, and writes use other connections than reads.
    assert!(
        until_served(&address, &user("cem"))
            .await
            .text()
            .contains("cem")
    );
    assert_eq!(
        send_request(&operators, Request::get("/ready"))
            .await
            .status,
        200
    );
    // Refused writes have no effect.
    let listed = until_served(&address, &Request::get("/users/")).await;
    let names: Vec<_> = listed
        .json()
        .as_array()
        .expect("an array")
        .iter()
        .map(|user| user["name"].clone())
        .collect();
    assert_eq!(names, ["ann", "cem"]);
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
}

#[tokio::test]
async fn restarted_database_is_used_again() {
    comes_back(Stop::Fast).await;
}

#[tokio::test]
async fn crashed_database_is_used_again_with_every_acknowledged_write() {
    comes_back(Stop::Kill).await;
}

#[tokio::test]
async fn late_database_is_waited_for_at_start() {
    let (scratch, cluster) = (Scratch::new(), cluster().await);
    cluster.stop(Stop::Fast);
    let mut running = usher(&scratch, &cluster)
        .args(["--database-wait", "10m", "--log", "debug"])
        .spawn();
    running.line("trying again");
    cluster.restart();
    let address = running.address();
    assert_eq!(send_request(&address, user("ann")).await.status, 200);
}

#[tokio::test]
async fn wait_for_the_database_ends_on_sigterm() {
    let (scratch, cluster) = (Scratch::new(), cluster().await);
    cluster.stop(Stop::Fast);
    let mut running = usher(&scratch, &cluster)
        .args(["--database-wait", "10m", "--log", "debug"])
        .spawn();
    running.line("trying again");
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
}
