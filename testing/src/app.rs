//! The real component in a test, with a database of its own: the counterpart of overriding a dependency in a web framework,
//! except that what is swapped is the component's import, so that the code under test is the very bytes that run in production.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use usher_testing::TestApp;
//!
//! let app = TestApp::start("memory:").await?;
//! let created = app.post("/users/", r#"{"name":"Ann","email":"ann@example.com"}"#).await?;
//! assert_eq!(created.status(), 200);
//! assert_eq!(app.get("/users/1").await?.body(), r#"{"id":1,"name":"Ann","email":"ann@example.com"}"#);
//! # Ok(())
//! # }
//! ```
//!
//! No socket is opened. One process starts one engine and loads the component once; after that a test costs about a
//! millisecond. Tests may run in parallel: every `memory:` database is another one.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::DuplexStream;
use wasmtime::{Engine, Store};

use usher::Config;
use usher::database::{self, Database, OpenError, Pool, Statements};
use usher::sandbox::migrate::{self, MigrateError};
use usher::sandbox::{
    Capacity, Instances, LoadError, Runtime, Source, State, StoreLimits, start_engine,
};
use usher::server::connection::{self, Service};
use usher::telemetry::Counters;

use crate::typed::{Typed, TypedPre};

/// Why a test's application could not be set up or did not answer.
#[derive(Debug)]
pub enum TestError {
    /// The database's URL makes no sense.
    Url(database::UrlError),
    /// The database cannot be used.
    Database(OpenError),
    /// The component cannot be loaded.
    Load(LoadError),
    /// Its migrations failed.
    Migrate(MigrateError),
    /// The request cannot be made, as of a path with spaces in it.
    Request(http::Error),
    /// The response broke off.
    Response(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for TestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
            Self::Load(error) => error.fmt(f),
            Self::Migrate(error) => error.fmt(f),
            Self::Request(error) => write!(f, "the request cannot be made: {error}"),
            Self::Response(error) => write!(f, "the response broke off: {error}"),
        }
    }
}

impl std::error::Error for TestError {}

/// What may differ from the defaults of production.
#[derive(Clone, Debug)]
pub struct Builder {
    url: String,
    database: Option<Database>,
    source: Source,
    migrate: bool,
    adjust: Adjust,
}

#[derive(Clone, Copy, Debug, Default)]
struct Adjust {
    request_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    memory_limit: Option<usize>,
    instance_reuse: Option<NonZeroU32>,
    as_elsewhere: bool,
    statements: Option<Statements>,
}

impl Builder {
    /// The database, by URL. `memory:` if nothing is said.
    #[must_use]
    pub fn database(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// A database that is already open, for instance one with limits of its own or a scripted one.
    #[must_use]
    pub fn open_database(mut self, database: Database) -> Self {
        self.database = Some(database);
        self
    }

    /// Another component than the embedded one. If it declares no statements, see [`any_statements`](Self::any_statements).
    #[must_use]
    pub fn component(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// Leaves the schema as it is.
    #[must_use]
    pub fn no_migrate(mut self) -> Self {
        self.migrate = false;
        self
    }

    /// How long a request may take; 30 s if nothing is said.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.adjust.request_timeout = Some(timeout);
        self
    }

    /// How long a client may take nothing of its answer; as long as a request may take if nothing is said.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.adjust.write_timeout = Some(timeout);
        self
    }

    /// Linear memory of an instance, in bytes, 256 MiB at the most; 64 MiB if nothing is said.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.adjust.memory_limit = Some(bytes);
        self
    }

    /// Requests an instance serves before it is replaced; 128 if nothing is said.
    #[must_use]
    pub fn instance_reuse(mut self, requests: NonZeroU32) -> Self {
        self.adjust.instance_reuse = Some(requests);
        self
    }

    /// The component may run any statement that policy lets through, and not only those that it declares. A database that is
    /// already open has its own setting.
    #[must_use]
    pub fn any_statements(mut self) -> Self {
        self.adjust.statements = Some(Statements::Any);
        self
    }

    /// Requests go through `wasi:http/incoming-handler`, as in other hosts, also where the component takes them whole.
    #[must_use]
    pub fn as_elsewhere(mut self) -> Self {
        self.adjust.as_elsewhere = true;
        self
    }

    /// Opens the database, loads the component and applies its migrations.
    ///
    /// # Errors
    /// See [`TestError`].
    pub async fn start(self) -> Result<TestApp, TestError> {
        let runtime = runtime(&self.source).map_err(TestError::Load)?;
        let database = match self.database {
            Some(database) => database,
            None => {
                let mut config = database::Config::new(self.url.parse().map_err(TestError::Url)?);
                // Where many tests run at once, nothing is to be learned from a server that takes its time.
                config.connect_timeout = Duration::from_mins(1);
                config.statements = self.adjust.statements.unwrap_or_default();
                Database::open(config).await.map_err(TestError::Database)?
            }
        };
        let database = runtime.database(database).map_err(TestError::Load)?;
        let mut config = Config::new(database.config().clone());
        config.workers = Some(std::num::NonZeroUsize::MIN);
        let (adjust, sandbox) = (&self.adjust, &mut config.sandbox);
        sandbox.request_timeout = adjust.request_timeout.unwrap_or(sandbox.request_timeout);
        sandbox.instance_memory = adjust.memory_limit.unwrap_or(sandbox.instance_memory);
        sandbox.instance_reuse = adjust.instance_reuse.unwrap_or(sandbox.instance_reuse);
        config.connections.write_timeout = adjust.write_timeout.unwrap_or(sandbox.request_timeout);
        let pool = database.pool().map_err(TestError::Database)?;
        if self.migrate {
            migrate::migrate(&runtime, &pool, &config.instances().store())
                .await
                .map_err(TestError::Migrate)?;
        }
        let counters = Arc::new(Counters::default());
        let mut limits = config.instances();
        limits.buffered = !self.adjust.as_elsewhere;
        let instances = Instances::new(
            Arc::clone(&runtime),
            pool.clone(),
            limits,
            Arc::clone(&counters),
        );
        let service = Arc::new(Service {
            instances,
            limits: config.connections.clone(),
            counters,
        });
        Ok(TestApp {
            service,
            runtime,
            database,
            pool,
            limits: config.instances().store(),
            drain: GracefulShutdown::new(),
        })
    }
}

/// The real component with a database of its own, called in-process.
///
/// It must be used on the runtime on which it was started. Dropping it closes its database connections.
#[derive(Debug)]
pub struct TestApp {
    service: Arc<Service>,
    runtime: Arc<Runtime>,
    database: Database,
    pool: Pool,
    limits: StoreLimits,
    drain: GracefulShutdown,
}

impl TestApp {
    /// The embedded component over the database at this URL, migrated.
    ///
    /// # Errors
    /// See [`TestError`].
    pub async fn start(url: &str) -> Result<Self, TestError> {
        Self::builder().database(url).start().await
    }

    /// The embedded component over a `memory:` database, for [`Builder`] to change.
    pub fn builder() -> Builder {
        Builder {
            url: "memory:".into(),
            database: None,
            source: Source::Embedded,
            migrate: true,
            adjust: Adjust::default(),
        }
    }

    /// Sends a request and gives the whole response. Headers are as given, with a `Host` where there is none.
    ///
    /// # Errors
    /// [`TestError::Response`] where the component failed after it had begun to answer.
    pub async fn request(
        &self,
        request: Request<impl Into<Bytes>>,
    ) -> Result<Response<Bytes>, TestError> {
        let mut request = request.map(|body| Full::new(body.into()));
        request
            .headers_mut()
            .entry(HOST)
            .or_insert(HeaderValue::from_static("test"));
        let (head, body) = self.service.answer(request).await.into_parts();
        let body = body
            .collect()
            .await
            .map_err(TestError::Response)?
            .to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// `GET path`.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn get(&self, path: &str) -> Result<Response<Bytes>, TestError> {
        self.request(
            Request::get(path)
                .body(Bytes::new())
                .map_err(TestError::Request)?,
        )
        .await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn post(
        &self,
        path: &str,
        json: impl Into<Bytes>,
    ) -> Result<Response<Bytes>, TestError> {
        self.send(Method::POST, path, json).await
    }

    /// Any method with a JSON body.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        json: impl Into<Bytes>,
    ) -> Result<Response<Bytes>, TestError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, "application/json");
        self.request(request.body(json.into()).map_err(TestError::Request)?)
            .await
    }

    /// A client connection that speaks HTTP/1.1 to the server code of production, byte by byte, without a socket.
    pub fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(256 << 10);
        tokio::spawn(connection::serve(
            server,
            Arc::clone(&self.service),
            self.drain.watcher(),
        ));
        client
    }

    /// A fresh instance to call without HTTP: `typed.usher_users_users().call_create(&mut store, …)`.
    ///
    /// # Errors
    /// Where the component does not export `usher:users/users`, or cannot be instantiated.
    pub async fn typed(&self) -> wasmtime::Result<(Store<State>, Typed)> {
        let mut store = self.runtime.store(self.pool.gate(), &self.limits);
        let pre = TypedPre::new(self.runtime.instance_pre().clone())?;
        let typed = pre.instantiate_async(&mut store).await?;
        Ok((store, typed))
    }

    /// The database behind the component, for a test to prepare and to look into.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The connections this application uses.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}

/// Components given as bytes that stay compiled.
const REMEMBERED: usize = 8;

/// A component's bytes, and what was made of them.
type Compiled = (Arc<[u8]>, Arc<Runtime>);

/// What every test of a process shares: the engine, and the components in it, since compiling one takes far longer than a test.
fn runtime(source: &Source) -> Result<Arc<Runtime>, LoadError> {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    static EMBEDDED: OnceLock<Arc<Runtime>> = OnceLock::new();
    static GIVEN: Mutex<VecDeque<Compiled>> = Mutex::new(VecDeque::new());

    if let (Source::Embedded, Some(runtime)) = (source, EMBEDDED.get()) {
        return Ok(Arc::clone(runtime));
    }
    let engine = match ENGINE.get() {
        Some(engine) => engine,
        None => {
            let engine = start_engine(Capacity {
                instances: 1000,
                memory: 256 << 20,
            })?;
            // Where two tests start at once, one of the two engines is used by both.
            ENGINE.get_or_init(|| engine)
        }
    };
    let load = || Runtime::on(engine, source).map(Arc::new);
    match source {
        Source::Embedded => {
            let runtime = load()?;
            Ok(Arc::clone(EMBEDDED.get_or_init(|| runtime)))
        }
        Source::File(_) => load(),
        Source::Bytes(bytes) => {
            // Held meanwhile, so that of many tests that start at once one compiles and the others wait for it.
            let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, runtime)) = given.iter().find(|(known, _)| known == bytes) {
                return Ok(Arc::clone(runtime));
            }
            let runtime = load()?;
            if given.len() == REMEMBERED {
                given.pop_front();
            }
            given.push_back((Arc::clone(bytes), Arc::clone(&runtime)));
            Ok(runtime)
        }
    }
}
