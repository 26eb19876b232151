//! The options of the database.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

use super::url::Url;
use crate::options::{GIB, KIB, MIB, MILLISECOND, YEAR, defaults, duration, number, size};

/// The longest of PostgreSQL's own timeouts, which are at most 2^31 milliseconds, in whole days.
const POSTGRES_LONGEST: Duration = Duration::from_hours(24 * 24);

/// A database and its limits.
#[derive(Args, Clone, Debug)]
#[group(id = "database-options")]
pub struct Config {
    /// The database.
    #[arg(skip = Url::memory())]
    pub url: Url,
    /// How many pools (cores) share `pool_size`.
    #[arg(skip = NonZeroUsize::MIN)]
    pub pools: NonZeroUsize,
    /// Connections to PostgreSQL on all cores together; a core has at least two.
    #[arg(
        long,
        env = "USHER_POOL_SIZE",
        value_name = "N",
        default_value = "16",
        value_parser = number::<NonZeroUsize>(1, 10_000)
    )]
    pub pool_size: NonZeroUsize,
    /// How long a transaction waits for a connection before the answer is 503.
    #[arg(
        long,
        env = "USHER_POOL_WAIT",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = duration(MILLISECOND, YEAR)
    )]
    pub pool_wait: Duration,
    /// For reaching PostgreSQL, TLS and authentication included.
    #[arg(
        long,
        env = "USHER_CONNECT_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = duration(MILLISECOND, YEAR)
    )]
    pub connect_timeout: Duration,
    /// After how long a connection is replaced.
    #[arg(
        long,
        env = "USHER_CONNECTION_LIFETIME",
        value_name = "DURATION",
        default_value = "30m",
        value_parser = duration(MILLISECOND, YEAR)
    )]
    pub connection_lifetime: Duration,
    /// How long one statement may run.
    #[arg(
        long,
        env = "USHER_STATEMENT_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration(MILLISECOND, POSTGRES_LONGEST)
    )]
    pub statement_timeout: Duration,
    /// How long a transaction may do nothing.
    #[arg(
        long,
        env = "USHER_IDLE_TRANSACTION_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration(MILLISECOND, POSTGRES_LONGEST)
    )]
    pub idle_transaction_timeout: Duration,
    /// A connection pooler before PostgreSQL: whether it hands out a server session for a
    /// connection's life or for each transaction; auto notices it.
    #[arg(
        long = "database-pooler",
        env = "USHER_DATABASE_POOLER",
        value_name = "POOLER",
        value_enum,
        default_value = "auto"
    )]
    pub pooler: Pooler,
    /// Refuse every statement that writes; needs --no-migrate, or a schema that is up to date.
    #[arg(long = "database-read-only", env = "USHER_DATABASE_READ_ONLY")]
    pub read_only: bool,
    /// Which statements a component may run: those it declares, or any.
    #[arg(
        long = "database-statements",
        env = "USHER_DATABASE_STATEMENTS",
        value_name = "WHICH",
        default_value = "declared"
    )]
    pub statements: Statements,
    /// What a component may use in statements beyond what is harmless by itself.
    #[command(flatten)]
    pub allowed: Allowed,
    /// The values of one result, and at most a quarter of --instance-memory.
    // SQLite also holds the row that exceeds it, of at most 16 MiB or twice this.
    #[arg(
        long,
        env = "USHER_MAX_ROWS_BYTES",
        value_name = "SIZE",
        default_value = "16MiB",
        value_parser = size::<u64>(KIB, GIB)
    )]
    pub max_rows_bytes: u64,
    /// The text of one statement.
    #[arg(
        long,
        env = "USHER_MAX_STATEMENT_BYTES",
        value_name = "SIZE",
        default_value = "256KiB",
        value_parser = size::<usize>(KIB, 64 * MIB)
    )]
    pub max_statement_bytes: usize,
    /// Parameters of one statement.
    #[arg(
        long,
        env = "USHER_MAX_PARAMETERS",
        value_name = "N",
        default_value = "1000",
        value_parser = number::<usize>(1, 65_535)
    )]
    pub max_parameters: usize,
    /// Transactions and cursors that one instance may hold at the same time.
    #[arg(
        long,
        env = "USHER_MAX_TRANSACTIONS",
        value_name = "N",
        default_value = "2",
        value_parser = number::<usize>(1, 1000)
    )]
    pub max_transactions: usize,
    /// Show the parameters of each statement that --log statements shows: PERSONAL DATA, such as
    /// names and email addresses, goes to the log then.
    #[arg(long = "log-parameters", env = "USHER_LOG_PARAMETERS")]
    pub log_parameters: bool,
}

/// Which statements a component may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Statements {
    /// Only those that the component itself lists.
    #[default]
    Declared,
    /// All that pass policy, also those generated at run time.
    Any,
}

/// The functions that an operator allows in addition.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "database-allowed")]
pub struct Allowed {
    /// A PostgreSQL function that statements may call beyond the harmless ones; may be given more
    /// than once.
    // With the schema, if statements name it with its schema.
    #[arg(
        long = "database-allow-function",
        env = "USHER_DATABASE_ALLOW_FUNCTION",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub functions: Vec<String>,
}

impl Allowed {
    pub(super) fn has(&self, function: &str) -> bool {
        self.functions.iter().any(|allowed| allowed == function)
    }
}

impl Config {
    /// The defaults for this database.
    pub fn new(url: Url) -> Self {
        Self { url, ..defaults() }
    }
}

/// A connection pooler, such as PgBouncer, by its pooling mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pooler {
    /// Noticed at start, and taken for one that shares server sessions between transactions, which
    /// is right behind every pooler.
    Auto,
    /// There is none; one that is noticed is refused.
    None,
    /// A server session belongs to a connection for as long as that lasts.
    Session,
    /// Each transaction may reach another server session.
    Transaction,
}
