//! Migrations by one host and by many at once: the schema is current, or one line says why not.
//!
//! Each test starts the program itself. The component `migrating` has a third migration, which
//! fails half-way unless there is a table `permitted`.

use std::path::Path;

use tokio_postgres::NoTls;
use usher_tests::cluster::Cluster;
use usher_tests::http::Request;
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, Usher};

use crate::databases::{Fresh, Kind};
use crate::startup::{fails_with, send_request, usher};

const MIGRATING: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/migrating.wasm"));

/// Kinds that several programs can share.
pub(crate) const SHARED: [Kind; 2] = [Kind::File, Kind::Postgres];

/// A directory with the component `migrating`.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("migrating.wasm"), MIGRATING).expect("a file");
    scratch
}

fn migrate(scratch: &Scratch, url: &str) -> Usher {
    usher(scratch).args(["migrate", "--database", url])
}

/// Another client of the database.
pub(crate) enum Observer {
    File(rusqlite::Connection),
    Postgres(tokio_postgres::Client),
}

impl Observer {
    pub(crate) async fn of(fresh: &Fresh) -> Self {
        match &fresh.postgres {
            Some(postgres) => Self::Postgres(postgres.connect().await),
            None => {
                let path = fresh.url.strip_prefix("sqlite:").expect("a file's URL");
                Self::File(rusqlite::Connection::open(Path::new(path)).expect("a database"))
            }
        }
    }

    pub(crate) async fn execute(&self, statement: &str) {
        match self {
            Self::File(file) => file.execute_batch(statement).expect("it is right"),
            Self::Postgres(client) => client.batch_execute(statement).await.expect("it is right"),
        }
    }

    /// The names of the tables of the service and of `migrating`, and the recorded versions.
    async fn state(&self) -> (Vec<String>, Vec<i64>) {
        let record = "SELECT version FROM usher_migrations ORDER BY version";
        match self {
            Self::File(file) => {
                let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN \
                    ('half', 'users') ORDER BY name";
                let mut names = file.prepare(names).expect("a statement");
                let names = names
                    .query_map([], |row| row.get(0))
                    .expect("names")
                    .map(|name| name.expect("a name"));
                let mut record = file.prepare(record).expect("a statement");
                let record = record
                    .query_map([], |row| row.get(0))
                    .expect("a record")
                    .map(|version| version.expect("a version"));
                (names.collect(), record.collect())
            }
            Self::Postgres(client) => {
                let names = "SELECT tablename::text FROM pg_tables WHERE tablename IN ('half', \
                    'users') ORDER BY 1";
                let names = client.query(names, &[]).await.expect("names");
                let record = client.query(record, &[]).await.expect("a record");
                (
                    names.iter().map(|row| row.get(0)).collect(),
                    record.iter().map(|row| row.get(0)).collect(),
                )
            }
        }
    }
}

fn stderr_of(running: Running) -> String {
    running.terminate();
    running.wait().stderr.join("\n")
}

#[tokio::test]
async fn ten_hosts_starting_at_once_migrate_an_empty_database_once() {
    for kind in SHARED {
        let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
        let mut hosts: Vec<_> = (0..10)
            .map(|_| {
                usher(&scratch)
                    .args([
                        "--workers",
                        "1",
                        "--pool-size",
                        "2",
                        "--database",
                        &fresh.url,
                    ])
                    .spawn()
            })
            .collect();
        for host in &mut hosts {
            let address = host.address();
            assert_eq!(
                send_request(&address, Request::get("/users/1"))
                    .await
                    .status,
                404
            );
        }
        let output: Vec<_> = hosts.into_iter().map(stderr_of).collect();
        let applied = output
            .iter()
            .filter(|output| output.contains("applied migration 1 (0001_users)"));
        assert_eq!(applied.count(), 1, "{output:?}");
        let (tables, record) = Observer::of(&fresh).await.state().await;
        assert_eq!(
            (tables, record),
            (vec!["users".to_owned()], vec![1, 2]),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn failing_migration_is_reported_and_rolled_back() {
    for kind in SHARED {
        let (scratch, fresh) = (scratch(), kind.fresh().await);
        let start =
            || usher(&scratch).args(["--component", "migrating.wasm", "--database", &fresh.url]);
        // The second run shows that the first one has ended: it left no lock and no table.
        for _ in 0..2 {
            fails_with(
                &start().run(),
                1,
                &[
                    "migration 3 (0003_half) failed and had no effect",
                    "permitted",
                    "42P01",
                ],
            );
            // Earlier migrations remain.
            let (tables, record) = Observer::of(&fresh).await.state().await;
            assert_eq!(
                (tables, record),
                (vec!["users".to_owned()], vec![1, 2]),
                "{kind:?}"
            );
        }
        Observer::of(&fresh)
            .await
            .execute("CREATE TABLE permitted (id bigint)")
            .await;
        let mut running = start().spawn();
        running.line("applied migration 3 (0003_half)");
        running.address();
        let (tables, record) = Observer::of(&fresh).await.state().await;
        assert_eq!(
            (tables, record),
            (vec!["half".to_owned(), "users".to_owned()], vec![1, 2, 3]),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn edited_past_migration_is_an_error() {
    for kind in SHARED {
        let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
        assert_eq!(migrate(&scratch, &fresh.url).run().code(), Some(0));
        // The same component with one letter changed in a comment of its migration.
        let (before, after) = match kind {
            Kind::Postgres => (
                "-- A table that somebody else has made is brought in line before this, and is \
                    left as it is here.\nCREATE TABLE IF NOT EXISTS users (\n    id bigint",
                "-- A Table that somebody else has made is brought in line before this, and is \
                    left as it is here.\nCREATE TABLE IF NOT EXISTS users (\n    id bigint",
            ),
            _ => ("-- AUTOINCREMENT keeps", "-- Autoincrement keeps"),
        };
        let mut bytes = usher::sandbox::USERS_WASM.to_vec();
        // The letter is in the component's data, and in its list of statements.
        let places: Vec<_> = bytes
            .windows(before.len())
            .enumerate()
            .filter_map(|(at, window)| (window == before.as_bytes()).then_some(at))
            .collect();
        assert!(
            !places.is_empty(),
            "the migration is in the component as it is written"
        );
        for at in places {
            bytes[at..at + after.len()].copy_from_slice(after.as_bytes());
        }
        std::fs::write(scratch.path().join("edited.wasm"), bytes).expect("a file");
        for command in ["serve", "migrate"] {
            let ended = usher(&scratch)
                .args([
                    command,
                    "--component",
                    "edited.wasm",
                    "--database",
                    &fresh.url,
                ])
                .run();
            fails_with(
                &ended,
                1,
                &[
                    "migration 1 (0001_users)",
                    "other contents",
                    "write a new migration",
                ],
            );
        }
    }
}

#[tokio::test]
async fn database_newer_than_the_component_is_an_error() {
    for kind in SHARED {
        let (scratch, fresh) = (scratch(), kind.fresh().await);
        Observer::of(&fresh)
            .await
            .execute("CREATE TABLE permitted (id bigint)")
            .await;
        let newer = migrate(&scratch, &fresh.url)
            .args(["--component", "migrating.wasm"])
            .run();
        assert_eq!(
            (newer.code(), newer.stderr.len()),
            (Some(0), 3),
            "{:?}",
            newer.stderr
        );
        for command in ["serve", "migrate"] {
            let ended = usher(&scratch)
                .args([command, "--database", &fresh.url])
                .run();
            fails_with(
                &ended,
                1,
                &[
                    "newer than this component",
                    "migration 3 (0003_half)",
                    "serve a newer component",
                ],
            );
        }
        let (tables, record) = Observer::of(&fresh).await.state().await;
        assert_eq!((tables.len(), record), (2, vec![1, 2, 3]), "{kind:?}");
    }
}

/// Another host's lock is a lock on the server. It is waited for a second at a time, for as long as
/// it takes.
#[tokio::test]
async fn host_waits_for_migrations_of_another_host() {
    let (scratch, fresh) = (Scratch::new(), Kind::Postgres.fresh().await);
    let other = Observer::of(&fresh).await;
    other
        .execute("BEGIN; SELECT pg_advisory_xact_lock(504447395186)")
        .await;
    let mut running = usher(&scratch)
        .args(["--database-wait", "10m", "--log", "debug"])
        .args(["--database", &fresh.url])
        .spawn();
    for _ in 0..2 {
        let line = running.line("another host has been applying them");
        assert!(line.contains("trying again"), "{line}");
    }
    other.execute("COMMIT").await;
    running.line("applied migration 1 (0001_users)");
    let address = running.address();
    assert_eq!(
        send_request(&address, Request::get("/users/1"))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn role_without_ddl_privileges_serves_a_current_schema() {
    let (scratch, cluster) = (
        scratch(),
        Cluster::start().unwrap_or_else(|error| panic!("{error}")),
    );
    let (owner, connection) = tokio_postgres::connect(&cluster.url(), NoTls)
        .await
        .expect("a server");
    let serving = tokio::spawn(connection);
    owner
        .batch_execute(
            "CREATE ROLE clerk LOGIN PASSWORD 'clerk'; REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        )
        .await
        .expect("a superuser may");
    let url = format!(
        "postgres://clerk:clerk@127.0.0.1:{}/postgres",
        cluster.port()
    );
    let start = || usher(&scratch).args(["--database", &url, "--database-wait", "10m"]);

    // With something to do it reports the missing privilege at once.
    let ended = start().run();
    let output = ended.stderr.join("\n");
    assert_eq!(ended.code(), Some(1), "{output}");
    for part in ["permission denied", "clerk", "42501", "nothing was changed"] {
        assert!(output.contains(part), "{part:?} is not in {output}");
    }
    assert_eq!(migrate(&scratch, &cluster.url()).run().code(), Some(0));
    // The same holds if it may not even read the catalogue.
    fails_with(
        &start().run(),
        1,
        &["usher_migrations", "permission denied", "42501"],
    );

    owner
        .batch_execute(
            "GRANT SELECT ON usher_migrations TO clerk; GRANT SELECT, INSERT, UPDATE, \
            DELETE ON users TO clerk",
        )
        .await
        .expect("a superuser may");
    let mut running = start().spawn();
    let address = running.address();
    let ann = serde_json::json!({"name": "Ann", "email": "ann@example.org"});
    assert_eq!(
        send_request(&address, Request::post("/users/", &ann))
            .await
            .status,
        200
    );
    // One migration later there is something to do again, and the current service continues.
    fails_with(
        &start().args(["--component", "migrating.wasm"]).run(),
        1,
        &[
            "migration 3 (0003_half) failed and had no effect",
            "permission denied",
            "42501",
        ],
    );
    assert_eq!(
        send_request(&address, Request::get("/users/1"))
            .await
            .status,
        200
    );
    drop((running, owner));
    serving
        .await
        .expect("it does not panic")
        .expect("it is closed in order");
}
