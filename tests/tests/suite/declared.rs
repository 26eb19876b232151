//! A component declares its statements, and runs no others.

use std::sync::Arc;

use serde_json::{Value, json};
use usher::database::Statements;
use usher::sandbox::Source;
use usher_testing::{TestApp, TestError};
use usher_tests::janitor::Scratch;
use usher_tests::process::Usher;

use crate::databases::{self, Kind};

const SQL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sql.wasm"));

/// The component that runs the statements it receives, with a declaration.
fn declaring(statements: &[(&str, &str, &str)]) -> Vec<u8> {
    with_declaration(SQL, statements)
}

/// A component with a further declaration.
fn with_declaration(component: &[u8], statements: &[(&str, &str, &str)]) -> Vec<u8> {
    let mut data = String::new();
    for (about, name, text) in statements {
        data.push_str(&format!("{about} {name} {}\n{text}\n", text.len()));
    }
    with_section(component, "usher:statements", &data)
}

/// A component with a further custom section.
fn with_section(component: &[u8], name: &str, data: &str) -> Vec<u8> {
    let mut section = vec![u8::try_from(name.len()).expect("a short name")];
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(data.as_bytes());
    let mut component = component.to_vec();
    component.push(0);
    let mut length = section.len();
    loop {
        let low = u8::try_from(length & 0x7f).expect("seven bits");
        length >>= 7;
        component.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    component.extend_from_slice(&section);
    component
}

async fn app(kind: Kind, component: &[u8]) -> (Result<TestApp, TestError>, databases::Fresh) {
    let fresh = kind.fresh().await;
    let database = fresh
        .open(|config| config.statements = Statements::Declared)
        .await;
    let builder = TestApp::builder()
        .database(database)
        .component(Source::Bytes(Arc::from(component)))
        .no_migrate();
    (builder.start().await, fresh)
}

async fn run(app: &TestApp, steps: &Value) -> Value {
    let answer = app
        .post("/")
        .json_text(steps.to_string())
        .await
        .expect("an answer");
    serde_json::from_slice(answer.body()).expect("JSON")
}

#[tokio::test]
async fn declared_statement_runs_and_any_other_is_denied() {
    let component = declaring(&[
        ("service any", "ADD", "SELECT $1 + 1"),
        ("service postgres", "NAME", "SELECT 'postgres'"),
        ("service sqlite", "NAME", "SELECT 'sqlite'"),
    ]);
    for kind in databases::ALL {
        let (app, fresh) = app(kind, &component).await;
        let app = app.expect("it starts");
        let (own, other) = match kind {
            Kind::Postgres => ("SELECT 'postgres'", "SELECT 'sqlite'"),
            _ => ("SELECT 'sqlite'", "SELECT 'postgres'"),
        };
        let added = run(&app, &json!({"sql": "SELECT $1 + 1", "params": [1]})).await;
        assert_eq!(added["rows"], json!([[2]]), "{kind:?}: {added}");
        assert!(run(&app, &json!({"sql": own})).await.get("rows").is_some());
        // In another spelling, of another database, or harmless: it is not on the list.
        for statement in [
            other,
            "SELECT $1+1",
            "SELECT $1 + 1 ",
            "SELECT 1",
            "COMMIT",
            "",
        ] {
            let steps = json!([
                {"do": "query", "sql": statement, "params": [1]},
                {"do": "execute", "sql": statement, "params": [1]},
                {"do": "cursor", "sql": statement, "params": [1]},
                {"do": "begin"},
                {"do": "query", "sql": statement, "params": [1]},
                {"do": "execute", "sql": statement, "params": [1]},
            ]);
            let results = run(&app, &steps).await;
            for index in [0, 1, 2, 4, 5] {
                assert_eq!(
                    results[index]["error"], "denied",
                    "{kind:?} {statement}: {results}"
                );
            }
        }
        drop(app);
        fresh.end().await;
    }
}

#[tokio::test]
async fn statement_of_migrations_is_denied_to_a_request() {
    let component = declaring(&[
        ("service any", "ONE", "SELECT 1"),
        ("migrations any", "TABLE", "CREATE TABLE t (a int)"),
    ]);
    let (app, _fresh) = app(Kind::Memory, &component).await;
    let app = app.expect("it starts");
    assert!(
        run(&app, &json!({"sql": "SELECT 1"}))
            .await
            .get("rows")
            .is_some()
    );
    let denied = run(
        &app,
        &json!({"do": "execute", "sql": "CREATE TABLE t (a int)"}),
    )
    .await;
    assert_eq!(denied["error"], "denied", "{denied}");
}

#[tokio::test]
async fn component_that_declares_a_denied_statement_is_refused_in_one_line() {
    for kind in databases::ALL {
        let component = declaring(&[
            ("service any", "ONE", "SELECT 1"),
            ("service any", "LOCK", "LISTEN x"),
        ]);
        let (app, fresh) = app(kind, &component).await;
        let error = app.expect_err("it is not served").to_string();
        assert!(
            error.contains("LOCK") && error.contains("LISTEN changes the session"),
            "{kind:?}: {error}"
        );
        fresh.end().await;
    }
}

fn usher(scratch: &Scratch) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_statement_that_does_not_fit_the_schema_is_refused_at_start() {
    let statement = [("service any", "AGE", "SELECT age FROM users WHERE id = $1")];
    for kind in [Kind::Postgres, Kind::File] {
        let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
        let users = with_declaration(usher::sandbox::USERS_WASM, &statement);
        std::fs::write(scratch.file("users.wasm"), users).expect("a file");
        std::fs::write(scratch.file("sql.wasm"), declaring(&statement)).expect("a file");
        let program = |component: &str| {
            Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
                .current_dir(scratch.path())
                .args(["--listen", "127.0.0.1:0", "--database", &fresh.url])
                .args(["--component", component])
                .args(["--database-statements", "declared"])
        };
        // Its migrations made the schema, so the component does not fit itself.
        let ended = tokio::task::block_in_place(|| program("users.wasm").run());
        assert_eq!(ended.code(), Some(2), "{kind:?}");
        let line = ended.stderr.last().expect("a line");
        assert!(
            line.contains("users.wasm declares the statement AGE, which does not fit"),
            "{line}"
        );
        assert!(line.contains("age"), "{line}");
        // Of a component without migrations the schema may come later.
        let mut running = program("sql.wasm").spawn();
        let warning = tokio::task::block_in_place(|| running.line("declares the statement AGE"));
        assert!(warning.contains("WARN"), "{warning}");
        drop(running);
        fresh.end().await;
    }
}

#[test]
fn component_without_declaration_is_refused_in_one_line() {
    let scratch = Scratch::new();
    std::fs::write(scratch.file("sql.wasm"), SQL).expect("a file");
    let ended = usher(&scratch)
        .args([
            "--component",
            "sql.wasm",
            "--database-statements",
            "declared",
        ])
        .run();
    assert_eq!(ended.code(), Some(2));
    let line = ended.only_line();
    for part in [
        "sql.wasm does not declare the statements it runs",
        "usher:statements",
        "--database-statements any",
    ] {
        assert!(line.contains(part), "{line}");
    }
    // An unreadable section is no declaration.
    let mut broken = declaring(&[("service any", "ONE", "SELECT 1")]);
    broken.extend_from_slice(b"\x00\x12\x10usher:statementsx");
    std::fs::write(scratch.file("broken.wasm"), broken).expect("a file");
    let ended = usher(&scratch)
        .args([
            "--component",
            "broken.wasm",
            "--database-statements",
            "declared",
        ])
        .run();
    assert_eq!(ended.code(), Some(2));
    let line = ended.only_line();
    assert!(line.contains("cannot be read"), "{line}");
}

#[test]
fn component_with_invalid_routes_is_refused_in_one_line() {
    let scratch = Scratch::new();
    let routes = "GET /users/\nGET /users/{id\n";
    let component = with_section(SQL, "usher:routes", routes);
    std::fs::write(scratch.file("routes.wasm"), component).expect("a file");
    let ended = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
        .args(["--component", "routes.wasm"])
        .run();
    assert_eq!(ended.code(), Some(2));
    let line = ended.only_line();
    assert!(
        line.contains("routes.wasm") && line.contains("\"GET /users/{id\" is no route"),
        "{line}"
    );
}

#[test]
fn component_info_lists_imports_exports_and_statements() {
    let scratch = Scratch::new();
    let component = declaring(&[
        (
            "service any",
            "GET",
            "SELECT name\nFROM users WHERE id = $1",
        ),
        ("service any", "ODD", "SELECT '\u{1b}[2J\u{202e}'"),
        ("migrations sqlite", "0001", "CREATE TABLE users (id int)"),
    ]);
    std::fs::write(scratch.file("declaring.wasm"), component).expect("a file");
    std::fs::write(scratch.file("sql.wasm"), SQL).expect("a file");
    let info = |file: Option<&'static str>| {
        let program = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"));
        let program = program
            .current_dir(scratch.path())
            .args(["component", "--info"])
            .args(file);
        let ended = program.run();
        (
            ended.code(),
            String::from_utf8_lossy(&ended.stdout).into_owned(),
        )
    };
    let output = info(Some("declaring.wasm"));
    assert_eq!(output.0, Some(0));
    for part in [
        "imports\n",
        "  usher:database/database@0.2.0: the database\n",
        "exports\n  wasi:http/incoming-handler@0.2.12\n",
        "statements that answer requests: 2\n",
        "  GET\n    SELECT name\n    FROM users WHERE id = $1\n",
        "  ODD\n    SELECT '\\u{1b}[2J\\u{202e}'\n",
        "statements of migrations: 1\n  0001 (sqlite)\n    CREATE TABLE users (id int)\n",
    ] {
        assert!(output.1.contains(part), "{part}: {}", output.1);
    }
    let output = info(Some("sql.wasm"));
    assert!(
        output.1.contains("statements: not declared") && output.1.contains("routes: not declared"),
        "{}",
        output.1
    );
    let output = info(None);
    for part in ["usher:users/users@0.2.0\n", "  GET /users/{user_id}\n"] {
        assert!(output.1.contains(part), "{part}: {}", output.1);
    }
    assert_eq!(info(Some("nowhere.wasm")).0, Some(2));
    std::fs::write(scratch.file("text.wasm"), "no component").expect("a file");
    assert_eq!(info(Some("text.wasm")).0, Some(2));
}
