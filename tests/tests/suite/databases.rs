//! A database of each kind for whoever wants one.

use std::time::Duration;

use usher::database::{Config, Database, Statements};
use usher_tests::janitor::Scratch;
use usher_tests::pgbouncer::{PgBouncer, Pooling};
use usher_tests::postgres;

/// The kinds of database there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    File,
    Postgres,
    /// PostgreSQL behind a pooler.
    Pooled(Pooling),
}

/// All that a server has to itself.
pub(crate) const ALL: [Kind; 3] = [Kind::Memory, Kind::File, Kind::Postgres];

/// A database of a test's own. It is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) url: String,
    _file: Option<Scratch>,
    /// Gone before the database.
    pooler: Option<PgBouncer>,
    pub(crate) postgres: Option<postgres::Database>,
}

impl Kind {
    /// An empty one.
    pub(crate) async fn fresh(self) -> Fresh {
        match self {
            Self::Memory => Fresh {
                url: "memory:".into(),
                _file: None,
                pooler: None,
                postgres: None,
            },
            Self::File => {
                let scratch = Scratch::new();
                Fresh {
                    url: format!("sqlite:{}", scratch.file("users.db")),
                    _file: Some(scratch),
                    pooler: None,
                    postgres: None,
                }
            }
            Self::Postgres => {
                let database = postgres::database().await;
                Fresh {
                    url: database.url().to_owned(),
                    _file: None,
                    pooler: None,
                    postgres: Some(database),
                }
            }
            Self::Pooled(pooling) => {
                let database = postgres::database().await;
                let pooler = PgBouncer::start(database.url(), pooling, &[]);
                Fresh {
                    url: pooler.url(),
                    _file: None,
                    pooler: Some(pooler),
                    postgres: Some(database),
                }
            }
        }
    }
}

impl Fresh {
    /// Opens it, with limits to be adjusted.
    pub(crate) async fn open(&self, adjust: impl FnOnce(&mut Config)) -> Database {
        let mut config = Config::new(self.url.parse().expect("a database URL"));
        // Where many tests run at once, nothing is to be learned from a server that takes its time.
        config.connect_timeout = Duration::from_mins(1);
        // Components of tests make up their statements.
        config.statements = Statements::Any;
        adjust(&mut config);
        Database::open(config).await.expect("a database that opens")
    }

    /// Removes it, on PostgreSQL without keeping the thread from the connections that are still closing, or being made: the server
    /// waits for those.
    pub(crate) async fn end(self) {
        drop(self.pooler);
        if let Some(postgres) = self.postgres {
            postgres.remove().await;
        }
    }
}
