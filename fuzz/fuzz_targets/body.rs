//! The body of POST, PUT and PATCH: nothing panics, a body that serde_json parses as a user gives
//! that user, and every fault is JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;
use usher_guest::api::body::{Body, Error};
use usher_guest::compat::email::Email;
use usher_guest::compat::faults::faults_to_json;
use usher_guest::users::Name;

fuzz_target!(|bytes: &[u8]| {
    let body = match Body::new(bytes, Some(b"application/json")) {
        Ok(body) => body,
        Err(error) => return check(&error),
    };
    let changes = body.changes();
    if let Err(error) = &changes {
        check(error);
    }
    let user = body.new_user();
    if let Err(error) = &user {
        check(error);
    }
    let Ok(Value::Object(members)) = serde_json::from_slice(bytes) else {
        return;
    };
    let text = |name: &str| members.get(name)?.as_str();
    let name = text("name").and_then(|name| Name::parse(name).ok());
    let email = text("email").and_then(|email| Email::parse(email).ok());
    match (name, email) {
        (Some(name), Some(email)) => {
            let user = user.expect("a name and a valid address are a user");
            assert_eq!((&user.name, &user.email), (&name, &email));
            let changes = changes.expect("a name and a valid address are a change");
            assert_eq!((changes.name, changes.email), (Some(name), Some(email)));
        }
        _ => assert!(user.is_err()),
    }
});

fn check(error: &Error) {
    if let Error::Faults(faults) = error {
        // Not as a `Value`: the quoted input may be nested more deeply and have larger numbers than
        // a `Value` supports.
        let json: Result<IgnoredAny, _> = serde_json::from_str(&faults_to_json(faults));
        json.expect("faults are JSON");
        assert!(!faults.is_empty());
    }
}
