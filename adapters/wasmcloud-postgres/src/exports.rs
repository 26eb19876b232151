//! The functions of `usher:database`.

use adapter_common::database::failure;
use adapter_common::database::types::{Error, Row, Rows, Value};
use adapter_common::whole_result::WholeResult;

use crate::bindings::exports::usher::database::database::{
    Guest, GuestTransaction, Isolation, SqlDialect, Transaction,
};
use crate::bindings::exports::usher::database::streaming::{
    Cursor as CursorResource, Guest as Streaming, GuestCursor,
};
use crate::calls;

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
    type Cursor = WholeResult;
}

impl GuestCursor for WholeResult {
    fn open(statement: String, params: Vec<Value>) -> Result<CursorResource, Error> {
        calls::rows(&statement, params).map(|rows| CursorResource::new(Self::new(rows)))
    }

    fn columns(&self) -> Vec<String> {
        self.columns()
    }

    fn next(&self, at_most: u32) -> Result<Vec<Row>, Error> {
        Ok(self.take(at_most))
    }
}
