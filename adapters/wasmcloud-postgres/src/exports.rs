//! The functions of `usher:database`.

use std::cell::RefCell;
use std::vec::IntoIter;

use crate::bindings::exports::usher::database::database::{
    Guest, GuestTransaction, Isolation, SqlDialect, Transaction,
};
use crate::bindings::exports::usher::database::streaming::{
    Cursor as CursorResource, Guest as Streaming, GuestCursor,
};
use crate::bindings::usher::database::types::{Error, Row, Rows, Value};
use crate::calls;
use crate::database::failure;

/// The exports.
pub(crate) struct Adapter;

impl Guest for Adapter {
    type Transaction = NoTransaction;

    fn dialect() -> SqlDialect {
        SqlDialect::Postgres
    }

    fn query(statement: String, params: Vec<Value>) -> Result<Rows, Error> {
        calls::rows(&statement, params)
    }

    fn execute(statement: String, params: Vec<Value>) -> Result<u64, Error> {
        calls::count(&statement, params)
    }
}

fn no_transactions() -> Error {
    failure::denied("wasmcloud:postgres has no transactions: run migrations by `usher migrate`")
}

/// There is none, so none of its methods can be called.
pub(crate) enum NoTransaction {}

impl GuestTransaction for NoTransaction {
    fn begin(_: Isolation, _: bool) -> Result<Transaction, Error> {
        Err(no_transactions())
    }

    fn query(&self, _: String, _: Vec<Value>) -> Result<Rows, Error> {
        match *self {}
    }

    fn execute(&self, _: String, _: Vec<Value>) -> Result<u64, Error> {
        match *self {}
    }

    fn commit(_: Transaction) -> Result<(), Error> {
        Err(no_transactions())
    }

    fn rollback(_: Transaction) -> Result<(), Error> {
        Err(no_transactions())
    }
}

impl Streaming for Adapter {
    type Cursor = Cursor;
}

/// A result that the host returned as a whole.
pub(crate) struct Cursor {
    columns: Vec<String>,
    rows: RefCell<IntoIter<Row>>,
}

impl GuestCursor for Cursor {
    fn open(statement: String, params: Vec<Value>) -> Result<CursorResource, Error> {
        let Rows { columns, rows } = calls::rows(&statement, params)?;
        Ok(CursorResource::new(Self {
            columns,
            rows: RefCell::new(rows.into_iter()),
        }))
    }

    fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    fn next(&self, at_most: u32) -> Result<Vec<Row>, Error> {
        let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
        Ok(self.rows.borrow_mut().by_ref().take(at_most).collect())
    }
}
