//! Components that are loaded once in a process, with their migrated databases.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::OnceCell;
use usher::database::backend::Snapshot;
use usher::sandbox::{
    Capacity, Compiler, Config, LoadError, Runtime, Source, Values, start_engine,
};
use wasmtime::Engine;

use crate::postgres;

/// How many components given as bytes or files stay compiled, and how many sets of values each has.
const CACHED: usize = 8;

/// Components by what they are made of: their bytes, or their values.
type Cache<K> = Mutex<VecDeque<(K, Arc<Loaded>)>>;

/// A component that is ready to instantiate, and databases that it has migrated.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) runtime: Arc<Runtime>,
    /// A migrated database in memory.
    pub(crate) memory: OnceCell<Snapshot>,
    /// A migrated database on PostgreSQL, to which nobody is connected.
    pub(crate) postgres: OnceCell<postgres::Template>,
    /// The same component with values, whose databases are others: migrations can read values.
    with_values: Cache<Values>,
}

impl Loaded {
    fn new(runtime: Runtime) -> Arc<Self> {
        Arc::new(Self {
            runtime: Arc::new(runtime),
            memory: OnceCell::new(),
            postgres: OnceCell::new(),
            with_values: Mutex::default(),
        })
    }

    /// Returns the component with the values and without the imports that the settings name.
    pub(crate) fn find(source: &Source, config: &Config) -> Result<Arc<Self>, LoadError> {
        let values = config.values().map_err(LoadError::Values)?;
        if !config.deny_imports.is_empty() {
            let runtime = Runtime::on(engine()?, source, &compiler(), &config.deny_imports)?;
            return Ok(Self::new(runtime.with_values(values)));
        }
        let loaded = Self::of_source(source)?;
        if values.is_empty() {
            return Ok(loaded);
        }
        let runtime = Runtime::clone(&loaded.runtime);
        cached(&loaded.with_values, values.clone(), || {
            Ok(Self::new(runtime.with_values(values)))
        })
    }

    /// Returns the component. All tests of a process share the engine and what is compiled, because
    /// compiling takes far longer than a test.
    fn of_source(source: &Source) -> Result<Arc<Self>, LoadError> {
        static EMBEDDED: OnceLock<Arc<Loaded>> = OnceLock::new();
        static CACHE: Cache<Arc<[u8]>> = Mutex::new(VecDeque::new());

        let bytes = match source {
            Source::Embedded => {
                if let Some(loaded) = EMBEDDED.get() {
                    return Ok(Arc::clone(loaded));
                }
                let loaded = Self::load(source)?;
                return Ok(Arc::clone(EMBEDDED.get_or_init(|| loaded)));
            }
            Source::Bytes(bytes) => Arc::clone(bytes),
            Source::File(path) => std::fs::read(path)
                .map_err(|error| LoadError::Read(source.clone(), error))?
                .into(),
        };
        cached(&CACHE, bytes, || Self::load(source))
    }

    fn load(source: &Source) -> Result<Arc<Self>, LoadError> {
        Runtime::on(engine()?, source, &compiler(), &[]).map(Self::new)
    }
}

/// Returns what `key` stands for. The lock is held while one test makes it, so that the others wait
/// for its result.
fn cached<K: PartialEq>(
    cache: &Cache<K>,
    key: K,
    make: impl FnOnce() -> Result<Arc<Loaded>, LoadError>,
) -> Result<Arc<Loaded>, LoadError> {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, loaded)) = cache.iter().find(|(known, _)| *known == key) {
        return Ok(Arc::clone(loaded));
    }
    let loaded = make()?;
    if cache.len() == CACHED {
        cache.pop_front();
    }
    cache.push_back((key, Arc::clone(&loaded)));
    Ok(loaded)
}

fn engine() -> Result<&'static Engine, LoadError> {
    static ENGINE: OnceLock<Engine> = OnceLock::new();

    match ENGINE.get() {
        Some(engine) => Ok(engine),
        None => {
            let engine = start_engine(Capacity {
                instances: 1000,
                memory: 256 << 20,
            })?;
            // If two tests start at once, both use one of the two engines.
            Ok(ENGINE.get_or_init(|| engine))
        }
    }
}

/// The compiler in this process.
#[cfg(feature = "compiler")]
fn compiler() -> Compiler {
    Compiler::default()
}

/// The program that compiles: the one that `USHER_COMPILER` names, or the one that was built in the
/// checkout of this crate. What it compiles is kept beside the test's program.
#[cfg(not(feature = "compiler"))]
fn compiler() -> Compiler {
    use std::path::PathBuf;

    const BUILT: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/compiler/usher-compiler"
    );
    let program = std::env::var_os("USHER_COMPILER").unwrap_or_else(|| BUILT.into());
    let cache = std::env::current_exe().ok();
    let cache = cache.map(|test| test.with_file_name("usher-compiled"));
    Compiler::Program(PathBuf::from(program), cache)
}
