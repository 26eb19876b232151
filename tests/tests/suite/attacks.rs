//! A hostile component on PostgreSQL, as an ordinary role and as a superuser: statements that once
//! succeeded, their kinds, and thousands of variants.
//!
//! An independent oracle decides whether an attack succeeded, not the policy: the state of every
//! session of the host, read by a function that only the test may call, and what another client
//! sees of the database. Both must be the same before and after.
//!
//! `USHER_TEST_ATTACKS=100000` sets how many variants each role tries.

mod generator;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_postgres::Client;
use usher::database::{Config, Database, Statements};
use usher::sandbox::Source;
use usher_testing::TestApp;
use usher_tests::figures;
use usher_tests::postgres;
use usher_tests::process::WAIT_LIMIT;

use generator::Generator;

const SQL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sql.wasm"));

/// The role of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Ordinary,
    Superuser,
}

/// A component that runs the statements of a test, and another client that observes.
struct Arena {
    app: TestApp,
    outside: Client,
    baseline: Option<State>,
    role: Option<String>,
    database: postgres::Database,
}

/// The state of a session as one text: changed settings, temporary objects, advisory locks, roles,
/// channels, and statements prepared by SQL.
const SESSION_STATE: &str = "CREATE FUNCTION session_state() RETURNS text LANGUAGE sql AS $$ \
    SELECT concat_ws(' | ', \
        (SELECT string_agg(name || '=' || setting, ',' ORDER BY name) FROM pg_settings \
            WHERE source IN ('session', 'interactive') OR name IN ('search_path', \
            'standard_conforming_strings', \
                'default_transaction_read_only', 'statement_timeout', 'row_security', \
                'session_replication_role') \
            AND name <> 'application_name'), \
        'temporary ' || (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()), \
        'locks ' || (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = \
        pg_backend_pid()), \
        current_user, session_user, \
        (SELECT string_agg(c, ',') FROM pg_listening_channels() AS c), \
        'prepared ' || (SELECT count(*) FROM pg_prepared_statements WHERE from_sql), \
        'cursors ' || (SELECT count(*) FROM pg_cursors WHERE name <> '' AND is_holdable)) $$";

/// The state of the database and its server beside the component's own tables.
const OUTSIDE_STATE: &str = "SELECT concat_ws(' | ', \
    (SELECT string_agg(concat(id, body), ',' ORDER BY id) FROM canary), \
    'functions ' || (SELECT md5(string_agg(concat(oid, proname, prosrc, prosecdef, provolatile), \
    ',' ORDER BY oid)) \
        FROM pg_proc WHERE prorettype <> 'trigger'::regtype OR pronamespace = \
        'pg_catalog'::regnamespace), \
    'catalogue ' || (SELECT md5(string_agg(concat(oid, relname, relkind, relowner, relnatts), ',' \
    ORDER BY oid)) \
        FROM pg_class WHERE relnamespace IN ('pg_catalog'::regnamespace, \
        'information_schema'::regnamespace)), \
    'roles ' || (SELECT md5(string_agg(a::text, ',' ORDER BY oid)) FROM pg_authid AS a \
        WHERE rolsuper OR starts_with(rolname, current_database())), \
    'role settings ' || (SELECT count(*) FROM pg_db_role_setting AS s JOIN pg_database AS d \
        ON d.oid = s.setdatabase WHERE d.datname = current_database()), \
    'large objects ' || (SELECT count(*) FROM pg_largeobject_metadata), \
    'extensions ' || (SELECT count(*) FROM pg_extension), \
    'languages ' || (SELECT count(*) FROM pg_language), \
    'casts ' || (SELECT count(*) FROM pg_cast), 'operators ' || (SELECT count(*) FROM \
    pg_operator), \
    'event triggers ' || (SELECT count(*) FROM pg_event_trigger), 'rules ' || (SELECT count(*) \
    FROM pg_rewrite \
        WHERE rulename <> '_RETURN'), \
    'servers ' || (SELECT count(*) FROM pg_foreign_server), 'slots ' || (SELECT count(*) FROM \
    pg_replication_slots \
        WHERE database = current_database()), \
    'publications ' || (SELECT count(*) FROM pg_publication), \
    'temporary ' || (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relnamespace IN \
        (SELECT oid FROM pg_namespace WHERE nspname LIKE 'pg\\_temp%')), \
    'definers ' || (SELECT count(*) FROM pg_proc WHERE prosecdef), \
    'settings ' || (SELECT count(*) FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'), \
    'files ' || COALESCE((pg_stat_file('/tmp/usher_attack', true)).size, -1)) || \
    (SELECT string_agg(DISTINCT usename::text, ',') FROM pg_stat_activity WHERE datname = \
    current_database() AND usename IS NOT NULL)";

/// What a statement could change.
#[derive(Debug)]
struct State {
    /// What another session sees.
    outside: String,
    /// What requests see, on every code path.
    seen: BTreeSet<String>,
}

impl Arena {
    async fn new(role: Role) -> Self {
        let database = postgres::database().await;
        let outside = database.connect().await;
        let extensions = "CREATE EXTENSION IF NOT EXISTS tablefunc; CREATE EXTENSION IF NOT \
            EXISTS dblink; \
            CREATE EXTENSION IF NOT EXISTS adminpack";
        for extension in extensions.split("; ") {
            // Without contrib, or in a PostgreSQL that no longer has the module, there is less to
            // attack.
            outside.batch_execute(extension).await.ok();
        }
        let prepare = format!(
            "{SESSION_STATE}; CREATE TABLE canary (id bigint PRIMARY KEY, body text NOT NULL); \
             INSERT INTO canary VALUES (1, 'one'), (2, 'two'); CREATE TABLE notes (body text); \
             CREATE SCHEMA app"
        );
        outside
            .batch_execute(&prepare)
            .await
            .expect("it is prepared");
        let mut url = database.url().to_owned();
        let mut name = None;
        if role == Role::Ordinary {
            let row = outside
                .query_one("SELECT current_database()::text", &[])
                .await
                .expect("a name");
            let role: String = format!("{}_role", row.get::<_, String>(0));
            let make = format!(
                "CREATE ROLE {role} LOGIN PASSWORD 'attack'; GRANT ALL ON SCHEMA public, app TO \
                    {role}; \
                 GRANT SELECT ON canary TO {role}; ALTER TABLE notes OWNER TO {role}"
            );
            outside.batch_execute(&make).await.expect("a role");
            let (scheme, rest) = url.split_once("://").expect("a URL");
            let (_, place) = rest.split_once('@').expect("a URL with a user");
            url = format!("{scheme}://{role}:attack@{place}");
            name = Some(role);
        }
        let mut config = Config::new(url.parse().expect("a URL"));
        config.statements = Statements::Any;
        config.allowed.functions = vec!["session_state".into()];
        config.connect_timeout = WAIT_LIMIT;
        config.pool_wait = WAIT_LIMIT;
        config.pool_size = std::num::NonZeroUsize::new(2).expect("not 0");
        let opened = Database::open(config).await.expect("it opens");
        let app = TestApp::builder()
            .database(opened)
            .component(Source::Bytes(Arc::from(SQL)))
            .request_timeout(WAIT_LIMIT)
            .no_migrate();
        let mut arena = Self {
            app: app.start().await.expect("it starts"),
            outside,
            baseline: None,
            role: name,
            database,
        };
        let mut baseline = arena.state().await;
        // On a busy machine a statement is retried on a dedicated connection, which has a longer
        // timeout than a shared one.
        let [shared, dedicated] = ["statement_timeout=250", "statement_timeout=10000"];
        let retried = baseline.seen.iter().flat_map(|seen| {
            [
                seen.replace(shared, dedicated),
                seen.replace(dedicated, shared),
            ]
        });
        let retried: Vec<_> = retried.collect();
        baseline.seen.extend(retried);
        arena.baseline = Some(baseline);
        arena
    }

    /// Has the component run steps, and returns the result of each.
    async fn run(&self, steps: &Value) -> Vec<Value> {
        let answer = self.app.post("/").json_text(steps.to_string()).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200, "{steps}");
        match serde_json::from_slice(answer.body()).expect("JSON") {
            Value::Array(results) => results,
            result => vec![result],
        }
    }

    /// All state that must not change.
    async fn state(&self) -> State {
        let mut seen = BTreeSet::new();
        let state = json!({"do": "query", "sql": "SELECT session_state()"});
        let mut steps = vec![state.clone(), state.clone(), state.clone(), state.clone()];
        steps.push(json!({"do": "cursor", "sql": "SELECT session_state()"}));
        for _ in 0..2 {
            steps.extend([
                json!({"do": "begin"}),
                state.clone(),
                json!({"do": "rollback"}),
            ]);
        }
        // Other requests read what is stored.
        steps.push(json!({"do": "query", "sql": "SELECT id, body FROM canary ORDER BY id"}));
        steps.push(json!({"do": "query", "sql": "SELECT '\\', '''' AS x"}));
        for (step, result) in steps.iter().zip(self.run(&json!(steps)).await) {
            assert!(result.get("error").is_none(), "{step}: {result}");
            seen.insert(result.to_string());
        }
        let outside = self.outside.query_one(OUTSIDE_STATE, &[]).await;
        State {
            outside: outside.expect("an answer").get(0),
            seen,
        }
    }

    /// Fails if anything has changed since the beginning.
    async fn is_untouched(&self, after: &[String]) {
        let state = self.state().await;
        let is_as_before = |baseline: &State| {
            state.outside == baseline.outside && state.seen.is_subset(&baseline.seen)
        };
        if !self.baseline.as_ref().is_some_and(is_as_before) {
            let mut statements = String::new();
            for statement in after {
                writeln!(statements, "  {statement}").expect("a string");
            }
            panic!(
                "one of these got through:\n{statements}before:\n{:#?}\nafter:\n{state:#?}",
                self.baseline
            );
        }
    }

    /// Runs each statement on every code path. Each must return an error, and nothing may change.
    async fn denies(&self, statements: &[&str]) {
        for statement in statements {
            let steps = json!([
                {"do": "query", "sql": statement},
                {"do": "execute", "sql": statement},
                {"do": "cursor", "sql": statement},
                {"do": "begin"},
                {"do": "execute", "sql": statement},
                {"do": "commit"},
            ]);
            for (index, result) in self.run(&steps).await.iter().enumerate() {
                if matches!(index, 0 | 1 | 2 | 4) {
                    let error = result.get("error").and_then(Value::as_str);
                    assert!(
                        matches!(error, Some("denied" | "invalid" | "refused")),
                        "{statement}: {result}"
                    );
                }
            }
            self.is_untouched(&[(*statement).to_owned()]).await;
        }
    }

    async fn end(self) {
        drop(self.app);
        let role = self.role;
        let owned = role
            .as_ref()
            .map(|role| format!("DROP OWNED BY {role} CASCADE"));
        if let Some(owned) = owned {
            self.outside.batch_execute(&owned).await.expect("dropped");
        }
        drop(self.outside);
        let another = postgres::database().await;
        self.database.remove().await;
        if let Some(role) = role {
            let client = another.connect().await;
            let drop = format!("DROP ROLE {role}");
            client.batch_execute(&drop).await.expect("dropped");
        }
        another.remove().await;
    }
}

/// Statements that once succeeded, and similar ones.
const KINDS: &[(&str, &[&str])] = &[
    (
        "settings",
        &[
            "UPDATE pg_settings SET setting = 'on' WHERE name = 'default_transaction_read_only'",
            "UPDATE pg_catalog.pg_settings SET setting = 'off' WHERE name = \
                'standard_conforming_strings'",
            "CREATE VIEW app.s AS SELECT * FROM pg_settings",
            "WITH u AS (UPDATE pg_settings SET setting = 'x' WHERE name = 'search_path' RETURNING \
                *) SELECT * FROM u",
            "SELECT set_config('search_path', 'app', false)",
            "SELECT set_config('role', 'postgres', false)",
            "MERGE INTO pg_settings USING notes ON true WHEN MATCHED THEN UPDATE SET setting = \
                'on'",
            "SELECT setting FROM pg_settings",
            "SELECT current_setting('port')",
        ],
    ),
    (
        "temporary objects",
        &[
            "SELECT 'forged' AS body INTO LOCAL TEMP canary",
            "SELECT 1 AS id, 'forged' AS body INTO TEMPORARY canary",
            "EXPLAIN ANALYZE CREATE TEMP TABLE canary AS SELECT 1 AS id, 'forged' AS body",
            "EXPLAIN (\"analyze\") CREATE TEMP TABLE canary AS SELECT 1 AS id, 'forged' AS body",
            "EXPLAIN (ANALYZE true, \"analyze\" on) SELECT 1 AS id, 'forged' AS body INTO TEMP \
                canary",
            "CREATE TEMP VIEW canary AS SELECT 1 AS id, 'forged' AS body",
            "CREATE TABLE pg_temp.canary (id bigint, body text)",
            "CREATE SEQUENCE pg_temp.s",
            "CREATE TYPE pg_temp.t AS (a int)",
            "CREATE DOMAIN pg_temp.d AS int",
            "CREATE MATERIALIZED VIEW pg_temp.canary AS SELECT 1",
            "ALTER TABLE notes SET SCHEMA pg_temp",
        ],
    ),
    (
        "strings and locks",
        &[
            "SELECT pg_try_advisory_lock(4242)",
            "SELECT pg_cancel_backend(1)",
            "SELECT pg_read_file('PG_VERSION')",
            "SELECT E'\\'', pg_try_advisory_lock(4242) AS x -- '",
            "SELECT U&'\\0027', pg_try_advisory_lock(4242) AS x",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
        ],
    ),
    (
        "catalogue",
        &[
            "UPDATE pg_proc SET prosrc = 'system', prolang = 12 WHERE proname = 'lower'",
            "INSERT INTO pg_proc SELECT * FROM pg_proc LIMIT 1",
            "DELETE FROM pg_depend",
            "UPDATE pg_class SET relname = 'x' WHERE relname = 'notes'",
            "UPDATE pg_authid SET rolsuper = true",
            "CREATE VIEW app.p AS SELECT * FROM pg_proc",
            "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE \
                'x'; RETURN NEW; END $$",
            "CREATE FUNCTION f(int) RETURNS int LANGUAGE c AS 'libc', 'system'",
            "DROP VIEW information_schema.columns",
            "ALTER VIEW information_schema.columns RENAME TO x",
            "COMMENT ON TABLE pg_class IS 'x'",
        ],
    ),
    (
        "functions that take SQL or reach out",
        &[
            "SELECT * FROM crosstab('select set_config(''role'', ''postgres'', false), 1, 2') AS \
                c(a text, b text)",
            "SELECT * FROM connectby('canary', 'id', 'id', '1', 0) AS c(a text, b text, c int)",
            "SELECT * FROM dblink('', 'select 1') AS d(a int)",
            "SELECT query_to_xml('select 1', true, true, '')",
            "SELECT table_to_xml('pg_authid', true, true, '')",
            "SELECT * FROM ts_stat('select 1')",
            "SELECT lo_from_bytea(0, 'x')",
            "SELECT lo_export(1, '/tmp/usher_attack')",
            "COPY canary TO '/tmp/usher_attack'",
            "COPY canary TO PROGRAM 'touch /tmp/usher_attack'",
            "SELECT pg_file_write('/tmp/usher_attack', 'x', false)",
            "SELECT pg_create_logical_replication_slot('x', 'pgoutput')",
            "SELECT pg_notify('a', 'b')",
        ],
    ),
    (
        "addresses, role and database",
        &[
            "SELECT client_addr FROM pg_stat_activity",
            "SELECT * FROM pg_stat_get_activity(NULL)",
            "SELECT inet_server_addr(), inet_server_port()",
            "SELECT inet_client_addr()",
            "SELECT current_user",
            "SELECT session_user",
            "SELECT current_database()",
            "SELECT current_catalog",
            "SELECT pg_get_userbyid(10)",
            "SELECT 10::regrole",
            "SELECT * FROM pg_hba_file_rules",
        ],
    ),
];

async fn kinds_are_denied(role: Role) {
    let arena = Arena::new(role).await;
    for (kind, statements) in KINDS {
        arena.denies(statements).await;
        figures::print(
            &format!("{role:?}: {kind}"),
            &format!("{} statements in four ways", statements.len()),
        );
    }
    arena.end().await;
}

#[tokio::test]
async fn attacks_of_every_kind_as_an_ordinary_role_change_nothing() {
    kinds_are_denied(Role::Ordinary).await;
}

#[tokio::test]
async fn attacks_of_every_kind_as_superuser_change_nothing() {
    kinds_are_denied(Role::Superuser).await;
}

/// EXPLAIN writes no table, neither in a read-only transaction nor in a read-only database.
#[tokio::test]
async fn explain_analyze_writes_nothing_where_only_reading_is_allowed() {
    let arena = Arena::new(Role::Superuser).await;
    for statement in [
        "EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1",
        "EXPLAIN (\"analyze\") CREATE TABLE x AS SELECT 1",
        "EXPLAIN (ANALYZE false, ANALYZE) INSERT INTO notes VALUES ('x')",
        "EXPLAIN (\"analyze\" 1) DELETE FROM canary",
    ] {
        let steps = json!([
            {"do": "begin", "read_only": true},
            {"do": "execute", "sql": statement},
            {"do": "commit"},
        ]);
        let results = arena.run(&steps).await;
        assert!(
            results[1].get("error").is_some(),
            "{statement}: {results:?}"
        );
        arena.is_untouched(&[statement.to_owned()]).await;
    }
    let left = "SELECT count(*) FROM pg_class WHERE relname = 'x'";
    let left: i64 = arena
        .outside
        .query_one(left, &[])
        .await
        .expect("rows")
        .get(0);
    assert_eq!(left, 0);
    arena.end().await;
}

/// Twenty million rows without columns count toward the size of a result. As an expression they are
/// sent as they are made; in FROM they would all be stored first, which takes a slow disk too long.
#[tokio::test]
async fn rows_without_columns_are_counted() {
    let arena = Arena::new(Role::Ordinary).await;
    let sql = "SELECT FROM (SELECT generate_series(1, 20000000)) AS streamed";
    let result = arena.run(&json!({"do": "query", "sql": sql})).await;
    assert_eq!(result[0]["error"], "too-large", "{result:?}");
    let steps = json!([{"do": "begin"}, {"do": "query", "sql": sql}, {"do": "rollback"}]);
    let result = arena.run(&steps).await;
    assert_eq!(result[1]["error"], "too-large", "{result:?}");
    arena.end().await;
}

/// How many variants each role tries: few by default, many on request.
fn variants() -> usize {
    std::env::var("USHER_TEST_ATTACKS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(2000)
}

async fn variants_change_nothing(role: Role) {
    let arena = Arena::new(role).await;
    let mut generator = Generator::new(0x5eed);
    let (mut tried, mut ran, mut denied, mut refused) = (0, 0, 0, 0);
    while tried < variants() {
        let mut statements = Vec::new();
        let mut steps = Vec::new();
        while steps.len() < 40 {
            let statement = generator.statement();
            match generator.below(4) {
                0 => steps.push(json!({"do": "execute", "sql": statement})),
                1 => steps.push(json!({"do": "cursor", "sql": statement})),
                2 => steps.extend([
                    json!({"do": "begin"}),
                    json!({"do": "query", "sql": statement}),
                    json!({"do": if generator.below(2) == 0 { "commit" } else { "drop" }}),
                ]),
                _ => steps.push(json!({"do": "query", "sql": statement})),
            }
            statements.push(statement);
        }
        tried += statements.len();
        for (step, result) in steps.iter().zip(arena.run(&json!(steps)).await) {
            if step.get("sql").is_some() {
                match result.get("error").and_then(Value::as_str) {
                    None => ran += 1,
                    Some("denied") => denied += 1,
                    Some(_) => refused += 1,
                }
            }
        }
        arena.is_untouched(&statements).await;
    }
    figures::print(
        &format!("variants of attacks as {role:?}"),
        &format!("{tried} tried: {denied} denied, {refused} refused or invalid, {ran} harmless"),
    );
    assert!(denied > tried / 2, "the generator makes attacks");
    arena.end().await;
}

#[tokio::test]
async fn variants_of_attacks_as_an_ordinary_role_change_nothing() {
    variants_change_nothing(Role::Ordinary).await;
}

#[tokio::test]
async fn variants_of_attacks_as_superuser_change_nothing() {
    variants_change_nothing(Role::Superuser).await;
}

/// The functions that a component may call have the volatility that this server's catalogue states.
#[tokio::test]
async fn allowed_functions_match_the_catalogue_of_postgresql() {
    let database = postgres::database().await;
    let client = database.connect().await;
    let list = include_str!("../../../host/src/database/policy/postgres/functions.txt");
    let mut section = "";
    let mut listed: Vec<(&str, &str)> = Vec::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with('[') {
            section = line;
        } else {
            listed.extend(line.split_whitespace().map(|name| (section, name)));
        }
    }
    let known = "SELECT proname::text, string_agg(DISTINCT provolatile::text, '') FROM pg_proc \
        WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY 1";
    let known: std::collections::HashMap<String, String> = client
        .query(known, &[])
        .await
        .expect("rows")
        .into_iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    // These are volatile and leave no state: random numbers, clocks, sleep, sizes, and lock waits.
    let harmless = "array_sample array_shuffle clock_timestamp gen_random_uuid pg_blocking_pids \
        pg_indexes_size \
        pg_is_in_recovery pg_partition_ancestors pg_partition_tree pg_relation_size \
        pg_sequence_last_value pg_sleep \
        pg_sleep_for pg_sleep_until pg_table_size pg_total_relation_size random random_normal \
        timeofday uuidv4 uuidv7";
    let harmless: BTreeSet<&str> = harmless.split_whitespace().collect();
    let mut wrong = Vec::new();
    let mut found = 0;
    for (section, name) in &listed {
        let Some(volatility) = known.get(*name) else {
            // Another version of PostgreSQL has it.
            continue;
        };
        found += 1;
        let fits = match *section {
            "[immutable]" => volatility == "i",
            "[reads]" | "[migrations]" => !volatility.contains('v') || harmless.contains(name),
            "[writes]" => volatility == "v",
            _ => false,
        };
        if !fits {
            wrong.push(format!("{section} {name}: {volatility}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(
        found > 1300,
        "only {found} of {} are known here",
        listed.len()
    );
    figures::print(
        "functions that may be called",
        &format!("{found} of {} are on this server", listed.len()),
    );
}
