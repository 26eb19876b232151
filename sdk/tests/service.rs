//! A service of function handlers: the one that `usher new` writes, over scripted results.

#[allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::unnecessary_wraps,
    reason = "a crate of its own elsewhere"
)]
#[path = "../template/src/lib.rs"]
mod template;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use usher_sdk::answer::Answer;
use usher_sdk::database::{
    Cursor, Database, Dialect, Error, Param, Refusal, RefusalKind, Rows, Statements, Table,
    Transaction, Value,
};
use usher_sdk::http::{BufferedRequest, Method, Response};
use usher_sdk::params;
use usher_sdk::service::Service as _;
use usher_sdk::web::{Db, Problem, Query as _};

use template::App;

/// A database that returns these results, one for each call, and logs the parameters.
#[derive(Default)]
struct Scripted {
    results: RefCell<VecDeque<Result<Table, Error>>>,
    params: RefCell<Vec<Vec<Value>>>,
    begun: Cell<u32>,
    committed: Cell<u32>,
}

impl Scripted {
    fn new(results: impl IntoIterator<Item = Result<Table, Error>>) -> Self {
        Self {
            results: RefCell::new(results.into_iter().collect()),
            ..Self::default()
        }
    }

    fn next(&self, params: &[Param<'_>]) -> Result<Table, Error> {
        let params = params.iter().map(|&param| param.into()).collect();
        self.params.borrow_mut().push(params);
        let next = self.results.borrow_mut().pop_front();
        next.expect("no more calls than scripted results")
    }
}

/// Items of these ids, as the template's statements select them.
#[expect(clippy::unnecessary_wraps, reason = "a result of a call")]
fn items(ids: impl IntoIterator<Item = i64>) -> Result<Table, Error> {
    let row = |id| {
        vec![
            Value::Integer(id),
            Value::Text("tea".into()),
            Value::Integer(3),
        ]
    };
    Ok(Table {
        columns: ["id", "name", "quantity"].map(str::to_owned).into(),
        rows: ids.into_iter().map(row).collect(),
    })
}

fn refused<T>(kind: RefusalKind) -> Result<T, Error> {
    Err(Error::Refused(Refusal {
        kind,
        code: String::new(),
        message: String::new(),
        constraint: None,
        column: None,
    }))
}

impl Statements for &Scripted {
    fn query(&self, _: &str, params: &[Param<'_>]) -> Result<Rows, Error> {
        self.next(params).map(|table| table.rows)
    }

    fn query_table(&self, _: &str, params: &[Param<'_>]) -> Result<Table, Error> {
        self.next(params)
    }

    fn execute(&self, _: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        let table = self.next(params)?;
        Ok(u64::try_from(table.rows.len()).expect("few rows"))
    }
}

impl<'d> Database for &'d Scripted {
    type Transaction = &'d Scripted;
    type Cursor = Opened;

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn begin(&self) -> Result<Self, Error> {
        self.begun.set(self.begun.get() + 1);
        Ok(*self)
    }

    fn open(&self, _: &str, _: &[Param<'_>]) -> Result<Opened, Error> {
        let batches: Result<_, Error> = self.results.borrow_mut().drain(..).collect();
        batches.map(Opened)
    }
}

impl Transaction for &Scripted {
    fn commit(self) -> Result<(), Error> {
        self.committed.set(self.committed.get() + 1);
        Ok(())
    }
}

/// Batches of rows. The first one has the columns of all.
struct Opened(VecDeque<Table>);

impl Cursor for Opened {
    fn columns(&self) -> Vec<String> {
        let first = self.0.front();
        first.map_or_else(Vec::new, |table| table.columns.clone())
    }

    fn next(&mut self, _: u32) -> Result<Rows, Error> {
        Ok(self
            .0
            .pop_front()
            .map_or_else(Rows::new, |table| table.rows))
    }
}

fn send(database: &Scripted, method: Method, target: &str, body: &str) -> Response {
    let request = BufferedRequest {
        body: body.into(),
        ..BufferedRequest::new(method, target).with("content-type", "application/json")
    };
    let answer = App::handle(&request, &database);
    answer
        .into_response(&database)
        .expect("a complete response")
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    let mut headers = response.headers.iter();
    headers
        .find(|(known, _)| *known == name)
        .map(|(_, value)| &**value)
}

fn body(response: &Response) -> serde_json::Value {
    serde_json::from_slice(&response.body).expect("JSON")
}

#[test]
fn path_without_route_returns_404_as_problem() {
    for path in ["/", "/items/", "/items/1/", "/item", "/items/1/2", "//"] {
        let response = send(&Scripted::default(), Method::Get, path, "");
        assert_eq!(response.status, 404, "{path}");
        assert_eq!(response.content_type, Some("application/problem+json"));
        assert_eq!(body(&response)["title"], "Not Found");
    }
}

#[test]
fn method_without_route_returns_405_with_the_allowed_ones() {
    for (path, allow) in [
        ("/items", "GET, HEAD, POST"),
        ("/items/1", "GET, HEAD, PUT, DELETE"),
    ] {
        for method in [Method::Patch, Method::Other] {
            let response = send(&Scripted::default(), method, path, "");
            assert_eq!(response.status, 405, "{path}");
            assert_eq!(header(&response, "allow"), Some(allow));
        }
    }
}

#[test]
fn head_is_answered_like_get() {
    let answers = [Method::Get, Method::Head]
        .map(|method| send(&Scripted::new([items([1])]), method, "/items/1", ""));
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].status, 200);
}

#[test]
fn created_item_is_returned_with_its_location() {
    let database = Scripted::new([items([7])]);
    let response = send(
        &database,
        Method::Post,
        "/items",
        r#"{"name":"tea","quantity":3}"#,
    );
    assert_eq!(response.status, 201);
    assert_eq!(header(&response, "location"), Some("/items/7"));
    let expected = serde_json::json!({"id": 7, "name": "tea", "quantity": 3});
    assert_eq!(body(&response), expected);
    let params = [vec![Value::Text("tea".into()), Value::Integer(3)]];
    assert_eq!(*database.params.borrow(), params);
}

#[test]
fn missing_row_returns_404() {
    let response = send(&Scripted::new([items([])]), Method::Get, "/items/1", "");
    assert_eq!(response.status, 404);
    let response = send(&Scripted::new([items([])]), Method::Delete, "/items/1", "");
    assert_eq!(response.status, 404);
}

#[test]
fn parameter_that_is_no_number_returns_422_with_its_name() {
    for (path, name) in [("/items/x", "id"), ("/items?limit=x", "limit")] {
        let response = send(&Scripted::default(), Method::Get, path, "");
        assert_eq!(response.status, 422, "{path}");
        assert_eq!(body(&response)["errors"][0]["parameter"], name);
    }
}

#[test]
fn violation_with_an_answer_of_its_own_returns_it() {
    let database = Scripted::new([refused(RefusalKind::UniqueViolation)]);
    let response = send(
        &database,
        Method::Post,
        "/items",
        r#"{"name":"tea","quantity":3}"#,
    );
    assert_eq!(response.status, 409);
    assert_eq!(body(&response)["detail"], "another item has this name");
}

#[test]
fn statement_with_serialization_failure_runs_again() {
    let conflict = || refused(RefusalKind::SerializationFailure);
    let database = Scripted::new([conflict(), conflict(), items([1])]);
    assert_eq!(send(&database, Method::Get, "/items/1", "").status, 200);
}

#[test]
fn column_of_another_type_returns_500_that_names_it() {
    let mut table = items([1]).expect("a table");
    table.rows[0][1] = Value::Integer(1);
    let response = send(&Scripted::new([Ok(table)]), Method::Get, "/items/1", "");
    assert_eq!(response.status, 500);
    let detail = body(&response)["detail"].to_string();
    assert!(
        detail.contains("Item.name") && detail.contains("`name`"),
        "{detail}"
    );
}

#[test]
fn stream_sends_each_row_as_a_line_and_runs_nothing_before() {
    let database = Scripted::new([items(1..=16), items(17..=40)]);
    let request = BufferedRequest::new(Method::Get, "/items.ndjson");
    let answer = App::handle(&request, &&database);
    assert!(matches!(answer, Answer::Streamed(_)));
    assert_eq!(database.results.borrow().len(), 2);
    let response = answer.into_response(&&database).expect("a complete list");
    assert_eq!(response.content_type, Some("application/x-ndjson"));
    let lines = String::from_utf8(response.body.into_owned()).expect("text");
    assert_eq!(lines.lines().count(), 40);
    assert!(lines.ends_with("{\"id\":40,\"name\":\"tea\",\"quantity\":3}\n"));
}

#[test]
fn transaction_with_conflict_in_its_work_runs_again() {
    let database = Scripted::new([items([1]), refused(RefusalKind::SerializationFailure)]);
    database
        .results
        .borrow_mut()
        .extend([items([1]), items([2])]);
    let connection = &database;
    let done = Db::new(&connection).transaction(|tx| {
        tx.execute("ONE", params![])?;
        Ok(tx.execute("TWO", params![1, "a", None::<i64>])?)
    });
    assert_eq!(done, Ok(1));
    assert_eq!((database.begun.get(), database.committed.get()), (2, 1));
}

#[test]
fn transaction_whose_work_fails_is_not_committed() {
    let database = Scripted::new([items([1])]);
    let connection = &database;
    let failed = Db::new(&connection).transaction(|tx| {
        tx.execute("ONE", params![])?;
        Err::<(), _>(Problem::conflict("enough"))
    });
    assert_eq!(failed, Err(Problem::conflict("enough")));
    assert_eq!((database.begun.get(), database.committed.get()), (1, 0));
}
