//! The real component in a test, with a database of its own.
//!
//! A web framework overrides a dependency; here only the component's import is replaced, and the
//! code under test is the bytes that run in production.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use usher_testing::TestApp;
//!
//! let app = TestApp::start("memory:").await?;
//! let created = app.post("/users/", r#"{"name":"Ann","email":"ann@example.com"}"#).await?;
//! assert_eq!(created.status(), 200);
//! let user = app.get("/users/1").await?;
//! assert_eq!(user.body(), r#"{"id":1,"name":"Ann","email":"ann@example.com"}"#);
//! # Ok(())
//! # }
//! ```
//!
//! No socket is opened. A process starts one engine and loads the component once; after that a test
//! costs about a millisecond. Tests may run in parallel, because every `memory:` database is new.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::DuplexStream;
use wasmtime::{Engine, Store};

use usher::Config;
use usher::access::AccessControl;
use usher::database::{self, Database, OpenError, Pool, Statements};
use usher::sandbox::migrate::{self, MigrateError};
use usher::sandbox::{
    Capacity, Compiler, Instances, LoadError, Runtime, Source, State, StoreLimits, start_engine,
};
use usher::server::connection;
use usher::server::drain::Drain;
use usher::server::service::Service;
use usher::telemetry::{AccessLog, Counters};

use crate::typed::{Typed, TypedPre};

/// Why a test application failed to start or to respond.
#[derive(Debug)]
pub enum TestError {
    /// The database's URL is invalid.
    Url(database::UrlError),
    /// The database cannot be used.
    Database(OpenError),
    /// The component cannot be loaded.
    Load(LoadError),
    /// Its migrations failed.
    Migrate(MigrateError),
    /// The request is invalid, for example because of a space in its path.
    Request(http::Error),
    /// The response was truncated.
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

/// Settings that may differ from the defaults of production.
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
    via_incoming_handler: bool,
    statements: Option<Statements>,
}

impl Builder {
    /// Sets the database, by URL. The default is `memory:`.
    #[must_use]
    pub fn database(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// Uses a database that is already open, such as a scripted one.
    #[must_use]
    pub fn open_database(mut self, database: Database) -> Self {
        self.database = Some(database);
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

    /// Sets the time for a request; the default is 30 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.adjust.request_timeout = Some(timeout);
        self
    }

    /// Sets the time for which a client may read nothing of its response; the default is the time
    /// for a request.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.adjust.write_timeout = Some(timeout);
        self
    }

    /// Sets the linear memory of an instance in bytes, at most 256 MiB; the default is 64 MiB.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.adjust.memory_limit = Some(bytes);
        self
    }

    /// Sets the number of requests that an instance serves before it is replaced; the default is
    /// 128.
    #[must_use]
    pub fn instance_reuse(mut self, requests: NonZeroU32) -> Self {
        self.adjust.instance_reuse = Some(requests);
        self
    }

    /// Lets the component run every statement that the policy allows, not only those that it
    /// declares. A database that is already open keeps its own setting.
    #[must_use]
    pub fn any_statements(mut self) -> Self {
        self.adjust.statements = Some(Statements::Any);
        self
    }

    /// Sends all requests through `wasi:http/incoming-handler`, as other hosts do, even if the
    /// component exports the buffered handler.
    #[must_use]
    pub fn via_incoming_handler(mut self) -> Self {
        self.adjust.via_incoming_handler = true;
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
                // A slow server is no failure when many tests run at once.
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
        let counters = Arc::new(Counters::new(runtime.routes(), AccessLog::Off));
        let mut limits = config.instances();
        limits.buffered = !self.adjust.via_incoming_handler;
        let instances = Instances::new(
            Arc::clone(&runtime),
            pool.clone(),
            limits,
            Arc::clone(&counters),
        );
        let service = Arc::new(Service {
            instances,
            limits: config.connections.clone(),
            access: AccessControl::default(),
            counters,
        });
        Ok(TestApp {
            service,
            runtime,
            database,
            pool,
            limits: config.instances().store(),
            drain: Drain::default(),
        })
    }
}

/// The real component with a database of its own, called in process.
///
/// Use it on the runtime on which it was started. Dropping it closes its database connections.
#[derive(Debug)]
pub struct TestApp {
    service: Arc<Service>,
    runtime: Arc<Runtime>,
    database: Database,
    pool: Pool,
    limits: StoreLimits,
    drain: Drain,
}

impl TestApp {
    /// Starts the embedded component over the database at this URL, migrated.
    ///
    /// # Errors
    /// See [`TestError`].
    pub async fn start(url: &str) -> Result<Self, TestError> {
        Self::builder().database(url).start().await
    }

    /// Returns a builder for the embedded component over a `memory:` database.
    pub fn builder() -> Builder {
        Builder {
            url: "memory:".into(),
            database: None,
            source: Source::Embedded,
            migrate: true,
            adjust: Adjust::default(),
        }
    }

    /// Sends a request and returns the complete response. Headers are as given, plus a `Host` if
    /// there is none.
    ///
    /// # Errors
    /// [`TestError::Response`] if the component failed after its response had begun.
    pub async fn request(
        &self,
        request: Request<impl Into<Bytes>>,
    ) -> Result<Response<Bytes>, TestError> {
        let mut request = request.map(|body| Full::new(body.into()));
        request
            .headers_mut()
            .entry(HOST)
            .or_insert(HeaderValue::from_static("test"));
        let (head, body) = self.service.respond(request).await.into_parts();
        let body = body
            .collect()
            .await
            .map_err(TestError::Response)?
            .to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// Sends `GET path`.
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

    /// Sends `POST path` with a JSON body.
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

    /// Sends any method with a JSON body.
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

    /// Opens a client connection to the server code of production, without a socket. It speaks
    /// HTTP/1.1.
    pub fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(256 << 10);
        tokio::spawn(connection::serve(
            server,
            Arc::clone(&self.service),
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

    /// The database behind the component, for a test to prepare and inspect.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The database connections of this application.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}

/// How many components given as bytes stay compiled.
const CACHED_COMPONENTS: usize = 8;

/// A component's bytes, and its runtime.
type Compiled = (Arc<[u8]>, Arc<Runtime>);

/// Returns the runtime of a component. All tests of a process share the engine and the compiled
/// components, because compiling one takes far longer than a test.
fn runtime(source: &Source) -> Result<Arc<Runtime>, LoadError> {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    static EMBEDDED: OnceLock<Arc<Runtime>> = OnceLock::new();
    static CACHE: Mutex<VecDeque<Compiled>> = Mutex::new(VecDeque::new());

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
            // If two tests start at once, both use one of the two engines.
            ENGINE.get_or_init(|| engine)
        }
    };
    let load = || Runtime::on(engine, source, &Compiler::default()).map(Arc::new);
    match source {
        Source::Embedded => {
            let runtime = load()?;
            Ok(Arc::clone(EMBEDDED.get_or_init(|| runtime)))
        }
        Source::File(_) => load(),
        Source::Bytes(bytes) => {
            // The lock is held while one test compiles, so that the others wait for its result.
            let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, runtime)) = cache.iter().find(|(known, _)| known == bytes) {
                return Ok(Arc::clone(runtime));
            }
            let runtime = load()?;
            if cache.len() == CACHED_COMPONENTS {
                cache.pop_front();
            }
            cache.push_back((Arc::clone(bytes), Arc::clone(&runtime)));
            Ok(runtime)
        }
    }
}
