//! Databases of each kind for tests.

use std::time::Duration;

use usher::database::{Config, Database, Statements};
use usher_tests::janitor::Scratch;
use usher_tests::pgbouncer::{PgBouncer, Pooling};
use usher_tests::postgres;

/// The kinds of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    File,
    Postgres,
    /// PostgreSQL behind a pooler.
    Pooled(Pooling),
}

/// All kinds without a pooler.
pub(crate) const ALL: [Kind; 3] = [Kind::Memory, Kind::File, Kind::Postgres];

/// A database for one test, removed when dropped.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) url: String,
    _file: Option<Scratch>,
    /// Dropped before the database.
    pooler: Option<PgBouncer>,
    pub(crate) postgres: Option<postgres::Database>,
}

impl Kind {
    /// Creates an empty database.
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
    /// Opens it, with limits that a test adjusts.
    pub(crate) async fn open(&self, adjust: impl FnOnce(&mut Config)) -> Database {
        let mut config = Config::new(self.url.parse().expect("a database URL"));
        // A slow server is no failure when many tests run at once.
        config.connect_timeout = Duration::from_mins(1);
        // Components of tests build their statements at run time.
        config.statements = Statements::Any;
        adjust(&mut config);
        Database::open(config).await.expect("a database that opens")
    }

    /// Removes it. On PostgreSQL the server waits for connections that are still opening or
    /// closing, so this does not block the thread.
    pub(crate) async fn end(self) {
        drop(self.pooler);
        if let Some(postgres) = self.postgres {
            postgres.remove().await;
        }
    }
}
