//! A request is handled the same through both handlers: buffered, with the headers that a host
//! passes, and streaming, with all of them.

use std::cell::Cell;

use usher_guest::api::{self, RequestHeader};
use usher_sdk::database::{Cursor, Database, Dialect, Error, Param, Rows, Statements, Transaction};
use usher_sdk::http::{BufferedRequest, Method, Request, RequestHeaders, Scheme};

/// A database that counts calls and fails them.
#[derive(Default)]
struct Counting(Cell<u32>);

impl Counting {
    fn call<T>(&self) -> Result<T, Error> {
        self.0.set(self.0.get() + 1);
        Err(Error::Overloaded)
    }
}

impl Statements for Counting {
    fn query(&self, _: &str, _: &[Param<'_>]) -> Result<Rows, Error> {
        self.call()
    }

    fn execute(&self, _: &str, _: &[Param<'_>]) -> Result<u64, Error> {
        self.call()
    }
}

impl Database for Counting {
    type Transaction = Self;
    type Cursor = Self;

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn begin(&self) -> Result<Self, Error> {
        self.call()
    }

    fn open(&self, _: &str, _: &[Param<'_>]) -> Result<Self, Error> {
        self.call()
    }
}

impl Cursor for Counting {
    fn next(&mut self, _: u32) -> Result<Rows, Error> {
        self.call()
    }
}

impl Transaction for Counting {
    fn commit(self) -> Result<(), Error> {
        self.call()
    }
}

/// The request with the field lines that a host passes, by `usher:service/buffered-handler`.
fn as_passed(request: &BufferedRequest) -> BufferedRequest {
    let is_passed = |name: &str| {
        RequestHeader::ALL.iter().any(|header| {
            header.name() == name
                && header.required_text().is_none_or(|text| {
                    let contains = |(field, value): &(String, Vec<u8>)| {
                        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
                        field == name && value.contains(text)
                    };
                    request.fields.iter().any(contains)
                })
        })
    };
    let mut passed = request.clone();
    passed.fields.retain(|(name, _)| is_passed(name));
    passed
}

#[test]
fn header_has_the_same_value_in_passed_and_complete_request() {
    let values = [
        "",
        "*/*",
        "text/html",
        "application/x-ndjson",
        "Application/X-NDJSON;q=0.5",
        "\"1\", W/\"2\"",
        "gzip",
    ];
    for header in RequestHeader::ALL {
        for first in values {
            for second in values {
                let complete = BufferedRequest::new(Method::Get, "/users/")
                    .with("host", "users.example")
                    .with(header.name(), first)
                    .with("user-agent", "ndjson")
                    .with(header.name(), second);
                let passed = as_passed(&complete);
                assert_eq!(
                    passed.header(*header),
                    complete.header(*header),
                    "{header:?}: {first}, {second}"
                );
            }
        }
    }
}

#[test]
fn header_lines_are_joined_by_commas() {
    let request = BufferedRequest::new(Method::Get, "/users/1")
        .with("if-match", "\"1\"")
        .with("if-match", "\"2\"");
    assert_eq!(
        request.header(RequestHeader::IfMatch).as_deref(),
        Some(b"\"1\", \"2\"".as_slice())
    );
    assert_eq!(request.header(RequestHeader::ContentType), None);
}

#[test]
fn accept_without_ndjson_is_treated_as_absent() {
    let accept = |value: &str| {
        BufferedRequest::new(Method::Get, "/users/")
            .with("accept", value)
            .header(RequestHeader::AcceptNdjson)
            .is_some()
    };
    assert!(accept("application/x-ndjson") && accept("X-NDJSON"));
    assert!(!accept("*/*") && !accept("application/json") && !accept(""));
}

#[test]
fn redirect_of_buffered_post_has_scheme_and_authority_and_runs_no_statement() {
    for (scheme, location) in [
        (Scheme::Http, "http://users.example/users/?a=b"),
        (Scheme::Https, "https://users.example/users/?a=b"),
    ] {
        let request = BufferedRequest {
            scheme,
            authority: Some("users.example".into()),
            body: br#"{"name":"Ann","email":"ann@example.com"}"#.to_vec(),
            ..BufferedRequest::new(Method::Post, "/users?a=b")
                .with("content-type", "application/json")
        };
        let database = Counting::default();
        let response = api::handle(&request, &database)
            .into_response(&database)
            .expect("a response");
        let header = response
            .headers
            .iter()
            .find(|(name, _)| *name == "location");
        let found = header.map(|(_, value)| &**value);
        assert_eq!((response.status, found), (307, Some(location)));
        assert_eq!(database.0.get(), 0);
    }
}

#[test]
fn body_of_any_size_reaches_the_handler() {
    let request = BufferedRequest {
        body: vec![b' '; (1 << 20) + 1],
        ..BufferedRequest::new(Method::Post, "/users/").with("content-type", "application/json")
    };
    let database = Counting::default();
    let response = api::handle(&request, &database)
        .into_response(&database)
        .expect("a response");
    // The body has no JSON value. Its size is the host's concern.
    assert_eq!(response.status, 422);
}
