//! PostgreSQL.
//!
//! | module | what lives there |
//! |---|---|
//! | `connect` | making connections, and cancel requests |
//! | `settings` | what every session begins with |
//! | `tls` | which servers are trusted |
//! | `guard` | no message larger than the limit gets into memory |
//! | `lanes` | single statements of many requests, pipelined over few connections |
//! | `singles` | a statement that is its own transaction: on a lane, and what takes long on a connection of its own |
//! | `groups` | writes of many requests, committed together |
//! | `exclusive` | connections of one's own: transactions, and statements known to be slow |
//! | `cursor` | results read bit by bit |
//! | `run` | one prepared statement on one connection |
//! | `values` | values to and from the wire format |
//! | `outcome` | errors, as what is known of a statement's outcome |

mod connect;
mod cursor;
mod exclusive;
mod groups;
mod guard;
mod lanes;
mod outcome;
mod run;
mod settings;
mod singles;
mod tls;
mod values;

use std::fmt;
use std::sync::Arc;

use connect::Connector;
use exclusive::Exclusives;
use groups::Groups;
use lanes::Lanes;
use outcome::reason;
use run::{Want, WantCount, WantRows};
use singles::Singles;

pub(crate) use cursor::Cursor;
pub(crate) use exclusive::Transaction;

use super::backend::{Budget, Isolation, Statement};
use super::{Config, Error, OpenError, Rows, Value, url};

/// Writes that are at work at the same time on one core before the next ones go together. With two, one group is filled while the other
/// waits for the disk.
const GROUPS: usize = 2;

/// A server that was reached.
#[derive(Clone)]
pub(crate) struct Database {
    connector: Arc<Connector>,
    config: Arc<Config>,
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
        target: &url::Postgres,
        config: &Arc<Config>,
    ) -> Result<Self, OpenError> {
        let connector = Arc::new(Connector::new(target, config)?);
        // deadpool has nothing to object to but the settings, which are the same in every pool.
        Exclusives::new(&connector, 1, config)?;
        let database = Self {
            connector,
            config: Arc::clone(config),
        };
        database.check().await?;
        Ok(database)
    }

    pub(crate) fn pool(&self) -> Result<Pool, OpenError> {
        let share = (self.config.pool_size.get() / self.config.pools.get()).max(2);
        // Lanes are opened only when they are needed; transactions need few connections, but always one.
        let shared = share * 3 / 4;
        let groups = (shared / 3).min(GROUPS);
        let (connector, lifetime) = (&self.connector, self.config.max_lifetime);
        let lanes = Lanes::new(Arc::clone(connector), shared - groups, lifetime);
        let exclusives = Exclusives::new(connector, share - shared, &self.config)?;
        let singles = Singles { lanes, exclusives };
        Ok(Pool {
            groups: Groups::new(singles.clone(), Arc::clone(connector), groups, lifetime),
            singles,
        })
    }

    pub(crate) async fn check(&self) -> Result<(), OpenError> {
        let client = self
            .connector
            .connect()
            .await
            .map_err(|unreachable| unreachable.open_error(&self.config))?;
        client
            .check_connection()
            .await
            .map_err(|error| OpenError::Unreachable {
                url: self.config.url.to_string(),
                reason: reason(&error),
            })
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
        self.singles
            .exclusives
            .begin(isolation, read_only, budget)
            .await
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
}
