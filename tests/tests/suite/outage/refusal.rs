//! A database that is there and refuses: replica, rights, password, connections, disk.

use std::sync::Mutex;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use usher_tests::cluster::{Cluster, Stop};
use usher_tests::http::Request;

use super::bench::{Bench, blocking, cluster, connect};

/// Ends all sessions of the server under test.
const TERMINATE: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'clerk'";

/// A cluster that was started again with this setting.
async fn configured(setting: &str) -> std::sync::Arc<Cluster> {
    let cluster = cluster().await;
    let change = format!("ALTER SYSTEM SET {setting}");
    connect(&cluster.url())
        .await
        .batch_execute(&change)
        .await
        .expect("a superuser may");
    blocking(move || {
        cluster.stop(Stop::Fast);
        cluster.restart();
        cluster
    })
    .await
}

/// Runs a statement as the superuser.
async fn say(bench: &Bench, statement: &str) {
    bench
        .superuser()
        .await
        .batch_execute(statement)
        .await
        .expect("a superuser may");
}

/// The server finds itself on a hot standby, as after a failover that it was not told of, which is promoted under it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_serves_reads_until_it_is_promoted() {
    let bench = Bench::on(configured("wal_level = replica").await, &[]).await;
    let strike = async |bench: &Bench| {
        bench
            .order(|cluster| {
                cluster.stop(Stop::Fast);
                cluster.restart_as_standby();
            })
            .await;
        let read =
            async { while bench.ask(&Request::get("/users/999999999")).await.status != 404 {} };
        tokio::time::timeout(usher_tests::process::PATIENCE, read)
            .await
            .expect("a replica is read from");
    };
    let heal = async |bench: &Bench| bench.order(Cluster::promote).await;
    bench.outage("replica", strike, heal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_privileges_return_503_until_they_are_granted() {
    let bench = Bench::new(&[]).await;
    let strike = async |bench: &Bench| say(bench, "REVOKE ALL ON users FROM clerk").await;
    let heal = async |bench: &Bench| say(bench, "GRANT ALL ON users TO clerk").await;
    bench.outage("no rights", strike, heal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_password_returns_503_until_it_is_right() {
    let bench = Bench::new(&[]).await;
    let strike = async |bench: &Bench| {
        say(bench, "ALTER ROLE clerk PASSWORD 'other'").await;
        say(bench, TERMINATE).await;
    };
    let heal = async |bench: &Bench| say(bench, "ALTER ROLE clerk PASSWORD 'clerk'").await;
    bench.outage("wrong password", strike, heal).await;
}

/// Others take every connection there is, those of the server under test included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_server_returns_503_until_a_connection_is_free() {
    let bench = Bench::on(configured("max_connections = 24").await, &[]).await;
    say(&bench, "CREATE ROLE hog LOGIN PASSWORD 'hog'").await;
    let hogs: Mutex<Vec<Client>> = Mutex::default();
    let strike = async |bench: &Bench| {
        let url = format!(
            "postgres://hog:hog@127.0.0.1:{}/postgres",
            bench.cluster.port()
        );
        // Counted are those who took one, the superuser among them, who therefore stays: of the server's own, one that is about to
        // be let in cannot be seen, and could serve everybody.
        let superuser = bench.superuser().await;
        let taken = "SELECT count(*) >= current_setting('max_connections')::int \
                     - current_setting('superuser_reserved_connections')::int \
                     FROM pg_stat_activity WHERE usename IN ('hog', current_user)";
        while !superuser
            .query_one(taken, &[])
            .await
            .expect("an answer")
            .get::<_, bool>(0)
        {
            superuser
                .batch_execute(TERMINATE)
                .await
                .expect("a superuser may");
            loop {
                match tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
                    Ok((hog, connection)) => {
                        tokio::spawn(async move { drop(connection.await) });
                        hogs.lock().expect("nobody panicked").push(hog);
                    }
                    Err(error) => {
                        assert_eq!(
                            error.code(),
                            Some(&SqlState::TOO_MANY_CONNECTIONS),
                            "{error}"
                        );
                        break;
                    }
                }
            }
        }
        hogs.lock().expect("nobody panicked").push(superuser);
    };
    let heal = async |bench: &Bench| {
        hogs.lock().expect("nobody panicked").clear();
        let gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'hog')";
        let superuser = bench.superuser().await;
        while !superuser
            .query_one(gone, &[])
            .await
            .expect("an answer")
            .get::<_, bool>(0)
        {}
    };
    bench.outage("too many connections", strike, heal).await;
}

/// No file of the server may grow beyond where it is, which is what it sees of a full disk too. What needs no more room than there
/// is, such as most changes of a row, goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_returns_503_and_loses_nothing() {
    let bench = Bench::new(&[]).await;
    // The table must be larger than a segment of the log, 16 MiB, which is not to be refused: that would be a crash. Each of
    // these rows fills a page, so that there is no room for others in between.
    say(
        &bench,
        "ALTER TABLE users ALTER COLUMN name SET STORAGE PLAIN; \
         INSERT INTO users (name, email) SELECT repeat('x', 8080), lpad(n::text, 5, '0') || '@full.example' \
         FROM generate_series(1, 2100) AS n",
    )
    .await;
    // While the limit is set or lifted, one process of the server after the other, the table does not grow: one that is beyond the limit
    // of some of them is refused in another way than by a full disk.
    let limit = async |bench: &Bench, limited: bool| {
        let superuser = bench.superuser().await;
        let lock = superuser.batch_execute("BEGIN; LOCK TABLE users").await;
        lock.expect("a superuser may");
        let size = "SELECT pg_relation_size('users')";
        let size: i64 = superuser.query_one(size, &[]).await.expect("a size").get(0);
        assert!(size > 16 << 20, "{size} bytes");
        let most = u64::try_from(size).expect("a size is positive") + 4096;
        bench
            .order(move |cluster| cluster.limit_files(limited.then_some(most)))
            .await;
        superuser
            .batch_execute("COMMIT")
            .await
            .expect("a superuser may");
    };
    let strike = async |bench: &Bench| limit(bench, true).await;
    let heal = async |bench: &Bench| limit(bench, false).await;
    bench.outage("disk full", strike, heal).await;
}
