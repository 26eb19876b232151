//! A PostgreSQL database, and the connections of one core.
//!
//! Opening a database connects once, detects a connection pooler, and so reports what is wrong with
//! the configuration. Later connections are opened when requests need them.

use std::fmt;
use std::sync::Arc;

use super::connect::Connector;
use super::connect_error::ConnectError;
use super::cursor::Cursor;
use super::dedicated::DedicatedConnections;
use super::group_commit::GroupCommit;
use super::readiness::{CorePools, Readiness};
use super::run::{Fetch, FetchCount, FetchRows};
use super::session::ConnectionKind;
use super::settings::Pooling;
use super::shared::SharedConnections;
use super::single_statement::{self, SingleStatements};
use super::transaction::Transaction;
use super::{activity, pooler_detection, role};
use crate::database::backend::Activity;
use crate::database::budget::Budget;
use crate::database::config::{Config, Pooler};
use crate::database::error::OpenError;
use crate::database::libpq;
use crate::database::metrics::Connections;
use crate::database::statement::Statement;
use crate::database::types::{Error, Isolation, Rows, Value};

/// Groups of writes in flight per core. With two, one is filled while the other is flushed to disk.
const CONCURRENT_GROUPS: usize = 2;

/// An open database, for all cores.
#[derive(Clone)]
pub(crate) struct Database {
    connector: Arc<Connector>,
    config: Arc<Config>,
    core_pools: Arc<CorePools>,
    /// The role's privileges that the operator should revoke.
    excess_privileges: Option<role::ExcessPrivileges>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Database {
    pub(crate) async fn open(
        target: &libpq::Postgres,
        config: &Arc<Config>,
    ) -> Result<Self, OpenError> {
        let connect = async |pooling| -> Result<_, OpenError> {
            let connector = Connector::new(target, config, pooling)?;
            let session = connector.connect(ConnectionKind::Shared).await;
            Ok((connector, session))
        };
        let (mut connector, mut session) = connect(match config.pooler {
            Pooler::Auto | Pooler::None => Pooling::Direct,
            Pooler::Session => Pooling::Session,
            Pooler::Transaction => Pooling::Transaction,
        })
        .await?;
        if config.pooler == Pooler::Auto && session.as_ref().is_err_and(pooler_detection::is_pooler)
        {
            // Transaction mode is right for every pooler, whatever its mode.
            (connector, session) = connect(Pooling::Transaction).await?;
        }
        let failed = |error: ConnectError| error.open_error(config);
        let session = session.map_err(failed)?;
        if connector.pooling == Pooling::Session {
            pooler_detection::check_session_mode(&connector, &session)
                .await
                .map_err(failed)?;
        }
        let excess_privileges = role::excess_privileges(&session).await;
        let connector = Arc::new(connector);
        // Fails on a wrong setting now, rather than when a core opens its pool.
        DedicatedConnections::new(&connector, 1, config)?;
        Ok(Self {
            connector,
            config: Arc::clone(config),
            core_pools: Arc::default(),
            excess_privileges,
        })
    }

    /// Logs what the operator should know. From now on a lost database is logged too.
    pub(crate) fn advise(&self) {
        self.connector.availability.start_logging();
        if self.config.pooler == Pooler::Auto && self.connector.pooling != Pooling::Direct {
            tracing::info!(
                "the database is behind a connection pooler: every statement runs in a transaction \
                 with its settings; --database-pooler session costs less if the pooler is in \
                 session mode"
            );
        }
        if let Some(excess_privileges) = &self.excess_privileges {
            excess_privileges.warn();
        }
    }

    pub(crate) fn pool(&self) -> Result<Pool, OpenError> {
        let size = (self.config.pool_size.get() / self.config.pools.get()).max(2);
        // Shared connections are opened only when needed. Transactions need few connections, but at
        // least one.
        let shared = size * 3 / 4;
        let groups = (shared / 3).min(CONCURRENT_GROUPS);
        let (connector, lifetime) = (&self.connector, self.config.connection_lifetime);
        let dedicated = DedicatedConnections::new(connector, size - shared, &self.config)?;
        let shared = SharedConnections::new(Arc::clone(connector), shared - groups, lifetime);
        self.core_pools.add(&shared);
        let single_statements = SingleStatements { shared, dedicated };
        let connector = Arc::clone(connector);
        Ok(Pool {
            group_commit: GroupCommit::new(single_statements.clone(), connector, groups, lifetime),
            single_statements,
        })
    }

    /// Whether requests can be served: reads and, unless the database is opened read-only, writes.
    pub(crate) async fn check(&self) -> Result<(), OpenError> {
        let url = || self.config.url.to_string();
        match self.core_pools.probe(self.config.connect_timeout).await {
            Readiness::AcceptsWrites => Ok(()),
            Readiness::ReadOnly if self.config.read_only => Ok(()),
            Readiness::ReadOnly => Err(OpenError::ReadOnly { url: url() }),
            Readiness::Unavailable(reason) => Err(OpenError::Unreachable { url: url(), reason }),
            Readiness::ConnectFailed => Err(OpenError::Unreachable {
                url: url(),
                reason: self.connector.availability.reason(),
            }),
            // The database was opened, but no core serves from it.
            Readiness::NoPools => match self.connector.connect(ConnectionKind::Shared).await {
                Ok(_) => Ok(()),
                Err(error) => Err(error.open_error(&self.config)),
            },
        }
    }
}

/// The connections of one core.
#[derive(Debug)]
pub(crate) struct Pool {
    single_statements: SingleStatements,
    group_commit: GroupCommit,
}

impl Pool {
    /// Waits until abandoned statements, transactions and cursors are cleaned up.
    pub(crate) async fn closed(&self) {
        self.single_statements.dedicated.connector().closed().await;
    }

    pub(crate) async fn query(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        self.run::<FetchRows>(statement, params, budget).await
    }

    pub(crate) async fn execute(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        self.run::<FetchCount>(statement, params, budget).await
    }

    async fn run<F: Fetch>(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<F::Output, Error> {
        if statement.changes && !single_statement::is_slow(statement) {
            self.group_commit.run::<F>(statement, params, budget).await
        } else {
            self.single_statements
                .run::<F>(statement, params, budget)
                .await
        }
    }

    pub(crate) async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Transaction, Error> {
        let dedicated = &self.single_statements.dedicated;
        Transaction::begin(dedicated, isolation, read_only, budget).await
    }

    pub(crate) async fn begin_migration(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Transaction, Error> {
        let dedicated = &self.single_statements.dedicated;
        Transaction::begin_migration(dedicated, isolation, read_only, budget).await
    }

    pub(crate) async fn open(
        &self,
        statement: &Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Cursor, Error> {
        let connection = self.single_statements.dedicated.get(budget).await?;
        Cursor::open(connection, Arc::clone(statement), params, budget).await
    }

    /// The connections at the moment.
    pub(crate) fn connections(&self) -> Connections {
        let mut connections = self.single_statements.shared.connections();
        connections.add(&self.single_statements.dedicated.connections());
        connections.add(&self.group_commit.connections());
        connections
    }

    pub(crate) async fn activity(&self, text: &str) -> Option<Activity> {
        activity::activity(&self.single_statements, text).await
    }
}
