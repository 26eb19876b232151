//! Adoption of a table of users that another program created: it keeps its meaning, or nothing is
//! changed and the plan says why.
//!
//! Each case is a schema and a start of the program itself.

use serde_json::json;
use usher_tests::http::{Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Ended, Running, Usher};

use crate::databases::{Fresh, Kind};
use crate::migrations::{Observer, SHARED};
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
async fn taken_address_with_any_key_name_returns_409() {
    let table =
        "CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT NULL)";
    let keys = [
        "CREATE UNIQUE INDEX ix_users_email ON users (email)",
        "ALTER TABLE users ADD CONSTRAINT uq_users_email UNIQUE (email)",
        "CREATE UNIQUE INDEX blind ON users (lower(email))",
        "CREATE UNIQUE INDEX named ON users (email) WHERE name <> ''",
        "CREATE UNIQUE INDEX a ON users (email); CREATE UNIQUE INDEX b ON users (email) INCLUDE \
            (name)",
        "ALTER TABLE users ADD CONSTRAINT late UNIQUE (email) DEFERRABLE INITIALLY DEFERRED",
        "ALTER TABLE users ADD CONSTRAINT apart EXCLUDE USING btree (email WITH =)",
        "SELECT 1",
    ];
    for key in keys {
        let case = Case::new(Kind::Postgres, &format!("{table}; {key}; {USERS}")).await;
        let (_running, address) = case.serve();
        let taken = send_request(&address, user("B", "ann@example.com")).await;
        assert_eq!(
            (taken.status, detail(&taken).as_str()),
            (409, "Email already registered"),
            "{key}"
        );
        let change = change("/users/2", &json!({"email": "ann@example.com"}));
        assert_eq!(send_request(&address, change).await.status, 409, "{key}");
        assert_eq!(
            send_request(&address, user("D", "dot@example.com"))
                .await
                .status,
            200,
            "{key}"
        );
    }
    let table = "CREATE TABLE users (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR NOT NULL, \
        email VARCHAR NOT NULL, age INTEGER)";
    for key in [
        "CREATE UNIQUE INDEX ix_users_email ON users (email)",
        "CREATE UNIQUE INDEX blind ON users (lower(email))",
        "CREATE UNIQUE INDEX named ON users (email) WHERE name <> ''",
        "SELECT 1",
    ] {
        let case = Case::new(Kind::File, &format!("{table}; {key}; {USERS}")).await;
        let (_running, address) = case.serve();
        let taken = send_request(&address, user("B", "ann@example.com")).await;
        assert_eq!(
            (taken.status, detail(&taken).as_str()),
            (409, "Email already registered"),
            "{key}"
        );
    }
}

#[tokio::test]
async fn violated_key_on_another_column_returns_409() {
    for (kind, schema) in SEED {
        let schema =
            format!("{schema}; CREATE UNIQUE INDEX one_of_a_name ON users (name); {USERS}");
        let case = Case::new(kind, &schema).await;
        let (_running, address) = case.serve();
        let taken = send_request(&address, user("Ann", "other@example.com")).await;
        assert_eq!(taken.status, 409, "{}", taken.text());
        assert_ne!(detail(&taken), "Email already registered", "{kind:?}");
    }
}

#[tokio::test]
async fn duplicate_addresses_are_counted_and_change_nothing() {
    let tables = [
        (
            Kind::Postgres,
            "CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL)",
        ),
        (
            Kind::File,
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL)",
        ),
    ];
    for (kind, table) in tables {
        let case = Case::new(kind, &format!("{table}; {USERS}; {USERS}")).await;
        case.is_refused(&["users.email", "2 addresses", "GROUP BY email"]);
        case.observer
            .execute("DELETE FROM users WHERE id > 2")
            .await;
        let (_running, address) = case.serve();
        assert_eq!(
            send_request(&address, user("B", "ann@example.com"))
                .await
                .status,
            409,
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn column_whose_meaning_would_change_is_an_obstacle_and_unchanged() {
    let email = |kind: &str| {
        format!(
            "CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR NOT NULL, email {kind} NOT \
                NULL UNIQUE)"
        )
    };
    let cases = [
        (
            format!(
                "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', \
                deterministic = false); {}",
                email("text COLLATE blind")
            ),
            vec!["users.email", "collation blind"],
        ),
        (
            format!(
                "CREATE TYPE address AS ENUM ('a@example.com'); {}",
                email("address")
            ),
            vec!["users.email", "address"],
        ),
        (
            format!(
                "CREATE DOMAIN address AS text; \
            {}",
                email("address")
            ),
            vec!["users.email", "address"],
        ),
        (email("jsonb"), vec!["users.email", "jsonb"]),
        (email("char(40)"), vec!["users.email", "character"]),
        (email("bytea"), vec!["users.email", "bytea"]),
        (
            "CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT \
                NULL, email text NOT NULL UNIQUE)"
                .into(),
            vec!["users.id", "uuid"],
        ),
        (
            "CREATE TABLE users (id numeric PRIMARY KEY DEFAULT 1, name text NOT NULL, email text \
                NOT NULL UNIQUE)"
                .into(),
            vec!["users.id", "numeric"],
        ),
        (
            "CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL, email text NOT NULL \
                UNIQUE, version text)"
                .into(),
            vec!["users.version", "text", "RENAME COLUMN version"],
        ),
        (
            "CREATE TABLE users (id serial PRIMARY KEY, first text, name text GENERATED ALWAYS AS \
                (upper(first)) STORED, email text NOT NULL UNIQUE)"
                .into(),
            vec!["users.name", "generated"],
        ),
    ];
    for (schema, parts) in cases {
        let case = Case::new(Kind::Postgres, &schema).await;
        let before = shape(&case).await;
        case.is_refused(&parts);
        assert_eq!(shape(&case).await, before, "{schema}");
    }
}

#[tokio::test]
async fn relation_that_is_not_an_ordinary_table_is_an_obstacle() {
    let table = "CREATE TABLE users (id BIGSERIAL PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT \
        NULL UNIQUE)";
    let cases = [
        ("CREATE TABLE people (id serial, name text, email text); CREATE VIEW users AS SELECT * \
            FROM people".to_owned(), "it is a view"),
        ("CREATE MATERIALIZED VIEW users AS SELECT 1 AS id, ''::text AS name, ''::text AS \
            email".into(), "materialized view"),
        ("CREATE TABLE users (id bigserial, name text, email text, PRIMARY KEY (id)) PARTITION BY \
            RANGE (id)".into(), "partitioned"),
        ("CREATE SEQUENCE users".into(), "a sequence"),
        (table.replace("CREATE TABLE", "CREATE UNLOGGED TABLE"), "unlogged"),
        (format!("{table}; CREATE TABLE more () INHERITS (users)"), "INHERITS"),
        (format!("{table}; CREATE RULE soft AS ON DELETE TO users DO INSTEAD NOTHING"), "the rule \
            soft"),
        ("CREATE TABLE users (id serial PRIMARY KEY, email text UNIQUE, hashed_password \
            text)".into(), "no column name"),
        ("CREATE TABLE users (login text PRIMARY KEY)".into(), "no column id"),
    ];
    for (schema, part) in cases {
        let case = Case::new(Kind::Postgres, &schema).await;
        let before = shape(&case).await;
        case.is_refused(&["public.users", part]);
        assert_eq!(shape(&case).await, before, "{schema}");
    }
}

#[tokio::test]
async fn columns_and_rows_that_the_service_cannot_serve_are_obstacles() {
    let cases = [
        (
            "CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL UNIQUE, hashed_password VARCHAR NOT NULL)",
            vec!["users.hashed_password", "DROP NOT NULL"],
        ),
        (
            "CREATE DOMAIN secret AS text NOT NULL; CREATE TABLE users (id SERIAL PRIMARY KEY, \
                name VARCHAR NOT NULL, email VARCHAR NOT NULL UNIQUE, pin secret)",
            vec!["users.pin"],
        ),
        (
            "CREATE TABLE users (id integer PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL UNIQUE)",
            vec!["users.id", "no default", "AS IDENTITY"],
        ),
        (
            "CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR, email VARCHAR NOT NULL \
                UNIQUE); INSERT INTO users (email) VALUES ('n@example.com')",
            vec!["users.name", "1 user without a value", "UPDATE"],
        ),
        (
            "CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR, email VARCHAR UNIQUE); \
                INSERT INTO users (name) VALUES ('a'), ('b')",
            vec!["users.email", "2 users without a value"],
        ),
        (
            "CREATE TABLE users (id SERIAL, name VARCHAR NOT NULL, email VARCHAR NOT NULL \
                UNIQUE); INSERT INTO users VALUES (1, 'a', 'a@example.com'), (1, 'b', \
                'b@example.com')",
            vec!["users.id", "1 ids belong to several"],
        ),
        (
            "CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL UNIQUE); INSERT INTO users VALUES (0, 'a', 'a@example.com')",
            vec!["users.id", "1 user below"],
        ),
    ];
    for (schema, parts) in cases {
        let case = Case::new(Kind::Postgres, schema).await;
        let before = shape(&case).await;
        case.is_refused(&parts);
        assert_eq!(shape(&case).await, before, "{schema}");
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
async fn violated_rules_of_another_program_return_409_or_422() {
    let schema = "CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR NOT NULL CHECK (name <> \
        'x'), email VARCHAR(30) NOT NULL UNIQUE); \
                  CREATE VIEW emails AS SELECT email FROM users; \
                  CREATE TABLE items (owner_id int REFERENCES users (id)); \
                  CREATE TABLE cards (owner_id int REFERENCES users (id) ON DELETE RESTRICT); \
                  CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION \
                  ''no''; END'; \
                  CREATE TRIGGER no BEFORE INSERT ON users FOR EACH ROW WHEN (NEW.name = \
                  'trigger') EXECUTE FUNCTION no(); \
                  INSERT INTO users (name, email) VALUES ('Ann', 'ann@example.com'), ('Bob', \
                  'bob@example.com'); \
                  INSERT INTO items VALUES (1); INSERT INTO cards VALUES (2)";
    let case = Case::new(Kind::Postgres, schema).await;
    let (_, plan) = case.plan();
    for part in [
        "it stays character varying(30)",
        "CHECK",
        "public.items",
        "trigger no",
    ] {
        assert!(plan.contains(part), "{part} is not in {plan}");
    }
    // The id is narrower than required; a view on another column is no obstacle.
    let (_running, address) = case.serve();
    for id in [1, 2] {
        let deleted = send_request(&address, delete(&format!("/users/{id}"))).await;
        assert_eq!(
            (deleted.status, detail(&deleted).as_str()),
            (409, "Other data refers to this user")
        );
    }
    assert_eq!(
        send_request(&address, user("x", "x@example.com"))
            .await
            .status,
        422
    );
    assert_eq!(
        send_request(
            &address,
            user("y", &format!("{}@example.com", "y".repeat(40)))
        )
        .await
        .status,
        422
    );
    assert_eq!(
        send_request(&address, user("trigger", "t@example.com"))
            .await
            .status,
        409
    );
    assert_eq!(
        send_request(&address, user("z", "z@example.com"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn null_name_of_another_program_is_listed_as_empty_text() {
    let schema = "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR, email VARCHAR NOT \
        NULL UNIQUE, age INTEGER)";
    let case = Case::new(Kind::File, &format!("{schema}; {USERS}")).await;
    let (_running, address) = case.serve();
    case.observer
        .execute("INSERT INTO users (email) VALUES ('nobody@example.com')")
        .await;
    let list = send_request(&address, Request::get("/users/")).await;
    assert_eq!(list.status, 200);
    assert!(
        list.text()
            .contains(r#"{"id":3,"name":"","email":"nobody@example.com"}"#),
        "{}",
        list.text()
    );
}

#[tokio::test]
async fn view_is_an_obstacle_only_if_a_type_has_to_change() {
    let right = "CREATE TABLE users (id BIGSERIAL PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT \
        NULL UNIQUE); \
                 CREATE VIEW emails AS SELECT id, email FROM users";
    let case = Case::new(Kind::Postgres, right).await;
    let ended = case.usher("migrate").run();
    assert_eq!(ended.code(), Some(0), "{}", output(&ended));
    let narrow = right.replace("BIGSERIAL", "SERIAL");
    Case::new(Kind::Postgres, &narrow)
        .await
        .is_refused(&["users.id", "rule _RETURN on view emails"]);
}

#[tokio::test]
async fn write_of_another_program_raises_the_version() {
    for kind in SHARED {
        for schema in [
            "SELECT 1",
            SEED.iter().find(|(of, _)| *of == kind).expect("a schema").1,
        ] {
            let case = Case::new(kind, schema).await;
            let (running, address) = case.serve();
            assert_eq!(
                send_request(&address, user("Ann", "ann@example.com"))
                    .await
                    .status,
                200
            );
            case.observer
                .execute("UPDATE users SET name = 'Changed' WHERE id = 1")
                .await;
            let fresh = send_request(
                &address,
                Request::get("/users/1").header("if-none-match", "\"1\""),
            )
            .await;
            assert_eq!(
                (fresh.status, fresh.header("etag").as_deref()),
                (200, Some("\"2\"")),
                "{kind:?}"
            );
            let put = change("/users/1", &json!({"name": "Lost"})).header("if-match", "\"1\"");
            assert_eq!(send_request(&address, put).await.status, 412, "{kind:?}");
            let put = change("/users/1", &json!({"name": "Mine"})).header("if-match", "\"2\"");
            let mine = send_request(&address, put).await;
            assert_eq!(
                (mine.status, mine.header("etag").as_deref()),
                (200, Some("\"3\"")),
                "{kind:?}"
            );
            drop(running);
            // A missing trigger is created again.
            case.observer
                .execute(match kind {
                    Kind::Postgres => "DROP TRIGGER usher_next_version ON users",
                    _ => "DROP TRIGGER usher_next_version",
                })
                .await;
            let mut running = case.usher("serve").spawn();
            running.line("usher_next_version");
            let address = running.address();
            case.observer
                .execute("UPDATE users SET name = 'Again' WHERE id = 1")
                .await;
            let again = send_request(&address, Request::get("/users/1")).await;
            assert_eq!(again.header("etag").as_deref(), Some("\"4\""), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn table_in_a_later_schema_of_the_search_path_is_an_obstacle() {
    let case = Case::new(
        Kind::Postgres,
        "CREATE SCHEMA app; CREATE SCHEMA old; CREATE TABLE old.users (id SERIAL PRIMARY KEY, \
            name VARCHAR NOT NULL, email VARCHAR NOT NULL UNIQUE)",
    )
    .await;
    let with = |path: &str| format!("{}?options=-csearch_path%3D{path}", case.fresh.url);
    let run = |path: &str| {
        let ended = usher(&case.scratch)
            .args(["migrate", "--plan", "--database", &with(path)])
            .run();
        (
            ended.code(),
            String::from_utf8_lossy(&ended.stdout).into_owned(),
        )
    };
    let (code, plan) = run("app,old");
    assert_eq!(code, Some(1), "{plan}");
    assert!(
        plan.contains("old.users") && plan.contains("schema app"),
        "{plan}"
    );
    // Either search path of the remedy works.
    let (code, plan) = run("old");
    assert_eq!(code, Some(0), "{plan}");
    assert!(plan.contains("old.users_id_seq"), "{plan}");
    let (code, plan) = run("app");
    assert_eq!(code, Some(0), "{plan}");
    assert!(
        plan.contains("advice") && plan.contains("old.users"),
        "{plan}"
    );
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

#[tokio::test]
async fn file_with_other_columns_keeps_its_table_and_gets_what_is_missing() {
    let schema = "CREATE TABLE users (id INTEGER NOT NULL, name VARCHAR(50) NOT NULL, email \
        VARCHAR NOT NULL, is_active BOOLEAN DEFAULT 1, PRIMARY KEY (id)); \
                  CREATE UNIQUE INDEX ix_users_email ON users (email); CREATE INDEX ix_users_name \
                  ON users (name); \
                  CREATE TABLE items (id INTEGER PRIMARY KEY, owner_id INTEGER REFERENCES users \
                  (id) ON DELETE CASCADE, other_id INTEGER REFERENCES users (id)); \
                  CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY); \
                  INSERT INTO alembic_version VALUES ('abc'); \
                  CREATE VIEW names AS SELECT name FROM users";
    let case = Case::new(
        Kind::File,
        &format!(
            "{schema}; {USERS}; INSERT INTO items (owner_id) VALUES (1); INSERT INTO items \
            (other_id) VALUES (2)"
        ),
    )
    .await;
    let (code, plan) = case.plan();
    assert_eq!(code, Some(0), "{plan}");
    assert!(
        plan.contains("advice") && plan.contains("AUTOINCREMENT"),
        "{plan}"
    );
    let (_running, address) = case.serve();
    assert_eq!(
        send_request(&address, Request::get("/users/1"))
            .await
            .header("etag")
            .as_deref(),
        Some("\"1\"")
    );
    let refused = send_request(&address, delete("/users/2")).await;
    assert_eq!(
        (refused.status, detail(&refused).as_str()),
        (409, "Other data refers to this user")
    );
    let Observer::File(file) = &case.observer else {
        panic!("it is a file")
    };
    let count = |of: &str| {
        file.query_row(&format!("SELECT count(*) FROM {of}"), [], |row| {
            row.get::<_, i64>(0)
        })
        .expect("a count")
    };
    assert_eq!(
        (count("items"), count("alembic_version"), count("names")),
        (2, 1, 2)
    );
    assert_eq!(
        count("pragma_index_list('users') WHERE name LIKE 'ix_users_%'"),
        2
    );
}

#[tokio::test]
async fn file_with_references_to_users_keeps_them() {
    let schema = format!(
        "{}; CREATE TABLE items (id INTEGER PRIMARY KEY, owner_id INTEGER REFERENCES users (id) \
            ON DELETE CASCADE); {USERS}; \
         INSERT INTO items (owner_id) VALUES (1), (2)",
        SEED[0].1
    );
    let case = Case::new(Kind::File, &schema).await;
    let (_running, address) = case.serve();
    assert_eq!(send_request(&address, delete("/users/2")).await.status, 204);
    let Observer::File(file) = &case.observer else {
        panic!("it is a file")
    };
    let left = file.query_row("SELECT count(*), min(owner_id) FROM items", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    });
    assert_eq!(left.expect("a count"), (1, 1));
}

#[tokio::test]
async fn file_with_unservable_users_is_refused_and_unchanged() {
    let cases = [
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL UNIQUE COLLATE NOCASE)",
            "collation",
        ),
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL UNIQUE, hashed_password VARCHAR NOT NULL)",
            "users.hashed_password",
        ),
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR, email VARCHAR NOT NULL \
                UNIQUE); INSERT INTO users (email) VALUES ('n@example.com')",
            "1 user without a value",
        ),
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL UNIQUE); INSERT INTO users VALUES (1, x'00', 'n@example.com')",
            "1 user without a text",
        ),
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL UNIQUE); INSERT INTO users VALUES (0, 'a', 'n@example.com')",
            "1 user below",
        ),
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name NUMERIC NOT NULL, email VARCHAR NOT \
                NULL UNIQUE)",
            "users.name",
        ),
        (
            "CREATE TABLE users (id TEXT PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL UNIQUE)",
            "users.id",
        ),
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL UNIQUE) WITHOUT ROWID",
            "WITHOUT ROWID",
        ),
        (
            "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, email TEXT); CREATE VIEW \
                users AS SELECT * FROM people",
            "it is a view",
        ),
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR, hashed_password VARCHAR)",
            "no column name",
        ),
        (
            "CREATE TABLE users (id BIGINT PRIMARY KEY, name VARCHAR NOT NULL, email VARCHAR NOT \
                NULL UNIQUE, age INTEGER)",
            "INTEGER PRIMARY KEY",
        ),
    ];
    for (schema, part) in cases {
        let case = Case::new(Kind::File, schema).await;
        case.is_refused(&["users", part]);
        let Observer::File(file) = &case.observer else {
            panic!("it is a file")
        };
        let record = file.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'usher%' OR sql LIKE '%version%'",
            [],
            |row| row.get::<_, i64>(0),
        );
        assert_eq!(record.expect("a count"), 0, "{schema}");
    }
}

#[tokio::test]
async fn file_with_bigint_ids_gets_a_new_table() {
    let schema = "CREATE TABLE users (id BIGINT NOT NULL, name VARCHAR NOT NULL, email VARCHAR \
        NOT NULL, PRIMARY KEY (id), UNIQUE (email)); \
                  INSERT INTO users VALUES (7, 'Ann', 'ann@example.com')";
    let case = Case::new(Kind::File, schema).await;
    let (_running, address) = case.serve();
    assert_eq!(
        send_request(&address, Request::get("/users/7"))
            .await
            .status,
        200
    );
    let next = send_request(&address, user("B", "bob@example.com")).await;
    assert!(next.text().contains("\"id\":8"), "{}", next.text());
}
