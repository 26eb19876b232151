//! A component that runs the SQL that a test sends, so that a test can run any statement from
//! inside the sandbox.
//!
//! A request's body is one step as a JSON object, or an array of steps; the answer has one result
//! for each. A step is `{"do": "query", "sql": "SELECT $1", "params": [1]}`, where `do` is one of
//!
//! | `do` | result |
//! |---|---|
//! | `query` | `{"columns": […], "rows": [[…]]}` |
//! | `execute` | `{"count": 1}` |
//! | `open` | `{"columns": […]}`; the cursor stays open for `next` |
//! | `next` | `{"rows": [[…]]}`, at most `"at_most"` of them (default 100) |
//! | `close` | `{}` |
//! | `cursor` | as `query`, read through a cursor to its end |
//! | `begin` | `{}`; takes `"isolation"` and `"read_only"`; later `query` and `execute` run in it |
//! | `commit`, `rollback`, `drop` | `{}`; the transaction is over |
//! | `dialect` | `{"dialect": "postgres"}` |
//!
//! An error is `{"error": "denied", "text": "why"}`; a refusal has `code`, `constraint` and
//! `column` as well. Integers, text, booleans and null are JSON's; every other value is an object
//! with its kind, as `{"uuid": "…"}`.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package usher:sql;
            world sql {
                import usher:database/database@0.2.0;
                import usher:database/streaming@0.2.0;
                export wasi:http/incoming-handler@0.2.12;
            }
        ",
        world: "usher:sql/sql",
        generate_all,
    });
    use super::Sql;
    export!(Sql);
}

#[path = "../../respond.rs"]
mod respond;
mod values;

use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::usher::database::database::{
    Isolation, SqlDialect, Transaction, dialect, execute, query,
};
use bindings::usher::database::streaming::Cursor;
use bindings::usher::database::types::Error;
use bindings::wasi::http::types::{IncomingRequest, ResponseOutparam};
use bindings::wasi::io::streams::StreamError;
use respond::respond;
use serde_json::{Value, json};

struct Sql;

/// What the steps of one request have opened.
#[derive(Default)]
struct Open {
    transaction: Option<Transaction>,
    cursor: Option<Cursor>,
}

impl Guest for Sql {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let answer = match serde_json::from_slice(&body(&request)) {
            Ok(Value::Array(steps)) => {
                let mut open = Open::default();
                steps.iter().map(|step| open.result(step)).collect()
            }
            Ok(step) => Open::default().result(&step),
            Err(error) => failure("body", &error.to_string()),
        };
        respond(out, 200, &answer.to_string());
    }
}

impl Open {
    fn result(&mut self, step: &Value) -> Value {
        match self.run(step) {
            Ok(value) | Err(value) => value,
        }
    }

    fn run(&mut self, step: &Value) -> Result<Value, Value> {
        let sql = || {
            let sql = step["sql"].as_str();
            sql.ok_or_else(|| failure("step", "`sql` is missing"))
        };
        let params = || values::params(&step["params"]).map_err(|why| failure("step", &why));
        let at_most = step["at_most"].as_u64().unwrap_or(100);
        let at_most = u32::try_from(at_most).unwrap_or(u32::MAX);
        match step["do"].as_str().unwrap_or("query") {
            "query" => {
                let (sql, params) = (sql()?, params()?);
                let found = match &self.transaction {
                    Some(transaction) => transaction.query(sql, &params),
                    None => query(sql, &params),
                };
                let found = found.map_err(error_json)?;
                Ok(json!({"columns": found.columns, "rows": values::rows(&found.rows)}))
            }
            "execute" => {
                let (sql, params) = (sql()?, params()?);
                let count = match &self.transaction {
                    Some(transaction) => transaction.execute(sql, &params),
                    None => execute(sql, &params),
                };
                Ok(json!({"count": count.map_err(error_json)?}))
            }
            "open" => {
                let cursor = Cursor::open(sql()?, &params()?).map_err(error_json)?;
                let columns = cursor.columns();
                self.cursor = Some(cursor);
                Ok(json!({"columns": columns}))
            }
            "next" => {
                let cursor = self.cursor.as_ref();
                let cursor = cursor.ok_or_else(|| failure("step", "no cursor is open"))?;
                let rows = cursor.next(at_most).map_err(error_json)?;
                Ok(json!({"rows": values::rows(&rows)}))
            }
            "close" => {
                self.cursor = None;
                Ok(json!({}))
            }
            "cursor" => {
                let cursor = Cursor::open(sql()?, &params()?).map_err(error_json)?;
                let mut all = Vec::new();
                loop {
                    let rows = cursor.next(at_most).map_err(error_json)?;
                    if rows.is_empty() {
                        break;
                    }
                    all.extend(rows);
                }
                Ok(json!({"columns": cursor.columns(), "rows": values::rows(&all)}))
            }
            "begin" => {
                let isolation = match step["isolation"].as_str().unwrap_or("read-committed") {
                    "read-committed" => Isolation::ReadCommitted,
                    "repeatable-read" => Isolation::RepeatableRead,
                    "serializable" => Isolation::Serializable,
                    _ => return Err(failure("step", "`isolation` is unknown")),
                };
                let read_only = step["read_only"].as_bool().unwrap_or(false);
                self.transaction =
                    Some(Transaction::begin(isolation, read_only).map_err(error_json)?);
                Ok(json!({}))
            }
            "commit" => Transaction::commit(self.taken()?)
                .map(|()| json!({}))
                .map_err(error_json),
            "rollback" => Transaction::rollback(self.taken()?)
                .map(|()| json!({}))
                .map_err(error_json),
            "drop" => self.taken().map(|_| json!({})),
            "dialect" => Ok(json!({"dialect": match dialect() {
                SqlDialect::Postgres => "postgres",
                SqlDialect::Sqlite => "sqlite",
            }})),
            other => Err(failure("step", &format!("`do` is {other}"))),
        }
    }

    fn taken(&mut self) -> Result<Transaction, Value> {
        self.transaction
            .take()
            .ok_or_else(|| failure("step", "no transaction is open"))
    }
}

fn failure(kind: &str, text: &str) -> Value {
    json!({"error": kind, "text": text})
}

fn error_json(error: Error) -> Value {
    match error {
        Error::Unavailable(why) => failure("unavailable", &why),
        Error::Overloaded => failure("overloaded", ""),
        Error::Timeout => failure("timeout", ""),
        Error::InDoubt => failure("in-doubt", ""),
        Error::Denied(why) => failure("denied", &why),
        Error::Invalid(why) => failure("invalid", &why),
        Error::TooLarge(limit) => failure("too-large", &limit.to_string()),
        Error::Refused(refusal) => json!({
            "error": "refused",
            "text": refusal.message,
            "kind": format!("{:?}", refusal.kind),
            "code": refusal.code,
            "constraint": refusal.constraint,
            "column": refusal.column,
        }),
    }
}

fn body(request: &IncomingRequest) -> Vec<u8> {
    let body = request.consume().expect("the first body");
    let stream = body.stream().expect("the first stream");
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(part) => bytes.extend(part),
            Err(StreamError::Closed) => return bytes,
            Err(StreamError::LastOperationFailed(error)) => panic!("{}", error.to_debug_string()),
        }
    }
}
