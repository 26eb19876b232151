//! Adoption of a table of users that another program created: it keeps its meaning, or nothing is
//! changed and the plan says why.
//!
//! Each case is a schema and a start of the program itself.

mod files;
mod obstacles;
mod rules;

use serde_json::json;
use usher_tests::http::{Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Ended, Running, Usher};

use crate::databases::{Fresh, Kind};
use crate::migrations::Observer;
use crate::startup::{send_request, usher};

/// The FastAPI service's model by `create_all`, on each database.
const SEED: [(Kind, &str); 2] = [
    (
        Kind::File,
        "CREATE TABLE users (id INTEGER NOT NULL, name VARCHAR NOT NULL, email VARCHAR NOT NULL, \
            PRIMARY KEY (id), UNIQUE (email)); \
         CREATE INDEX ix_users_id ON users (id)",
    ),
    (
        Kind::Postgres,
        "CREATE TABLE users (id SERIAL NOT NULL, name VARCHAR NOT NULL, email VARCHAR NOT NULL, \
            PRIMARY KEY (id), UNIQUE (email)); \
         CREATE INDEX ix_users_id ON users (id)",
    ),
];

/// Two users, as another program stores them.
const USERS: &str =
    "INSERT INTO users (name, email) VALUES ('Ann', 'ann@example.com'), ('Bob', 'bob@example.com')";

struct Case {
    scratch: Scratch,
    fresh: Fresh,
    observer: Observer,
}

impl Case {
    async fn new(kind: Kind, schema: &str) -> Self {
        let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
        let observer = Observer::of(&fresh).await;
        observer.execute(schema).await;
        Self {
            scratch,
            fresh,
            observer,
        }
    }

    fn usher(&self, command: &str) -> Usher {
        usher(&self.scratch).args([command, "--database", &self.fresh.url])
    }

    fn plan(&self) -> (Option<i32>, String) {
        let ended = self.usher("migrate").args(["--plan"]).run();
        let mut text = String::from_utf8_lossy(&ended.stdout).into_owned();
        if text.is_empty() {
            text = ended.stderr.join("\n");
        }
        (ended.code(), text)
    }

    fn serve(&self) -> (Running, String) {
        let mut running = self.usher("serve").spawn();
        let address = running.address();
        (running, address)
    }

    /// Expects the start to report the same obstacle as the plan, and to change nothing.
    #[track_caller]
    fn is_refused(&self, parts: &[&str]) {
        let (code, plan) = self.plan();
        assert_eq!(code, Some(1), "{plan}");
        assert!(plan.contains("OBSTACLE"), "{plan}");
        let ended = self.usher("serve").run();
        let output = ended.stderr.join("\n");
        assert_eq!(ended.code(), Some(1), "{output}");
        for part in parts {
            assert!(plan.contains(part), "{part:?} is not in {plan}");
            assert!(output.contains(part), "{part:?} is not in {output}");
        }
        assert!(output.contains("nothing was changed"), "{output}");
    }
}

fn output(ended: &Ended) -> String {
    ended.stderr.join("\n")
}

fn user(name: &str, email: &str) -> Request {
    Request::post("/users/", &json!({"name": name, "email": email}))
}

fn change(path: &str, body: &serde_json::Value) -> Request {
    Request::new("PATCH", path)
        .header("content-type", "application/json")
        .body(body.to_string())
}

fn delete(path: &str) -> Request {
    Request::new("DELETE", path)
}

fn detail(response: &Response) -> String {
    let body: serde_json::Value = serde_json::from_str(&response.text()).expect("JSON");
    body["detail"].as_str().unwrap_or_default().to_owned()
}

/// PostgreSQL's description of the table, for comparison.
async fn shape(case: &Case) -> String {
    let Some(postgres) = &case.fresh.postgres else {
        panic!("only on PostgreSQL")
    };
    let rows = postgres
        .connect()
        .await
        .query(
            "SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || \
                a.attnotnull || ' ' || a.attcollation \
             FROM pg_attribute a WHERE a.attrelid = to_regclass('users') AND attnum > 0 \
             UNION ALL SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = \
             to_regclass('users') \
             UNION ALL SELECT 'record' WHERE to_regclass('usher_migrations') IS NOT NULL",
            &[],
        )
        .await
        .expect("a shape");
    rows.iter()
        .map(|row| row.get::<_, String>(0) + "\n")
        .collect()
}

#[tokio::test]
async fn sqlalchemy_table_is_adopted_with_its_rows() {
    for (kind, schema) in SEED {
        let case = Case::new(kind, &format!("{schema}; {USERS}")).await;
        let (code, plan) = case.plan();
        assert_eq!(code, Some(0), "{plan}");
        assert!(
            plan.contains("change") && plan.contains("0001_users"),
            "{plan}"
        );
        // The plan changes nothing.
        assert_eq!(case.plan().1, plan);
        let (running, address) = case.serve();
        let ann = send_request(&address, Request::get("/users/1")).await;
        assert_eq!(ann.status, 200, "{kind:?}");
        assert_eq!(ann.header("etag").as_deref(), Some("\"1\""), "{kind:?}");
        let taken = send_request(&address, user("B", "ann@example.com")).await;
        assert_eq!(
            (taken.status, detail(&taken).as_str()),
            (409, "Email already registered"),
            "{kind:?}"
        );
        // The id of the last user is not reused. On PostgreSQL a refused write has used one more
        // id.
        let deleted = send_request(&address, delete("/users/2")).await;
        assert_eq!(deleted.status, 204, "{kind:?}");
        let next = send_request(&address, user("C", "cid@example.com")).await;
        let id =
            serde_json::from_str::<serde_json::Value>(&next.text()).expect("JSON")["id"].as_i64();
        assert!(id.is_some_and(|id| id > 2), "{kind:?}: {}", next.text());
        drop(running);
        // After adoption there is nothing left to do.
        let (code, plan) = case.plan();
        assert_eq!(code, Some(0), "{plan}");
        assert!(plan.contains("nothing to do"), "{plan}");
    }
}

#[tokio::test]
async fn missing_columns_and_constraints_that_fit_the_rows_are_added() {
    let schema = "CREATE TABLE users (id SERIAL, name VARCHAR(20), email VARCHAR(40), version \
        INTEGER); \
                  INSERT INTO users (name, email, version) VALUES ('Ann', 'ann@example.com', 7)";
    let case = Case::new(Kind::Postgres, schema).await;
    let (code, plan) = case.plan();
    assert_eq!(code, Some(0), "{plan}");
    let (_running, address) = case.serve();
    let ann = send_request(&address, Request::get("/users/1")).await;
    assert_eq!(
        (ann.status, ann.header("etag").as_deref()),
        (200, Some("\"7\""))
    );
    let shape = shape(&case).await;
    for part in [
        "id bigint true",
        "name text true",
        "email text true",
        "version bigint true",
        "users_pkey",
        "users_email_key",
    ] {
        assert!(shape.contains(part), "{part} is not in {shape}");
    }
    let long = "n".repeat(1000);
    assert_eq!(
        send_request(&address, user(&long, "bob@example.com"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn adopted_sequence_continues_beyond_integer_after_the_greatest_id() {
    for (kind, end) in [("SERIAL", 2_147_483_647_i64), ("SMALLSERIAL", 32_767)] {
        let schema = format!(
            "CREATE TABLE users (id {kind} PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL UNIQUE); \
             SELECT setval('users_id_seq', {end})"
        );
        let case = Case::new(Kind::Postgres, &schema).await;
        let (_running, address) = case.serve();
        let next = send_request(&address, user("X", "x@example.com")).await;
        assert_eq!(next.status, 200, "{kind}: {}", next.text());
        assert!(
            next.text().contains(&format!("\"id\":{}", end + 1)),
            "{}",
            next.text()
        );
    }
    let schema = "CREATE TABLE users (id INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, \
        name VARCHAR NOT NULL, email VARCHAR NOT NULL UNIQUE); \
                  INSERT INTO users SELECT g, 'n', 'n' || g || '@example.com' FROM \
                  generate_series(1, 100) AS g";
    let case = Case::new(Kind::Postgres, schema).await;
    let (running, address) = case.serve();
    let next = send_request(&address, user("X", "x@example.com")).await;
    assert!(next.text().contains("\"id\":101"), "{}", next.text());
    // Rows with explicit ids arrive while it serves: each request takes ids until one is free.
    case.observer
        .execute(
            "INSERT INTO users SELECT g, 'n', 'n' || g || '@example.com' FROM \
            generate_series(102, 150) AS g",
        )
        .await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(
            send_request(&address, user("Y", "y@example.com"))
                .await
                .status,
        );
    }
    assert!(
        statuses.contains(&200) && !statuses.contains(&500),
        "{statuses:?}"
    );
    drop(running);
    case.observer
        .execute(
            "INSERT INTO users SELECT g, 'n', 'n' || g || '@example.com' FROM \
            generate_series(1001, 1100) AS g",
        )
        .await;
    let mut running = case.usher("serve").spawn();
    running.line("behind the greatest id");
    let address = running.address();
    let next = send_request(&address, user("Z", "z@example.com")).await;
    assert!(next.text().contains("\"id\":1101"), "{}", next.text());
    // A sequence of another name is not altered, and the remedy names it.
    let schema = "CREATE TABLE accounts (id SERIAL PRIMARY KEY, name VARCHAR NOT NULL, email \
        VARCHAR NOT NULL UNIQUE); \
                  ALTER TABLE accounts RENAME TO users";
    Case::new(Kind::Postgres, schema)
        .await
        .is_refused(&["ALTER SEQUENCE public.accounts_id_seq AS bigint"]);
}

#[tokio::test]
async fn superuser_plan_omits_row_level_security_that_it_bypasses() {
    let case = Case::new(
        Kind::Postgres,
        "CREATE TABLE users (id BIGSERIAL PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL \
            UNIQUE); \
         ALTER TABLE users ENABLE ROW LEVEL SECURITY; ALTER TABLE users FORCE ROW LEVEL SECURITY",
    )
    .await;
    // A superuser bypasses row-level security, so the plan does not mention it.
    assert_eq!(case.plan().0, Some(0));
}

#[tokio::test]
async fn locked_table_delays_readers_for_at_most_the_lock_timeout() {
    let schema = format!("{}; {USERS}", SEED[1].1);
    let case = Case::new(Kind::Postgres, &schema).await;
    let postgres = case.fresh.postgres.as_ref().expect("it is PostgreSQL");
    let holder = postgres.connect().await;
    holder
        .batch_execute("SET application_name = 'report'; BEGIN; SELECT 1 FROM users")
        .await
        .expect("a lock");
    let mut running = case.usher("serve").args(["--database-wait", "1s"]).spawn();
    let line = running.line("the migrations wait");
    assert!(
        line.contains("report") && line.contains("session"),
        "{line}"
    );
    // While the lock is held, readers succeed again and again.
    let reader = postgres.connect().await;
    reader
        .batch_execute("SET statement_timeout = '4s'")
        .await
        .expect("a setting");
    for _ in 0..5 {
        reader
            .query("SELECT count(*) FROM users", &[])
            .await
            .expect("readers wait only briefly");
    }
    holder.batch_execute("COMMIT").await.expect("it is over");
    let address = running.address();
    assert_eq!(
        send_request(&address, Request::get("/users/1"))
            .await
            .status,
        200
    );
    // With a limit the migration gives up and names the option.
    let case = Case::new(Kind::Postgres, &schema).await;
    let holder = case
        .fresh
        .postgres
        .as_ref()
        .expect("it is PostgreSQL")
        .connect()
        .await;
    holder
        .batch_execute("BEGIN; SELECT 1 FROM users")
        .await
        .expect("a lock");
    let ended = case
        .usher("migrate")
        .args(["--migration-timeout", "3s"])
        .run();
    assert_eq!(ended.code(), Some(1));
    assert!(
        output(&ended).contains("--migration-timeout"),
        "{}",
        output(&ended)
    );
}
