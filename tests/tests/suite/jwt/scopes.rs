//! Tokens that are accepted, and what their scopes permit.

use serde_json::json;
use usher_tests::http::Request;
use usher_tests::janitor::Scratch;

use super::issuer::{Pair, claims};
use super::{get, insufficient, with_keys};
use crate::access::{ann, is_refused, make_token, with};
use crate::startup::send_request;

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
