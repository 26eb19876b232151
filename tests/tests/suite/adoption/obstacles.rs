//! Tables that are not adopted: the plan and the start say why, and nothing is changed.

use super::{Case, USERS, output, shape, user};
use crate::databases::Kind;
use crate::startup::{send_request, usher};

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
