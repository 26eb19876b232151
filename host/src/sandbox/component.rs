//! The sandbox: the engine, a component made ready to instantiate, and the clock that interrupts
//! endless loops.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::{Component, InstancePre};
use wasmtime::{Engine, Store};

use super::bindings::ServingIndices;
use super::compile::Compiler;
use super::error::LoadError;
use super::grants::{self, DeniedImport, Refusal};
use super::source::{ComponentBytes, Source};
use super::state::{State, StoreLimits};
use super::{compile, declared_routes, engine, names, processor, unmap};

use crate::database::manifest::Manifest;
use crate::database::{CheckedStatements, Database, Gate, Statements};
use crate::telemetry::Routes;
use crate::wasi::{Overrides, Values};
use crate::wasi_http::bindings::buffered::BufferedIndices;

/// The embedded component, compiled ahead of time for every processor of this architecture.
#[cfg(feature = "embedded")]
static USERS_COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/users.cwasm"));

/// What an engine may hold at once.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Instances at once, idle ones included.
    pub instances: u32,
    /// Linear memory of each instance, in bytes.
    pub memory: usize,
}

/// Handles of resources, the guest's own included, that an instance may have at the same time.
const HANDLES: usize = 10_000;

/// A component, linked with what it imports and ready to instantiate; shared by all
/// cores.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) pre: InstancePre<State>,
    pub(crate) serving: ServingIndices,
    /// Where the component offers HTTP in one call.
    pub(crate) buffered: Option<BufferedIndices>,
    pub(super) source: Source,
    /// The SHA-256 of the component, if it comes from a file, which may be another one by now.
    digest: Option<String>,
    /// The statements that the component declares.
    manifest: Option<Manifest>,
    /// Those that were checked.
    checked: Arc<CheckedStatements>,
    /// The routes that the component declares.
    routes: Routes,
    /// Whether instances need a context of WASI.
    needs_context: bool,
    /// What the operator has set for it.
    values: Arc<Values>,
    /// What a test has set in place of the time and the random numbers.
    overrides: Overrides,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Runtime {
    /// Starts an engine of its own with the component in it.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn new(
        source: &Source,
        compiler: &Compiler,
        capacity: Capacity,
        denied: &[DeniedImport],
    ) -> Result<Self, LoadError> {
        Self::on(&start_engine(capacity)?, source, compiler, denied)
    }

    /// Loads the component into an engine that [`start_engine`] gave.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn on(
        engine: &Engine,
        source: &Source,
        compiler: &Compiler,
        denied: &[DeniedImport],
    ) -> Result<Self, LoadError> {
        let bytes = source.bytes();
        let bytes = bytes.map_err(|error| LoadError::Read(source.clone(), error))?;
        Self::of_bytes(engine, source, &bytes, compiler, denied)
    }

    /// As [`Runtime::on`], with the bytes that were read from there.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub(crate) fn of_bytes(
        engine: &Engine,
        source: &Source,
        bytes: &ComponentBytes<'_>,
        compiler: &Compiler,
        denied: &[DeniedImport],
    ) -> Result<Self, LoadError> {
        let (component, manifest, routes) = load(engine, source, bytes, compiler)?;
        let fits = |error| LoadError::DoesNotFit(source.clone(), error);
        let granted = grants::link(engine, &component, denied);
        let granted = granted.map_err(|refusal| match refusal {
            Refusal::Denied(import) => LoadError::Denied(source.clone(), import),
            Refusal::Linker(error) => LoadError::Engine(error),
        })?;
        let pre = granted.linker.instantiate_pre(&component).map_err(fits)?;
        let exports_buffered = component
            .get_export_index(None, "usher:service/buffered-handler@0.2.0")
            .is_some();
        let buffered = exports_buffered
            .then(|| BufferedIndices::new(&pre).map_err(fits))
            .transpose()?;
        let serving = ServingIndices::new(&pre).map_err(fits)?;
        Ok(Self {
            pre,
            serving,
            buffered,
            source: source.clone(),
            digest: matches!(source, Source::File(_)).then(|| bytes.digest().to_owned()),
            manifest,
            checked: Arc::default(),
            routes,
            needs_context: granted.needs_context,
            values: Arc::default(),
            overrides: Overrides::default(),
        })
    }

    /// The component with these values, which it gets if it imports `wasi:config`.
    #[must_use]
    pub fn with_values(mut self, values: Values) -> Self {
        if !values.is_empty() && !self.imports("wasi:config/") {
            tracing::warn!(
                "{} imports no wasi:config, and gets nothing of --component-config",
                self.source
            );
        }
        self.values = Arc::new(values);
        self
    }

    /// The component with this time and these random numbers, if it imports them.
    #[must_use]
    pub fn with_overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// The values that the component gets.
    pub(crate) fn values(&self) -> &Arc<Values> {
        &self.values
    }

    /// The statements that the component declares.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The routes that the component declares, by which its requests are named.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The SHA-256 of the component.
    ///
    /// # Errors
    /// Why its file cannot be read.
    pub(crate) fn digest(&self) -> Result<String, String> {
        if let Some(digest) = &self.digest {
            return Ok(digest.clone());
        }
        // Made now, so that a start does not wait for it. These bytes never change.
        let bytes = self.source.bytes();
        let bytes = bytes.map_err(|error| format!("cannot read {}: {error}", self.source))?;
        Ok(bytes.digest().to_owned())
    }

    /// An import by which the component gets what no request and no database has: the time, or
    /// chance.
    pub(crate) fn undetermined_import(&self) -> Option<String> {
        let component = self.pre.component();
        let ty = component.component_type();
        let mut names = ty.imports(self.pre.engine()).map(|(name, _)| name);
        let of_host = |name: &&str| {
            name.starts_with("wasi:random/")
                || name.starts_with("wasi:clocks/monotonic-clock")
                || name.starts_with("wasi:clocks/wall-clock")
        };
        names.find(of_host).map(str::to_owned)
    }

    /// The database as this component is to have it: see [`Database::serving`].
    ///
    /// # Errors
    /// Where the component declares no statements although only declared ones may run, or such as
    /// may not run.
    pub fn database(&self, database: Database) -> Result<Database, LoadError> {
        let declared_only = database.config().statements == Statements::Declared;
        if declared_only && self.manifest.is_none() && self.imports("usher:database/") {
            return Err(LoadError::Undeclared(self.source.clone()));
        }
        database
            .serving(self.manifest(), &self.checked)
            .map_err(|unfit| LoadError::Unfit(self.source.clone(), unfit))
    }

    /// Whether the component imports an interface whose name begins so.
    fn imports(&self, beginning: &str) -> bool {
        let component = self.pre.component();
        let ty = component.component_type();
        let mut imports = ty.imports(self.pre.engine());
        imports.any(|(name, _)| name.starts_with(beginning))
    }

    /// The component with its imports resolved, for exports beyond the HTTP handler.
    pub fn instance_pre(&self) -> &InstancePre<State> {
        &self.pre
    }

    /// A store for one instance within these limits, its database calls going through `gate`.
    pub fn store(&self, gate: Gate, limits: &StoreLimits) -> Store<State> {
        let values = Arc::clone(&self.values);
        let state = State::new(gate, limits, self.needs_context, values, &self.overrides);
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.linear_memory);
        // What a guest hands over in one call, and what it hands back: that is copied before
        // anybody can look at it.
        store.set_hostcall_fuel(limits.request_memory);
        store.set_max_component_handles(HANDLES);
        store.epoch_deadline_callback(|mut store| store.data_mut().processor.tick());
        store.set_epoch_deadline(1);
        store
    }
}

/// Starts an engine and the clock that interrupts what runs on it. The clock stops when the engine
/// is gone.
///
/// # Errors
/// [`LoadError::Capacity`] where the address space cannot be reserved, [`LoadError::Engine`] where
/// the thread cannot be started.
pub fn start_engine(capacity: Capacity) -> Result<Engine, LoadError> {
    let instances = capacity.instances.saturating_add(unmap::SLOTS);
    let engine = engine::serving(instances, capacity.memory);
    let engine = engine.map_err(LoadError::Capacity)?;
    let weak = engine.weak();
    // One clock per engine. One per request cost others two orders of magnitude of throughput
    // (wasmtime#11814).
    std::thread::Builder::new()
        .name("usher-epoch".into())
        .spawn(move || processor::clock(&weak))
        .map_err(|error| LoadError::Engine(error.into()))?;
    Ok(engine)
}

fn load(
    engine: &Engine,
    source: &Source,
    bytes: &ComponentBytes<'_>,
    compiler: &Compiler,
) -> Result<(Component, Option<Manifest>, Routes), LoadError> {
    let component = match source {
        #[cfg(feature = "embedded")]
        Source::Embedded => compile::load(engine, USERS_COMPILED)
            .map_err(|error| LoadError::DoesNotFit(source.clone(), error))?,
        _ => compile_given(engine, source, compiler, bytes)?,
    };
    let manifest = Manifest::read(bytes);
    let manifest = manifest.map_err(|error| LoadError::Manifest(source.clone(), error))?;
    let routes = declared_routes::read(bytes);
    let routes = routes.map_err(|error| LoadError::Routes(source.clone(), error))?;
    Ok((component, manifest, routes))
}

/// Compiles what came from elsewhere.
fn compile_given(
    engine: &Engine,
    source: &Source,
    compiler: &Compiler,
    bytes: &ComponentBytes<'_>,
) -> Result<Component, LoadError> {
    compile::compile(engine, compiler, bytes).map_err(|failure| {
        let text = failure.to_string();
        if failure.is_of_the_component() {
            // The engine has named imports only as an experiment, which is off.
            if let Some((name, interface)) = names::named_import(bytes) {
                return LoadError::NamedImport {
                    source: source.clone(),
                    name,
                    interface,
                };
            }
            LoadError::NotAComponent(source.clone(), text)
        } else {
            LoadError::NoCompiler(source.clone(), text)
        }
    })
}
