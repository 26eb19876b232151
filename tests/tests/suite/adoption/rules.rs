//! An adopted table with rules of another program, and with rows that it writes.

use serde_json::json;
use usher_tests::http::Request;

use super::{Case, SEED, USERS, change, delete, detail, user};
use crate::databases::Kind;
use crate::migrations::SHARED;
use crate::startup::send_request;

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
