//! Access control: tokens, their scopes and their file, and the pages of other sites.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use usher_tests::http::{Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::Running;

use crate::startup::{fails_with, send_request, usher};
use crate::tls::{curl, folder, secure};

/// Longer than anything here takes.
const GUARD: Duration = Duration::from_mins(1);

/// Makes a token by the program's own command.
#[track_caller]
pub(crate) fn make_token(scratch: &Scratch, name: &str, scopes: &str) -> String {
    let made = usher(scratch)
        .args([
            "token", "new", name, "--scopes", scopes, "--tokens", "tokens",
        ])
        .run();
    assert_eq!(made.code(), Some(0), "{:?}", made.stderr);
    let token = String::from_utf8(made.stdout).expect("text");
    token.trim().to_owned()
}

pub(crate) fn start(scratch: &Scratch, options: &[&str]) -> Running {
    usher(scratch)
        .args(["--database", "memory:", "--workers", "1"])
        .args(options.iter().copied())
        .spawn()
}

pub(crate) fn with(request: Request, token: &str) -> Request {
    request.header("authorization", &format!("Bearer {token}"))
}

pub(crate) fn ann() -> Request {
    let ann = serde_json::json!({"name": "Ann", "email": "ann@example.org"});
    Request::post("/users/", &ann)
}

#[track_caller]
pub(crate) fn is_refused(response: &Response, status: u16, challenge: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    let sent = response.header("www-authenticate");
    assert_eq!(sent.as_deref(), Some(challenge));
    assert!(response.json()["detail"].is_string());
}

#[tokio::test]
async fn request_needs_a_token_with_its_scope() {
    let scratch = Scratch::new();
    let reader = make_token(&scratch, "reader", "read");
    let both = make_token(&scratch, "both", "read,write");
    let mut running = start(&scratch, &["--tokens", "tokens", "--log", "trace"]);
    let address = running.address();
    let get = || Request::get("/users/1");
    let none = send_request(&address, get()).await;
    is_refused(&none, 401, "Bearer realm=\"usher\"");
    let basic = get().header("authorization", "Basic YTpi");
    is_refused(
        &send_request(&address, basic).await,
        401,
        "Bearer realm=\"usher\"",
    );
    let unknown = "Bearer realm=\"usher\", error=\"invalid_token\"";
    for wrong in ["usher_", &both[..both.len() - 1], "x y"] {
        let response = send_request(&address, with(get(), wrong)).await;
        is_refused(&response, 401, unknown);
    }
    let insufficient = "Bearer realm=\"usher\", error=\"insufficient_scope\", scope=\"write\"";
    let response = send_request(&address, with(ann(), &reader)).await;
    is_refused(&response, 403, insufficient);
    assert_eq!(send_request(&address, with(ann(), &both)).await.status, 200);
    assert_eq!(
        send_request(&address, with(get(), &reader)).await.status,
        200
    );
    // Neither the program nor the file shows it.
    running.terminate();
    let ended = running.wait();
    let log = ended.stderr.join("\n");
    let file = std::fs::read_to_string(scratch.path().join("tokens")).expect("the file");
    for token in [&reader, &both] {
        let secret = token.trim_start_matches("usher_");
        assert!(!log.contains(secret) && !file.contains(secret));
    }
}

#[tokio::test]
async fn tokens_are_read_again_and_a_broken_file_changes_nothing() {
    let scratch = Scratch::new();
    let first = make_token(&scratch, "first", "read");
    let mut running = start(&scratch, &["--tokens", "tokens"]);
    let address = running.address();
    let status = async |token: &str| {
        let get = with(Request::get("/users/1"), token);
        send_request(&address, get).await.status
    };
    assert_eq!(status(&first).await, 404);
    let second = make_token(&scratch, "second", "read");
    running.line("2 tokens of tokens are valid now");
    assert_eq!(status(&second).await, 404);
    let file = scratch.path().join("tokens");
    let text = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, "nonsense").expect("a file");
    let line = running.line("the tokens of before stay valid");
    assert!(line.contains("line 1 of --tokens tokens"), "{line}");
    assert_eq!(status(&first).await, 404);
    // Only the second one is left.
    let rest = text.lines().nth(1).expect("the second one");
    std::fs::write(&file, rest).expect("a file");
    running.line("1 tokens of tokens are valid now");
    assert_eq!((status(&first).await, status(&second).await), (401, 404));
    let pid = i32::try_from(running.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("it runs"), Signal::HUP).expect("it runs");
    running.line("1 tokens of tokens are valid now");
}

/// A pipe without a writer is like a file of a network that does not answer.
#[tokio::test]
async fn file_that_does_not_answer_or_is_used_up_holds_up_no_request_and_no_end() {
    let scratch = Scratch::new();
    let token = make_token(&scratch, "first", "read");
    let file = scratch.path().join("tokens");
    let text = std::fs::read(&file).expect("the file");
    let mut running = start(&scratch, &["--tokens", "tokens"]);
    let address = running.address();
    let status = async || {
        let get = with(Request::get("/users/1"), &token);
        let answer = tokio::time::timeout(GUARD, send_request(&address, get));
        answer.await.expect("an answer").status
    };
    let replace = |by: &Path| std::fs::rename(by, &file).expect("a file");
    // Nothing is left in what a shell passes, either.
    let empty = scratch.path().join("empty");
    std::os::unix::fs::symlink("/dev/null", &empty).expect("a link");
    replace(&empty);
    let line = running.line("the tokens of before stay valid");
    assert!(line.contains("no regular file"), "{line}");
    assert_eq!(status().await, 404);

    let pipe = scratch.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    replace(&pipe);
    let open = tokio::task::spawn_blocking({
        let file = file.clone();
        // Returns once the server reads.
        move || std::fs::OpenOptions::new().write(true).open(file)
    });
    let open = tokio::time::timeout(GUARD, open).await.expect("it is read");
    let mut writer = open.expect("no panic").expect("a pipe");
    assert_eq!(status().await, 404);
    writer.write_all(&text).expect("it is read");
    drop(writer);
    running.line("1 tokens of tokens are valid now");
    assert_eq!(status().await, 404);
    running.terminate();
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn token_file_or_scope_that_cannot_be_used_is_refused() {
    let scratch = Scratch::new();
    let program = || usher(&scratch).args(["--database", "memory:", "--tokens", "tokens"]);
    fails_with(
        &program().run(),
        2,
        &["cannot read --tokens tokens", "No such file"],
    );
    std::fs::write(scratch.path().join("tokens"), "# mine\nname read\n").expect("a file");
    fails_with(
        &program().run(),
        2,
        &["line 2 of --tokens tokens", "usher token new"],
    );
    for arguments in [
        ["token", "new", "a", "--scopes", "all", "--tokens", "new"],
        ["token", "new", "a b", "--scopes", "read", "--tokens", "new"],
    ] {
        let ended = usher(&scratch).args(arguments).run();
        assert_eq!(ended.code(), Some(2), "{:?}", ended.stderr);
        assert!(!scratch.path().join("new").exists() && ended.stdout.is_empty());
    }
}

#[tokio::test]
async fn pages_of_allowed_sites_may_send_requests_and_others_may_not() {
    let scratch = Scratch::new();
    let token = make_token(&scratch, "page", "read");
    let options = ["--cors-origin", "https://app.example,http://localhost:3000"];
    let mut running = start(&scratch, &[&options[..], &["--tokens", "tokens"]].concat());
    let address = running.address();
    let preflight = |origin: &str| {
        Request::new("OPTIONS", "/users/1")
            .header("origin", origin)
            .header("access-control-request-method", "DELETE")
    };
    let allowed = |response: &Response| response.header("access-control-allow-origin");
    for origin in ["https://app.example", "http://localhost:3000"] {
        let response = send_request(&address, preflight(origin)).await;
        assert_eq!(response.status, 204);
        assert_eq!(allowed(&response).as_deref(), Some(origin));
        let methods = response.header("access-control-allow-methods");
        assert!(methods.is_some_and(|methods| methods.contains("DELETE")));
        let headers = response.header("access-control-allow-headers");
        assert!(headers.is_some_and(|headers| headers.contains("authorization")));
        // A refusal can be read, too.
        for get in [
            with(Request::get("/users/1"), &token),
            Request::get("/users/1"),
        ] {
            let response = send_request(&address, get.header("origin", origin)).await;
            assert_eq!(allowed(&response).as_deref(), Some(origin));
            assert_eq!(response.header("vary").as_deref(), Some("origin"));
            let read = response.header("access-control-expose-headers");
            assert!(read.is_some_and(|read| read.contains("etag")));
        }
    }
    for origin in [
        "https://evil.example",
        "null",
        "https://app.example.evil.example",
    ] {
        let response = send_request(&address, preflight(origin)).await;
        assert_eq!((response.status, allowed(&response)), (204, None));
        let get = with(Request::get("/users/1"), &token).header("origin", origin);
        assert_eq!(allowed(&send_request(&address, get).await), None);
    }
    for origin in ["*", "https://app.example/"] {
        let ended = usher(&scratch)
            .args(["--database", "memory:", "--cors-origin", origin])
            .run();
        assert_eq!(ended.code(), Some(2), "{origin}: {:?}", ended.stderr);
    }
}

#[tokio::test]
async fn token_is_checked_over_http_2_and_tls() {
    let scratch = folder();
    let token = make_token(&scratch, "page", "read");
    let mut running = secure(&scratch)
        .args(["--listen", "0.0.0.0:0", "--tokens", "tokens"])
        .spawn();
    // With both there is no warning.
    let line = running.line("listening on https://");
    let port = line
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    let url = format!("https://localhost:{port}/users/1");
    let base = [
        "--cacert",
        "authority.crt",
        "-o",
        "body",
        "-w",
        "%{http_version} %{http_code}",
    ];
    assert_eq!(
        curl(scratch.path(), &[&base[..], &[&url]].concat()),
        "2 401"
    );
    let header = format!("authorization: Bearer {token}");
    let arguments = [&base[..], &["-H", &header, &url]].concat();
    assert_eq!(curl(scratch.path(), &arguments), "2 404");
    running.terminate();
    let ended = running.wait();
    let warned = ended
        .stderr
        .iter()
        .any(|line| line.contains("other machines reach"));
    assert!(!warned, "{:?}", ended.stderr);
}

#[test]
fn listener_beyond_this_machine_without_tokens_or_tls_is_warned_of_once() {
    let scratch = folder();
    make_token(&scratch, "page", "read");
    let tls = ["--tls-cert", "server.crt", "--tls-key", "server.key"];
    let tokens = ["--tokens", "tokens"];
    let cases: [(&[&str], &str, &str); 3] = [
        (
            &[],
            "without access control and TLS",
            "set --tokens or --jwt-keys, --tls-cert and --tls-key",
        ),
        (
            &tls,
            "without access control",
            "set --tokens, --jwt-keys or --tls-client-ca",
        ),
        (&tokens, "without TLS", "set --tls-cert and --tls-key"),
    ];
    for (options, missing, remedy) in cases {
        let mut running = usher(&scratch)
            .args(["--database", "memory:", "--listen", "127.0.0.1:0"])
            .args(["--listen", "0.0.0.0:0", "--listen", "0.0.0.0:0"])
            .args(options.iter().copied())
            .spawn();
        let line = running.line("other machines reach");
        assert!(line.contains(missing) && line.contains(remedy), "{line}");
        running.line("listening on");
        running.terminate();
        let ended = running.wait();
        let again = |line: &&String| line.contains("other machines reach");
        assert_eq!(
            ended.stderr.iter().filter(again).count(),
            1,
            "{:?}",
            ended.stderr
        );
    }
}
