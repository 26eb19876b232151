//! Lists as newline-delimited JSON.

use usher_guest::api::ndjson::{NDJSON, NdjsonList};
use usher_guest::api::{self, Answer};
use usher_guest::users::{self, sql};
use usher_sdk::answer::{Chunks as _, Streamed as _};
use usher_sdk::database::{
    self, Cursor, Database, Dialect, Param, Rows, Statements, Transaction, Value,
};
use usher_sdk::http::{BufferedRequest, Method};

/// A database with this many users, which then fails if `fails`.
struct Many {
    users: i64,
    fails: bool,
    statements: std::cell::RefCell<Vec<String>>,
}

impl Many {
    fn new(users: i64, fails: bool) -> Self {
        Self {
            users,
            fails,
            statements: std::cell::RefCell::default(),
        }
    }
}

impl Statements for Many {
    fn query(&self, statement: &str, _: &[Param<'_>]) -> Result<Rows, database::Error> {
        Err(database::Error::Invalid(statement.into()))
    }

    fn execute(&self, statement: &str, _: &[Param<'_>]) -> Result<u64, database::Error> {
        Err(database::Error::Invalid(statement.into()))
    }
}

impl Database for Many {
    type Transaction = Self;
    type Cursor = Reading;

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn begin(&self) -> Result<Self, database::Error> {
        Err(database::Error::Overloaded)
    }

    fn open(&self, statement: &str, params: &[Param<'_>]) -> Result<Reading, database::Error> {
        self.statements
            .borrow_mut()
            .push(format!("{statement} {params:?}"));
        Ok(Reading {
            next: 1,
            last: self.users,
            fails: self.fails,
        })
    }
}

impl Transaction for Many {
    fn commit(self) -> Result<(), database::Error> {
        Err(database::Error::Overloaded)
    }
}

struct Reading {
    next: i64,
    last: i64,
    fails: bool,
}

impl Cursor for Reading {
    fn next(&mut self, at_most: u32) -> Result<Rows, database::Error> {
        let row = |id: i64| {
            vec![
                Value::Integer(id),
                Value::Text(format!("n\n{id}")),
                Value::Text(format!("{id}@example.org")),
                Value::Integer(1),
            ]
        };
        let last = self.last.min(self.next + i64::from(at_most) - 1);
        let rows: Rows = (self.next..=last).map(row).collect();
        self.next = last + 1;
        if rows.is_empty() && self.fails {
            return Err(database::Error::Unavailable("gone".into()));
        }
        Ok(rows)
    }
}

fn get(target: &str) -> BufferedRequest {
    BufferedRequest::new(Method::Get, target).with("accept", NDJSON)
}

fn list(target: &str, database: &Many) -> NdjsonList {
    match api::handle(&get(target), database) {
        Answer::Streamed(list) => list,
        Answer::Buffered(response) => panic!("{target}: {}", response.status),
    }
}

#[test]
fn list_has_one_line_per_user() {
    let database = Many::new(3, false);
    let answer = api::handle(&get("/users/"), &database).into_response(&database);
    let answer = answer.expect("it does not fail");
    assert_eq!((answer.status, answer.content_type), (200, Some(NDJSON)));
    assert_eq!(
        String::from_utf8_lossy(&answer.body),
        "{\"id\":1,\"name\":\"n\\n1\",\"email\":\"1@example.org\"}\n\
         {\"id\":2,\"name\":\"n\\n2\",\"email\":\"2@example.org\"}\n\
         {\"id\":3,\"name\":\"n\\n3\",\"email\":\"3@example.org\"}\n"
    );
}

#[test]
fn list_with_any_query_runs_one_statement() {
    for (target, expected) in [
        (
            "/users/",
            format!("{} [Integer(0), Integer({})]", sql::LIST, i64::MAX),
        ),
        (
            "/users/?after=7&limit=5",
            format!("{} [Integer(7), Integer(5)]", sql::LIST),
        ),
        (
            "/users.ndjson?after=7&limit=5&etag=true",
            format!("{} [Integer(7), Integer(5)]", sql::LIST),
        ),
        (
            "/users/?email=A@EXAMPLE.org",
            format!(
                "{} [Integer(0), Integer({}), Text(\"A@example.org\")]",
                sql::LIST_BY_EMAIL,
                i64::MAX
            ),
        ),
    ] {
        let database = Many::new(0, false);
        let list = list(target, &database);
        // The buffered handler must be able to decline without any effect.
        assert!(database.statements.borrow().is_empty(), "{target}");
        list.open(&database).expect("it opens");
        assert_eq!(*database.statements.borrow(), [expected], "{target}");
    }
}

#[test]
fn failure_before_first_line_returns_status() {
    let database = Many::new(0, true);
    let answer = list("/users/", &database).open(&database);
    assert_eq!(answer.map(drop).map_err(|answer| answer.status), Err(503));
    let wrong = api::handle(&get("/users/?limit=0"), &database).into_response(&database);
    assert_eq!(wrong.map(|answer| answer.status), Ok(422));
}

#[test]
fn failure_after_first_line_is_an_error_not_the_end() {
    let database = Many::new(16, true);
    let mut reader = list("/users/", &database)
        .open(&database)
        .expect("the first batch");
    assert!(matches!(reader.read(), Ok(Some(_))));
    assert_eq!(reader.read(), Err(users::Error::Unavailable));
}

#[test]
fn long_list_is_read_in_bounded_batches() {
    let database = Many::new(1000, false);
    let mut reader = list("/users/", &database)
        .open(&database)
        .expect("the first batch");
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.read().expect("it does not fail") {
        chunks.push(String::from_utf8_lossy(&chunk).lines().count());
    }
    assert_eq!(chunks, [16, 256, 256, 256, 216]);
}
