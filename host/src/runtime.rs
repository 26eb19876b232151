//! The sandbox: the engine, a component made ready to instantiate, and the clock that interrupts endless loops.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime::{Engine, Store};

use crate::bindings::ServingIndices;
use crate::bindings::whole::WholeIndices;
use crate::bounds;
use crate::compile;
use crate::database::{self, Database, Session, Statements, Unfit};
use crate::engine;
use crate::exchange;
use crate::instances::State;
use crate::log::excerpt;
use crate::manifest::{Manifest, ManifestError, SECTION};
use crate::memory::HostMemory;
use crate::processor;

/// The component that is built with the host, as WebAssembly.
pub static USERS_WASM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/users.wasm"));
/// The same, compiled ahead of time for the machine that built it.
static USERS_COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/users.cwasm"));

/// Where the component comes from.
#[derive(Clone, Debug, Default)]
pub enum Source {
    /// The users service, built with the host.
    #[default]
    Embedded,
    /// A file, in binary or text form.
    File(PathBuf),
    /// Bytes of a component.
    Bytes(Arc<[u8]>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("the embedded component"),
            Self::File(path) => write!(f, "the component {}", path.display()),
            Self::Bytes(bytes) => write!(f, "a component of {} bytes", bytes.len()),
        }
    }
}

/// What an engine may hold at once.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Instances at once, idle ones included.
    pub instances: u32,
    /// Linear memory of each instance, in bytes.
    pub memory: usize,
}

/// What one instance may take of the host.
#[derive(Clone, Debug)]
pub(crate) struct StoreLimits {
    /// Linear memory, in bytes.
    pub(crate) memory: usize,
    /// What the host may hold for one request, in bytes.
    pub(crate) request_memory: usize,
    /// What it may hold for all.
    pub(crate) host_memory: HostMemory,
}

/// Handles of resources, the guest's own included, that an instance may have at the same time.
const HANDLES: usize = 10_000;

/// Why a component cannot be served. The texts name the component and are meant for the operator.
#[derive(Debug)]
pub enum LoadError {
    /// The engine cannot start on this machine.
    Engine(wasmtime::Error),
    /// The file cannot be read.
    Read(PathBuf, std::io::Error),
    /// The bytes are no component, or do not compile. The text says why.
    NotAComponent(Source, String),
    /// It needs an import that this host does not supply, or lacks the HTTP handler.
    DoesNotFit(Source, wasmtime::Error),
    /// What it says of its statements cannot be read.
    Manifest(Source, ManifestError),
    /// It uses the database and says of no statement that it will run it.
    Undeclared(Source),
    /// It says that it will run a statement that no component may run.
    Unfit(Source, Unfit),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => write!(
                f,
                "the WebAssembly engine does not start: {}",
                one_line(error)
            ),
            Self::Read(path, error) => {
                write!(f, "cannot read the component {}: {error}", path.display())
            }
            Self::NotAComponent(source, why) => {
                write!(f, "{source} is not a WebAssembly component to serve: {why}")
            }
            Self::DoesNotFit(source, error) => {
                write!(
                    f,
                    "{source} does not fit this host: {}",
                    excerpt(one_line(error))
                )
            }
            Self::Manifest(source, error) => {
                write!(
                    f,
                    "{source} does not say which statements it runs: {error}; build it again"
                )
            }
            Self::Undeclared(source) => write!(
                f,
                "{source} does not declare the statements it runs (it has no section {SECTION}); build it with one, or let it \
                 run any statement that policy allows with --database-statements any"
            ),
            Self::Unfit(source, Unfit { name, why }) => write!(
                f,
                "{source} declares the statement {name}, which no component may run: {why}"
            ),
        }
    }
}

impl std::error::Error for LoadError {}

/// A chain of causes in one line, since one line is what an operator's log shows of it.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A component, linked with everything the host supplies and ready to instantiate; shared by all cores.
pub struct Runtime {
    pub(crate) pre: InstancePre<State>,
    pub(crate) serving: ServingIndices,
    /// Where the component offers HTTP in one call.
    pub(crate) whole: Option<WholeIndices>,
    source: Source,
    /// The statements that the component declares.
    manifest: Option<Manifest>,
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
    pub fn new(source: &Source, capacity: Capacity) -> Result<Self, LoadError> {
        Self::on(&start_engine(capacity)?, source)
    }

    /// Loads the component into an engine that [`start_engine`] gave.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn on(engine: &Engine, source: &Source) -> Result<Self, LoadError> {
        let (component, manifest) = load(engine, source)?;
        let fits = |error| LoadError::DoesNotFit(source.clone(), error);
        let pre = linker(engine)
            .map_err(LoadError::Engine)?
            .instantiate_pre(&component)
            .map_err(fits)?;
        let offers_whole = component
            .get_export_index(None, "usher:service/buffered-handler@0.2.0")
            .is_some();
        let whole = offers_whole
            .then(|| WholeIndices::new(&pre).map_err(fits))
            .transpose()?;
        let serving = ServingIndices::new(&pre).map_err(fits)?;
        Ok(Self {
            pre,
            serving,
            whole,
            source: source.clone(),
            manifest,
        })
    }

    /// The statements that the component declares.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The database as this component is to have it: see [`Database::serving`].
    ///
    /// # Errors
    /// Where the component declares no statements although only declared ones may run, or such as may not run.
    pub fn database(&self, database: Database) -> Result<Database, LoadError> {
        let declared_only = database.config().statements == Statements::Declared;
        if declared_only && self.manifest.is_none() && self.uses_database() {
            return Err(LoadError::Undeclared(self.source.clone()));
        }
        database
            .serving(self.manifest())
            .map_err(|unfit| LoadError::Unfit(self.source.clone(), unfit))
    }

    fn uses_database(&self) -> bool {
        let component = self.pre.component();
        let ty = component.component_type();
        let mut imports = ty.imports(self.pre.engine());
        imports.any(|(name, _)| name.starts_with("usher:database/"))
    }

    /// The component with its imports resolved, for exports beyond the HTTP handler.
    pub fn instance_pre(&self) -> &InstancePre<State> {
        &self.pre
    }

    /// A store for one instance within these limits, its database calls going through `session`.
    pub(crate) fn store(&self, session: Session, limits: &StoreLimits) -> Store<State> {
        let state = State::new(session, limits);
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.growth);
        // What a guest hands over in one call, and what it hands back: that is copied before anybody can look at it.
        store.set_hostcall_fuel(limits.request_memory);
        store.set_max_component_handles(HANDLES);
        store.epoch_deadline_callback(|mut store| store.data_mut().processor.tick());
        store.set_epoch_deadline(1);
        store
    }
}

/// Starts an engine and the clock that interrupts what runs on it. The clock stops when the engine is gone.
///
/// # Errors
/// [`LoadError::Engine`] where the address space cannot be reserved or the thread not be started.
pub fn start_engine(capacity: Capacity) -> Result<Engine, LoadError> {
    let engine = engine::serving(capacity.instances, capacity.memory).map_err(LoadError::Engine)?;
    let weak = engine.weak();
    // One clock per engine. One per request cost others two orders of magnitude of throughput (wasmtime#11814).
    std::thread::Builder::new()
        .name("usher-epoch".into())
        .spawn(move || processor::clock(&weak))
        .map_err(|error| LoadError::Engine(error.into()))?;
    Ok(engine)
}

fn load(engine: &Engine, source: &Source) -> Result<(Component, Option<Manifest>), LoadError> {
    let bytes;
    let (component, bytes) = match source {
        Source::Embedded => match embedded(engine) {
            Ok(component) => (component, USERS_WASM),
            // Built on a machine with CPU features that this one lacks: compile again, which takes longer but always fits.
            Err(error) => {
                tracing::info!(
                    "compiling the embedded component for this machine: {}",
                    one_line(&error)
                );
                let compiled = compile::compile(engine, USERS_WASM.to_vec());
                let broken = |failure: compile::Failure| {
                    LoadError::NotAComponent(source.clone(), failure.to_string())
                };
                (compiled.map_err(broken)?, USERS_WASM)
            }
        },
        Source::File(path) => {
            bytes = read(path).map_err(|error| LoadError::Read(path.clone(), error))?;
            (compile_bounded(engine, source, &bytes)?, &*bytes)
        }
        Source::Bytes(bytes) => (compile_bounded(engine, source, bytes)?, &**bytes),
    };
    let manifest = Manifest::read(bytes);
    let manifest = manifest.map_err(|error| LoadError::Manifest(source.clone(), error))?;
    Ok((component, manifest))
}

/// A file, as far as a component may be long, and one byte more by which it is seen that it is longer.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(bounds::FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Compiles what came from elsewhere, if it is within bounds.
fn compile_bounded(engine: &Engine, source: &Source, bytes: &[u8]) -> Result<Component, LoadError> {
    let broken = |text: String| LoadError::NotAComponent(source.clone(), text);
    bounds::check(bytes).map_err(|beyond| broken(beyond.to_string()))?;
    compile::compile(engine, bytes.to_vec()).map_err(|failure| broken(failure.to_string()))
}

/// The embedded component, as compiled at build time.
#[expect(
    unsafe_code,
    reason = "loading machine code is unsafe; see the safety argument inside"
)]
fn embedded(engine: &Engine) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` runs the bytes as machine code, so they must come from the compiler unchanged. These were written
    // by this crate's own build script and are part of this executable's read-only data; nothing that arrives at run time
    // gets here (`--component` takes WebAssembly, which is compiled).
    unsafe { Component::deserialize(engine, USERS_COMPILED) }
}

/// Everything the host supplies: HTTP requests and streams, clocks, random numbers, and the database. No files, no sockets,
/// no environment, no outgoing requests.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    use wasmtime_wasi::clocks::WasiClocks;
    use wasmtime_wasi::p2::bindings::{clocks, io, random};
    use wasmtime_wasi::random::WasiRandom;

    let mut linker = Linker::new(engine);
    io::error::add_to_linker::<State, HasSelf<_>>(&mut linker, |state| &mut state.table)?;
    io::poll::add_to_linker::<State, HasSelf<_>>(&mut linker, |state| &mut state.table)?;
    io::streams::add_to_linker::<State, HasSelf<_>>(&mut linker, |state| &mut state.table)?;
    clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(&mut linker, State::clocks)?;
    clocks::wall_clock::add_to_linker::<State, WasiClocks>(&mut linker, State::clocks)?;
    random::random::add_to_linker::<State, WasiRandom>(&mut linker, State::random)?;
    random::insecure::add_to_linker::<State, WasiRandom>(&mut linker, State::random)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(&mut linker, State::random)?;
    exchange::add_to_linker(&mut linker, State::exchange)?;
    database::add_to_linker(&mut linker, State::database)?;
    Ok(linker)
}
