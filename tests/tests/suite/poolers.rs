//! The server behind a connection pooler, which shares server sessions between clients.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use usher_tests::figures;
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::pgbouncer::{PgBouncer, Pooling};
use usher_tests::postgres::{self, Database};
use usher_tests::process::{Running, Usher, WAIT_LIMIT};

const IGNORE: &str = "ignore_startup_parameters = options";

async fn send_request(address: &str, request: Request) -> Response {
    let stream = TcpStream::connect(address).await.expect("a connection");
    http::send(stream, &request, address)
        .await
        .expect("an answer")
}

fn usher(scratch: &Scratch, url: &str, options: &[&str]) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", url])
        .args(options.iter().copied())
}

fn user(name: &str) -> Request {
    let email = format!("{name}@example.org");
    Request::post("/users/", &json!({"name": name, "email": email}))
}

fn patch(path: &str, name: &str) -> Request {
    Request::new("PATCH", path)
        .header("content-type", "application/json")
        .body(json!({"name": name}).to_string())
}

/// A server behind a pooler, and a connection past it.
struct Pooled {
    running: Running,
    address: String,
    pooler: PgBouncer,
    client: Client,
    database: Database,
    scratch: Scratch,
}

impl Pooled {
    async fn start(pooling: Pooling, settings: &[&str], options: &[&str]) -> Self {
        let (scratch, database) = (Scratch::new(), postgres::database().await);
        let pooler = PgBouncer::start(database.url(), pooling, settings);
        let mut running = usher(&scratch, &pooler.url(), options).spawn();
        let address = running.address();
        Self {
            running,
            address,
            client: database.connect().await,
            pooler,
            database,
            scratch,
        }
    }
}

/// Sends requests on every code path; each uses connections differently.
async fn serves(address: &str, name: &str) {
    let created = send_request(address, user(name)).await;
    assert_eq!(created.status, 200, "{name}: {}", created.text());
    let path = format!("/users/{}", created.json()["id"]);
    assert_eq!(
        send_request(address, user(name)).await.status,
        409,
        "{name}"
    );
    for (request, status) in [
        (Request::get(&path), 200),
        (patch(&path, "other"), 200),
        (patch(&path, "again").header("if-match", "\"2\""), 200),
        (patch(&path, "late").header("if-match", "\"2\""), 412),
        (Request::get("/users/?limit=1"), 200),
        (
            Request::get("/users/").header("accept", "application/x-ndjson"),
            200,
        ),
        (Request::new("DELETE", &path), 204),
        (Request::get(&path), 404),
    ] {
        let answer = send_request(address, request.clone()).await;
        assert_eq!(
            answer.status,
            status,
            "{name}: {} {}: {}",
            request.method,
            request.path,
            answer.text()
        );
    }
}

#[tokio::test]
async fn pooler_that_refuses_or_ignores_options_is_used() {
    for (pooling, settings, options) in [
        (Pooling::Session, &[][..], &[][..]),
        (Pooling::Session, &[IGNORE], &[]),
        (Pooling::Session, &[], &["--database-pooler", "session"]),
        (Pooling::Transaction, &[], &[]),
        (Pooling::Transaction, &[IGNORE], &[]),
        (
            Pooling::Transaction,
            &["server_round_robin = 1"],
            &["--database-pooler", "transaction"],
        ),
    ] {
        let pooled = Pooled::start(pooling, settings, options).await;
        let name = format!("{pooling:?}{}{}", settings.len(), options.len());
        serves(&pooled.address, &name).await;
    }
}

#[tokio::test]
async fn pooler_of_another_mode_than_configured_is_refused_at_start() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    for (pooling, mode, expected) in [
        (Pooling::Session, "none", "pooler"),
        (Pooling::Transaction, "none", "pooler"),
        (
            Pooling::Transaction,
            "session",
            "--database-pooler transaction",
        ),
    ] {
        let pooler = PgBouncer::start(database.url(), pooling, &[IGNORE]);
        let ended = usher(&scratch, &pooler.url(), &["--database-pooler", mode]).run();
        assert_eq!(ended.code(), Some(2), "{mode}: {:?}", ended.stderr);
        assert!(
            ended.only_line().contains(expected),
            "{}",
            ended.only_line()
        );
    }
}

/// Two servers share a few server sessions. Their prepared statements once had the same names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_behind_one_pooler_run_only_their_own_statements() {
    let settings = ["default_pool_size = 3", "server_round_robin = 1"];
    let pooled = Pooled::start(Pooling::Transaction, &settings, &[]).await;
    let mut other = usher(&pooled.scratch, &pooled.pooler.url(), &[]).spawn();
    let addresses = [pooled.address.clone(), other.address()];
    let mut kept = BTreeSet::new();
    for number in 0..20 {
        let answer = send_request(&pooled.address, user(&format!("kept{number}"))).await;
        kept.insert(answer.json()["id"].to_string());
    }
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let (address, kept) = (addresses[number % 2].clone(), kept.clone());
        clients.spawn(async move {
            for round in 0..25 {
                serves(&address, &format!("guest{number}x{round}")).await;
                // These have no effect and use other statements.
                let gone = Request::new("DELETE", "/users/999999999");
                assert_eq!(send_request(&address, gone).await.status, 404);
                for id in kept.iter().take(3) {
                    let answer =
                        send_request(&address, Request::get(&format!("/users/{id}"))).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("a client's answers are right");
    }
    let left = "SELECT id::text FROM users ORDER BY id";
    let rows = pooled.client.query(left, &[]).await.expect("the users");
    let left: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(left, kept);
    // Nothing remains prepared in the shared sessions.
    let named = pooled.prepared().await;
    assert!(named.is_empty(), "{named:?}");
}

impl Pooled {
    /// The statements that are prepared in the session which the pooler uses next.
    async fn prepared(&self) -> Vec<String> {
        let (client, connection) =
            tokio_postgres::connect(&self.pooler.url(), tokio_postgres::NoTls)
                .await
                .expect("a pooler that runs");
        tokio::spawn(async move { drop(connection.await) });
        let answer = client
            .simple_query("SELECT name FROM pg_prepared_statements")
            .await
            .expect("an answer");
        answer
            .iter()
            .filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .collect()
    }

    /// Makes every read of users write as well, through a function that a view calls.
    async fn make_reads_write(&self) {
        self.client
            .batch_execute(
                "CREATE TABLE seen (at timestamptz); \
                 CREATE FUNCTION note() RETURNS boolean LANGUAGE plpgsql VOLATILE AS \
                 $$ BEGIN INSERT INTO seen VALUES (now()); RETURN true; END $$; \
                 ALTER TABLE users RENAME TO people; \
                 CREATE VIEW users AS SELECT * FROM people WHERE note();",
            )
            .await
            .expect("a view");
    }
}

#[tokio::test]
async fn read_only_database_behind_pooler_is_not_written_to() {
    for (pooling, options) in [
        (Pooling::Session, &["--database-pooler", "session"][..]),
        (Pooling::Session, &[]),
        (Pooling::Transaction, &[]),
    ] {
        // The first one creates the table.
        let mut pooled = Pooled::start(pooling, &[IGNORE], &[]).await;
        assert_eq!(send_request(&pooled.address, user("ann")).await.status, 200);
        pooled.make_reads_write().await;
        let read_only = ["--database-read-only", "--no-migrate"];
        let options: Vec<&str> = read_only
            .into_iter()
            .chain(options.iter().copied())
            .collect();
        pooled.running = usher(&pooled.scratch, &pooled.pooler.url(), &options).spawn();
        let address = pooled.running.address();
        for request in [
            Request::get("/users/1"),
            Request::get("/users/"),
            Request::get("/users/").header("accept", "application/x-ndjson"),
        ] {
            let answer = send_request(&address, request).await;
            assert!(answer.status >= 500, "{pooling:?}: {}", answer.status);
        }
        let count = pooled.client.query_one("SELECT count(*) FROM seen", &[]);
        assert_eq!(
            count.await.expect("a count").get::<_, i64>(0),
            0,
            "{pooling:?}"
        );
        drop(pooled.database);
    }
}

/// Without its settings a session would wait for a lock for ever.
#[tokio::test]
async fn statement_timeout_behind_pooler_limits_lock_waits() {
    for (pooling, options) in [
        (Pooling::Session, &["--statement-timeout", "1s"][..]),
        (
            Pooling::Session,
            &["--statement-timeout", "1s", "--database-pooler", "session"],
        ),
        (Pooling::Transaction, &["--statement-timeout", "1s"]),
    ] {
        let mut pooled = Pooled::start(pooling, &[IGNORE], options).await;
        assert_eq!(send_request(&pooled.address, user("ann")).await.status, 200);
        let transaction = pooled.client.transaction().await.expect("a transaction");
        transaction
            .batch_execute("UPDATE users SET name = 'locked'")
            .await
            .expect("a lock");
        let began = Instant::now();
        let answer = send_request(&pooled.address, patch("/users/1", "late")).await;
        let took = began.elapsed();
        assert_eq!(answer.status, 504, "{pooling:?}: {}", answer.text());
        assert!(took < Duration::from_secs(4), "{pooling:?}: {took:?}");
        transaction.rollback().await.expect("a rollback");
        assert_eq!(
            send_request(&pooled.address, patch("/users/1", "new"))
                .await
                .status,
            200
        );
    }
}

/// Waits until every kind of request is served, and returns how long that took.
async fn recovered(address: &str) -> Duration {
    let began = Instant::now();
    let served = async {
        let mut in_a_row = 0;
        while in_a_row < 8 {
            let mut served = true;
            for request in [
                Request::get("/users/999999999"),
                Request::new("DELETE", "/users/999999999"),
            ] {
                let answer = send_request(address, request).await;
                assert_ne!(answer.status, 500, "{}", answer.text());
                served &= answer.status == 404;
            }
            in_a_row = if served { in_a_row + 1 } else { 0 };
        }
    };
    tokio::time::timeout(WAIT_LIMIT, served)
        .await
        .expect("it recovers by itself");
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_pooler_under_load_is_used_again() {
    for pooling in [Pooling::Session, Pooling::Transaction] {
        let mut pooled = Pooled::start(pooling, &[], &[]).await;
        let mut clients = JoinSet::new();
        for number in 0..8 {
            let address = pooled.address.clone();
            clients.spawn(async move {
                let mut statuses = BTreeSet::new();
                for round in 0..100 {
                    let name = format!("u{number}x{round}");
                    statuses.insert(send_request(&address, user(&name)).await.status);
                    statuses.insert(
                        send_request(&address, Request::get("/users/?limit=2"))
                            .await
                            .status,
                    );
                }
                statuses
            });
        }
        pooled.pooler.stop();
        assert!(pooled.pooler.restart(), "it starts again");
        let took = recovered(&pooled.address).await;
        assert!(took < Duration::from_secs(2), "{pooling:?}: {took:?}");
        let mut seen = BTreeSet::new();
        while let Some(statuses) = clients.join_next().await {
            seen.extend(statuses.expect("a client does not panic"));
        }
        figures::print(
            "a pooler that is restarted",
            &format!("{pooling:?}: {seen:?}"),
        );
        let expected = BTreeSet::from([200, 409, 503, 504]);
        let wrong: Vec<_> = seen.difference(&expected).collect();
        assert!(wrong.is_empty(), "{pooling:?}: {wrong:?}");
    }
}

/// The pooler's own error if it has no room for all connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_pooler_returns_503() {
    for (pooling, setting) in [
        (Pooling::Transaction, "max_client_conn = 2"),
        (Pooling::Session, "max_client_conn = 2"),
        (Pooling::Session, "default_pool_size = 2"),
    ] {
        let settings = [setting, "query_wait_timeout = 1"];
        let options = ["--workers", "1", "--pool-size", "8"];
        let pooled = Pooled::start(pooling, &settings, &options).await;
        let mut clients = JoinSet::new();
        for number in 0..16 {
            let address = pooled.address.clone();
            clients.spawn(async move {
                let mut statuses = BTreeSet::new();
                for round in 0..10 {
                    let name = format!("u{number}x{round}");
                    statuses.insert(send_request(&address, user(&name)).await.status);
                    let everyone = Request::get("/users/").header("accept", "application/x-ndjson");
                    statuses.insert(send_request(&address, everyone).await.status);
                }
                statuses
            });
        }
        let mut seen = BTreeSet::new();
        while let Some(statuses) = clients.join_next().await {
            seen.extend(statuses.expect("a client does not panic"));
        }
        figures::print(setting, &format!("{pooling:?}: {seen:?}"));
        assert!(
            seen.is_subset(&BTreeSet::from([200, 503])),
            "{setting}: {seen:?}"
        );
        assert!(seen.contains(&200), "{setting}: {seen:?}");
    }
}

/// Other clients hold all server sessions.
#[tokio::test]
async fn pooler_with_all_sessions_in_use_returns_503() {
    let settings = ["default_pool_size = 1", "query_wait_timeout = 1"];
    let pooled = Pooled::start(Pooling::Transaction, &settings, &[]).await;
    assert_eq!(send_request(&pooled.address, user("ann")).await.status, 200);
    let (hog, connection) = tokio_postgres::connect(&pooled.pooler.url(), tokio_postgres::NoTls)
        .await
        .expect("a pooler that runs");
    tokio::spawn(async move { drop(connection.await) });
    hog.batch_execute("BEGIN; SELECT 1")
        .await
        .expect("a transaction");
    for request in [Request::get("/users/1"), user("bob")] {
        let answer = send_request(&pooled.address, request).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(
            !answer.text().contains("may have"),
            "nothing is in doubt: {}",
            answer.text()
        );
    }
    drop(hog);
    recovered(&pooled.address).await;
    let count = pooled
        .client
        .query_one("SELECT count(*) FROM users", &[])
        .await;
    assert_eq!(count.expect("a count").get::<_, i64>(0), 1);
}
