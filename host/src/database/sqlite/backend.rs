//! The implementation of the contract: each call goes to the function of the same name.

use std::sync::Arc;

use async_trait::async_trait;

use super::cursor::Cursor;
use super::database::{Database, Pool};
use super::transaction::Transaction;
use crate::database::backend::{Backend, BackendCursor, BackendPool, BackendTransaction, Snapshot};
use crate::database::budget::Budget;
use crate::database::error::OpenError;
use crate::database::metrics::Connections;
use crate::database::policy::{Policy, SQLITE};
use crate::database::statement::Statement;
use crate::database::types::{Error, Isolation, Row, Rows, Value};

#[async_trait]
impl Backend for Database {
    fn policy(&self) -> &'static Policy {
        &SQLITE
    }

    fn pool(&self) -> Result<Box<dyn BackendPool>, OpenError> {
        Ok(Box::new(Self::pool(self)))
    }

    async fn check(&self) -> Result<(), OpenError> {
        Self::check(self).await
    }

    async fn snapshot(&self) -> Result<Snapshot, Error> {
        Self::snapshot(self).await
    }

    async fn restore(&self, snapshot: &Snapshot) -> Result<(), Error> {
        Self::restore(self, snapshot).await
    }
}

#[async_trait]
impl BackendPool for Pool {
    async fn query(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        Self::query(self, statement, params, budget).await
    }

    async fn execute(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        Self::execute(self, statement, params, budget).await
    }

    async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Box<dyn BackendTransaction>, Error> {
        let transaction = Self::begin(self, isolation, read_only, budget).await?;
        Ok(Box::new(transaction))
    }

    async fn open(
        &self,
        statement: &Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Box<dyn BackendCursor>, Error> {
        Ok(Box::new(Self::open(self, statement, params, budget).await?))
    }

    fn connections(&self) -> Connections {
        Self::connections(self)
    }

    async fn closed(&self) {
        Self::closed(self).await;
    }
}

#[async_trait]
impl BackendTransaction for Transaction {
    async fn query(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        Self::query(self, statement, params, budget).await
    }

    async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        Self::execute(self, statement, params, budget).await
    }

    async fn prepare(&mut self, statement: &Arc<Statement>, budget: &Budget) -> Result<(), Error> {
        Self::prepare(self, statement, budget).await
    }

    async fn commit(self: Box<Self>, budget: &Budget) -> Result<(), Error> {
        Self::commit(*self, budget).await
    }

    async fn rollback(self: Box<Self>, budget: &Budget) -> Result<(), Error> {
        Self::rollback(*self, budget).await
    }
}

#[async_trait]
impl BackendCursor for Cursor {
    fn columns(&self) -> Vec<String> {
        Self::columns(self)
    }

    async fn next(&mut self, at_most: u32, budget: &Budget) -> Result<Vec<Row>, Error> {
        Self::next(self, at_most, budget).await
    }
}
