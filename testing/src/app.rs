//! The real component in a test, with a database of its own.
//!
//! A web framework overrides a dependency; here only the component's import is replaced, and the
//! code under test is the bytes that run in production.
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use serde_json::json;
//! use usher_testing::TestApp;
//!
//! let app = TestApp::start("memory:").await?;
//! let ann = json!({"name": "Ann", "email": "ann@example.com"});
//! app.post("/users/").json(&ann).await?.expect_status(200);
//! app.get("/users/1")
//!     .await?
//!     .expect_status(200)
//!     .expect_header("etag", "\"1\"")
//!     .expect_json(&json!({"id": 1, "name": "Ann", "email": "ann@example.com"}));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! No socket is opened. A process starts one engine, loads a component once and migrates one
//! database with it; after that a test costs less than ten milliseconds, even in a build without
//! optimisation. Tests may run in parallel, because every database is a new one: see
//! [`TestDatabase`]. Instances are not shared between applications, so that nothing in the memory
//! of a component gets from one test into another.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use tokio::io::DuplexStream;
use wasmtime::Store;

use usher::Config;
use usher::access::AccessControl;
use usher::database::backend::{Backend, BackendPool, Snapshot};
use usher::database::budget::Budget;
use usher::database::statement::{Effect, Statement};
use usher::database::{self, Database, Pool, Rows, Statements, Url, Value};
use usher::sandbox::{
    Clock, Instances, NamedValue, Overrides, Runtime, Source, State, StoreLimits, migrate,
};
use usher::server::connection;
use usher::server::drain::Drain;
use usher::server::service::Service;
use usher::telemetry::{AccessLog, Counters};

use crate::calls::Call;
use crate::client::Client;
use crate::database::{Owned, TestDatabase};
use crate::error::TestError;
use crate::instrumented::Instruments;
use crate::janitor::Scratch;
use crate::loaded::Loaded;
use crate::postgres::{Postgres, Template};
use crate::request::RequestBuilder;
use crate::response::{Sent, TestResponse};
use crate::seed::Seed;
use crate::typed::{Typed, TypedPre};

/// What a test application is made of: the component, its database and the limits.
#[derive(Clone, Debug)]
pub struct Builder {
    database: TestDatabase,
    source: Source,
    migrate: bool,
    config: Config,
    write_timeout: Option<Duration>,
    via_incoming_handler: bool,
    seed: Seed,
    clock: Option<Clock>,
    random_seed: Option<u64>,
}

impl Builder {
    fn new(database: TestDatabase) -> Self {
        Self {
            database,
            source: Source::Embedded,
            migrate: true,
            config: defaults(),
            write_timeout: None,
            via_incoming_handler: false,
            seed: Seed::default(),
            clock: None,
            random_seed: None,
        }
    }

    /// Sets the database: a [`TestDatabase`], a URL, a snapshot, a script, or an open one. The
    /// default is a new one in memory.
    #[must_use]
    pub fn database(mut self, database: impl Into<TestDatabase>) -> Self {
        self.database = database.into();
        self
    }

    /// Serves another component than the embedded one. If it declares no statements, see
    /// [`any_statements`](Self::any_statements).
    #[must_use]
    pub fn component(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// Skips migrations.
    #[must_use]
    pub fn no_migrate(mut self) -> Self {
        self.migrate = false;
        self
    }

    /// Runs these statements after the migrations, such as [`crate::users`]`(100)`.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// Changes any setting of the host, such as its limits or who may send requests. What concerns
    /// sockets, cores, the log and recordings has no effect here, and a database that is already
    /// open keeps its own settings.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        let before = self.config.connections.write_timeout;
        change(&mut self.config);
        let after = self.config.connections.write_timeout;
        if after != before {
            self.write_timeout = Some(after);
        }
        self
    }

    /// Sets the time for a request; the default is 30 s.
    #[must_use]
    pub fn request_timeout(self, timeout: Duration) -> Self {
        self.configure(|config| config.sandbox.request_timeout = timeout)
    }

    /// Sets the time for which a client may read nothing of its response; the default is the time
    /// for a request.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = Some(timeout);
        self
    }

    /// Sets the linear memory of an instance in bytes, at most 256 MiB; the default is 64 MiB.
    #[must_use]
    pub fn memory_limit(self, bytes: usize) -> Self {
        self.configure(|config| config.sandbox.instance_memory = bytes)
    }

    /// Sets the number of requests that an instance serves before it is replaced; the default is
    /// 128.
    #[must_use]
    pub fn instance_reuse(self, requests: NonZeroU32) -> Self {
        self.configure(|config| config.sandbox.instance_reuse = requests)
    }

    /// Lets the component run every statement that the policy allows, not only those that it
    /// declares. A database that is already open keeps its own setting.
    #[must_use]
    pub fn any_statements(self) -> Self {
        self.configure(|config| config.database.statements = Statements::Any)
    }

    /// Sets a value that the component gets by `wasi:config`, as `--component-config` does. Another
    /// value of the same name takes its place.
    #[must_use]
    pub fn component_config(self, name: &str, value: &str) -> Self {
        self.configure(|config| {
            let values = &mut config.sandbox.component_config;
            values.retain(|known| known.name() != Some(name.trim()));
            values.push(NamedValue::new(name, value));
        })
    }

    /// Sets the clock of a component that imports `wasi:clocks/wall-clock`. The monotonic clock
    /// goes on.
    #[must_use]
    pub fn clock(mut self, clock: &Clock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    /// Sets the random numbers of a component that imports `wasi:random`. Each instance has others,
    /// so requests that are sent one after the other get the same each time a test runs.
    #[must_use]
    pub fn random_seed(mut self, seed: u64) -> Self {
        self.random_seed = Some(seed);
        self
    }

    /// Sends all requests through `wasi:http/incoming-handler`, as other hosts do, even if the
    /// component exports the buffered handler.
    #[must_use]
    pub fn via_incoming_handler(mut self) -> Self {
        self.via_incoming_handler = true;
        self
    }

    /// Opens the database, loads the component and applies its migrations.
    ///
    /// # Errors
    /// See [`TestError`].
    pub async fn start(self) -> Result<TestApp, TestError> {
        let loaded = Loaded::find(&self.source, &self.config.sandbox).map_err(TestError::Load)?;
        let opened = Box::pin(self.open(&loaded)).await?;
        let access = Box::pin(AccessControl::load(&self.config.access)).await;
        let access = access.map_err(TestError::Access)?;
        let mut app = self.serve(&loaded, opened.database, opened.owned, access)?;
        if opened.migrate {
            app.migrate().await?;
        }
        app.seed(&self.seed).await?;
        app.client.log.clear();
        app.builder = Some(Box::new(self));
        Ok(app)
    }

    /// Opens the database, and says whether it has to be migrated.
    async fn open(&self, loaded: &Loaded) -> Result<Opened, TestError> {
        let (mut owned, mut migrate) = (Owned::Nothing, self.migrate);
        let database = match &self.database {
            TestDatabase::Open(database) => database.clone(),
            TestDatabase::Scripted(script) => {
                migrate = false;
                script.database()
            }
            TestDatabase::Url(url) => self.connect(url).await?,
            TestDatabase::File => {
                let scratch = Scratch::new();
                let url = format!("sqlite:{}", scratch.file("test.db"));
                owned = Owned::File { _scratch: scratch };
                self.connect(&url).await?
            }
            TestDatabase::Memory => {
                let database = self.connect("memory:").await?;
                if migrate {
                    let make = || Box::pin(self.migrated_snapshot(loaded));
                    let snapshot = loaded.memory.get_or_try_init(make).await?;
                    let restored = database.restore(snapshot).await;
                    restored.map_err(TestError::Statement)?;
                    migrate = false;
                }
                database
            }
            TestDatabase::Snapshot(snapshot) => {
                let database = self.connect("memory:").await?;
                let restored = database.restore(snapshot).await;
                restored.map_err(TestError::Statement)?;
                migrate = false;
                database
            }
            TestDatabase::Postgres => {
                let server = Postgres::start().map_err(TestError::NoServer)?;
                let copy = if migrate {
                    let make = || Box::pin(self.migrated_postgres(loaded, server));
                    let template = loaded.postgres.get_or_try_init(make).await?;
                    migrate = false;
                    template.copy().await
                } else {
                    server.database().await
                };
                let database = self.connect(copy.url()).await?;
                owned = Owned::Postgres(copy);
                database
            }
        };
        Ok(Opened {
            database,
            owned,
            migrate,
        })
    }

    async fn connect(&self, url: &str) -> Result<Database, TestError> {
        let mut config = self.config.database.clone();
        config.url = url.parse().map_err(TestError::Url)?;
        Database::open(config).await.map_err(TestError::Database)
    }

    /// A database in memory that the component has migrated.
    async fn migrated_snapshot(&self, loaded: &Loaded) -> Result<Snapshot, TestError> {
        let database = self.connect("memory:").await?;
        let app = self.serve(loaded, database, Owned::Nothing, AccessControl::default())?;
        app.migrate().await?;
        app.snapshot().await
    }

    /// A database on PostgreSQL that the component has migrated.
    async fn migrated_postgres(
        &self,
        loaded: &Loaded,
        server: &'static Postgres,
    ) -> Result<Template, TestError> {
        let template = server.database().await;
        let database = self.connect(template.url()).await?;
        let app = self.serve(loaded, database, Owned::Nothing, AccessControl::default())?;
        app.migrate().await?;
        // Its connections end with it, and a copy waits for them.
        drop(app);
        Ok(Template::new(template))
    }

    /// The component, with a time and random numbers of its own if the test has set them.
    fn runtime(&self, loaded: &Loaded) -> Arc<Runtime> {
        if self.clock.is_none() && self.random_seed.is_none() {
            return Arc::clone(&loaded.runtime);
        }
        let mut overrides = Overrides::default();
        if let Some(clock) = &self.clock {
            overrides = overrides.clock(clock.clone());
        }
        if let Some(seed) = self.random_seed {
            overrides = overrides.random_seed(seed);
        }
        Arc::new(Runtime::clone(&loaded.runtime).with_overrides(overrides))
    }

    fn serve(
        &self,
        loaded: &Loaded,
        database: Database,
        owned: Owned,
        access: AccessControl,
    ) -> Result<TestApp, TestError> {
        let runtime = self.runtime(loaded);
        let instruments = Instruments::default();
        let mut unwatched = None;
        let database = database.wrap(|inner| {
            unwatched = Some(Arc::clone(&inner));
            instruments.before(inner)
        });
        let database = runtime.database(database).map_err(TestError::Load)?;
        let mut config = self.config.clone();
        config.database = database.config().clone();
        config.connections.write_timeout =
            (self.write_timeout).unwrap_or(config.sandbox.request_timeout);
        let pool = database.pool().map_err(TestError::Database)?;
        let counters = Arc::new(Counters::new(runtime.routes(), AccessLog::Off));
        let mut limits = config.instances();
        limits.buffered = !self.via_incoming_handler;
        let store_limits = limits.store();
        let instances = Instances::new(
            Arc::clone(&runtime),
            pool.clone(),
            limits,
            Arc::clone(&counters),
        );
        let service = Arc::new(Service {
            instances: instances.into(),
            limits: config.connections,
            access,
            counters,
            recorder: None,
        });
        Ok(TestApp {
            client: Client {
                service,
                log: instruments.log().clone(),
            },
            runtime,
            database,
            pool,
            limits: store_limits,
            drain: Drain::default(),
            direct: Direct {
                backend: unwatched,
                pool: OnceLock::new(),
            },
            instruments,
            builder: None,
            owned,
        })
    }
}

/// The settings of every application. The defaults are read from the declarations of all options,
/// which takes longer than the rest of a test, so they are read once.
fn defaults() -> Config {
    static DEFAULTS: OnceLock<Config> = OnceLock::new();
    let read = || {
        let mut config = Config::new(database::Config::new(Url::memory()));
        config.workers = Some(std::num::NonZeroUsize::MIN);
        // A slow server is no failure when many tests run at once.
        config.database.connect_timeout = Duration::from_mins(1);
        config.database.pool_wait = Duration::from_mins(1);
        config
    };
    DEFAULTS.get_or_init(read).clone()
}

struct Opened {
    database: Database,
    owned: Owned,
    migrate: bool,
}

/// The database past the component, its rules and the log.
#[derive(Debug)]
struct Direct {
    backend: Option<Arc<dyn Backend>>,
    pool: OnceLock<Box<dyn BackendPool>>,
}

/// The real component with a database of its own, called in process.
///
/// Use it on the runtime on which it was started. Dropping it closes its database connections and
/// removes what was made for it, also when the test panics.
#[derive(Debug)]
pub struct TestApp {
    client: Client,
    runtime: Arc<Runtime>,
    pool: Pool,
    limits: StoreLimits,
    drain: Drain,
    direct: Direct,
    database: Database,
    instruments: Instruments,
    /// What it was made with.
    builder: Option<Box<Builder>>,
    /// Dropped after all connections.
    owned: Owned,
}

impl TestApp {
    /// Starts the embedded component over this database, migrated: a [`TestDatabase`], a URL, a
    /// snapshot, a script, or an open one.
    ///
    /// # Errors
    /// See [`TestError`].
    pub async fn start(database: impl Into<TestDatabase>) -> Result<Self, TestError> {
        Builder::new(database.into()).start().await
    }

    /// Returns a builder for the embedded component over a database in memory.
    pub fn builder() -> Builder {
        Builder::new(TestDatabase::Memory)
    }

    /// A builder for an application of the same kind over a copy of this one's database.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    pub async fn copy(&self) -> Result<Builder, TestError> {
        let builder = self.builder.as_deref().cloned();
        let mut builder = builder.unwrap_or_else(Self::builder);
        builder.config.database = self.database.config().clone();
        builder.database = TestDatabase::Snapshot(self.snapshot().await?);
        builder.seed = Seed::default();
        Ok(builder)
    }

    async fn migrate(&self) -> Result<(), TestError> {
        let migrated = migrate::migrate(&self.runtime, &self.pool, &self.limits).await;
        migrated.map(drop).map_err(TestError::Migrate)
    }

    /// Begins a request.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder<'_> {
        RequestBuilder::new(&self.client, method, path)
    }

    /// Begins a `GET`.
    pub fn get(&self, path: &str) -> RequestBuilder<'_> {
        self.request(Method::GET, path)
    }

    /// Begins a `HEAD`.
    pub fn head(&self, path: &str) -> RequestBuilder<'_> {
        self.request(Method::HEAD, path)
    }

    /// Begins a `POST`.
    pub fn post(&self, path: &str) -> RequestBuilder<'_> {
        self.request(Method::POST, path)
    }

    /// Begins a `PUT`.
    pub fn put(&self, path: &str) -> RequestBuilder<'_> {
        self.request(Method::PUT, path)
    }

    /// Begins a `PATCH`.
    pub fn patch(&self, path: &str) -> RequestBuilder<'_> {
        self.request(Method::PATCH, path)
    }

    /// Begins a `DELETE`.
    pub fn delete(&self, path: &str) -> RequestBuilder<'_> {
        self.request(Method::DELETE, path)
    }

    /// Sends a request and returns the complete response. Headers are as given, plus a `Host` if
    /// there is none.
    ///
    /// # Errors
    /// [`TestError::Response`] if the component failed after its response had begun.
    pub async fn execute(
        &self,
        request: Request<impl Into<Bytes>>,
    ) -> Result<TestResponse, TestError> {
        let request = request.map(Into::into);
        let sent = Sent::new(&request, request.body().clone());
        let request = request.map(|body| Full::new(body).boxed_unsync());
        self.client.send(request, sent).await
    }

    /// Opens a client connection to the server code of production, without a socket. It speaks
    /// HTTP/1.1.
    pub fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(256 << 10);
        tokio::spawn(connection::serve(
            server,
            Arc::clone(&self.client.service),
            self.drain.watcher(),
        ));
        client
    }

    /// Returns a new instance for calls without HTTP, such as
    /// `typed.usher_users_users().call_create(&mut store, …)`.
    ///
    /// # Errors
    /// If the component does not export `usher:users/users`, or cannot be instantiated.
    pub async fn typed(&self) -> wasmtime::Result<(Store<State>, Typed)> {
        let mut store = self.runtime.store(self.pool.gate(), &self.limits);
        let pre = TypedPre::new(self.runtime.instance_pre().clone())?;
        let typed = pre.instantiate_async(&mut store).await?;
        Ok((store, typed))
    }

    /// The calls of the component on its database so far, in order; of many the last 1,000.
    pub fn calls(&self) -> Vec<Call> {
        self.client.log.all()
    }

    /// Runs a statement of the test, past the component, its policy and the log.
    ///
    /// # Errors
    /// [`TestError::Statement`] if the database refuses it.
    pub async fn sql(&self, statement: &str, params: &[Value]) -> Result<Rows, TestError> {
        let pool = match self.direct.pool.get() {
            Some(pool) => pool,
            None => {
                let backend = self.direct.backend.as_ref();
                let pool = backend.map(|backend| backend.pool()).transpose();
                let pool = pool.map_err(TestError::Database)?;
                let none = || database::failure::unavailable("there is no database");
                let pool = pool.ok_or_else(none).map_err(TestError::Statement)?;
                self.direct.pool.get_or_init(|| pool)
            }
        };
        let now = Instant::now();
        let budget = Budget::new(
            now,
            now + self.database.config().statement_timeout,
            u64::MAX,
        );
        let statement = Statement::new(statement.to_owned(), Effect::Writes);
        let rows = pool.query(&statement, params, &budget).await;
        rows.map_err(TestError::Statement)
    }

    /// Runs the statements of a seed.
    ///
    /// # Errors
    /// [`TestError::Statement`] if the database refuses one.
    pub async fn seed(&self, seed: &Seed) -> Result<(), TestError> {
        for (statement, params) in &seed.statements {
            self.sql(statement, params).await?;
        }
        Ok(())
    }

    /// Copies the contents of a database in memory as they are now. [`TestApp::start`] takes the
    /// result as the database of another application.
    ///
    /// # Errors
    /// [`TestError::Statement`] for any other database.
    pub async fn snapshot(&self) -> Result<Snapshot, TestError> {
        let snapshot = self.database.snapshot().await;
        snapshot.map_err(TestError::Statement)
    }

    /// Replaces the contents of a database in memory by those of a snapshot.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    pub async fn restore(&self, snapshot: &Snapshot) -> Result<(), TestError> {
        let restored = self.database.restore(snapshot).await;
        restored.map_err(TestError::Statement)
    }

    /// The database behind the component, for a test to prepare and inspect.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The PostgreSQL database that was made for this application, if one was.
    pub fn postgres(&self) -> Option<&crate::postgres::Database> {
        match &self.owned {
            Owned::Postgres(database) => Some(database),
            _ => None,
        }
    }

    /// The database connections of this application.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn instruments(&self) -> &Instruments {
        &self.instruments
    }
}
