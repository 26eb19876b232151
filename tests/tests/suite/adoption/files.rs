//! Adoption of a table in an SQLite file.

use usher_tests::http::Request;

use super::{Case, SEED, USERS, delete, detail, user};
use crate::databases::Kind;
use crate::migrations::Observer;
use crate::startup::send_request;

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
