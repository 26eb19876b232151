//! One line for each request, with its names and without personal data; and the names of requests
//! in all other lines about them.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use usher_tests::http::{Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, Usher};

use crate::databases::ALL;
use crate::startup::{send_request, usher};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn program(scratch: &Scratch, format: &str) -> Usher {
    usher(scratch)
        .env("USHER_LOG_FORMAT", format)
        .args(["--database", "memory:", "--workers", "1"])
}

fn hostile(scratch: &Scratch) -> Usher {
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    program(scratch, "json").args(["--component", "hostile.wasm", "--no-migrate"])
}

/// The address in the line that says it, in either format.
fn address(running: &mut Running) -> String {
    running.address().trim_end_matches(['"', '}']).to_owned()
}

fn id(response: &Response) -> String {
    response.header("x-request-id").expect("an id")
}

/// The lines of a program that ends now, as JSON.
fn objects(running: Running) -> Vec<Value> {
    running.terminate();
    let ended = running.wait();
    let read = |line: &String| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    ended.stderr.iter().map(read).collect()
}

/// The lines of the access log.
fn requests(running: Running) -> Vec<Value> {
    let is_request = |object: &Value| object["message"] == "request";
    objects(running).into_iter().filter(is_request).collect()
}

fn ann() -> Request {
    let user = json!({"name": "Ann", "email": "ann@example.org"});
    Request::post("/users/", &user)
}

#[tokio::test]
async fn request_is_logged_with_names_time_and_statements() {
    for kind in ALL {
        let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
        let mut running = usher(&scratch)
            .args(["--database", &fresh.url, "--access-log", "all"])
            .args(["--log-format", "json"])
            .spawn();
        let address = address(&mut running);
        let created = send_request(&address, ann()).await;
        let found = send_request(&address, Request::get("/users/1")).await;
        let missing = send_request(&address, Request::get("/users/4711")).await;
        let unknown = send_request(&address, Request::new("BREW", "/pot?for=ann")).await;
        let lines = requests(running);
        let names = |line: &Value| {
            ["id", "method", "route", "status", "bytes", "blame"].map(|name| line[name].clone())
        };
        let expected = |response: &Response, method: &str, route: &str, blame: Value| {
            [
                json!(id(response)),
                json!(method),
                json!(route),
                json!(response.status),
                json!(response.body.len()),
                blame,
            ]
        };
        assert_eq!(
            lines.iter().map(names).collect::<Vec<_>>(),
            [
                expected(&created, "POST", "/users/", Value::Null),
                expected(&found, "GET", "/users/{user_id}", Value::Null),
                expected(&missing, "GET", "/users/{user_id}", json!("client")),
                expected(&unknown, "other", "(none)", json!("client")),
            ],
            "{kind:?}"
        );
        for (line, statements) in lines.iter().zip([1, 1, 1, 0]) {
            assert_eq!(line["statements"], statements, "{line}");
            for part in ["host_us", "guest_us", "database_us", "retries"] {
                assert!(line[part].is_u64(), "{part}: {line}");
            }
        }
        assert!(lines[0]["database_us"].as_u64() > Some(0), "{}", lines[0]);
    }
}

#[tokio::test]
async fn access_log_modes_log_what_they_say() {
    for (mode, expected) in [
        ("off", &[][..]),
        ("errors", &[404]),
        ("slow=1h", &[404]),
        ("slow=0s", &[200, 404]),
        ("all", &[200, 404]),
    ] {
        let scratch = Scratch::new();
        let mut running = program(&scratch, "json")
            .args(["--access-log", mode])
            .spawn();
        let address = address(&mut running);
        for path in ["/users/", "/users/1"] {
            send_request(&address, Request::get(path)).await;
        }
        let statuses: Vec<_> = requests(running)
            .iter()
            .filter_map(|line| line["status"].as_u64())
            .collect();
        assert_eq!(statuses, expected, "{mode}");
    }
}

#[tokio::test]
async fn streamed_response_is_logged_once_with_all_its_bytes() {
    let scratch = Scratch::new();
    let mut running = program(&scratch, "json")
        .args(["--access-log", "all"])
        .spawn();
    let address = address(&mut running);
    for number in 0..50 {
        let user = json!({"name": "Ann", "email": format!("ann{number}@example.org")});
        send_request(&address, Request::post("/users/", &user)).await;
    }
    let list = Request::get("/users/").header("accept", "application/x-ndjson");
    let list = send_request(&address, list).await;
    assert!(list.text().lines().count() == 50, "{}", list.text());
    let lines = requests(running);
    let logged: Vec<_> = lines
        .iter()
        .filter(|line| line["id"] == json!(id(&list)))
        .collect();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(logged[0]["bytes"], list.body.len(), "{}", logged[0]);
    assert_eq!(logged[0]["cut_short"], Value::Null, "{}", logged[0]);
}

/// What clients send that must not be in any line.
const MARKERS: [&str; 6] = [
    "Markername",
    "markermail",
    "86753090",
    "markerquery",
    "markeragent",
    "markerid",
];

async fn send_personal_data(address: &str) {
    let user = json!({"name": "Markername", "email": "markermail@example.org"});
    let requests = [
        Request::post("/users/", &user),
        Request::post("/users/", &user),
        Request::get("/users/86753090"),
        Request::get("/users/?email=markermail@example.org&markerquery=1"),
        Request::new("DELETE", "/users/86753090"),
        Request::new("PUT", "/users/1")
            .header("content-type", "application/json")
            .header("if-match", "\"markerquery\"")
            .body(user.to_string()),
        Request::get("/markerquery/86753090"),
        Request::new("Markername", "/users/1"),
        Request::get("/users/1").header("x-request-id", "a markerid"),
        Request::post(
            "/users/",
            &json!({"name": 86_753_090, "email": "markermail"}),
        ),
    ];
    for request in requests {
        let request = request
            .header("user-agent", "markeragent")
            .header("authorization", "Bearer markerquery");
        send_request(address, request).await;
    }
}

#[tokio::test]
async fn log_of_any_level_and_mode_has_no_personal_data() {
    for format in ["text", "json"] {
        for level in ["info", "statements", "debug", "trace"] {
            for mode in ["off", "errors", "all"] {
                let scratch = Scratch::new();
                let mut running = program(&scratch, format)
                    .args(["--log", level, "--access-log", mode])
                    .spawn();
                let address = address(&mut running);
                send_personal_data(&address).await;
                running.terminate();
                let ended = running.wait();
                for line in &ended.stderr {
                    for marker in MARKERS {
                        assert!(!line.contains(marker), "{format} {level} {mode}: {line}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn statements_are_logged_with_their_time_and_without_parameters() {
    let scratch = Scratch::new();
    let mut running = program(&scratch, "json")
        .args(["--log", "statements"])
        .spawn();
    let address = address(&mut running);
    let created = send_request(&address, ann()).await;
    let lines = objects(running);
    let logged: Vec<_> = lines
        .iter()
        .filter(|line| line["id"] == json!(id(&created)))
        .collect();
    let [line] = logged[..] else {
        panic!("{lines:?}")
    };
    let text = line["message"].as_str().unwrap_or_default();
    assert!(text.starts_with("INSERT INTO users"), "{line}");
    assert_eq!(
        (
            &line["method"],
            &line["route"],
            &line["rows"],
            &line["outcome"]
        ),
        (&json!("POST"), &json!("/users/"), &json!(1), &json!("ok")),
        "{line}"
    );
    assert!(
        line["micros"].is_u64() && line["parameters"].is_null(),
        "{line}"
    );
    // Migrations run statements and transactions of their own.
    for text in ["BEGIN", "COMMIT"] {
        let has = lines.iter().any(|line| line["message"] == text);
        assert!(has, "{text}: {lines:?}");
    }
}

#[tokio::test]
async fn parameters_are_logged_only_by_their_own_option() {
    let scratch = Scratch::new();
    let mut running = program(&scratch, "text")
        .args(["--log", "statements", "--log-parameters"])
        .spawn();
    let address = address(&mut running);
    send_request(&address, ann()).await;
    let line = running.line("INSERT INTO users");
    assert!(line.contains("ann@example.org"), "{line}");
}

#[tokio::test]
async fn ids_of_a_trusted_client_are_returned_and_logged() {
    let scratch = Scratch::new();
    let mut running = program(&scratch, "json")
        .args(["--access-log", "all"])
        .spawn();
    let address = address(&mut running);
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let request = Request::get("/users/1")
        .header("x-request-id", "0b6c1f5e-2c1f.1")
        .header("traceparent", &traceparent);
    let response = send_request(&address, request).await;
    assert_eq!(id(&response), "0b6c1f5e-2c1f.1");
    assert_eq!(response.header("traceparent"), Some(traceparent));
    let lines = requests(running);
    assert_eq!(lines[0]["id"], "0b6c1f5e-2c1f.1");
    assert_eq!(lines[0]["trace"], TRACE);
}

#[tokio::test]
async fn ids_of_an_untrusted_client_are_ignored() {
    let scratch = Scratch::new();
    let mut running = program(&scratch, "json")
        .args(["--access-log", "all", "--trusted-proxy", "192.0.2.1"])
        .spawn();
    let address = address(&mut running);
    let request = Request::get("/users/1")
        .header("x-request-id", "theirs")
        .header("traceparent", &format!("00-{TRACE}-b7ad6b7169203331-01"));
    let first = send_request(&address, request.clone()).await;
    let second = send_request(&address, request).await;
    assert!(id(&first) != "theirs" && id(&first) != id(&second));
    assert_eq!(first.header("traceparent"), None);
    let lines = requests(running);
    assert_eq!(lines[0]["id"], json!(id(&first)));
    assert_eq!(lines[0]["trace"], Value::Null);
}

#[tokio::test]
async fn hostile_ids_are_replaced() {
    let scratch = Scratch::new();
    let mut running = program(&scratch, "json")
        .args(["--access-log", "all"])
        .spawn();
    let address = address(&mut running);
    let long = "a".repeat(10_000);
    for hostile in [
        "",
        "a b",
        "a\tINFO",
        "a\"",
        "\u{1b}[31m",
        "ä",
        "a@b.c",
        &long,
    ] {
        let request = Request::get("/users/1").header("x-request-id", hostile);
        let response = send_request(&address, request).await;
        // A control character is no part of a header field, so the whole request is refused.
        let is_control = hostile.contains('\u{1b}');
        assert_eq!(response.status, if is_control { 400 } else { 404 });
        let made = id(&response);
        assert!(made != hostile && made.len() == 20, "{hostile}: {made}");
        assert!(
            made.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{made}"
        );
    }
    let twice = Request::get("/users/1")
        .header("x-request-id", "one")
        .header("x-request-id", "two");
    assert_eq!(id(&send_request(&address, twice).await).len(), 20);
    for line in requests(running) {
        let logged = line["id"].as_str().map(str::len);
        assert_eq!(logged, Some(20), "{line}");
    }
}

/// Sends bytes and returns what comes back.
async fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("it is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn request_that_never_reaches_the_component_has_an_id_and_a_line() {
    let scratch = Scratch::new();
    let mut running = program(&scratch, "json")
        .args(["--access-log", "errors", "--max-head", "8KiB"])
        .spawn();
    let address = address(&mut running);
    let large = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\nconnection: close\r\n\r\n",
        "x".repeat(100_000)
    );
    let mut answers = Vec::new();
    for (bytes, status) in [
        ("GARBAGE\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        (&large, "431"),
    ] {
        let answer = exchange(&address, bytes.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        let (_, rest) = answer.split_once("x-request-id: ").expect("an id");
        let (id, _) = rest.split_once("\r\n").expect("a line");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        answers.push((id.to_owned(), status.to_owned(), body.len()));
    }
    let logged: Vec<_> = requests(running)
        .iter()
        .map(|line| {
            assert_eq!(line["blame"], "client", "{line}");
            let bytes = line["bytes"]
                .as_u64()
                .and_then(|bytes| usize::try_from(bytes).ok());
            (
                line["id"].as_str().unwrap_or_default().to_owned(),
                line["status"].to_string(),
                bytes.unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(logged, answers);
}

#[tokio::test]
async fn trap_is_logged_with_method_route_and_id() {
    let scratch = Scratch::new();
    let mut running = hostile(&scratch).args(["--access-log", "all"]).spawn();
    let address = address(&mut running);
    let response = send_request(&address, Request::get("/items/86753090")).await;
    assert_eq!(response.status, 500);
    let lines = objects(running);
    let logged: Vec<_> = lines
        .iter()
        .filter(|line| line["id"] == json!(id(&response)))
        .collect();
    let [trap, request] = logged[..] else {
        panic!("{lines:?}")
    };
    let text = trap["message"].as_str().unwrap_or_default();
    assert!(text.contains("the component failed"), "{trap}");
    for line in [trap, request] {
        assert_eq!(
            (&line["method"], &line["route"]),
            (&json!("GET"), &json!("/items/{id}")),
            "{line}"
        );
        assert!(!line.to_string().contains("86753090"), "{line}");
    }
    assert_eq!(
        (&request["status"], &request["blame"]),
        (&json!(500), &json!("component"))
    );
}

#[tokio::test]
async fn deadline_is_logged_with_its_request_and_the_blamed_one() {
    let scratch = Scratch::new();
    let mut running = hostile(&scratch)
        .args(["--access-log", "all", "--request-timeout", "300ms"])
        .spawn();
    let address = address(&mut running);
    let response = send_request(&address, Request::get("/spin")).await;
    assert_eq!(response.status, 504);
    let lines = objects(running);
    let logged: Vec<_> = lines
        .iter()
        .filter(|line| line["id"] == json!(id(&response)))
        .collect();
    let [ended, request] = logged[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(
        (&ended["method"], &ended["route"]),
        (&json!("GET"), &json!("(none)")),
        "{ended}"
    );
    assert_eq!(request["blame"], "component", "{request}");
    // It ran all the time.
    assert!(request["guest_us"].as_u64() > Some(100_000), "{request}");
}

#[tokio::test]
async fn client_that_leaves_before_the_response_is_logged_as_499() {
    let scratch = Scratch::new();
    let mut running = hostile(&scratch).args(["--access-log", "errors"]).spawn();
    let address = address(&mut running);
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    stream
        .write_all(b"GET /spin HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("it is sent");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    drop(stream);
    let line = running.line("\"status\":499");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["blame"], "client", "{line}");
}

/// The program with standard error of its own, which is no terminal.
fn piped(scratch: &Scratch) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usher-under-test"));
    command
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
        .args(["--workers", "1", "--access-log", "all"])
        .env_remove("USHER_LOG_FORMAT")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn log_that_nobody_reads_delays_no_request_and_is_json() {
    // Their lines are several times what the pipe takes.
    const REQUESTS: usize = 2000;
    let scratch = Scratch::new();
    let mut child = piped(&scratch).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let address = loop {
        let line = lines.next().expect("it listens").expect("a line");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        let text = line["message"].as_str().unwrap_or_default();
        if let Some((_, address)) = text.split_once("listening on http://") {
            break address.to_owned();
        }
    };
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    for _ in 0..REQUESTS {
        let request = b"GET /users/1 HTTP/1.1\r\nhost: a\r\n\r\n";
        stream.write_all(request).await.expect("it is sent");
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer).await.expect("an answer");
        assert!(answer[..read].starts_with(b"HTTP/1.1 404"));
    }
    drop(stream);
    // All lines were kept, and can be read now.
    for _ in 0..REQUESTS {
        let line = lines
            .next()
            .expect("a line for each request")
            .expect("a line");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["message"], "request", "{line}");
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}
