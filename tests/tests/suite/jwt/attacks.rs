//! Tokens that are refused, each with its reason.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use usher_tests::janitor::Scratch;

use super::issuer::{AUDIENCE, Pair, claims, encode, in_seconds};
use super::{get, invalid, with_keys};

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
