//! Single statements: their results and their refusals.

use super::*;

on_both!(values_round_trip);

async fn values_round_trip(_database: &Database, pool: &Pool) {
    let table = "CREATE TABLE kinds (a BOOLEAN, b BIGINT, c DOUBLE PRECISION, d TEXT, \
                 e BYTEA, f UUID, g TIMESTAMPTZ, h NUMERIC, i JSONB, j TEXT)";
    run(pool, table, &[]).await.unwrap();
    let given = [
        Value::Boolean(true),
        Value::Integer(i64::MIN),
        Value::Real(f64::INFINITY),
        text("gr\u{fc}n 1"),
        Value::Bytes(vec![0, 255]),
        Value::Uuid((1, u64::MAX)),
        Value::Timestamp(-1),
        Value::Decimal("-12.34".to_owned()),
        Value::Json("{\"a\":[1.0]}".to_owned()),
        Value::Null,
    ];
    let insert = "INSERT INTO kinds VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    assert_eq!(run(pool, insert, &given).await.unwrap(), 1);
    let got = rows(pool, "SELECT * FROM kinds", &[]).await.unwrap();
    assert_eq!(
        *got.columns,
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
    );
    assert_eq!(format!("{:?}", got.rows), format!("{:?}", [&given]));
    let returned = pool
        .query(
            &writes("UPDATE kinds SET a = $1 RETURNING *"),
            &[Value::Boolean(true)],
            &budget(),
        )
        .await;
    assert_eq!(
        format!("{:?}", returned.unwrap().rows),
        format!("{:?}", [&given])
    );
}

on_both!(parameters_are_bound_by_number);

async fn parameters_are_bound_by_number(_database: &Database, pool: &Pool) {
    let got = rows(pool, "SELECT $2, $1, $2", &[text("one"), text("two")])
        .await
        .unwrap();
    assert_eq!(
        format!("{:?}", got.rows),
        format!("{:?}", [[text("two"), text("one"), text("two")]])
    );
    assert!(matches!(
        rows(pool, "SELECT $2", &[text("one")]).await,
        Err(Error::Invalid(_))
    ));
    assert!(matches!(
        rows(pool, "SELECT 1", &[text("one")]).await,
        Err(Error::Invalid(_))
    ));
    for other in [
        "SELECT ?",
        "SELECT ?1",
        "SELECT :a",
        "SELECT @a",
        "SELECT $a",
        "SELECT $1::text",
        "SELECT 1; SELECT 2",
        " ",
    ] {
        let got = rows(pool, other, &[]).await;
        assert!(matches!(got, Err(Error::Invalid(_))), "{other}: {got:?}");
    }
    for value in [
        Value::Real(f64::NAN),
        text("a\0b"),
        Value::Json("{".to_owned()),
        Value::Decimal("1e5".to_owned()),
    ] {
        let got = rows(pool, "SELECT $1", &[value]).await;
        assert!(matches!(got, Err(Error::Invalid(_))), "{got:?}");
    }
}

on_both!(violation_names_its_constraint_or_column);

async fn violation_names_its_constraint_or_column(_database: &Database, pool: &Pool) {
    run(pool, USERS, &[]).await.unwrap();
    run(
        pool,
        "CREATE TABLE notes (of INTEGER NOT NULL REFERENCES users (id), title TEXT)",
        &[],
    )
    .await
    .unwrap();
    run(
        pool,
        "CREATE UNIQUE INDEX notes_once ON notes (of, title)",
        &[],
    )
    .await
    .unwrap();
    let insert = "INSERT INTO users (id, email, first, last, age) VALUES ($1, $2, $3, 'z', $4)";
    let user = |id, email, first, age| {
        [
            Value::Integer(id),
            text(email),
            text(first),
            Value::Integer(age),
        ]
    };
    run(pool, insert, &user(1, "a@b.c", "a", 1)).await.unwrap();
    run(pool, "INSERT INTO notes VALUES (1, 'x')", &[])
        .await
        .unwrap();

    let constraint = |refusal: Refusal| (refusal.code, refusal.constraint, refusal.column);
    let named = |code: &str, name: &str| (code.to_owned(), Some(name.to_owned()), None);
    let refused = refusal(run(pool, insert, &user(1, "b@b.c", "b", 1)).await);
    assert_eq!(constraint(refused), named("23505", "users_pkey"));
    let refused = refusal(run(pool, insert, &user(2, "a@b.c", "b", 1)).await);
    assert_eq!(constraint(refused), named("23505", "users_email_key"));
    run(
        pool,
        "CREATE UNIQUE INDEX users_lowered ON users (lower(email))",
        &[],
    )
    .await
    .unwrap();
    let refused = refusal(run(pool, insert, &user(2, "A@b.c", "b", 1)).await);
    assert_eq!(constraint(refused), named("23505", "users_lowered"));
    let refused = refusal(run(pool, insert, &user(2, "b@b.c", "a", 1)).await);
    assert_eq!(constraint(refused), named("23505", "users_first_last_key"));
    let refused = refusal(run(pool, insert, &user(2, "b@b.c", "b", -1)).await);
    assert_eq!(constraint(refused), named("23514", "users_age_check"));
    let refused = refusal(run(pool, "INSERT INTO notes VALUES (1, 'x')", &[]).await);
    assert_eq!(constraint(refused), named("23505", "notes_once"));
    let refused = refusal(run(pool, "INSERT INTO users (email) VALUES (NULL)", &[]).await);
    assert_eq!(
        constraint(refused),
        ("23502".to_owned(), None, Some("email".to_owned()))
    );
    let refused = refusal(run(pool, "INSERT INTO notes VALUES (9, 'x')", &[]).await);
    assert_eq!(constraint(refused), ("23503".to_owned(), None, None));
}

on_both!(refusal_has_the_sqlstate_of_postgresql);

async fn refusal_has_the_sqlstate_of_postgresql(_database: &Database, pool: &Pool) {
    run(pool, USERS, &[]).await.unwrap();
    for (statement, code) in [
        ("SELEC 1", "42601"),
        ("SELECT (", "42601"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT nought FROM users", "42703"),
        ("SELECT \"nought\"", "42703"),
        ("INSERT INTO users (nought) VALUES (1)", "42703"),
        ("SELECT nought(1)", "42883"),
        ("CREATE TABLE users (id INTEGER)", "42P07"),
        ("INSERT INTO users (id, email) VALUES ('a', 'b')", "22P02"),
    ] {
        assert_eq!(
            refusal(run(pool, statement, &[]).await).code,
            code,
            "{statement}"
        );
    }
    // The connection refuses a write that policy took for a read.
    let refused = pool
        .query(
            &reads("INSERT INTO users (email) VALUES ('x') RETURNING id"),
            &[],
            &budget(),
        )
        .await;
    assert_eq!(refusal(refused).code, "25006");
}

on_both!(statement_missed_by_policy_is_denied);

async fn statement_missed_by_policy_is_denied(_database: &Database, pool: &Pool) {
    for statement in [
        "ATTACH 'other.db' AS other",
        "PRAGMA user_version = 3",
        "SELECT * FROM pragma_database_list",
        "BEGIN",
        "SAVEPOINT s",
        "CREATE TEMP TABLE t (i INTEGER)",
        "CREATE VIRTUAL TABLE t USING fts5(i)",
        "SELECT load_extension('x')",
    ] {
        let got = run(pool, statement, &[]).await;
        assert!(matches!(got, Err(Error::Denied(_))), "{statement}: {got:?}");
    }
    run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    run(pool, "ALTER TABLE t ADD COLUMN j INTEGER", &[])
        .await
        .unwrap();
    run(pool, "ALTER TABLE t RENAME COLUMN j TO k", &[])
        .await
        .unwrap();
    run(pool, "ALTER TABLE t DROP COLUMN k", &[]).await.unwrap();
    run(pool, "DROP TABLE t", &[]).await.unwrap();
}

on_both!(changed_schema_is_seen_by_prepared_statements);

async fn changed_schema_is_seen_by_prepared_statements(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i BOOLEAN)", &[]).await.unwrap();
    run(pool, "INSERT INTO t VALUES (1)", &[]).await.unwrap();
    assert_eq!(
        *rows(pool, "SELECT * FROM t", &[]).await.unwrap().columns,
        ["i"]
    );
    run(pool, "ALTER TABLE t ADD COLUMN j BOOLEAN DEFAULT 0", &[])
        .await
        .unwrap();
    let got = rows(pool, "SELECT * FROM t", &[]).await.unwrap();
    assert_eq!(*got.columns, ["i", "j"]);
    assert_eq!(
        format!("{:?}", got.rows),
        format!("{:?}", [[Value::Boolean(true), Value::Boolean(false)]])
    );
}

on_both!(affected_rows_are_counted);

async fn affected_rows_are_counted(_database: &Database, pool: &Pool) {
    run(pool, "CREATE TABLE t (i INTEGER)", &[]).await.unwrap();
    assert_eq!(
        run(pool, "INSERT INTO t VALUES (1), (2), (3)", &[])
            .await
            .unwrap(),
        3
    );
    assert_eq!(
        run(pool, "CREATE TABLE u (i INTEGER)", &[]).await.unwrap(),
        0
    );
    assert_eq!(
        run(pool, "UPDATE t SET i = 0 WHERE i > 1", &[])
            .await
            .unwrap(),
        2
    );
    assert_eq!(
        run(pool, "UPDATE t SET i = 0 WHERE i > 1", &[])
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        pool.execute(&reads("SELECT * FROM t"), &[], &budget())
            .await
            .unwrap(),
        3
    );
    assert_eq!(
        run(pool, "DELETE FROM t RETURNING i", &[]).await.unwrap(),
        3
    );
}

on_both!(statement_at_a_reused_address_has_its_own_columns);

async fn statement_at_a_reused_address_has_its_own_columns(_database: &Database, pool: &Pool) {
    for round in 0..200 {
        let (text, expected) = if round % 2 == 0 {
            (format!("SELECT {round} AS a, 'x' AS b"), 2)
        } else {
            (format!("SELECT {round} AS c"), 1)
        };
        let got = rows(pool, &text, &[]).await.unwrap();
        assert_eq!((got.columns.len(), got.rows.len()), (expected, 1), "{text}");
    }
}
