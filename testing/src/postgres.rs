//! A PostgreSQL database for each test that wants one: `Postgres::start()?.database().await`.
//!
//! All tests of a process share one server, which is started when the first of them asks: a
//! throw-away [`Cluster`], or the server that `TEST_DATABASE_URL` names. Databases made on the
//! latter are dropped after use, and those that a killed run left there by the next run.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::runtime::Handle;
use tokio_postgres::{Client, Config, NoTls};

use crate::cluster::Cluster;

/// What the names of all databases that tests make begin with.
const PREFIX: &str = "usher_test_";
/// The first half of the advisory lock that each run holds; the second is the run.
const RUNS: i32 = 0x7573_6572;

static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();

/// The server that the tests of this process share.
///
/// # Panics
/// Where there is none to be had, with one line that says what to do.
#[track_caller]
pub fn server() -> &'static Postgres {
    Postgres::start().unwrap_or_else(|error| panic!("{error}"))
}

/// A new, empty database on the server that the tests of this process share.
///
/// # Panics
/// As [`server`], and where the database cannot be made.
pub async fn database() -> Database {
    server().database().await
}

/// A server on which tests make databases.
#[derive(Debug)]
pub struct Postgres {
    admin: Admin,
    url: Url,
    /// Tells this run's databases from those of others on the same server.
    run: i32,
    /// Whether it can be told how to copy a template.
    copies_files: bool,
    /// Holds the run's lock for as long as the process lives.
    _holder: Client,
    next: AtomicU32,
    /// The server's own cluster, which ends with the process.
    cluster: Option<Cluster>,
}

impl Postgres {
    /// The server that the tests of this process share. The first call starts a throw-away cluster
    /// from the machine's programs, or from fetched ones, and takes about a second; if
    /// `TEST_DATABASE_URL` names a server, that one is used. The cluster ends with the process.
    ///
    /// # Errors
    /// One line that says what is missing, and what to do about it.
    pub fn start() -> Result<&'static Self, String> {
        SHARED
            .get_or_init(Self::find)
            .as_ref()
            .map_err(Clone::clone)
    }

    fn find() -> Result<Self, String> {
        if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
            return Self::at(&url, None)
                .map_err(|error| format!("TEST_DATABASE_URL cannot be used: {error}"));
        }
        let cluster = Cluster::start()?;
        let url = cluster.url();
        Self::at(&url, Some(cluster))
    }

    /// Uses the server at `url`.
    fn at(url: &str, cluster: Option<Cluster>) -> Result<Self, String> {
        let url = Url::parse(url)?;
        let admin = Admin::start(url.config(None)?)?;
        let Registration {
            holder,
            run,
            copies_files,
        } = admin
            .wait(register(url.config(None)?))
            .map_err(|error| explain(&error))?;
        Ok(Self {
            admin,
            url,
            run,
            copies_files,
            _holder: holder,
            next: AtomicU32::new(0),
            cluster,
        })
    }

    /// A new, empty database.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn database(&'static self) -> Database {
        self.create("template1").await
    }

    async fn create(&'static self, template: &str) -> Database {
        let name = self.new_name();
        let creation = self.creation(&name, template);
        let created = self.admin.on_its_thread(creation).await;
        created.unwrap_or_else(|error| {
            panic!(
                "cannot create a database on the test server: {}",
                explain(&error)
            )
        });
        self.made(name)
    }

    fn new_name(&self) -> String {
        format!("{PREFIX}{}_{}", self.run, self.next.fetch_add(1, Relaxed))
    }

    fn made(&'static self, name: String) -> Database {
        Database {
            url: self.url.with_database(&name),
            name,
            server: self,
            removed: false,
        }
    }

    /// Makes a database of this name; to be run on the thread of the tests' own statements.
    fn creation(
        &self,
        name: &str,
        template: &str,
    ) -> impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static {
        // Files are copied as they are rather than through the log, which takes a quarter longer
        // for so small a database.
        let strategy = if self.copies_files {
            " STRATEGY file_copy"
        } else {
            ""
        };
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}{strategy}");
        let admin = self.admin.clone();
        async move { admin.execute(&create).await }
    }
}

/// How many copies of a template are made ahead. More would take the server's time from the tests.
const STOCK: usize = 2;

/// A database that does not change any more, and to which nobody is connected. While tests run,
/// copies of it are made ahead of their use.
#[derive(Debug)]
pub(crate) struct Template {
    database: Database,
    stock: Arc<Mutex<Stock>>,
}

#[derive(Debug, Default)]
struct Stock {
    /// The names of copies that nobody has yet.
    ready: Vec<String>,
    /// How many are being made.
    making: usize,
    /// How many were asked for.
    asked: usize,
}

impl Template {
    pub(crate) fn new(database: Database) -> Self {
        let stock = Arc::default();
        Self { database, stock }
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy, made ahead if there is one.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub(crate) async fn copy(&self) -> Database {
        let server = self.database.server;
        let (ready, more) = {
            let mut stock = self.stock();
            stock.asked += 1;
            let ready = stock.ready.pop();
            // A process with one test needs no stock, and on a server of others nothing may stay.
            let is_useful = stock.asked > 1 && server.cluster.is_some();
            let there = stock.ready.len() + stock.making;
            let more = if is_useful {
                STOCK.saturating_sub(there)
            } else {
                0
            };
            stock.making += more;
            (ready, more)
        };
        for _ in 0..more {
            self.make_ahead();
        }
        match ready {
            Some(name) => server.made(name),
            None => self.database.copy().await,
        }
    }

    /// Makes one more copy, while the caller goes on.
    fn make_ahead(&self) {
        let server = self.database.server;
        let (name, stock) = (server.new_name(), Arc::clone(&self.stock));
        let creation = server.creation(&name, &self.database.name);
        server.admin.runtime.spawn(async move {
            let made = creation.await;
            let mut stock = stock.lock().unwrap_or_else(PoisonError::into_inner);
            stock.making -= 1;
            // The test that misses it makes one itself, and says then why it cannot.
            if made.is_ok() {
                stock.ready.push(name);
            }
        });
    }
}

/// A database of a test's own, dropped with this value, whoever is still connected to it.
#[derive(Debug)]
pub struct Database {
    url: String,
    name: String,
    server: &'static Postgres,
    removed: bool,
}

impl Database {
    /// Its URL, as `--database` takes it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A database with the same tables and rows. Nobody may be connected to this one; those who are
    /// about to leave are waited for.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn copy(&self) -> Self {
        self.server.create(&self.name).await
    }

    /// A connection to it, apart from those of the program under test.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn connect(&self) -> Client {
        let config = self
            .server
            .url
            .config(Some(&self.name))
            .expect("it was parsed before");
        let connected = self
            .server
            .admin
            .on_its_thread(async move { connect(&config).await })
            .await;
        connected.unwrap_or_else(|error| panic!("{}: {}", self.name, explain(&error)))
    }
}

impl Database {
    fn removal(&self) -> impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let admin = self.server.admin.clone();
        async move { admin.execute(&drop).await }
    }

    /// Drops the database without keeping the thread from its other tasks, as dropping this value
    /// does: PostgreSQL waits then for every session that is just being set up, and so for those
    /// tasks.
    ///
    /// # Panics
    /// Where it cannot be dropped.
    pub async fn remove(mut self) {
        let removal = self.removal();
        self.removed = true;
        let removed = self.server.admin.on_its_thread(removal).await;
        removed.unwrap_or_else(|error| panic!("cannot drop {}: {}", self.name, explain(&error)));
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.removed {
            return;
        }
        // Waited for, since the process may be about to end. An error is not for this test to fail
        // with, which may be one that stopped the server; the next run drops what is left.
        let _ = self.server.admin.wait(self.removal());
    }
}

/// Statements on the server itself, on a thread of their own, so that tests can use them from any
/// runtime and from none.
#[derive(Clone, Debug)]
struct Admin {
    runtime: Handle,
    config: Config,
    idle: Arc<Mutex<Vec<Client>>>,
}

impl Admin {
    fn start(config: Config) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("no runtime for the tests' own statements: {error}"))?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("postgres-admin".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .map_err(|error| format!("no thread for the tests' own statements: {error}"))?;
        Ok(Self {
            runtime: handle,
            config,
            idle: Arc::default(),
        })
    }

    /// Runs a future on the thread and waits for it without a runtime.
    fn wait<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let (done, waiting) = std::sync::mpsc::channel();
        self.runtime.spawn(async move { done.send(future.await) });
        waiting
            .recv()
            .expect("the thread of the tests' own statements lives as long as the process")
    }

    /// Runs a future on the thread, where connections outlive the runtime of the test that made
    /// them.
    async fn on_its_thread<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.runtime
            .spawn(future)
            .await
            .expect("the tests' own statements do not panic")
    }

    /// Runs a statement, on a connection that no other statement uses meanwhile. To be called on
    /// the thread.
    async fn execute(&self, statement: &str) -> Result<(), tokio_postgres::Error> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let client = match idle {
            Some(client) if !client.is_closed() => client,
            _ => connect(&self.config).await?,
        };
        client.batch_execute(statement).await?;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(client);
        Ok(())
    }
}

/// Connects, and drives the connection on the current runtime.
async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // Its errors are those of the statements that are waiting for it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// A run that the server knows of.
struct Registration {
    holder: Client,
    run: i32,
    copies_files: bool,
}

/// Finds a number for this run that no other has, and drops what runs left behind that are no more.
async fn register(config: Config) -> Result<Registration, tokio_postgres::Error> {
    let holder = connect(&config).await?;
    let lock = "SELECT pg_try_advisory_lock($1, $2)";
    let run = loop {
        let run: i32 = holder
            .query_one("SELECT (random() * 2147483647)::int", &[])
            .await?
            .try_get(0)?;
        // Held until this process ends: that is how other runs know that its databases are in use.
        if holder.query_one(lock, &[&RUNS, &run]).await?.try_get(0)? {
            break run;
        }
    };
    let names = holder
        .query("SELECT datname::text FROM pg_database", &[])
        .await?;
    for name in names {
        let name: String = name.try_get(0)?;
        let other = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('_').next()?.parse::<i32>().ok());
        if let Some(other) = other
            && other != run
            && holder.query_one(lock, &[&RUNS, &other]).await?.try_get(0)?
        {
            holder
                .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                .await?;
            holder
                .query_one("SELECT pg_advisory_unlock($1, $2)", &[&RUNS, &other])
                .await?;
        }
    }
    let version: String = holder
        .query_one("SHOW server_version_num", &[])
        .await?
        .try_get(0)?;
    let copies_files = version.parse().is_ok_and(|version: u32| version >= 150_000);
    Ok(Registration {
        holder,
        run,
        copies_files,
    })
}

/// A server's URL, taken apart where the database's name stands.
#[derive(Clone, Debug)]
struct Url {
    /// User, password, host and port.
    authority: String,
    /// The database that is connected to for making others.
    database: String,
    /// With the question mark, or empty.
    options: String,
}

impl Url {
    fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("it is no URL")?;
        // SQLAlchemy names its driver after a plus sign.
        if !matches!(scheme.split('+').next(), Some("postgres" | "postgresql")) {
            return Err(format!("it must begin with postgres://, not {scheme}://"));
        }
        let (rest, options) = rest.find('?').map_or((rest, ""), |at| rest.split_at(at));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, "postgres"));
        Ok(Self {
            authority: authority.to_owned(),
            database: database.to_owned(),
            options: options.to_owned(),
        })
    }

    fn with_database(&self, name: &str) -> String {
        format!("postgres://{}/{name}{}", self.authority, self.options)
    }

    fn config(&self, database: Option<&str>) -> Result<Config, String> {
        self.with_database(database.unwrap_or(&self.database))
            .parse()
            .map_err(|error| explain(&error))
    }
}

/// An error with its causes: the outermost alone says little more than that it came from the
/// database.
fn explain(error: &tokio_postgres::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| {
        error.source()
    });
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::{Url, database};

    #[test]
    fn database_urls_of_other_tools_are_accepted() {
        let url = Url::parse(
            "postgresql+asyncpg://postgres:password@localhost:5433/test_db?sslmode=disable",
        )
        .unwrap();
        assert_eq!(
            url.with_database("x"),
            "postgres://postgres:password@localhost:5433/x?sslmode=disable"
        );
        assert_eq!(url.database, "test_db");
        assert!(Url::parse("mysql://localhost/test").is_err());
    }

    #[tokio::test]
    async fn database_copy_has_the_rows_and_is_independent() {
        let original = database().await;
        let client = original.connect().await;
        client
            .batch_execute("CREATE TABLE t AS SELECT 1 AS a")
            .await
            .unwrap();
        drop(client);
        let copy = original.copy().await;
        let client = copy.connect().await;
        client
            .batch_execute("INSERT INTO t VALUES (2)")
            .await
            .unwrap();
        let counted = |row: tokio_postgres::Row| row.get::<_, i64>(0);
        assert_eq!(
            client
                .query_one("SELECT count(*) FROM t", &[])
                .await
                .map(counted)
                .unwrap(),
            2
        );
        let client = original.connect().await;
        assert_eq!(
            client
                .query_one("SELECT count(*) FROM t", &[])
                .await
                .map(counted)
                .unwrap(),
            1
        );
    }
}
