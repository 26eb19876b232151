//! No session state of PostgreSQL remains from one use to the next.
//!
//! The policy denies a guest every statement that would change a session. Here functions of the
//! database change it, which the policy does not see.

use tokio::net::TcpStream;
use tokio_postgres::Client;
use usher_tests::cluster::{Cluster, Stop};
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::pgbouncer::{PgBouncer, Pooling};
use usher_tests::postgres::{self, Database};
use usher_tests::process::{Running, Usher};

use crate::transactions::{CLEANUP_LIMIT, becomes};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

/// A trigger on `notes` and `users` that records the state of the session at each insert, and then
/// changes it.
const SPOIL: &str = "
    CREATE TABLE found (process int, work_mem text, strings text, path text, advisory bigint,
        temporary boolean, channels bigint);
    CREATE SEQUENCE counted;
    CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $spoil$
    BEGIN
        INSERT INTO public.found VALUES (
            pg_backend_pid(), current_setting('work_mem'),
            current_setting('standard_conforming_strings'), current_setting('search_path'),
            (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
            to_regclass('pg_temp.users') IS NOT NULL,
            (SELECT count(*) FROM pg_listening_channels()));
        PERFORM set_config('work_mem', '321kB', false), pg_try_advisory_lock(4242);
        EXECUTE 'LISTEN gossip';
        EXECUTE 'CREATE TEMPORARY TABLE IF NOT EXISTS users (LIKE public.found)';
        EXECUTE 'CREATE TEMPORARY TABLE IF NOT EXISTS notes (body text)';
        IF TG_ARGV[0] = 'strings' THEN
            PERFORM set_config('standard_conforming_strings', 'off', false);
        END IF;
        RETURN NEW;
    END $spoil$;";

async fn send_request(address: &str, request: Request) -> Response {
    let stream = TcpStream::connect(address).await.expect("a connection");
    http::send(stream, &request, address)
        .await
        .expect("an answer")
}

async fn get(address: &str, path: &str) -> Response {
    send_request(address, Request::get(path)).await
}

fn usher(scratch: &Scratch, url: &str) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", url])
        .args(["--workers", "1", "--pool-size", "2"])
}

/// The component `hostile`, on a table whose trigger changes the session.
async fn spoilt(argument: &str) -> (Scratch, Database, Client, Running, String) {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let client = database.connect().await;
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    let mut running = usher(&scratch, database.url())
        .args(["--component", "hostile.wasm", "--no-migrate"])
        .spawn();
    let address = running.address();
    assert_eq!(get(&address, "/table").await.status, 200);
    client
        .batch_execute(&format!(
            "{SPOIL} CREATE TRIGGER spoils BEFORE INSERT ON notes \
             FOR EACH ROW EXECUTE FUNCTION spoil({argument});"
        ))
        .await
        .expect("a trigger");
    (scratch, database, client, running, address)
}

#[tokio::test]
async fn session_state_of_a_transaction_is_reset_before_the_next() {
    let (_scratch, _database, client, _running, address) = spoilt("").await;
    for path in ["/commit", "/commit", "/rollback", "/commit"] {
        assert_eq!(get(&address, path).await.status, 200, "{path}");
    }
    let found = client
        .query("SELECT * FROM found", &[])
        .await
        .expect("rows");
    assert_eq!(found.len(), 3, "what was rolled back wrote nothing down");
    for row in &found {
        assert_eq!(row.get::<_, &str>("work_mem"), "4MB");
        assert_eq!(row.get::<_, &str>("strings"), "on");
        assert_eq!(row.get::<_, i64>("advisory"), 0);
        assert_eq!(row.get::<_, i64>("channels"), 0);
        assert!(!row.get::<_, bool>("temporary"));
        assert!(row.get::<_, &str>("path").ends_with(", pg_temp"));
        let process: i32 = row.get("process");
        assert_eq!(
            process,
            found[0].get::<_, i32>("process"),
            "one session for all"
        );
    }
    // From outside: no request waits for what follows a COMMIT. Other tests hold locks elsewhere.
    let is_free = "SELECT NOT EXISTS (SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = \
        l.database \
        WHERE datname = current_database() AND locktype = 'advisory' AND objid = 4242)";
    tokio::time::timeout(CLEANUP_LIMIT, becomes(&client, is_free))
        .await
        .expect("its lock is given back");
}

#[tokio::test]
async fn session_with_a_changed_setting_is_closed_before_its_next_use() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let client = database.connect().await;
    let mut running = usher(&scratch, database.url()).spawn();
    let address = running.address();
    client
        .batch_execute(&format!(
            "{SPOIL} CREATE TRIGGER spoils BEFORE INSERT ON users \
             FOR EACH ROW EXECUTE FUNCTION spoil('strings');"
        ))
        .await
        .expect("a trigger");
    for number in 0..4 {
        let email = format!("u{number}@example.org");
        let user = serde_json::json!({"name": "ann", "email": email});
        let answer = send_request(&address, Request::post("/users/", &user)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let found = client
        .query("SELECT * FROM found", &[])
        .await
        .expect("rows");
    assert_eq!(found.len(), 4);
    for row in found {
        assert_eq!(row.get::<_, &str>("strings"), "on");
    }
    running.line("standard_conforming_strings");
}

/// A setting whose change the server does not report.
#[tokio::test]
async fn session_state_of_a_single_statement_is_reset_within_a_second() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let client = database.connect().await;
    let mut running = usher(&scratch, database.url()).spawn();
    let address = running.address();
    client
        .batch_execute(&format!(
            "{SPOIL} CREATE TRIGGER spoils BEFORE INSERT ON users \
             FOR EACH ROW EXECUTE FUNCTION spoil('');"
        ))
        .await
        .expect("a trigger");
    for number in 0..3 {
        let email = format!("u{number}@example.org");
        let user = serde_json::json!({"name": "ann", "email": email});
        let answer = send_request(&address, Request::post("/users/", &user)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    }
    let found = client
        .query("SELECT * FROM found", &[])
        .await
        .expect("rows");
    assert_eq!(found.len(), 3);
    for row in &found {
        assert_eq!(row.get::<_, &str>("work_mem"), "4MB");
        assert_eq!(row.get::<_, i64>("advisory"), 0);
        assert!(!row.get::<_, bool>("temporary"));
        assert!(row.get::<_, &str>("path").ends_with(", pg_temp"));
    }
}

#[tokio::test]
async fn temporary_table_hides_no_other_table() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let client = database.connect().await;
    let mut running = usher(&scratch, database.url()).spawn();
    let address = running.address();
    client
        .batch_execute(&format!(
            "{SPOIL} CREATE TRIGGER spoils BEFORE INSERT ON users \
             FOR EACH ROW EXECUTE FUNCTION spoil('');"
        ))
        .await
        .expect("a trigger");
    for number in 1..=3 {
        let email = format!("u{number}@example.org");
        let user = serde_json::json!({"name": "ann", "email": email});
        let answer = send_request(&address, Request::post("/users/", &user)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let listed = get(&address, "/users/").await;
        assert_eq!(listed.json().as_array().map(Vec::len), Some(number));
    }
    let count = client.query_one("SELECT count(*) FROM users", &[]).await;
    assert_eq!(count.expect("a count").get::<_, i64>(0), 3);
}

#[tokio::test]
async fn lost_database_error_names_no_address_role_or_database() {
    let scratch = Scratch::new();
    let cluster = Cluster::start().unwrap_or_else(|error| panic!("{error}"));
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    let mut running = usher(&scratch, &cluster.url())
        .args(["--component", "hostile.wasm", "--no-migrate"])
        .spawn();
    let address = running.address();
    assert_eq!(get(&address, "/table").await.status, 200);
    cluster.stop(Stop::Fast);
    for _ in 0..3 {
        let text = get(&address, "/commit-and-report").await.text();
        assert!(text.contains("Unavailable"), "{text}");
        for secret in [
            "127.0.0.1",
            &cluster.port().to_string(),
            "usher",
            "postgres",
            "refused",
        ] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn altered_table_behind_pooler_returns_no_wrong_value() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let client = database.connect().await;
    let pooler = PgBouncer::start(database.url(), Pooling::Transaction, &[]);
    let mut running = usher(&scratch, &pooler.url()).spawn();
    let address = running.address();
    let user = serde_json::json!({"name": "ann", "email": "ann@example.org"});
    assert_eq!(
        send_request(&address, Request::post("/users/", &user))
            .await
            .status,
        200
    );
    let before = get(&address, "/users/1").await;
    assert_eq!(before.status, 200);
    for kind in ["varchar(100)", "text"] {
        client
            .batch_execute(&format!("ALTER TABLE users ALTER COLUMN name TYPE {kind}"))
            .await
            .expect("another type");
        for _ in 0..3 {
            let after = get(&address, "/users/1").await;
            assert_eq!(after.text(), before.text(), "{kind}");
        }
    }
}
