//! The sandbox: the engine, a component made ready to instantiate, and the clock that interrupts endless loops.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::bindings::ServingIndices;
use crate::bindings::whole::WholeIndices;
use crate::database::{self, Database, Session, Statements, Unfit};
use crate::engine;
use crate::exchange;
use crate::instances::State;
use crate::manifest::{Manifest, ManifestError, SECTION};

/// How often running instances are interrupted to let others run. An endless loop is noticed, and other requests on its core
/// wait, this long at the most.
pub const TICK: Duration = Duration::from_millis(5);

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

/// Why a component cannot be served. The texts name the component and are meant for the operator.
#[derive(Debug)]
pub enum LoadError {
    /// The engine cannot start on this machine.
    Engine(wasmtime::Error),
    /// The file cannot be read.
    Read(PathBuf, std::io::Error),
    /// The bytes are no component, or do not compile.
    NotAComponent(Source, wasmtime::Error),
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
            Self::NotAComponent(source, error) => {
                write!(
                    f,
                    "{source} is not a WebAssembly component: {}",
                    one_line(error)
                )
            }
            Self::DoesNotFit(source, error) => {
                write!(f, "{source} does not fit this host: {}", one_line(error))
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
            .get_export_index(None, "usher:service/whole-handler@0.1.0")
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

    /// A store for one instance with up to `memory` bytes, its database calls going through `session`.
    pub fn store(&self, session: Session, memory: usize) -> Store<State> {
        let mut store = Store::new(self.pre.engine(), State::new(session, memory));
        store.limiter(|state| &mut state.limits);
        // On every tick the instance lets its core serve others; ending it is the deadline's business.
        // It waits as a task does that yields: behind whatever its core has heard of meanwhile. One that only asked to be polled again
        // would keep it from listening, for as many ticks as tasks are polled between two looks at the outside.
        store.epoch_deadline_callback(|_| {
            let others = Box::pin(tokio::task::yield_now());
            Ok(UpdateDeadline::YieldCustom(1, others))
        });
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
        .spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })
        .map_err(|error| LoadError::Engine(error.into()))?;
    Ok(engine)
}

fn load(engine: &Engine, source: &Source) -> Result<(Component, Option<Manifest>), LoadError> {
    let broken = |error| LoadError::NotAComponent(source.clone(), error);
    let read;
    let (component, bytes) = match source {
        Source::Embedded => match embedded(engine) {
            Ok(component) => (component, USERS_WASM),
            // Built on a machine with CPU features that this one lacks: compile again, which takes longer but always fits.
            Err(error) => {
                tracing::info!(
                    "compiling the embedded component for this machine: {}",
                    one_line(&error)
                );
                (
                    Component::new(engine, USERS_WASM).map_err(broken)?,
                    USERS_WASM,
                )
            }
        },
        Source::File(path) => {
            read = std::fs::read(path).map_err(|error| LoadError::Read(path.clone(), error))?;
            (Component::new(engine, &read).map_err(broken)?, &*read)
        }
        Source::Bytes(bytes) => (Component::new(engine, bytes).map_err(broken)?, &**bytes),
    };
    let manifest = Manifest::read(bytes);
    let manifest = manifest.map_err(|error| LoadError::Manifest(source.clone(), error))?;
    Ok((component, manifest))
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
