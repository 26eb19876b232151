//! JSON Web Tokens: which count, attacks on them, their keys, and what the component is told.

#[path = "jwt/issuer.rs"]
mod issuer;

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use issuer::{AUDIENCE, ISSUER, KeyServer, Pair, claims, encode, in_seconds};
use ring::hmac;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use usher::sandbox::Source;
use usher_testing::TestApp;
use usher_testing::reserved_port::ReservedPort;
use usher_tests::http::{Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, WAIT_LIMIT};

use crate::access::{ann, is_refused, make_token, start, with};
use crate::startup::{fails_with, send_request, usher};
use crate::tls::folder;

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

/// Options for tokens of the issuer, with its keys at this place.
fn options(keys: &str) -> [&str; 6] {
    [
        "--jwt-keys",
        keys,
        "--jwt-issuer",
        ISSUER,
        "--jwt-audience",
        AUDIENCE,
    ]
}

/// A program with the keys in the file `keys.json`.
fn with_keys(scratch: &Scratch, keys: &[Value], more: &[&str]) -> Running {
    write_keys(scratch, keys);
    start(scratch, &[&options("keys.json"), more].concat())
}

fn write_keys(scratch: &Scratch, keys: &[Value]) {
    let set = json!({ "keys": keys }).to_string();
    // Replaced as tools do it, so that nobody reads a part.
    std::fs::write(scratch.path().join("new.json"), set).expect("a file");
    std::fs::rename(
        scratch.path().join("new.json"),
        scratch.path().join("keys.json"),
    )
    .expect("a file");
}

async fn get(address: &str, token: &str) -> Response {
    send_request(address, with(Request::get("/users/1"), token)).await
}

/// The challenge for a token that does not count.
fn invalid(reason: &str) -> String {
    format!("Bearer realm=\"usher\", error=\"invalid_token\", error_description=\"{reason}\"")
}

fn insufficient(scope: &str) -> String {
    format!("Bearer realm=\"usher\", error=\"insufficient_scope\", scope=\"{scope}\"")
}

#[tokio::test]
async fn token_of_each_algorithm_is_accepted_with_its_scope() {
    let scratch = Scratch::new();
    let (rsa, ed25519) = (Pair::rsa(scratch.path()), Pair::ed25519());
    let (p256, p384) = (Pair::p256(), Pair::p384());
    let keys = [
        rsa.jwk(json!({"kid": "rsa", "use": "sig"})),
        p256.jwk(json!({"kid": "p256", "alg": "ES256"})),
        p384.jwk(json!({"kid": "p384", "key_ops": ["verify"]})),
        ed25519.jwk(json!({"kid": "ed"})),
        // Keys that are not for this are left out.
        rsa.jwk(json!({"kid": "other", "use": "enc"})),
        json!({"kty": "oct", "kid": "secret", "k": "c2VjcmV0"}),
        json!({"kty": "AKP", "kid": "later", "alg": "ML-DSA-44", "pub": ""}),
    ];
    let file = make_token(&scratch, "file", "read");
    let running = &mut with_keys(&scratch, &keys, &["--tokens", "tokens"]);
    let address = running.address();
    for (pair, algorithm, key) in [
        (&rsa, "RS256", "rsa"),
        (&rsa, "PS256", "rsa"),
        (&p256, "ES256", "p256"),
        (&p384, "ES384", "p384"),
        (&ed25519, "EdDSA", "ed"),
        (&ed25519, "Ed25519", "ed"),
    ] {
        let header = json!({"alg": algorithm, "kid": key, "typ": "at+jwt"});
        let reader = pair.sign(&header, &claims("openid read"));
        assert_eq!(get(&address, &reader).await.status, 404, "{algorithm}");
        let refused = send_request(&address, with(ann(), &reader)).await;
        is_refused(&refused, 403, &insufficient("write"));
        // Without the key's name, all keys that are for the algorithm are tried.
        let mut said = claims("");
        said["scp"] = json!(["write"]);
        let writer = pair.sign(&json!({"alg": algorithm}), &said);
        is_refused(&get(&address, &writer).await, 403, &insufficient("read"));
        let written = send_request(&address, with(Request::new("DELETE", "/users/1"), &writer));
        assert_eq!(written.await.status, 404, "{algorithm}");
    }
    // The tokens of the file count beside them.
    assert_eq!(get(&address, &file).await.status, 404);
    let unknown = "Bearer realm=\"usher\", error=\"invalid_token\"";
    is_refused(&get(&address, "usher_7").await, 401, unknown);
}

#[tokio::test]
async fn scopes_have_the_names_that_the_issuer_gives_them() {
    let scratch = Scratch::new();
    let pair = Pair::p256();
    let names = [
        "--jwt-read-scope",
        "api:read",
        "--jwt-write-scope",
        "api:all",
    ];
    let mut running = with_keys(&scratch, &[pair.jwk(json!({}))], &names);
    let address = running.address();
    let token = |scope: &str| pair.sign(&json!({"alg": "ES256"}), &claims(scope));
    let refused = get(&address, &token("read write")).await;
    is_refused(&refused, 403, &insufficient("api:read"));
    assert_eq!(get(&address, &token("api:read")).await.status, 404);
    let refused = send_request(&address, with(ann(), &token("api:read"))).await;
    is_refused(&refused, 403, &insufficient("api:all"));
    let created = send_request(&address, with(ann(), &token("api:all"))).await;
    assert_eq!(created.status, 200);
}

#[tokio::test]
async fn attack_with_a_token_is_refused_with_its_reason_and_the_log_has_no_part_of_it() {
    const MALFORMED: &str = "the token is malformed";
    const ALGORITHM: &str = "the algorithm of the token is not accepted";
    const SIGNATURE: &str = "the signature of the token is wrong";
    const KEY: &str = "the key of the token is unknown";
    let scratch = Scratch::new();
    let (rsa, p256, p384) = (Pair::rsa(scratch.path()), Pair::p256(), Pair::p384());
    let (other, encrypting) = (Pair::p256(), Pair::p256());
    let public = rsa.jwk(json!({"kid": "rsa"}));
    let keys = [
        public.clone(),
        p256.jwk(json!({"kid": "p256"})),
        p384.jwk(json!({"kid": "p384"})),
        encrypting.jwk(json!({"kid": "enc", "use": "enc"})),
        Pair::rsa(scratch.path()).jwk(json!({"kid": "ps", "alg": "PS256"})),
    ];
    let mut running = with_keys(&scratch, &keys, &["--log", "trace"]);
    let address = running.address();
    let good = claims("read write");
    let named = json!({"alg": "ES256", "kid": "p256"});
    let valid = p256.sign(&named, &good);
    assert_eq!(get(&address, &valid).await.status, 404);

    let unsigned = |header: Value, signature: &[u8]| {
        let text = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(good.to_string())
        );
        format!("{text}.{}", encode(signature))
    };
    let by_hmac = |secret: &[u8]| {
        let header = json!({"alg": "HS256", "kid": "rsa"});
        let signed = unsigned(header, b"");
        let signed = signed.trim_end_matches('.');
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        format!("{signed}.{}", encode(hmac::sign(&key, signed.as_bytes())))
    };
    let said = |change: &[(&str, Value)]| {
        let mut said = good.clone();
        for (name, value) in change {
            said[*name] = value.clone();
        }
        p256.sign(&named, &said)
    };
    let without = |name: &str| {
        let mut said = good.clone();
        said.as_object_mut().expect("an object").remove(name);
        p256.sign(&named, &said)
    };
    let twice = |member: &str| {
        let said = good.to_string();
        p256.sign_text(&named.to_string(), &format!("{{{member},{}", &said[1..]))
    };
    let header = |header: &str| p256.sign_text(header, &good.to_string());
    let parts: Vec<&str> = valid.split('.').collect();
    let elevated = encode(claims("read write admin").to_string());
    let n = public["n"].as_str().expect("text");
    let modulus = URL_SAFE_NO_PAD.decode(n).expect("base64url");
    let jwk = other.jwk(json!({"kid": "p256"}));
    let attacks = [
        // No signature, and a public key as a secret.
        ("none", unsigned(json!({"alg": "none"}), b""), ALGORITHM),
        (
            "None",
            unsigned(json!({"alg": "nOnE", "kid": "rsa"}), b""),
            ALGORITHM,
        ),
        (
            "no algorithm",
            unsigned(json!({"kid": "rsa"}), b""),
            MALFORMED,
        ),
        (
            "HMAC of the JWK",
            by_hmac(public.to_string().as_bytes()),
            ALGORITHM,
        ),
        ("HMAC of the modulus", by_hmac(&modulus), ALGORITHM),
        ("HMAC of nothing", by_hmac(b""), ALGORITHM),
        // The wrong key.
        (
            "unknown key",
            header(r#"{"alg":"ES256","kid":"p257"}"#),
            KEY,
        ),
        (
            "path as a key",
            header(r#"{"alg":"ES256","kid":"../../dev/null"}"#),
            KEY,
        ),
        (
            "another's key",
            header(r#"{"alg":"ES384","kid":"p384"}"#),
            SIGNATURE,
        ),
        (
            "key of another type",
            header(r#"{"alg":"ES256","kid":"rsa"}"#),
            ALGORITHM,
        ),
        (
            "wrong curve",
            header(r#"{"alg":"ES384","kid":"p256"}"#),
            ALGORITHM,
        ),
        (
            "RS256 by a key of PS256",
            rsa.sign(&json!({"alg": "RS256", "kid": "ps"}), &good),
            ALGORITHM,
        ),
        (
            "key for encryption",
            encrypting.sign(&json!({"alg": "ES256", "kid": "enc"}), &good),
            KEY,
        ),
        (
            "key for encryption, not named",
            encrypting.sign(&json!({"alg": "ES256"}), &good),
            SIGNATURE,
        ),
        ("own key", other.sign(&named, &good), SIGNATURE),
        (
            "own key in the header",
            other.sign(&json!({"alg": "ES256", "kid": "p256", "jwk": jwk}), &good),
            SIGNATURE,
        ),
        (
            "own key in the header, not named",
            other.sign(&json!({"alg": "ES256", "jwk": jwk}), &good),
            SIGNATURE,
        ),
        (
            "own address of keys",
            other.sign(
                &json!({"alg": "ES256", "jku": "https://evil.example"}),
                &good,
            ),
            SIGNATURE,
        ),
        // The wrong signature.
        (
            "truncated signature",
            valid[..valid.len() - 2].to_owned(),
            SIGNATURE,
        ),
        ("no signature", unsigned(named.clone(), b""), SIGNATURE),
        (
            "zeros as the signature",
            unsigned(named.clone(), &[0; 64]),
            SIGNATURE,
        ),
        (
            "other claims",
            format!("{}.{elevated}.{}", parts[0], parts[2]),
            SIGNATURE,
        ),
        // What it says.
        (
            "issuer",
            said(&[("iss", json!("https://id.example"))]),
            "the token is of another issuer",
        ),
        ("no issuer", without("iss"), MALFORMED),
        (
            "audience",
            said(&[("aud", json!("https://api.example"))]),
            "the token is for another audience",
        ),
        ("no audience", without("aud"), MALFORMED),
        (
            "two `aud`",
            twice(r#""aud":"https://other.example/""#),
            MALFORMED,
        ),
        ("two `exp`", twice(r#""exp":99999999999"#), MALFORMED),
        ("two `scope`", twice(r#""scope":"write""#), MALFORMED),
        (
            "expired",
            said(&[("exp", json!(in_seconds(-60)))]),
            "the token has expired",
        ),
        ("no expiry", without("exp"), MALFORMED),
        (
            "expiry as text",
            said(&[("exp", json!("99999999999"))]),
            MALFORMED,
        ),
        (
            "not yet",
            said(&[("nbf", json!(in_seconds(600)))]),
            "the token is not valid yet",
        ),
        (
            "from the future",
            said(&[("iat", json!(in_seconds(600)))]),
            "the token is not valid yet",
        ),
        // What it is.
        (
            "critical",
            header(r#"{"alg":"ES256","crit":["exp"],"exp":1}"#),
            "the token has an extension that is not supported",
        ),
        (
            "unencoded payload",
            header(r#"{"alg":"ES256","b64":false,"crit":["b64"]}"#),
            "the token has an extension that is not supported",
        ),
        (
            "another kind",
            header(r#"{"alg":"ES256","typ":"dpop+jwt"}"#),
            "the token is not an access token",
        ),
        (
            "two algorithms",
            header(r#"{"alg":"ES256","alg":"none"}"#),
            MALFORMED,
        ),
        ("encrypted", format!("{valid}.AAAA.AAAA"), MALFORMED),
        (
            "JSON form",
            json!({"payload": parts[1], "signatures": []}).to_string(),
            MALFORMED,
        ),
        ("padding", format!("{valid}="), MALFORMED),
        (
            "line break",
            format!("{}.{}.\u{a0}{}", parts[0], parts[1], parts[2]),
            MALFORMED,
        ),
        (
            "deep JSON",
            header(&format!(r#"{{"alg":"ES256","x":{}"#, "[".repeat(5000))),
            MALFORMED,
        ),
        ("huge", said(&[("x", json!("x".repeat(20_000)))]), MALFORMED),
        ("dots", ".".repeat(5000), MALFORMED),
        ("no form", "usher_token".to_owned(), MALFORMED),
    ];
    for (name, token, reason) in &attacks {
        let response = get(&address, token).await;
        let challenge = response.header("www-authenticate");
        assert_eq!(
            (response.status, challenge),
            (401, Some(invalid(reason))),
            "{name}"
        );
    }
    // Two audiences, one of which is this service, and a clock that is a little behind.
    let both = [("aud", json!(["https://other.example/", AUDIENCE]))];
    let late = [
        ("exp", json!(in_seconds(-5))),
        ("nbf", json!(in_seconds(5))),
    ];
    for token in [said(&both), said(&late)] {
        assert_eq!(get(&address, &token).await.status, 404);
    }
    let logged = running.line("a request was refused: the key of the token is unknown");
    assert!(logged.contains("GET"), "{logged}");
    running.terminate();
    let log = running.wait().stderr.join("\n");
    for (name, token, _) in &attacks {
        for part in token.split('.').filter(|part| part.len() > 12) {
            assert!(!log.contains(part), "{name}: {part}");
        }
    }
    assert!(!log.contains("auth0|7") && !log.contains(parts[2]));
}

#[tokio::test]
async fn keys_of_a_url_are_replaced_and_those_of_before_stay_if_there_are_none() {
    let scratch = Scratch::new();
    let (old, new) = (Pair::p256(), Pair::p256());
    let (old_key, new_key) = (
        old.jwk(json!({"kid": "old"})),
        new.jwk(json!({"kid": "new"})),
    );
    let server = KeyServer::start(&json!([old_key]), None);
    let url = server.url("http");
    let mut running = start(&scratch, &options(&url));
    let address = running.address();
    assert_eq!(server.requests(), 1);
    let token = |pair: &Pair, key: &str| {
        pair.sign(&json!({"alg": "ES256", "kid": key}), &claims("read write"))
    };
    let (old_token, new_token) = (token(&old, "old"), token(&new, "new"));
    assert_eq!(get(&address, &old_token).await.status, 404);

    // The issuer has a new key: the first token with it waits for the keys, its body included.
    server.set(&json!([old_key, new_key]));
    let created = send_request(&address, with(ann(), &new_token)).await;
    assert_eq!(created.status, 200, "{}", created.text());
    running.line("2 keys of http://localhost");
    assert_eq!(get(&address, &old_token).await.status, 200);
    assert_eq!(server.requests(), 2);

    // A flood of made-up keys causes hardly any requests.
    let began = Instant::now();
    for number in 0..200 {
        let made_up = token(&new, &format!("made-up-{number}"));
        let response = get(&address, &made_up).await;
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
    let pid = i32::try_from(running.id()).ok().and_then(Pid::from_raw);
    let hang_up = || kill_process(pid.expect("it runs"), Signal::HUP).expect("it runs");
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
        let line = running.line("the keys of before stay valid");
        assert!(line.contains(reason) && line.contains("/keys"), "{line}");
        assert_eq!(get(&address, &new_token).await.status, 200);
    }

    // The issuer withdraws the old key.
    server.set(&json!([new_key]));
    hang_up();
    running.line("1 keys of http://localhost");
    let refused = get(&address, &old_token).await;
    assert_eq!(refused.status, 401);
    assert_eq!(get(&address, &new_token).await.status, 200);
}

#[tokio::test]
async fn keys_of_a_url_are_fetched_in_time() {
    let scratch = Scratch::new();
    let (old, new) = (Pair::p256(), Pair::p256());
    let server = KeyServer::start(&json!([old.jwk(json!({}))]), None);
    let url = server.url("http");
    let refresh = ["--jwt-refresh", "1s"];
    let mut running = start(&scratch, &[&options(&url)[..], &refresh].concat());
    let address = running.address();
    server.set(&json!([new.jwk(json!({"kid": "new"}))]));
    running.line("1 keys of http://localhost");
    let token = new.sign(&json!({"alg": "ES256"}), &claims("read"));
    assert_eq!(get(&address, &token).await.status, 404);
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
    let scratch = Scratch::new();
    let (old, new) = (Pair::p256(), Pair::p256());
    let server = KeyServer::start(&json!([old.jwk(json!({}))]), None);
    let url = server.url("http");
    let refresh = ["--jwt-refresh", "1s"];
    let mut running = start(&scratch, &[&options(&url)[..], &refresh].concat());
    let address = running.address();
    server.answer("503 Busy", "");
    running.line("the keys of before stay valid");
    let token = |pair: &Pair| pair.sign(&json!({"alg": "ES256"}), &claims("read"));
    assert_eq!(get(&address, &token(&old)).await.status, 404);
    server.set(&json!([new.jwk(json!({}))]));
    running.line("1 keys of http://localhost");
    assert_eq!(get(&address, &token(&new)).await.status, 404);
}

#[tokio::test]
async fn slow_server_of_keys_holds_up_only_the_requests_whose_key_is_unknown() {
    let scratch = Scratch::new();
    let (old, new) = (Pair::p256(), Pair::p256());
    let (old_key, new_key) = (
        old.jwk(json!({"kid": "old"})),
        new.jwk(json!({"kid": "new"})),
    );
    let server = KeyServer::start(&json!([old_key]), None);
    let url = server.url("http");
    let mut running = start(&scratch, &options(&url));
    let address = running.address();
    server.hold();
    let token =
        |pair: &Pair, key: &str| pair.sign(&json!({"alg": "ES256", "kid": key}), &claims("read"));
    let (old_token, new_token) = (token(&old, "old"), token(&new, "new"));
    let waits = tokio::spawn({
        let (address, token) = (address.clone(), new_token.clone());
        async move { get(&address, &token).await.status }
    });
    let asked = async {
        while server.requests() < 2 {
            // Others are served meanwhile.
            assert_eq!(get(&address, &old_token).await.status, 404);
        }
    };
    let asked = tokio::time::timeout(WAIT_LIMIT, asked).await;
    asked.expect("the server is asked");
    assert_eq!(get(&address, &old_token).await.status, 404);
    assert!(!waits.is_finished());
    server.set(&json!([old_key, new_key]));
    assert_eq!(waits.await.expect("no panic"), 404);
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

#[tokio::test]
async fn component_is_told_who_sends_a_request_and_a_client_cannot_say_so() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    let pair = Pair::p256();
    let file = make_token(&scratch, "ci", "read");
    let component = [
        "--component",
        "hostile.wasm",
        "--database-statements",
        "any",
    ];
    let token = |subject: &str| {
        let mut said = claims("read other:scope");
        said["sub"] = json!(subject);
        pair.sign(&json!({"alg": "ES256"}), &said)
    };
    let forged = || {
        Request::get("/sender")
            .header("usher-subject", "root")
            .header("Usher_Subject", "root")
            .header("usher-scopes", "write")
            .header("usher-issuer", "me")
            .header("usher-anything", "else")
    };
    // A client on this machine is a trusted proxy, and is not believed either.
    let told = [&component[..], &["--tokens", "tokens", "--pass-subject"]].concat();
    let mut running = with_keys(&scratch, &[pair.jwk(json!({}))], &told);
    let address = running.address();
    for (token, expected) in [
        (
            token("auth0|7"),
            "usher-issuer: https://id.example/\nusher-scopes: read other:scope\n\
             usher-subject: auth0|7",
        ),
        (
            token("\u{e4}\r\nusher-scopes: write"),
            "usher-issuer: https://id.example/\nusher-scopes: read other:scope\n\
             usher-subject: %C3%A4%0D%0Ausher-scopes:%20write",
        ),
        (file.clone(), "usher-scopes: read\nusher-subject: ci"),
    ] {
        let response = send_request(&address, with(forged(), &token)).await;
        assert_eq!((response.status, response.text().as_str()), (200, expected));
    }
    drop(running);
    // It is not told unless the operator says so, and nobody else says so either.
    let mut running = with_keys(&scratch, &[pair.jwk(json!({}))], &component);
    let response = send_request(&running.address(), with(forged(), &token("auth0|7"))).await;
    assert_eq!((response.status, response.text().as_str()), (200, ""));
    drop(running);
    let mut running = start(&scratch, &component);
    let response = send_request(&running.address(), forged()).await;
    assert_eq!((response.status, response.text().as_str()), (200, ""));
}

#[tokio::test]
async fn test_of_a_component_says_who_sends_a_request() {
    let app = TestApp::builder()
        .component(Source::Bytes(Arc::from(HOSTILE)))
        .no_migrate()
        .any_statements();
    let app = app.start().await.expect("it starts");
    let told = app.get("/sender").header("usher-subject", "ann");
    assert_eq!(told.await.expect("an answer").text(), "usher-subject: ann");
    // Over a connection the test is a client.
    let mut client = app.connect();
    let request = "GET /sender HTTP/1.0\r\nhost: test\r\nusher-subject: ann\r\n\r\n";
    let sent = client.write_all(request.as_bytes()).await;
    sent.expect("a connection");
    let mut read = String::new();
    let received = client.read_to_string(&mut read).await;
    received.expect("an answer");
    assert!(
        read.starts_with("HTTP/1.0 200 OK") && !read.contains("ann"),
        "{read}"
    );
}

#[tokio::test]
async fn openapi_description_says_which_token_each_operation_needs() {
    let scratch = Scratch::new();
    let plain = include_str!("../../../openapi.json");
    let get = || Request::get("/openapi.json");
    let mut running = start(&scratch, &[]);
    let response = send_request(&running.address(), get()).await;
    assert_eq!(response.text(), plain);
    drop(running);

    let token = make_token(&scratch, "reader", "read");
    let mut running = start(&scratch, &["--tokens", "tokens"]);
    let address = running.address();
    assert_eq!(send_request(&address, get()).await.status, 401);
    let response = send_request(&address, with(get(), &token)).await;
    let described = response.json();
    let scheme = &described["components"]["securitySchemes"]["bearer"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    assert_eq!(scheme["bearerFormat"], Value::Null);
    let mut operations = 0;
    for (path, item) in described["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let scope = if method == "get" { "read" } else { "write" };
            let security = &operation["security"];
            assert_eq!(security, &json!([{"bearer": [scope]}]), "{method} {path}");
            for status in ["401", "403"] {
                let reference = operation["responses"][status]["$ref"].as_str();
                let pointer = reference.expect("a reference").trim_start_matches('#');
                let described = described.pointer(pointer).expect("it is there");
                assert!(described["headers"]["WWW-Authenticate"].is_object());
            }
            operations += 1;
        }
    }
    assert!(operations > 5, "{operations}");

    // Its entity tag is of what the client gets, and HEAD is as GET.
    let tag = response.header("etag").expect("a tag");
    let same = with(get(), &token).header("if-none-match", &tag);
    let same = send_request(&address, same).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(same.header("etag"), Some(tag.clone()));
    let other = with(get(), &token).header("if-none-match", "\"other\"");
    assert_eq!(send_request(&address, other).await.body, response.body);
    let head = with(Request::new("HEAD", "/openapi.json"), &token);
    let head = send_request(&address, head).await;
    assert_eq!(
        head.header("content-length"),
        Some(response.body.len().to_string())
    );
    assert_eq!(
        (head.status, head.header("etag"), head.body.len()),
        (200, Some(tag), 0)
    );
    drop(running);

    let pair = Pair::p256();
    let mut running = with_keys(
        &scratch,
        &[pair.jwk(json!({}))],
        &["--jwt-write-scope", "w"],
    );
    let token = pair.sign(&json!({"alg": "ES256"}), &claims("read"));
    let described = send_request(&running.address(), with(get(), &token))
        .await
        .json();
    assert_eq!(
        described["components"]["securitySchemes"]["bearer"]["bearerFormat"],
        "JWT"
    );
    let delete = &described["paths"]["/users/{user_id}"]["delete"];
    assert_eq!(delete["security"], json!([{"bearer": ["w"]}]));
}

#[tokio::test]
async fn streamed_openapi_description_says_which_token_is_needed_and_a_cut_one_is_500() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    let options = ["--component", "hostile.wasm", "--tokens", "tokens"];
    let token = make_token(&scratch, "reader", "read");
    let mut running = start(&scratch, &options);
    let address = running.address();
    let get = |path: &str| send_request(&address, with(Request::get(path), &token));
    let described = get("/openapi.json").await;
    assert_eq!(described.status, 200, "{}", described.text());
    let length = described.body.len().to_string();
    assert_eq!(described.header("content-length"), Some(length));
    assert!(described.header("etag").is_some());
    let described = described.json();
    let security = &described["paths"]["/items/{id}"]["get"]["security"];
    assert_eq!(security, &json!([{"bearer": ["read"]}]));
    assert_eq!(
        described["components"]["securitySchemes"]["bearer"]["type"],
        "http"
    );
    let cut = get("/openapi.json?cut").await;
    assert_eq!(cut.status, 500, "{}", cut.text());
    let line = running.line("its OpenAPI description was not complete");
    assert!(line.contains("/openapi.json"), "{line}");
}
