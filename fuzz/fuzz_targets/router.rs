//! Whole requests, over a database with one user: nothing panics, no response is 5xx, an error is
//! JSON, every header can be sent, and HEAD gives the headers of GET.

#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use usher_guest::api::{ROUTES, handle};
use usher_guest::users::sql;
use usher_sdk::database::{
    Cursor, Database, Dialect, Error, Param, Refusal, RefusalKind, Rows, Statements, Transaction,
    Value,
};
use usher_sdk::http::{BufferedRequest, JSON, Method, Response};

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Asked<'a> {
    method: Name,
    /// An index into the route table to start from; beyond its end, the rest is the whole target.
    route: u8,
    target: &'a str,
    content_type: Option<&'a [u8]>,
    if_match: Option<&'a [u8]>,
    if_none_match: Option<&'a [u8]>,
    accept: Option<&'a [u8]>,
    accept_encoding: Option<&'a [u8]>,
    authority: Option<&'a str>,
    body: &'a [u8],
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Name {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Other,
}

impl Asked<'_> {
    fn request(&self) -> BufferedRequest {
        let route = ROUTES.get(usize::from(self.route)).map_or("", |route| {
            route.1.strip_suffix("{user_id}").unwrap_or(route.1)
        });
        let method = match self.method {
            Name::Get => Method::Get,
            Name::Head => Method::Head,
            Name::Post => Method::Post,
            Name::Put => Method::Put,
            Name::Patch => Method::Patch,
            Name::Delete => Method::Delete,
            Name::Other => Method::Other,
        };
        let headers = [
            // Mostly what it has to be.
            ("content-type", self.content_type.or(Some(JSON.as_bytes()))),
            ("if-match", self.if_match),
            ("if-none-match", self.if_none_match),
            ("accept", self.accept),
            ("accept-encoding", self.accept_encoding),
        ];
        let request = BufferedRequest {
            authority: self.authority.map(str::to_owned),
            body: self.body.to_vec(),
            ..BufferedRequest::new(method, format!("{route}{}", self.target))
        };
        headers
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .fold(request, |request, (name, value)| request.with(name, value))
    }
}

/// A database with one user, Ann, with id 1 and version 1.
struct Ann;

const EMAIL: &str = "ann@example.com";

impl Statements for Ann {
    fn query(&self, statement: &str, params: &[Param<'_>]) -> Result<Rows, Error> {
        for param in params {
            if let Param::Text(text) = param {
                assert!(!text.contains('\0'), "no database stores {text:?}");
            }
        }
        let ann = || {
            vec![
                Value::Integer(1),
                Value::Text("Ann".into()),
                Value::Text(EMAIL.into()),
                Value::Integer(1),
            ]
        };
        Ok(match (statement, params) {
            (sql::CREATE, [Param::Text(_), Param::Text(email)]) => {
                if *email == EMAIL {
                    return Err(Error::Refused(Refusal {
                        kind: RefusalKind::UniqueViolation,
                        code: "23505".into(),
                        message: "duplicate key".into(),
                        constraint: Some(sql::EMAIL_KEY.into()),
                        column: None,
                    }));
                }
                vec![ann()]
            }
            (sql::GET, [Param::Integer(1)]) => vec![ann().split_off(1)],
            (sql::UPDATE, [Param::Integer(1), .., Param::Null | Param::Integer(1)]) => {
                vec![ann()]
            }
            (sql::DELETE, [Param::Integer(1), Param::Null | Param::Integer(1)]) => {
                vec![vec![Value::Integer(1)]]
            }
            (sql::VERSION, [Param::Integer(1)]) => vec![vec![Value::Integer(1)]],
            (sql::LIST | sql::LIST_BY_EMAIL, [Param::Integer(after), ..]) if *after < 1 => {
                vec![ann()]
            }
            (
                sql::GET
                | sql::UPDATE
                | sql::DELETE
                | sql::VERSION
                | sql::LIST
                | sql::LIST_BY_EMAIL,
                _,
            ) => Vec::new(),
            _ => panic!("{statement} with {params:?} is none of the service's"),
        })
    }

    fn execute(&self, statement: &str, _: &[Param<'_>]) -> Result<u64, Error> {
        panic!("the service does not execute {statement}")
    }
}

impl Database for Ann {
    type Transaction = Self;
    type Cursor = Found;

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn begin(&self) -> Result<Self, Error> {
        Ok(Self)
    }

    fn open(&self, statement: &str, params: &[Param<'_>]) -> Result<Found, Error> {
        self.query(statement, params).map(Found)
    }
}

struct Found(Rows);

impl Cursor for Found {
    fn next(&mut self, _: u32) -> Result<Rows, Error> {
        Ok(std::mem::take(&mut self.0))
    }
}

impl Transaction for Ann {
    fn commit(self) -> Result<(), Error> {
        Ok(())
    }
}

fuzz_target!(|asked: Asked<'_>| {
    let answer = respond(&asked);
    assert!(answer.status < 500, "{}", answer.status);
    if answer.status >= 400 {
        assert_eq!(answer.content_type, Some(JSON));
    }
    if answer.content_type == Some(JSON) && !has(&answer.headers, "content-encoding") {
        let json: Result<IgnoredAny, _> = serde_json::from_slice(&answer.body);
        json.expect("a body declared as JSON is JSON");
    }
    for (name, value) in &answer.headers {
        let sendable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        assert!(sendable, "{name}: {value:?}");
    }
    assert_eq!(answer.status == 405, has(&answer.headers, "allow"));
    assert_eq!(answer.status == 307, has(&answer.headers, "location"));
    if let Name::Get = asked.method {
        let head = Asked {
            method: Name::Head,
            ..asked
        };
        let head = respond(&head);
        assert_eq!((head.status, head.headers), (answer.status, answer.headers));
    }
});

fn respond(asked: &Asked<'_>) -> Response {
    let answer = handle(&asked.request(), &Ann).into_response(&Ann);
    answer.expect("this database does not fail")
}

fn has(headers: &[(&str, Cow<'_, str>)], name: &str) -> bool {
    headers.iter().any(|(header, _)| *header == name)
}
