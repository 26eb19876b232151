//! A database that is there and refuses: replica, privileges, password, connections, disk.

use std::sync::Mutex;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use usher_tests::cluster::{Cluster, Stop};
use usher_tests::http::Request;

use super::bench::{Bench, blocking, cluster, connect};

/// Ends all sessions of the server under test.
const TERMINATE: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'clerk'";

/// A cluster that was restarted with this setting.
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
async fn execute(bench: &Bench, statement: &str) {
    bench
        .superuser()
        .await
        .batch_execute(statement)
        .await
        .expect("a superuser may");
}

/// The server is connected to a hot standby, as after a failover, which is promoted later.
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
        let read = async {
            while bench
                .send_request(&Request::get("/users/999999999"))
                .await
                .status
                != 404
            {}
        };
        tokio::time::timeout(usher_tests::process::WAIT_LIMIT, read)
            .await
            .expect("a replica is read from");
    };
    let heal = async |bench: &Bench| bench.order(Cluster::promote).await;
    bench.outage("replica", strike, heal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_privileges_return_503_until_they_are_granted() {
    let bench = Bench::new(&[]).await;
    let strike = async |bench: &Bench| execute(bench, "REVOKE ALL ON users FROM clerk").await;
    let heal = async |bench: &Bench| execute(bench, "GRANT ALL ON users TO clerk").await;
    bench.outage("no rights", strike, heal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_password_returns_503_until_it_is_right() {
    let bench = Bench::new(&[]).await;
    let strike = async |bench: &Bench| {
        execute(bench, "ALTER ROLE clerk PASSWORD 'other'").await;
        execute(bench, TERMINATE).await;
    };
    let heal = async |bench: &Bench| execute(bench, "ALTER ROLE clerk PASSWORD 'clerk'").await;
    bench.outage("wrong password", strike, heal).await;
}

/// Other clients take every connection, also those of the server under test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_server_returns_503_until_a_connection_is_free() {
    let bench = Bench::on(configured("max_connections = 24").await, &[]).await;
    execute(&bench, "CREATE ROLE hog LOGIN PASSWORD 'hog'").await;
    let hogs: Mutex<Vec<Client>> = Mutex::default();
    let strike = async |bench: &Bench| {
        let url = format!(
            "postgres://hog:hog@127.0.0.1:{}/postgres",
            bench.cluster.port()
        );
        // The sessions of other clients are counted, the superuser's included, which therefore
        // stays. A session of the server that is being started cannot be seen, and could serve
        // every request.
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
                        hogs.lock().expect("no thread panicked").push(hog);
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
        hogs.lock().expect("no thread panicked").push(superuser);
    };
    let heal = async |bench: &Bench| {
        hogs.lock().expect("no thread panicked").clear();
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

/// No file of the server may grow, which has the same effect as a full disk. Operations that need
/// no more space, such as most updates of a row, continue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_returns_503_and_loses_nothing() {
    let bench = Bench::new(&[]).await;
    // The table must be larger than a WAL segment, 16 MiB, because refusing one of those is a
    // crash. Each of these rows fills a page, so that no space is left between them.
    execute(
        &bench,
        "ALTER TABLE users ALTER COLUMN name SET STORAGE PLAIN; \
         INSERT INTO users (name, email) SELECT repeat('x', 8080), lpad(n::text, 5, '0') || \
         '@full.example' \
         FROM generate_series(1, 2100) AS n",
    )
    .await;
    // While the limit is set or lifted, one process after the other, the table does not grow: a
    // file beyond the limit of only some processes is refused in another way than by a full disk.
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
