//! JSON Web Tokens: which count, attacks on them, their keys, and what the component is told.
//!
//! | module | what it tests |
//! |---|---|
//! | `scopes` | tokens of each algorithm, and what their scopes permit |
//! | `attacks` | tokens that are refused, and why |
//! | `keys` | where the keys come from, and when they are replaced |
//! | `sender` | what the component is told about who sends a request |
//! | `description` | the OpenAPI description, where requests need tokens |
//! | `issuer` | an issuer of tokens, and the server of its keys |

mod attacks;
mod description;
mod issuer;
mod keys;
mod scopes;
mod sender;

use issuer::{AUDIENCE, ISSUER};
use serde_json::{Value, json};
use usher_tests::http::{Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::Running;

use crate::access::{start, with};
use crate::startup::send_request;

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
