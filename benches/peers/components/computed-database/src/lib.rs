//! A minimal database as a component. Composed with the service it gives a component that every
//! `wasi:http` host can serve, such as `wasmtime serve`.
//!
//! It starts with a million users, each computed from its id, so that a host with a new instance
//! for each request finds users too. It supports the service's statements for creating and reading;
//! all others are errors.

use std::cell::RefCell;
use std::collections::BTreeMap;

mod bindings {
    wit_bindgen::generate!({
        path: "../../../../wit",
        inline: "
            package usher:peers;
            world computed {
                export usher:database/database@0.2.0;
                export usher:database/streaming@0.2.0;
            }
        ",
        world: "usher:peers/computed",
        generate_all,
    });
    use super::Computed;
    export!(Computed);
}

use bindings::exports::usher::database::database::{
    Guest as Database, GuestTransaction, Isolation, SqlDialect, Transaction,
};
use bindings::exports::usher::database::streaming::{Guest as Streaming, GuestCursor};
use bindings::usher::database::types::{Error, Refusal, RefusalKind, Row, Rows, Value};

/// Users at the start.
const USERS: i64 = 1_000_000;

/// Name and address of added users, by id.
type Added = BTreeMap<i64, (String, String)>;

thread_local! {
    static ADDED: RefCell<Added> = const { RefCell::new(BTreeMap::new()) };
}

struct Computed;

fn unknown() -> Error {
    Error::Invalid("this database knows how to create and to read users, and nothing else".into())
}

fn user(id: i64) -> Option<Row> {
    let (name, email) = match ADDED.with_borrow(|added| added.get(&id).cloned()) {
        Some(user) => user,
        None if (1..=USERS).contains(&id) => {
            (format!("User {id}"), format!("user.{id}@example.com"))
        }
        None => return None,
    };
    Some(row(id, name, email))
}

fn row(id: i64, name: String, email: String) -> Row {
    vec![
        Value::Integer(id),
        Value::Text(name),
        Value::Text(email),
        Value::Integer(1),
    ]
}

fn add(name: &str, email: &str) -> Result<Row, Error> {
    ADDED.with_borrow_mut(|added| {
        if added.values().any(|(_, taken)| taken == email) {
            return Err(Error::Refused(Refusal {
                kind: RefusalKind::UniqueViolation,
                code: "23505".into(),
                message: "another user has this address".into(),
                constraint: Some("users_email_key".into()),
                column: None,
            }));
        }
        let id = added.last_key_value().map_or(USERS, |(id, _)| *id) + 1;
        added.insert(id, (name.to_owned(), email.to_owned()));
        Ok(row(id, name.to_owned(), email.to_owned()))
    })
}

impl Database for Computed {
    type Transaction = NoTransaction;

    fn dialect() -> SqlDialect {
        SqlDialect::Sqlite
    }

    fn query(statement: String, params: Vec<Value>) -> Result<Rows, Error> {
        let mut columns = &["id", "name", "email", "version"][..];
        let rows = match &params[..] {
            [Value::Integer(id)] if statement.starts_with("SELECT name, email, version") => {
                columns = &columns[1..];
                user(*id)
                    .map(|user| user.into_iter().skip(1).collect())
                    .into_iter()
                    .collect()
            }
            [Value::Text(name), Value::Text(email)]
                if statement.starts_with("INSERT INTO users") =>
            {
                vec![add(name, email)?]
            }
            [Value::Integer(after), Value::Integer(limit)]
                if statement.contains("ORDER BY id LIMIT") =>
            {
                let from = after.saturating_add(1).max(1);
                (from..from.saturating_add(*limit))
                    .map_while(user)
                    .collect()
            }
            _ => return Err(unknown()),
        };
        Ok(Rows {
            columns: columns.iter().copied().map(String::from).collect(),
            rows,
        })
    }

    fn execute(_: String, _: Vec<Value>) -> Result<u64, Error> {
        Err(unknown())
    }
}

/// Not supported: this database runs single statements only.
enum NoTransaction {}

impl GuestTransaction for NoTransaction {
    fn begin(_: Isolation, _: bool) -> Result<Transaction, Error> {
        Err(unknown())
    }

    fn query(&self, _: String, _: Vec<Value>) -> Result<Rows, Error> {
        match *self {}
    }

    fn execute(&self, _: String, _: Vec<Value>) -> Result<u64, Error> {
        match *self {}
    }

    fn commit(_: Transaction) -> Result<(), Error> {
        Err(unknown())
    }

    fn rollback(_: Transaction) -> Result<(), Error> {
        Err(unknown())
    }
}

/// Not supported either.
enum NoCursor {}

impl Streaming for Computed {
    type Cursor = NoCursor;
}

impl GuestCursor for NoCursor {
    fn open(
        _: String,
        _: Vec<Value>,
    ) -> Result<bindings::exports::usher::database::streaming::Cursor, Error> {
        Err(unknown())
    }

    fn columns(&self) -> Vec<String> {
        match *self {}
    }

    fn next(&self, _: u32) -> Result<Vec<Row>, Error> {
        match *self {}
    }
}
