//! The back end that a script implements.

use std::sync::Arc;

use async_trait::async_trait;
use usher::database::backend::{Backend, BackendCursor, BackendPool, BackendTransaction};
use usher::database::budget::Budget;
use usher::database::policy::{POSTGRES, Policy, SQLITE};
use usher::database::statement::Statement;
use usher::database::{Error, Isolation, OpenError, Rows, SqlDialect, Value};

use super::cursor::ScriptedCursor;
use super::log::Event;
use super::script::Script;
use super::transaction::ScriptedTransaction;

#[async_trait]
impl Backend for Script {
    fn policy(&self) -> &'static Policy {
        match self.dialect() {
            SqlDialect::Postgres => &POSTGRES,
            SqlDialect::Sqlite => &SQLITE,
        }
    }

    fn pool(&self) -> Result<Box<dyn BackendPool>, OpenError> {
        Ok(Box::new(self.clone()))
    }

    async fn check(&self) -> Result<(), OpenError> {
        Ok(())
    }
}

#[async_trait]
impl BackendPool for Script {
    async fn query(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        let outcome = self.run(None, statement, params, budget).await;
        outcome
            .map_err(|fault| fault.error(statement.writes))?
            .rows(budget)
    }

    async fn execute(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        let outcome = self.run(None, statement, params, budget).await;
        outcome
            .map_err(|fault| fault.error(statement.writes))?
            .count()
    }

    async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Box<dyn BackendTransaction>, Error> {
        let number = self.next_transaction();
        let event = Event::Begin {
            isolation,
            read_only,
        };
        match self.control(number, event, budget).await {
            Ok(()) => Ok(Box::new(ScriptedTransaction::new(self.clone(), number))),
            Err(fault) => Err(fault.error(false)),
        }
    }

    async fn open(
        &self,
        statement: &Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Box<dyn BackendCursor>, Error> {
        let outcome = self.run(None, statement, &params, budget).await;
        Ok(Box::new(ScriptedCursor::new(
            outcome.map_err(|fault| fault.error(statement.writes))?,
        )))
    }
}
