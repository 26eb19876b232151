//! The contract of a back end: what the gate asks of a database.
//!
//! A back end is given statements that policy has let through, and answers with what is known of their outcome. It keeps to
//! the [`Budget`]: the deadline, and the size of a result while it is read. A back end of an embedding program's own comes in
//! by [`super::Database::with_backend`].
//!
//! Calls are dispatched through `dyn` and their futures boxed: a call's future is as large as its largest part, and the engine
//! copies it whole for each call, so a small box is cheaper than what it holds.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::budget::Budget;
use super::error::OpenError;
use super::policy::Policy;
use super::statement::Statement;
use super::types::{Error, Isolation, Row, Rows, Value};

/// A database that was reached, for all cores.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync {
    /// Its dialect, and the check that each statement passes before it gets here.
    fn policy(&self) -> &'static Policy;

    /// Connections for one core, used on the runtime on which this is called.
    ///
    /// # Errors
    /// Where there can be none. Nothing is connected yet.
    fn pool(&self) -> Result<Box<dyn BackendPool>, OpenError>;

    /// Whether requests can be served now: reads and, unless only reading was asked for, writes.
    ///
    /// # Errors
    /// Why they cannot.
    async fn check(&self) -> Result<(), OpenError>;

    /// Logs what an operator should know although nothing fails for it.
    fn advise(&self) {}
}

/// The connections of one core.
#[async_trait]
pub trait BackendPool: fmt::Debug + Send + Sync {
    /// Runs a statement as its own transaction and gives its rows.
    async fn query(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error>;

    /// Runs a statement as its own transaction and gives the number of rows it affected.
    async fn execute(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error>;

    /// Begins a transaction on a connection of its own.
    async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Box<dyn BackendTransaction>, Error>;

    /// Begins a transaction of migrations: its statements have the time they need, and wait for a lock only for a moment,
    /// since everybody else waits behind them.
    async fn begin_migration(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Box<dyn BackendTransaction>, Error> {
        self.begin(isolation, read_only, budget).await
    }

    /// Begins to read a result of any length.
    async fn open(
        &self,
        statement: &Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Box<dyn BackendCursor>, Error>;

    /// What is known of a statement of migrations that is running, where the database can tell.
    async fn activity(&self, _text: &str) -> Option<Activity> {
        None
    }

    /// Waits until nothing is left, also on the server, of what nobody waits for any more.
    async fn tidied(&self) {}
}

/// A transaction. Dropping it rolls it back.
#[async_trait]
pub trait BackendTransaction: fmt::Debug + Send {
    /// Runs a statement in it and gives its rows.
    async fn query(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error>;

    /// Runs a statement in it and gives the number of rows it affected.
    async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error>;

    /// Commits. Only `in-doubt` leaves open whether it took effect.
    async fn commit(self: Box<Self>, budget: &Budget) -> Result<(), Error>;

    /// Rolls back.
    async fn rollback(self: Box<Self>, budget: &Budget) -> Result<(), Error>;
}

/// A result that is being read. Dropping it ends the query.
#[async_trait]
pub trait BackendCursor: fmt::Debug + Send {
    /// The columns' names, in order.
    fn columns(&self) -> Vec<String>;

    /// Up to so many rows; none at the end.
    async fn next(&mut self, at_most: u32, budget: &Budget) -> Result<Vec<Row>, Error>;
}

/// What a statement is at.
#[derive(Debug)]
pub struct Activity {
    /// Who holds the lock that it waits for.
    pub blockers: Option<String>,
    /// How far it is.
    pub progress: Option<String>,
}
