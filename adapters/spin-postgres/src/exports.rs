//! The functions of `usher:database`.

use adapter_common::database::types::{Error, Row, Rows, Value};
use adapter_common::whole_result::WholeResult;

use crate::bindings::exports::usher::database::database::{
    Guest, GuestTransaction, Isolation, SqlDialect, Transaction as TransactionResource,
};
use crate::bindings::exports::usher::database::streaming::{
    Cursor as CursorResource, Guest as Streaming, GuestCursor,
};
use crate::single;
use crate::transaction::Transaction;

/// The exports.
pub(crate) struct Adapter;

impl Guest for Adapter {
    type Transaction = Transaction;

    fn dialect() -> SqlDialect {
        SqlDialect::Postgres
    }

    fn query(statement: String, params: Vec<Value>) -> Result<Rows, Error> {
        single::query(&statement, params)
    }

    fn execute(statement: String, params: Vec<Value>) -> Result<u64, Error> {
        single::execute(&statement, params)
    }
}

impl GuestTransaction for Transaction {
    fn begin(isolation: Isolation, read_only: bool) -> Result<TransactionResource, Error> {
        Self::begin(isolation, read_only).map(TransactionResource::new)
    }

    fn query(&self, statement: String, params: Vec<Value>) -> Result<Rows, Error> {
        self.query(&statement, params)
    }

    fn execute(&self, statement: String, params: Vec<Value>) -> Result<u64, Error> {
        self.execute(&statement, params)
    }

    fn commit(this: TransactionResource) -> Result<(), Error> {
        this.into_inner::<Self>().commit()
    }

    fn rollback(this: TransactionResource) -> Result<(), Error> {
        this.into_inner::<Self>().rollback()
    }
}

impl Streaming for Adapter {
    type Cursor = WholeResult;
}

impl GuestCursor for WholeResult {
    fn open(statement: String, params: Vec<Value>) -> Result<CursorResource, Error> {
        single::query(&statement, params).map(|rows| CursorResource::new(Self::new(rows)))
    }

    fn columns(&self) -> Vec<String> {
        self.columns()
    }

    fn next(&self, at_most: u32) -> Result<Vec<Row>, Error> {
        Ok(self.take(at_most))
    }
}
