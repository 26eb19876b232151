//! A component that imports `wasi:logging` and `wasi:config`: what it logs becomes lines of the
//! log, and of its configuration it gets what the operator has set, and nothing else. A component
//! that imports an interface under a name of its own is refused.

use serde_json::{Value, json};
use usher_tests::http::Request;
use usher_tests::janitor::Scratch;
use usher_tests::process::Usher;

use crate::replacement::hang_up;
use crate::standard_library::{PRINTED_LINES, STANDARD, address, get, lines};
use crate::startup::{fails_with, send_request, usher};

const DRAFTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/drafts.wasm"));

fn drafts(scratch: &Scratch) -> Usher {
    std::fs::write(scratch.path().join("drafts.wasm"), DRAFTS).expect("a file");
    usher(scratch)
        .env("USHER_LOG_FORMAT", "json")
        .args(["--database", "memory:", "--workers", "1"])
        .args(["--component", "drafts.wasm"])
}

/// The lines that the component has logged.
fn logged(lines: &[Value]) -> Vec<&Value> {
    let is_logged = |line: &&Value| {
        let message = line["message"].as_str();
        message.is_some_and(|text| text.starts_with("the component logged"))
    };
    lines.iter().filter(is_logged).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn logged_line_has_its_level_its_context_and_the_names_of_its_request() {
    let scratch = Scratch::new();
    let mut running = drafts(&scratch).args(["--log", "trace"]).spawn();
    let address = address(&mut running);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request =
        Request::get("/levels").header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let response = send_request(&address, request).await;
    assert_eq!(response.status, 200);
    let id = response.header("x-request-id").expect("an id");
    let lines = lines(running);
    let found: Vec<_> = logged(&lines)
        .into_iter()
        .map(|line| {
            assert_eq!(line["id"], id.as_str(), "{line}");
            assert_eq!(line["trace"], trace, "{line}");
            assert_eq!(line["method"], "GET", "{line}");
            assert_eq!(line["route"], "-", "{line}");
            (&line["level"], &line["context"], &line["message"])
        })
        .map(|(level, context, message)| json!([level, context, message]))
        .collect();
    let expected = [
        json!(["TRACE", "steps", "the component logged: a step"]),
        json!(["DEBUG", "steps", "the component logged: a detail"]),
        json!([
            "INFO",
            "orders",
            "the component logged: an order of two lines"
        ]),
        json!([
            "WARN",
            null,
            "the component logged: a line without a context"
        ]),
        json!(["ERROR", "orders", "the component logged: a failure"]),
        json!([
            "ERROR",
            "orders",
            "the component logged as critical: the end"
        ]),
    ];
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn component_that_logs_without_end_fills_no_disk() {
    let scratch = Scratch::new();
    let mut running = drafts(&scratch).spawn();
    let address = address(&mut running);
    let began = std::time::Instant::now();
    assert_eq!(get(&address, "/flood").await.status, 200);
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("a short time");
    let lines = lines(running);
    let count = logged(&lines).len();
    // The limit of each second that the request touched.
    let most = PRINTED_LINES * (seconds + 2);
    assert!((PRINTED_LINES..=most).contains(&count), "{count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn line_of_a_level_that_is_not_logged_uses_nothing_of_the_limit() {
    let scratch = Scratch::new();
    let mut running = drafts(&scratch).spawn();
    let address = address(&mut running);
    assert_eq!(get(&address, "/quiet-flood").await.status, 200);
    let lines = lines(running);
    let messages: Vec<_> = logged(&lines).iter().map(|line| &line["message"]).collect();
    assert_eq!(messages, ["the component logged: the end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn logged_line_of_a_megabyte_is_shortened_and_so_is_its_context() {
    let scratch = Scratch::new();
    let mut running = drafts(&scratch).spawn();
    let address = address(&mut running);
    assert_eq!(get(&address, "/long").await.status, 200);
    let lines = lines(running);
    let [line] = logged(&lines)[..] else {
        panic!("one line is expected: {lines:?}");
    };
    for (part, letter) in [("context", 'c'), ("message", 'm')] {
        let text = line[part].as_str().expect("a text");
        let length = text.len();
        assert!((1024..1100).contains(&length), "{part}: {length}");
        assert!(text.ends_with(&format!("{letter}…")), "{part}: {text}");
    }
}

#[test]
fn component_that_imports_a_denied_draft_is_refused() {
    let scratch = Scratch::new();
    for (denied, import) in [
        ("wasi:logging", "wasi:logging/logging@0.1.0-draft"),
        ("wasi:logging/logging", "wasi:logging/logging@0.1.0-draft"),
        ("wasi:config", "wasi:config/"),
        ("wasi:config/runtime", "wasi:config/runtime@0.2.0-draft"),
    ] {
        let ended = drafts(&scratch)
            .env("USHER_LOG_FORMAT", "text")
            .args(["--deny-imports", denied])
            .run();
        let refused = format!("drafts.wasm imports {import}");
        fails_with(&ended, 2, &[&refused, "--deny-imports"]);
    }
}

#[test]
fn info_lists_what_a_component_gets_by_each_draft() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("drafts.wasm"), DRAFTS).expect("a file");
    let ended = usher(&scratch)
        .args(["component", "--info", "drafts.wasm"])
        .run();
    assert_eq!(ended.code(), Some(0));
    let shown = String::from_utf8_lossy(&ended.stdout);
    for part in [
        "wasi:logging/logging@0.1.0-draft: lines of the log",
        "wasi:config/store@0.2.0-rc.1: the values of --component-config",
        "wasi:config/store@0.2.0-draft-2024-09-27: the values of --component-config",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
}

/// A value that no line may have.
const SECRET: &str = "hunter2";

/// Expects values by their names.
async fn gets(address: &str, values: &[(&str, &str)]) {
    let all = get(address, "/all").await;
    assert_eq!((all.status, all.text()), (200, format!("{values:?}")));
    for (name, value) in values {
        let one = get(address, &format!("/get/{name}")).await;
        assert_eq!(one.text(), format!("{:?}", Some(value)), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn component_without_values_gets_none_and_nothing_of_its_host() {
    let scratch = Scratch::new();
    let mut running = drafts(&scratch).env("TOKEN", SECRET).spawn();
    let address = address(&mut running);
    gets(&address, &[]).await;
    for name in [
        "TOKEN",
        "PATH",
        "USHER_LISTEN",
        "DATABASE_URL",
        "database",
        "",
    ] {
        let found = get(&address, &format!("/get/{name}")).await;
        assert_eq!((found.status, &*found.text()), (200, "None"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn component_gets_the_values_of_options_and_of_the_file() {
    let scratch = Scratch::new();
    let file = "greeting = \"of the file\"\nlimit = 20\n\"a.b\" = \"\"\"\ntwo\nlines\"\"\"\n";
    std::fs::write(scratch.path().join("values.toml"), file).expect("a file");
    let mut running = drafts(&scratch)
        .args(["--component-config-file", "values.toml"])
        .args(["--component-config", "greeting=a=b, c"])
        .args(["--component-config", "empty="])
        .spawn();
    let expected = [
        ("a.b", "two\nlines"),
        ("empty", ""),
        ("greeting", "a=b, c"),
        ("limit", "20"),
    ];
    gets(&address(&mut running), &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variable_has_a_value_on_each_line_and_the_configuration_file_a_list() {
    let expected = [("greeting", "a=b, c"), ("limit", "20")];
    let scratch = Scratch::new();
    let mut running = drafts(&scratch)
        .env("USHER_COMPONENT_CONFIG", "greeting=a=b, c\nlimit=20\n")
        .spawn();
    gets(&address(&mut running), &expected).await;

    let scratch = Scratch::new();
    let file = "component-config = [\"limit=20\", \"greeting=a=b, c\"]\n";
    std::fs::write(scratch.path().join("usher.toml"), file).expect("a file");
    let mut running = drafts(&scratch).args(["--config", "usher.toml"]).spawn();
    gets(&address(&mut running), &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_masked_in_the_settings_and_in_no_line_of_the_log() {
    let scratch = Scratch::new();
    let (token, file) = (format!("token={SECRET}"), format!("key = \"{SECRET}\"\n"));
    std::fs::write(scratch.path().join("values.toml"), file).expect("a file");
    let options = [
        "--component-config",
        &token,
        "--component-config-file",
        "values.toml",
    ];
    let ended = usher(&scratch).args(["config"]).args(options).run();
    let shown = String::from_utf8_lossy(&ended.stdout);
    assert!(
        shown.contains(r#"component-config = ["token=***"]"#),
        "{shown}"
    );
    assert!(!shown.contains(SECRET), "{shown}");

    let mut running = drafts(&scratch)
        .args(["--log", "trace"])
        .args(options)
        .spawn();
    gets(
        &address(&mut running),
        &[("key", SECRET), ("token", SECRET)],
    )
    .await;
    running.terminate();
    let ended = running.wait();
    assert!(!ended.stderr.join("\n").contains(SECRET));
}

#[test]
fn wrong_value_is_an_error_at_start_that_does_not_quote_it() {
    let scratch = Scratch::new();
    let file = |name: &str, text: &str| {
        std::fs::write(scratch.path().join(name), text).expect("a file");
    };
    file("broken.toml", &format!("a = 1\nb = {SECRET}\n"));
    file("nested.toml", &format!("[a]\nb = \"{SECRET}\"\n"));
    file("long.toml", &format!("# {}", SECRET.repeat(200_000)));
    for (options, parts) in [
        (
            ["--component-config", SECRET],
            &["--component-config", "NAME=VALUE"][..],
        ),
        (
            ["--component-config", "=hunter2"],
            &["--component-config", "NAME=VALUE"],
        ),
        (
            ["--component-config", "a=hunter2\na=hunter2"],
            &["\"a\" twice"],
        ),
        (
            ["--component-config-file", "none.toml"],
            &["none.toml", "No such file"],
        ),
        (
            ["--component-config-file", "broken.toml"],
            &["broken.toml:2"],
        ),
        (
            ["--component-config-file", "nested.toml"],
            &["nested.toml:1", "table"],
        ),
        (
            ["--component-config-file", "long.toml"],
            &["long.toml", "longer than"],
        ),
    ] {
        for command in ["serve", "config"] {
            let ended = usher(&scratch)
                .env("USHER_LOG_FORMAT", "text")
                .args([command, "--database", "memory:"])
                .args(options)
                .run();
            fails_with(&ended, 2, parts);
            assert!(!ended.only_line().contains(SECRET), "{}", ended.only_line());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_a_changed_file_are_those_of_new_requests() {
    let scratch = Scratch::new();
    let file = scratch.path().join("values.toml");
    std::fs::write(&file, "name = \"before\"\n").expect("a file");
    let mut running = drafts(&scratch)
        .args(["--component-config-file", "values.toml", "--watch"])
        .spawn();
    let address = address(&mut running);
    gets(&address, &[("name", "before")]).await;
    std::fs::write(&file, "name = \"after\"\n").expect("a file");
    tokio::task::block_in_place(|| running.line("was replaced"));
    gets(&address, &[("name", "after")]).await;

    // What cannot be read changes nothing.
    std::fs::write(&file, "name = \"").expect("a file");
    tokio::task::block_in_place(|| running.line("was not replaced"));
    gets(&address, &[("name", "after")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_read_again_on_sighup() {
    let scratch = Scratch::new();
    let file = scratch.path().join("values.toml");
    std::fs::write(&file, "name = \"before\"\n").expect("a file");
    let mut running = drafts(&scratch)
        .args(["--component-config-file", "values.toml"])
        .spawn();
    let address = address(&mut running);
    gets(&address, &[("name", "before")]).await;
    std::fs::write(&file, "name = \"after\"\n").expect("a file");
    hang_up(&running);
    tokio::task::block_in_place(|| running.line("was replaced"));
    gets(&address, &[("name", "after")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_for_a_component_that_does_not_ask_for_them_are_warned_of() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("standard.wasm"), STANDARD).expect("a file");
    let mut running = usher(&scratch)
        .args(["--database", "memory:", "--workers", "1"])
        .args(["--component", "standard.wasm"])
        .args(["--component-config", "name=value"])
        .spawn();
    let line = running.line("--component-config");
    assert!(line.contains("imports no wasi:config"), "{line}");
}

/// A component that does nothing but import `usher:database/database` as `reports`: in text
/// `(component (import "reports" (implements "usher:database/database@0.2.0") (instance)))`.
fn with_named_database() -> Vec<u8> {
    fn of(length: usize) -> u8 {
        u8::try_from(length).expect("it is short")
    }
    let (name, interface) = ("reports", "usher:database/database@0.2.0");
    let mut import = vec![1, 2, of(name.len())];
    import.extend(name.as_bytes());
    import.extend([1, 0, of(interface.len())]);
    import.extend(interface.as_bytes());
    import.extend([5, 0]);
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    // The type of an instance without exports, and the import of one.
    component.extend([7, 3, 1, 0x42, 0]);
    component.extend([10, of(import.len())]);
    component.extend(import);
    component
}

#[test]
fn component_that_imports_a_database_under_a_name_is_refused_with_what_to_do() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("named.wasm"), with_named_database()).expect("a file");
    let ended = usher(&scratch)
        .env("USHER_LOG_FORMAT", "text")
        .args(["--database", "memory:", "--component", "named.wasm"])
        .run();
    fails_with(
        &ended,
        2,
        &[
            "named.wasm imports usher:database/database@0.2.0 under the name reports",
            "one database",
            "import usher:database/database@0.2.0 itself",
        ],
    );
    let ended = usher(&scratch)
        .args(["component", "--info", "named.wasm"])
        .run();
    let shown = String::from_utf8_lossy(&ended.stdout);
    let expected = "  reports (usher:database/database@0.2.0): NOT SERVED: ";
    assert!(shown.contains(expected), "{shown}");
}
