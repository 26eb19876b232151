//! Tests the description against the service. Every operation is called with every kind of request,
//! over databases with every outcome: each status, header and body of a response must be described,
//! and each described status must occur, except those that only the host sends.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use usher_guest::api::{self, ROUTES};
use usher_guest::users::sql;
use usher_sdk::database::{
    Cursor, Database, Dialect, Error, Param, Refusal, RefusalKind, Rows, Statements, Transaction,
    Value,
};
use usher_sdk::http::{BufferedRequest, Method, Response};
use usher_sdk::routing::Route;

use super::{describe, is_described};

/// The statuses that the host sends in place of the component.
const SENT_BY_HOST: [u16; 8] = [400, 408, 413, 414, 431, 500, 503, 504];

/// A database with the same outcome for every statement that can have it.
struct Always(Result<Rows, Error>);

impl Statements for Always {
    fn query(&self, statement: &str, _: &[Param<'_>]) -> Result<Rows, Error> {
        match &self.0 {
            Ok(rows) if rows.is_empty() && statement == sql::VERSION => {
                Ok(vec![vec![Value::Integer(3)]])
            }
            // Only a write of an address violates its key, and only DELETE a foreign key.
            Err(Error::Refused(refusal)) if !is_refused(refusal, statement) => Ok(Vec::new()),
            // GET does not select the id.
            Ok(rows) if statement == sql::GET => {
                let known = |row: &Vec<Value>| row.iter().skip(1).cloned().collect();
                Ok(rows.iter().map(known).collect())
            }
            answer => answer.clone(),
        }
    }

    fn execute(&self, _: &str, _: &[Param<'_>]) -> Result<u64, Error> {
        self.0.clone().map(|rows| rows.len() as u64)
    }
}

fn is_refused(refusal: &Refusal, statement: &str) -> bool {
    match refusal.kind {
        RefusalKind::UniqueViolation => [sql::CREATE, sql::UPDATE].contains(&statement),
        _ => statement == sql::DELETE,
    }
}

impl Database for Always {
    type Transaction = Self;
    type Cursor = Self;

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn begin(&self) -> Result<Self, Error> {
        self.0.clone().map(|rows| Self(Ok(rows)))
    }

    fn open(&self, statement: &str, params: &[Param<'_>]) -> Result<Self, Error> {
        self.query(statement, params).map(|rows| Self(Ok(rows)))
    }
}

impl Cursor for Always {
    fn next(&mut self, _: u32) -> Result<Rows, Error> {
        std::mem::replace(&mut self.0, Ok(Vec::new()))
    }
}

impl Transaction for Always {
    fn commit(self) -> Result<(), Error> {
        self.0.map(drop)
    }
}

fn databases() -> Vec<Always> {
    let refusal = |constraint: &str| {
        Error::Refused(Refusal {
            kind: RefusalKind::UniqueViolation,
            code: "23505".into(),
            message: "duplicate key".into(),
            constraint: Some(constraint.into()),
            column: None,
        })
    };
    let row = |id| {
        vec![
            Value::Integer(id),
            Value::Text("Ann".into()),
            Value::Text("ann@example.com".into()),
            Value::Integer(3),
        ]
    };
    let mut databases = vec![
        Always(Ok(Vec::new())),
        Always(Ok(vec![row(1)])),
        Always(Ok(vec![row(1), row(2)])),
    ];
    let errors = [
        Error::Unavailable(String::new()),
        Error::Overloaded,
        Error::Timeout,
        Error::InDoubt,
        Error::Denied(String::new()),
        Error::Invalid(String::new()),
        Error::TooLarge(1),
        refusal("users_email_key"),
        refusal("another"),
        Error::Refused(Refusal {
            kind: RefusalKind::Other,
            code: "23503".into(),
            message: "it is still referred to".into(),
            constraint: Some("items_owner_id_fkey".into()),
            column: None,
        }),
    ];
    databases.extend(errors.into_iter().map(|error| Always(Err(error))));
    databases
}

fn requests(method: Method, path: &str) -> Vec<BufferedRequest> {
    let valid = BufferedRequest {
        authority: Some("users.example".into()),
        body: br#"{"name":"Ann","email":"ann@example.com"}"#.to_vec(),
        ..BufferedRequest::new(method, path.replace("{user_id}", "1"))
            .with("content-type", "application/json")
    };
    let targets = [
        path.replace("{user_id}", "one"),
        format!("{}?limit=1", valid.target),
        format!("{}?limit=1&etag=true", valid.target),
        format!("{}?limit=0&email=no&etag=1", valid.target),
    ];
    let bodies: [&[u8]; 6] = [
        b"",
        b"{}",
        b"no",
        b"[]",
        b"{\"name\":1}",
        &[b'{', 0xFF, b'}'],
    ];
    // `Accept` is missing: an operation with two forms of one response has no type in some clients,
    // so NDJSON is described as an operation of its own.
    let headers = [
        ("if-match", "\"3\""),
        ("if-match", "\"4\""),
        ("if-match", "\"4\", \"5\""),
        ("if-none-match", "\"3\""),
        ("if-none-match", "*"),
    ];
    let mut requests = vec![valid.clone()];
    requests.extend(targets.into_iter().map(|target| BufferedRequest {
        target,
        ..valid.clone()
    }));
    requests.extend(bodies.into_iter().map(|body| BufferedRequest {
        body: body.to_vec(),
        ..valid.clone()
    }));
    let with = |(name, value): (&str, &str)| valid.clone().with(name, value);
    requests.extend(headers.into_iter().map(with));
    requests
}

#[test]
fn responses_and_description_agree() {
    let description = serde_json::to_value(describe()).expect("a description is JSON");
    for &Route(method, path, operation) in ROUTES {
        if !is_described(operation) {
            continue;
        }
        // HEAD has the responses of GET without their bodies.
        let described =
            &description["paths"][path][method.name().to_ascii_lowercase()]["responses"];
        let heads = (method == Method::Get).then_some(Method::Head);
        for method in [method].into_iter().chain(heads) {
            let mut seen = BTreeSet::new();
            for request in requests(method, path) {
                for database in databases() {
                    let answer = api::handle(&request, &database)
                        .into_response(&database)
                        .expect("this database fails at once or never");
                    let case = format!("{} {} -> {}", method.name(), request.target, answer.status);
                    check(&description, described, &answer, &case);
                    seen.insert(answer.status);
                }
            }
            let described = described.as_object().expect("an operation has responses");
            let described: BTreeSet<u16> = described
                .keys()
                .filter_map(|status| status.parse().ok())
                .collect();
            let missing: Vec<_> = described
                .iter()
                .filter(|status| !seen.contains(status) && !SENT_BY_HOST.contains(status))
                .collect();
            assert!(
                missing.is_empty(),
                "{} {path} never answers with {missing:?}",
                method.name()
            );
        }
    }
}

fn check(description: &Json, described: &Json, answer: &Response, case: &str) {
    let described = resolve(description, &described[answer.status.to_string()]);
    assert!(described.is_object(), "{case} is not described");
    for (name, value) in &answer.headers {
        let headers = described["headers"].as_object().into_iter().flatten();
        let (_, header) = headers
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .unwrap_or_else(|| panic!("{case}: {name} is not described"));
        let value = serde_json::from_str(value)
            .ok()
            .filter(Json::is_number)
            .unwrap_or_else(|| Json::from(value.as_ref()));
        assert!(
            fits(description, &header["schema"], &value),
            "{case}: {name}: {value}"
        );
    }
    let Some(kind) = answer.content_type else {
        assert!(described.get("content").is_none(), "{case} has no body");
        return;
    };
    let content = &described["content"][kind];
    assert!(content.is_object(), "{case}: {kind} is not described");
    let body = match kind {
        "application/json" => serde_json::from_slice(&answer.body).expect("the body is JSON"),
        _ => Json::from(String::from_utf8_lossy(&answer.body)),
    };
    assert!(
        fits(description, &content["schema"], &body),
        "{case}: {body}"
    );
}

fn resolve<'d>(description: &'d Json, part: &'d Json) -> &'d Json {
    match part["$ref"]
        .as_str()
        .and_then(|reference| reference.strip_prefix('#'))
    {
        Some(pointer) => description
            .pointer(pointer)
            .unwrap_or_else(|| panic!("nothing is at {pointer}")),
        None => part,
    }
}

/// Whether a value matches a schema, as far as this description uses JSON Schema for responses.
fn fits(description: &Json, schema: &Json, value: &Json) -> bool {
    let schema = resolve(description, schema);
    let list = |key: &str| schema[key].as_array().into_iter().flatten();
    let is_of_type = match schema["type"].as_str() {
        None => true,
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some(other) => panic!("a schema has the type {other}"),
    };
    let members = || value.as_object().into_iter().flatten();
    let items = || value.as_array().into_iter().flatten();
    let is_described = |(name, value): (&String, &Json)| {
        let schema = schema["properties"].get(name);
        schema.is_some_and(|schema| fits(description, schema, value))
    };
    let item = &schema["items"];
    is_of_type
        && list("required").all(|name| name.as_str().is_some_and(|name| value.get(name).is_some()))
        && (schema["enum"].is_null() || list("enum").any(|known| known == value))
        && (schema["anyOf"].is_null()
            || list("anyOf").any(|schema| fits(description, schema, value)))
        && (item.is_null() || items().all(|value| fits(description, item, value)))
        // Stricter than JSON Schema: every member of a response must be described.
        && (schema["properties"].is_null() || members().all(is_described))
}
