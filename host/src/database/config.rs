//! What may be asked of the database, with defaults and units.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

use super::url::Url;

/// A database and its limits.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which database.
    pub url: Url,
    /// How many pools (cores) share `pool_size`.
    pub pools: NonZeroUsize,
    /// Connections to PostgreSQL, of all pools together; every pool has at least two.
    pub pool_size: NonZeroUsize,
    /// How long a transaction waits for a connection of its own before it is refused as overloaded.
    pub pool_wait: Duration,
    /// How long reaching the server may take, TLS and authentication included.
    pub connect_timeout: Duration,
    /// After how long a connection is replaced once it is free.
    pub max_lifetime: Duration,
    /// How long one statement may run.
    pub statement_timeout: Duration,
    /// How long a transaction may do nothing before PostgreSQL ends it.
    pub idle_transaction_timeout: Duration,
    /// What stands between the host and PostgreSQL.
    pub pooler: Pooler,
    /// Whether statements that write are refused.
    pub read_only: bool,
    /// The values of one result, in bytes. SQLite holds the one row beside it that goes over it, which
    /// has 16 MiB or twice this at the most.
    pub max_rows_bytes: u64,
    /// The text of one statement, in bytes.
    pub max_statement_bytes: usize,
    /// Parameters of one statement.
    pub max_parameters: usize,
    /// Transactions and cursors that one instance may hold at the same time.
    pub max_transactions: usize,
    /// Which statements a component may run.
    pub statements: Statements,
    /// What it may use in them beyond what is harmless by itself.
    pub allowed: Allowed,
}

/// Which statements a component may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Statements {
    /// Those that the component itself lists, and no others.
    #[default]
    Declared,
    /// Any that policy lets through, also such as are made at run time.
    Any,
}

/// What an operator allows beyond the lists.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// Functions by name, with their schema where a statement says it.
    pub functions: Vec<String>,
}

impl Allowed {
    pub(super) fn has(&self, function: &str) -> bool {
        self.functions.iter().any(|allowed| allowed == function)
    }
}

impl Config {
    /// The defaults, with this database.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            pools: NonZeroUsize::MIN,
            pool_size: NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN),
            pool_wait: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            max_lifetime: Duration::from_mins(30),
            statement_timeout: Duration::from_secs(10),
            idle_transaction_timeout: Duration::from_secs(10),
            pooler: Pooler::Auto,
            read_only: false,
            max_rows_bytes: 16 << 20,
            max_statement_bytes: 256 << 10,
            max_parameters: 1000,
            max_transactions: 2,
            statements: Statements::default(),
            allowed: Allowed::default(),
        }
    }
}

/// A connection pooler, such as PgBouncer, by what it shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pooler {
    /// Noticed at start, and taken for one that shares server sessions between transactions, which is
    /// right behind every pooler.
    Auto,
    /// There is none; one that is noticed is refused.
    None,
    /// A server session belongs to a connection for as long as that lasts.
    Session,
    /// Each transaction may reach another server session.
    Transaction,
}

/// The part of the command line that concerns the database.
#[derive(Args, Debug)]
#[group(id = "database-options")]
pub struct Options {
    /// Connections to PostgreSQL on all cores together; a core has at least two.
    #[arg(long, env = "USHER_POOL_SIZE", value_name = "N", default_value = "16")]
    pub pool_size: NonZeroUsize,
    /// How long a transaction waits for a connection before the answer is 503.
    #[arg(long, env = "USHER_POOL_WAIT", value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub pool_wait: Duration,
    /// For reaching PostgreSQL, TLS and authentication included.
    #[arg(long, env = "USHER_CONNECT_TIMEOUT", value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub connect_timeout: Duration,
    /// After how long a connection is replaced.
    #[arg(long, env = "USHER_CONNECTION_LIFETIME", value_name = "DURATION", default_value = "30m", value_parser = humantime::parse_duration)]
    pub connection_lifetime: Duration,
    /// How long one statement may run.
    #[arg(long, env = "USHER_STATEMENT_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub statement_timeout: Duration,
    /// How long a transaction may do nothing.
    #[arg(long, env = "USHER_IDLE_TRANSACTION_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub idle_transaction_timeout: Duration,
    /// A connection pooler before PostgreSQL: whether it hands out a server session for a connection's
    /// life or for each transaction; auto notices it.
    #[arg(
        long,
        env = "USHER_DATABASE_POOLER",
        value_name = "POOLER",
        value_enum,
        default_value = "auto"
    )]
    pub database_pooler: Pooler,
    /// Refuse every statement that writes; needs --no-migrate, or a schema that is up to date.
    #[arg(long, env = "USHER_DATABASE_READ_ONLY")]
    pub database_read_only: bool,
    /// Which statements a component may run: those it declares, or any.
    #[arg(
        long,
        env = "USHER_DATABASE_STATEMENTS",
        value_name = "WHICH",
        default_value = "declared"
    )]
    pub database_statements: Statements,
    /// A PostgreSQL function that statements may call beyond the harmless ones; may be given more than once.
    #[arg(
        long,
        env = "USHER_DATABASE_ALLOW_FUNCTION",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub database_allow_function: Vec<String>,
    /// The values of one result.
    #[arg(long, env = "USHER_MAX_ROWS_BYTES", value_name = "SIZE", default_value = "16MiB", value_parser = size)]
    pub max_rows_bytes: u64,
    /// The text of one statement.
    #[arg(long, env = "USHER_MAX_STATEMENT_BYTES", value_name = "SIZE", default_value = "256KiB", value_parser = size)]
    pub max_statement_bytes: u64,
    /// Parameters of one statement.
    #[arg(
        long,
        env = "USHER_MAX_PARAMETERS",
        value_name = "N",
        default_value = "1000"
    )]
    pub max_parameters: usize,
    /// Transactions and cursors that one instance may hold at the same time.
    #[arg(
        long,
        env = "USHER_MAX_TRANSACTIONS",
        value_name = "N",
        default_value = "2"
    )]
    pub max_transactions: usize,
}

impl Options {
    /// The configuration for this database.
    pub fn config(self, url: Url) -> Config {
        Config {
            pool_size: self.pool_size,
            pool_wait: self.pool_wait,
            connect_timeout: self.connect_timeout,
            max_lifetime: self.connection_lifetime,
            statement_timeout: self.statement_timeout,
            idle_transaction_timeout: self.idle_transaction_timeout,
            pooler: self.database_pooler,
            read_only: self.database_read_only,
            max_rows_bytes: self.max_rows_bytes,
            max_statement_bytes: usize::try_from(self.max_statement_bytes).unwrap_or(usize::MAX),
            max_parameters: self.max_parameters,
            max_transactions: self.max_transactions,
            statements: self.database_statements,
            allowed: Allowed {
                functions: self.database_allow_function,
            },
            ..Config::new(url)
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>().map(|size| size.as_u64())
}
