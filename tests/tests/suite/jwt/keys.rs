//! Where the keys of tokens come from, and when they are replaced.

use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use usher_testing::reserved_port::ReservedPort;
use usher_tests::http::{Reader, Request};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, WAIT_LIMIT};

use super::issuer::{ISSUER, KeyServer, Pair, claims, encode};
use super::{get, invalid, options, with_keys, write_keys};
use crate::access::{ann, is_refused, start, with};
use crate::startup::{fails_with, send_request, usher};
use crate::tls::folder;

/// A program that fetches the key `old` of a server, where the key `new` is not yet.
struct Rotation {
    server: KeyServer,
    new: Pair,
    old_key: Value,
    new_key: Value,
    old_token: String,
    new_token: String,
    running: Running,
    address: String,
    // Dropped after the program that runs in it.
    _scratch: Scratch,
}

impl Rotation {
    fn start(more: &[&str]) -> Self {
        let scratch = Scratch::new();
        let (old, new) = (Pair::p256(), Pair::p256());
        let old_key = old.jwk(json!({"kid": "old"}));
        let server = KeyServer::start(&json!([old_key]), None);
        let mut running = start(
            &scratch,
            &[&options(&server.url("http"))[..], more].concat(),
        );
        Self {
            new_key: new.jwk(json!({"kid": "new"})),
            old_token: token(&old, "old", "read"),
            new_token: token(&new, "new", "read write"),
            address: running.address(),
            server,
            new,
            old_key,
            running,
            _scratch: scratch,
        }
    }

    /// The status of the response to a request with this token.
    async fn status(&self, token: &str) -> u16 {
        get(&self.address, token).await.status
    }
}

/// A token of a key with this name and scope.
fn token(pair: &Pair, key: &str, scope: &str) -> String {
    pair.sign(&json!({"alg": "ES256", "kid": key}), &claims(scope))
}

#[tokio::test]
async fn keys_of_a_url_are_replaced_and_those_of_before_stay_if_there_are_none() {
    let mut rotation = Rotation::start(&[]);
    let server = &rotation.server;
    assert_eq!(server.requests(), 1);
    assert_eq!(rotation.status(&rotation.old_token).await, 404);

    // The issuer has a new key: the first token with it waits for the keys, its body included.
    server.set(&json!([rotation.old_key, rotation.new_key]));
    let create = with(ann(), &rotation.new_token);
    let created = send_request(&rotation.address, create).await;
    assert_eq!(created.status, 200, "{}", created.text());
    rotation.running.line("2 keys of http://localhost");
    assert_eq!(rotation.status(&rotation.old_token).await, 200);
    assert_eq!(server.requests(), 2);

    // A flood of made-up keys causes hardly any requests.
    let began = Instant::now();
    for number in 0..200 {
        let made_up = token(&rotation.new, &format!("made-up-{number}"), "read");
        let response = get(&rotation.address, &made_up).await;
        is_refused(&response, 401, &invalid("the key of the token is unknown"));
    }
    let caused = server.requests() - 2;
    let most = began.elapsed().as_secs() / 5 + 1;
    assert!(
        caused as u64 <= most,
        "{caused} requests in {:?}",
        began.elapsed()
    );

    // The server fails, or has nothing of use: the keys stay.
    let pid = i32::try_from(rotation.running.id());
    let pid = pid.ok().and_then(Pid::from_raw).expect("it runs");
    let hang_up = || kill_process(pid, Signal::HUP).expect("it runs");
    for (status, body, reason) in [
        ("503 Busy", "", "its server answered 503"),
        ("302 Found", "", "redirects are not followed"),
        ("200 OK", "{}", "it is not a JSON object with a list `keys`"),
        (
            "200 OK",
            r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#,
            "it has no key",
        ),
        ("200 OK", &" ".repeat(300 << 10), "longer than 262144 bytes"),
    ] {
        server.answer(status, body);
        hang_up();
        let line = rotation.running.line("the keys of before stay valid");
        assert!(line.contains(reason) && line.contains("/keys"), "{line}");
        assert_eq!(rotation.status(&rotation.new_token).await, 200);
    }

    // The issuer withdraws the old key.
    server.set(&json!([rotation.new_key]));
    hang_up();
    rotation.running.line("1 keys of http://localhost");
    assert_eq!(rotation.status(&rotation.old_token).await, 401);
    assert_eq!(rotation.status(&rotation.new_token).await, 200);
}

#[tokio::test]
async fn keys_of_a_url_are_fetched_in_time() {
    let mut rotation = Rotation::start(&["--jwt-refresh", "1s"]);
    rotation.server.set(&json!([rotation.new_key]));
    rotation.running.line("1 keys of http://localhost");
    assert_eq!(rotation.status(&rotation.new_token).await, 404);
}

#[tokio::test]
async fn keys_of_a_server_that_is_not_there_at_start_are_waited_for() {
    let scratch = Scratch::new();
    let pair = Pair::p256();
    let keys = json!([pair.jwk(json!({}))]);
    let server = KeyServer::start(&keys, None);
    server.answer("503 Busy", "");
    let url = server.url("http");
    let mut running = usher(&scratch)
        .args(["--database", "memory:", "--jwt-wait", "10m"])
        .args(options(&url))
        .spawn();
    let line = running.line("(--jwt-wait)");
    assert!(line.contains("503") && line.contains("10m"), "{line}");
    server.set(&keys);
    let address = running.address();
    let token = pair.sign(&json!({"alg": "ES256"}), &claims("read"));
    assert_eq!(get(&address, &token).await.status, 404);
    drop(running);

    // Nobody listens there.
    let closed = ReservedPort::new().expect("a port");
    let url = format!("http://127.0.0.1:{}/keys", closed.number());
    let start = usher(&scratch).args(["--database", "memory:", "--jwt-wait", "0s"]);
    let ended = start.args(options(&url)).run();
    let parts = ["cannot fetch --jwt-keys http://127.0.0.1", "refused"];
    fails_with(&ended, 1, &parts);
    // What is no answer of a server of keys will be none in a moment either.
    server.answer("200 OK", "<html>");
    let url = server.url("http");
    let start = usher(&scratch).args(["--database", "memory:", "--jwt-wait", "10m"]);
    let ended = start.args(options(&url)).run();
    fails_with(
        &ended,
        2,
        &["cannot use --jwt-keys http://localhost", "JSON"],
    );
}

#[tokio::test]
async fn keys_of_a_server_that_was_away_are_fetched_once_it_is_back() {
    let mut rotation = Rotation::start(&["--jwt-refresh", "1s"]);
    rotation.server.answer("503 Busy", "");
    rotation.running.line("the keys of before stay valid");
    assert_eq!(rotation.status(&rotation.old_token).await, 404);
    rotation.server.set(&json!([rotation.new_key]));
    rotation.running.line("1 keys of http://localhost");
    assert_eq!(rotation.status(&rotation.new_token).await, 404);
}

#[tokio::test]
async fn slow_server_of_keys_holds_up_only_the_requests_whose_key_is_unknown() {
    let rotation = Rotation::start(&[]);
    let server = &rotation.server;
    server.hold();
    let waits = tokio::spawn({
        let (address, token) = (rotation.address.clone(), rotation.new_token.clone());
        async move { get(&address, &token).await.status }
    });
    let asked = async {
        while server.requests() < 2 {
            // Others are served meanwhile.
            assert_eq!(rotation.status(&rotation.old_token).await, 404);
        }
    };
    let asked = tokio::time::timeout(WAIT_LIMIT, asked).await;
    asked.expect("the server is asked");
    assert_eq!(rotation.status(&rotation.old_token).await, 404);
    assert!(!waits.is_finished());
    server.set(&json!([rotation.old_key, rotation.new_key]));
    assert_eq!(waits.await.expect("no panic"), 404);
}

#[tokio::test]
async fn refused_request_that_waited_for_keys_counts_once_for_its_connection() {
    let rotation = Rotation::start(&["--max-connection-requests", "2"]);
    let stream = TcpStream::connect(&rotation.address).await;
    let (read, mut write) = tokio::io::split(stream.expect("a connection"));
    let mut reader = Reader::new(read);
    for (token, status, connection) in [
        (&rotation.new_token, 401, None),
        (&rotation.old_token, 404, Some("close")),
    ] {
        let request = with(Request::get("/users/1"), token).header("connection", "keep-alive");
        let sent = write.write_all(&request.encode(&rotation.address)).await;
        sent.expect("a connection");
        let response = reader.response("GET").await.expect("a response");
        assert_eq!(response.status, status);
        assert_eq!(response.header("connection").as_deref(), connection);
    }
    assert_eq!(rotation.server.requests(), 2);
}

#[tokio::test]
async fn keys_of_a_file_are_read_again_and_a_broken_file_changes_nothing() {
    let scratch = Scratch::new();
    let (old, new) = (Pair::ed25519(), Pair::p256());
    let mut running = with_keys(&scratch, &[old.jwk(json!({}))], &[]);
    let address = running.address();
    let old_token = old.sign(&json!({"alg": "EdDSA"}), &claims("read"));
    assert_eq!(get(&address, &old_token).await.status, 404);
    std::fs::write(scratch.path().join("keys.json"), "{").expect("a file");
    let line = running.line("the keys of before stay valid");
    assert!(line.contains("cannot use --jwt-keys keys.json"), "{line}");
    assert_eq!(get(&address, &old_token).await.status, 404);
    write_keys(&scratch, &[new.jwk(json!({}))]);
    running.line("1 keys of keys.json are valid now");
    assert_eq!(get(&address, &old_token).await.status, 401);
    let new_token = new.sign(&json!({"alg": "ES256"}), &claims("read"));
    assert_eq!(get(&address, &new_token).await.status, 404);
}

#[tokio::test]
async fn keys_come_over_tls_from_a_server_with_a_valid_certificate_alone() {
    let scratch = folder();
    let pair = Pair::p256();
    let server = KeyServer::start(&json!([pair.jwk(json!({}))]), Some(scratch.path()));
    // Nobody has signed it that is known.
    let url = server.url("https");
    let refused = usher(&scratch)
        .args(["--database", "memory:"])
        .args(options(&url));
    fails_with(
        &refused.run(),
        2,
        &["cannot fetch --jwt-keys https://localhost", "certificate"],
    );
    let url = format!(
        "https://me:se%63ret@localhost:{}/keys?key=secret",
        server.port()
    );
    let ca = ["--jwt-keys-ca", "authority.crt"];
    let mut running = start(&scratch, &[&options(&url)[..], &ca].concat());
    let address = running.address();
    let token = pair.sign(&json!({"alg": "ES256"}), &claims("read"));
    assert_eq!(get(&address, &token).await.status, 404);
    let heads = server.heads();
    // `me:secret`
    assert!(
        heads.contains("authorization: Basic bWU6c2VjcmV0\r\n"),
        "{heads}"
    );
    assert!(
        heads.starts_with("GET /keys?key=secret HTTP/1.1\r\n"),
        "{heads}"
    );
    running.terminate();
    let log = running.wait().stderr.join("\n");
    assert!(
        !log.contains("secret") && !log.contains("se%63ret"),
        "{log}"
    );
    let shown = usher(&scratch)
        .args(["config"])
        .args(options(&url))
        .args(ca)
        .run();
    let shown = String::from_utf8(shown.stdout).expect("text");
    let masked = format!(
        "jwt-keys = \"https://***@localhost:{}/keys?***\"",
        server.port()
    );
    assert!(
        shown.contains(&masked) && !shown.contains("secret"),
        "{shown}"
    );
}

#[test]
fn settings_of_tokens_that_cannot_be_used_are_refused_at_start() {
    let scratch = Scratch::new();
    let path = scratch.path();
    std::fs::write(path.join("empty.json"), r#"{"keys":[]}"#).expect("a file");
    let private = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA"}]}"#;
    std::fs::write(path.join("private.json"), private).expect("a file");
    let short = json!({"keys": [{"kty": "RSA", "n": encode([255; 128]), "e": "AQAB"}]});
    std::fs::write(path.join("short.json"), short.to_string()).expect("a file");
    let server = KeyServer::start(&json!([]), None);
    server.answer("404 Not Found", "");
    let url = server.url("http");
    let cases: [(&[&str], &[&str]); 11] = [
        (
            &options("none.json"),
            &["cannot read --jwt-keys none.json", "No such file"],
        ),
        (
            &options("empty.json"),
            &["cannot use --jwt-keys empty.json", "no key"],
        ),
        (&options("private.json"), &["key 1 is a private key"]),
        (&options("short.json"), &["key 1 has not 2048 to 8192 bits"]),
        (
            &options(&url),
            &["cannot fetch --jwt-keys http://localhost", "404"],
        ),
        (&options("https://me:secret@/"), &["--jwt-keys"]),
        (&options("ftp://x"), &["cannot read --jwt-keys ftp://x"]),
        (
            &["--jwt-keys", "empty.json"],
            &["--jwt-issuer and --jwt-audience"],
        ),
        (&["--jwt-issuer", ISSUER], &["need --jwt-keys"]),
        (
            &["--pass-subject"],
            &["--pass-subject needs --tokens or --jwt-keys"],
        ),
        (
            &options("empty.json")[..4],
            &["--jwt-issuer and --jwt-audience"],
        ),
    ];
    for (options, parts) in cases {
        let program = usher(&scratch).args(["--database", "memory:"]);
        let ended = program.args(options.iter().copied()).run();
        assert!(!ended.stderr.join("\n").contains("secret"));
        fails_with(&ended, 2, parts);
    }
}
