//! Replaces the component that is served, without a lost request.
//!
//! On SIGHUP, and with `--watch` when its file or that of its values changes, the component is
//! compiled and linked on another thread, its migrations are applied, and an instance is made of
//! it. Only then do new requests go to it. Requests in flight end with the component that they
//! began with. If anything fails, nothing is replaced, and a component that is older than the
//! schema fails in its migrations.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;
use wasmtime::Engine;

use super::config::Config;
use super::start;
use crate::database::{Database, Pool};
use crate::reload::{Files, Watch};
use crate::sandbox::{self, Instances, Runtime, Source};
use crate::telemetry::{AccessLog, Counters};
use crate::wasi::Values;

/// The counters of all cores, those for components that were replaced included. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct AllCounters(Arc<Mutex<Vec<Arc<Counters>>>>);

impl AllCounters {
    pub(super) fn add(&self, counters: Arc<Counters>) {
        self.lock().push(counters);
    }

    pub(super) fn all(&self) -> Vec<Arc<Counters>> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Counters>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wait for a request to replace the component, which counts from before it is read: a start
/// can take as long as the database does.
///
/// # Errors
/// If the operating system refuses to register a handler.
pub(super) fn watch(sandbox: &sandbox::Config) -> io::Result<Watch> {
    let mut files = Vec::new();
    if let (Some(Source::File(file)), true) = (&sandbox.component, sandbox.watch) {
        files.push(file.clone());
        files.extend(sandbox.component_config_file.clone());
    }
    Watch::new(Files::before_reading(files))
}

/// What a core serves from now on.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) runtime: Arc<Runtime>,
    pub(super) database: Database,
    pub(super) counters: Arc<Counters>,
    /// Dropped once new requests go to it.
    pub(super) done: mpsc::Sender<()>,
}

/// A core whose component can be replaced.
#[derive(Debug)]
pub(super) struct Replaceable {
    pub(super) replacements: mpsc::UnboundedSender<Replacement>,
    /// The core's counters, one for each different list of routes that it has served.
    pub(super) counters: Vec<Arc<Counters>>,
}

/// Replaces the component of a file.
pub(super) struct Replacing {
    config: Config,
    source: Source,
    engine: Engine,
    database: Database,
    /// For the migrations and the first instance of a component that is not served yet.
    pool: Pool,
    cores: Vec<Replaceable>,
    all_counters: AllCounters,
    access_log: AccessLog,
    /// The SHA-256 of what is served.
    digest: Option<String>,
    /// The values that it gets.
    values: Arc<Values>,
}

impl Replacing {
    /// `None` if the served component comes from no file.
    ///
    /// # Errors
    /// If the database has no connection to give.
    pub(super) fn new(
        config: &Config,
        runtime: &Runtime,
        database: &Database,
        cores: Vec<Replaceable>,
        all_counters: AllCounters,
    ) -> Result<Option<Self>, crate::database::OpenError> {
        let Some(source @ Source::File(_)) = &config.sandbox.component else {
            return Ok(None);
        };
        Ok(Some(Self {
            config: config.clone(),
            source: source.clone(),
            engine: runtime.instance_pre().engine().clone(),
            database: database.clone(),
            pool: database.pool()?,
            cores,
            all_counters,
            access_log: config.access_log.access_log,
            digest: runtime.digest().ok(),
            values: Arc::clone(runtime.values()),
        }))
    }

    /// Replaces the component whenever that is asked for, for as long as it is polled.
    pub(super) async fn run(mut self, watch: Watch) {
        let (ask, mut asked) = mpsc::channel(1);
        // A full channel means that the file is read once more anyway.
        let ask = move || ask.try_send(()).unwrap_or_default();
        let replacing = async {
            while asked.recv().await.is_some() {
                self.replace().await;
            }
        };
        tokio::join!(watch.run(ask), replacing);
    }

    async fn replace(&mut self) {
        let began = Instant::now();
        match self.try_replace().await {
            Ok(true) => {
                let (source, took) = (&self.source, began.elapsed());
                tracing::info!("{source} was replaced, after {took:.1?}");
            }
            Ok(false) => tracing::debug!("{} is the one that is served", self.source),
            Err(why) => tracing::error!(
                "{} was not replaced, and the one before it is still served: {why}",
                self.source
            ),
        }
    }

    /// Returns whether there was another component, or other values for it.
    async fn try_replace(&mut self) -> Result<bool, String> {
        let (engine, source) = (self.engine.clone(), self.source.clone());
        let config = self.config.sandbox.clone();
        let (known, served) = (self.digest.clone(), Arc::clone(&self.values));
        let load = move || {
            // Read once, so that what is compared is what is compiled.
            let bytes = source.bytes();
            let bytes = bytes.map_err(|error| format!("cannot read {source}: {error}"))?;
            let values = config.values().map_err(|error| error.to_string())?;
            if known.as_deref() == Some(bytes.digest()) && values == *served {
                return Ok(None);
            }
            let (compiler, denied) = (config.compiler(), &config.deny_imports);
            let runtime = Runtime::of_bytes(&engine, &source, &bytes, &compiler, denied);
            runtime
                .map(|runtime| Some(Arc::new(runtime.with_values(values))))
                .map_err(|error| error.to_string())
        };
        let loaded = tokio::task::spawn_blocking(load).await;
        let Some(runtime) = loaded.map_err(|panic| panic.to_string())?? else {
            return Ok(false);
        };
        let database = runtime
            .database(self.database.clone())
            .map_err(|error| error.to_string())?;
        let pool = database.share(&self.pool);
        start::bring_up(&self.config, &runtime, &pool)
            .await
            .map_err(|error| error.to_string())?;
        let counters = Arc::new(Counters::new(runtime.routes(), AccessLog::Off));
        let limits = self.config.sandbox.limits(1);
        let instances = Instances::new(Arc::clone(&runtime), pool, limits, counters);
        instances.probe().await.map_err(|error| error.to_string())?;
        self.hand_out(&runtime, &database).await;
        self.digest = runtime.digest().ok();
        self.values = Arc::clone(runtime.values());
        Ok(true)
    }

    /// Has every core serve the component.
    async fn hand_out(&mut self, runtime: &Arc<Runtime>, database: &Database) {
        let (done, mut all_done) = mpsc::channel(1);
        for core in &mut self.cores {
            let mut known = core.counters.iter();
            let known = known.find(|counters| counters.routes() == runtime.routes());
            let counters = known.cloned().unwrap_or_else(|| {
                let counters = Arc::new(Counters::new(runtime.routes(), self.access_log));
                core.counters.push(Arc::clone(&counters));
                self.all_counters.add(Arc::clone(&counters));
                counters
            });
            // A core that has ended serves nothing any more.
            drop(core.replacements.send(Replacement {
                runtime: Arc::clone(runtime),
                database: database.clone(),
                counters,
                done: done.clone(),
            }));
        }
        drop(done);
        // Nothing is sent: this ends when the last sender is dropped.
        while all_done.recv().await.is_some() {}
    }
}
