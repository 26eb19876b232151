//! The contract between the gate and a back end.
//!
//! A back end receives only statements that passed policy. It keeps to the [`Budget`]: the
//! deadline, and the size of a result while it is read. It returns an error that says what is known
//! of the outcome. It may pack the rows of a statement that asks for it, or leave that to the gate
//! ([`row_count`](super::row_count) counts both). An embedding program brings its own by
//! [`super::Database::with_backend`].
//!
//! Calls go through `dyn` and their futures are boxed: a future is as large as its largest part,
//! and the engine copies it for each call, so a small box is cheaper than what it holds.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::budget::Budget;
use super::error::OpenError;
use super::failure;
use super::metrics::Connections;
use super::policy::Policy;
use super::statement::Statement;
use super::types::{Error, Isolation, Row, Rows, Value};

/// An open database, shared by all cores.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync {
    /// The dialect and the check that each statement passes first.
    fn policy(&self) -> &'static Policy;

    /// Connections for one core, used on the runtime on which this is called.
    ///
    /// # Errors
    /// When the pool cannot be set up. It does not connect yet.
    fn pool(&self) -> Result<Box<dyn BackendPool>, OpenError>;

    /// Checks that requests can be served now: reads and, unless the database is open for reading
    /// only, writes.
    ///
    /// # Errors
    /// Why they cannot.
    async fn check(&self) -> Result<(), OpenError>;

    /// Logs settings that an operator should change although nothing fails.
    fn advise(&self) {}

    /// Copies the contents as they are now. Only a database in memory can.
    ///
    /// # Errors
    /// `invalid` if the back end cannot, `overloaded` if no connection comes free.
    async fn snapshot(&self) -> Result<Snapshot, Error> {
        Err(failure::invalid(NO_SNAPSHOT))
    }

    /// Replaces the contents by those of a snapshot, whose database may be another one.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot); `invalid` also for a snapshot of another kind of database.
    async fn restore(&self, _: &Snapshot) -> Result<(), Error> {
        Err(failure::invalid(NO_SNAPSHOT))
    }
}

const NO_SNAPSHOT: &str = "only a database in memory (`memory:`) has snapshots";

/// The contents of a database at one moment. Clones share them.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<dyn Any + Send + Sync>);

impl Snapshot {
    /// What a back end keeps of its contents.
    pub fn new(contents: impl Any + Send + Sync) -> Self {
        Self(Arc::new(contents))
    }

    /// What a back end has kept, if it is of this type.
    pub fn contents<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

/// The connections of one core.
#[async_trait]
pub trait BackendPool: fmt::Debug + Send + Sync {
    /// Runs a statement as its own transaction and returns its rows.
    async fn query(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error>;

    /// Runs a statement as its own transaction and returns the number of affected rows.
    async fn execute(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error>;

    /// Begins a transaction on a dedicated connection.
    async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Box<dyn BackendTransaction>, Error>;

    /// Begins a transaction of migrations: no statement timeout, and a short lock timeout, because
    /// other statements queue behind a waiting migration.
    async fn begin_migration(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Box<dyn BackendTransaction>, Error> {
        self.begin(isolation, read_only, budget).await
    }

    /// Opens a cursor: a result of any length, read in batches.
    async fn open(
        &self,
        statement: &Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Box<dyn BackendCursor>, Error>;

    /// The activity of a running statement of migrations, if the database reports any.
    async fn activity(&self, _text: &str) -> Option<Activity> {
        None
    }

    /// The connections at the moment, for metrics. None if the back end has no connections.
    fn connections(&self) -> Connections {
        Connections::default()
    }

    /// Waits until abandoned work is over, also on the server: statements cancelled, transactions
    /// rolled back.
    async fn closed(&self) {}
}

/// A transaction. Dropping it rolls it back.
#[async_trait]
pub trait BackendTransaction: fmt::Debug + Send {
    /// Runs a statement and returns its rows.
    async fn query(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error>;

    /// Runs a statement and returns the number of affected rows.
    async fn execute(
        &mut self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error>;

    /// Checks that the database can run a statement, without running it. A back end that cannot
    /// tell accepts all.
    async fn prepare(&mut self, _statement: &Arc<Statement>, _: &Budget) -> Result<(), Error> {
        Ok(())
    }

    /// Commits. Only the error `in-doubt` leaves the outcome open.
    async fn commit(self: Box<Self>, budget: &Budget) -> Result<(), Error>;

    /// Rolls back.
    async fn rollback(self: Box<Self>, budget: &Budget) -> Result<(), Error>;
}

/// A result that is read in batches. Dropping it ends the query.
#[async_trait]
pub trait BackendCursor: fmt::Debug + Send {
    /// The columns' names, in order.
    fn columns(&self) -> Vec<String>;

    /// The next rows, `at_most` of them; none at the end.
    async fn next(&mut self, at_most: u32, budget: &Budget) -> Result<Vec<Row>, Error>;
}

/// What a running statement waits for, and its progress.
#[derive(Debug)]
pub struct Activity {
    /// The sessions that hold the lock it waits for.
    pub blockers: Option<String>,
    /// How much of its work is done.
    pub progress: Option<String>,
}
