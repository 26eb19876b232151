//! A server that was reached, and the connections of one core.

use std::fmt;
use std::sync::Arc;

use super::cause::Unreachable;
use super::connect::Connector;
use super::cursor::Cursor;
use super::exclusive::Exclusives;
use super::groups::Groups;
use super::lanes::Lanes;
use super::link::Kind;
use super::readiness::{Cores, Readiness};
use super::run::{Want, WantCount, WantRows};
use super::settings::Pooling;
use super::singles::{self, Singles};
use super::transaction::Transaction;
use super::{activity, pooling, role};
use crate::database::backend::Activity;
use crate::database::budget::Budget;
use crate::database::config::{Config, Pooler};
use crate::database::error::OpenError;
use crate::database::libpq;
use crate::database::statement::Statement;
use crate::database::types::{Error, Isolation, Rows, Value};

/// Writes that are at work at the same time on one core before the next ones go together. With two, one group is filled while the other
/// waits for the disk.
const GROUPS: usize = 2;

/// A server that was reached.
#[derive(Clone)]
pub(crate) struct Database {
    connector: Arc<Connector>,
    config: Arc<Config>,
    cores: Arc<Cores>,
    /// What the operator should know of the role.
    excess: Option<role::Excess>,
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
        let reach = async |pooling| -> Result<_, OpenError> {
            let connector = Connector::new(target, config, pooling)?;
            let link = connector.connect(Kind::Shared).await;
            Ok((connector, link))
        };
        let (mut connector, mut link) = reach(match config.pooler {
            Pooler::Auto | Pooler::None => Pooling::Direct,
            Pooler::Session => Pooling::Session,
            Pooler::Transaction => Pooling::Transaction,
        })
        .await?;
        if config.pooler == Pooler::Auto && link.as_ref().is_err_and(pooling::is_noticed) {
            // Right behind every pooler: a session that is handed out for longer is one as well.
            (connector, link) = reach(Pooling::Transaction).await?;
        }
        let refused = |unreachable: Unreachable| unreachable.open_error(config);
        let link = link.map_err(refused)?;
        if connector.pooling == Pooling::Session {
            pooling::is_session_pooling(&connector, &link)
                .await
                .map_err(refused)?;
        }
        let excess = role::excess(&link).await;
        let connector = Arc::new(connector);
        // The pool has nothing to object to but the settings, which are the same in every pool.
        Exclusives::new(&connector, 1, config)?;
        Ok(Self {
            connector,
            config: Arc::clone(config),
            cores: Arc::default(),
            excess,
        })
    }

    /// Says what an operator should know. From now on losses of the database are said as well.
    pub(crate) fn advise(&self) {
        self.connector.reach.serve();
        if self.config.pooler == Pooler::Auto && self.connector.pooling != Pooling::Direct {
            tracing::info!(
                "the database is behind a connection pooler: every statement brings its settings \
                 along in a transaction; --database-pooler session costs less where the pooler hands \
                 out whole sessions"
            );
        }
        if let Some(excess) = &self.excess {
            excess.warn();
        }
    }

    pub(crate) fn pool(&self) -> Result<Pool, OpenError> {
        let share = (self.config.pool_size.get() / self.config.pools.get()).max(2);
        // Lanes are opened only when they are needed; transactions need few connections, but always one.
        let shared = share * 3 / 4;
        let groups = (shared / 3).min(GROUPS);
        let (connector, lifetime) = (&self.connector, self.config.connection_lifetime);
        let lanes = Lanes::new(Arc::clone(connector), shared - groups, lifetime);
        let exclusives = Exclusives::new(connector, share - shared, &self.config)?;
        self.cores.add(&lanes);
        let singles = Singles { lanes, exclusives };
        Ok(Pool {
            groups: Groups::new(singles.clone(), Arc::clone(connector), groups, lifetime),
            singles,
        })
    }

    /// Whether requests are served: reads and, unless only reading was asked for, writes.
    pub(crate) async fn check(&self) -> Result<(), OpenError> {
        let url = || self.config.url.to_string();
        match self.cores.ask(self.config.connect_timeout).await {
            Readiness::TakesWrites => Ok(()),
            Readiness::OnlyReads if self.config.read_only => Ok(()),
            Readiness::OnlyReads => Err(OpenError::ReadOnly { url: url() }),
            Readiness::Away(reason) => Err(OpenError::Unreachable { url: url(), reason }),
            Readiness::Unreached => Err(OpenError::Unreachable {
                url: url(),
                reason: self.connector.reach.reason(),
            }),
            // No core has connections: the database was opened, and is not served from.
            Readiness::Unserved => match self.connector.connect(Kind::Shared).await {
                Ok(_) => Ok(()),
                Err(unreachable) => Err(unreachable.open_error(&self.config)),
            },
        }
    }
}

/// The connections of one core.
#[derive(Debug)]
pub(crate) struct Pool {
    singles: Singles,
    groups: Groups,
}

impl Pool {
    /// Waits until nothing is left of what nobody waits for any more.
    pub(crate) async fn tidied(&self) {
        self.singles.exclusives.connector().tidied().await;
    }

    pub(crate) async fn query(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        self.run::<WantRows>(statement, params, budget).await
    }

    pub(crate) async fn execute(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        self.run::<WantCount>(statement, params, budget).await
    }

    async fn run<W: Want>(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<W::Answer, Error> {
        if statement.changes && !singles::is_slow(statement) {
            self.groups.run::<W>(statement, params, budget).await
        } else {
            self.singles.run::<W>(statement, params, budget).await
        }
    }

    pub(crate) async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Transaction, Error> {
        Transaction::begin(&self.singles.exclusives, isolation, read_only, budget).await
    }

    pub(crate) async fn begin_migration(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<Transaction, Error> {
        Transaction::begin_migration(&self.singles.exclusives, isolation, read_only, budget).await
    }

    pub(crate) async fn open(
        &self,
        statement: &Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<Cursor, Error> {
        let connection = self.singles.exclusives.get(budget).await?;
        Cursor::open(connection, Arc::clone(statement), params, budget).await
    }

    pub(crate) async fn activity(&self, text: &str) -> Option<Activity> {
        activity::activity(&self.singles, text).await
    }
}
