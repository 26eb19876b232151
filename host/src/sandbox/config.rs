//! The settings of the sandbox: which component to run, and its limits.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser as _};

use super::compile::Compiler;
use super::grants::DeniedImport;
use super::source::Source;
use crate::options::{GIB, KIB, MILLISECOND, TIB, YEAR, defaults, duration, number, size};
use crate::wasi::{NamedValue, Values, ValuesError};

/// A component and its limits.
#[derive(Args, Clone, Debug)]
#[group(id = "sandbox-options")]
pub struct Config {
    /// The component to serve in place of the embedded one.
    #[arg(
        long,
        env = "USHER_COMPONENT",
        value_name = "FILE",
        value_parser = file()
    )]
    pub component: Option<Source>,
    /// Replace the component whenever its file changes. On SIGHUP it is replaced in any case.
    #[arg(long, env = "USHER_WATCH")]
    pub watch: bool,
    /// The program that compiles the component [default: usher-compiler beside this program, or in
    /// the folder `compiler` beside this program's folder].
    #[arg(
        id = "compiler-program",
        long = "compiler",
        env = "USHER_COMPILER",
        value_name = "FILE"
    )]
    pub compiler: Option<PathBuf>,
    /// Where compiled components are kept for the next start; none keeps none [default:
    /// $CACHE_DIRECTORY, or usher in $XDG_CACHE_HOME or ~/.cache].
    #[arg(long, env = "USHER_COMPILE_CACHE", value_name = "DIR")]
    pub compile_cache: Option<PathBuf>,
    /// Refuse a component that imports these packages or interfaces, such as wasi:clocks or
    /// wasi:cli/stdout; `usher component --info` lists what it gets by each.
    #[arg(
        long,
        env = "USHER_DENY_IMPORTS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub deny_imports: Vec<DeniedImport>,
    /// A value that the component gets by wasi:config, as NAME=VALUE; may be given more than once,
    /// in the variable one on each line. None of it is logged.
    #[arg(
        long,
        env = "USHER_COMPONENT_CONFIG",
        value_name = "NAME=VALUE",
        value_delimiter = '\n'
    )]
    pub component_config: Vec<NamedValue>,
    /// The file of more such values, as NAME = "VALUE" in TOML, such as a container's secret. It is
    /// read again on SIGHUP, and with --watch when it changes.
    #[arg(long, env = "USHER_COMPONENT_CONFIG_FILE", value_name = "FILE")]
    pub component_config_file: Option<PathBuf>,
    /// Requests an instance serves before it is replaced; 1 gives every request a fresh one.
    #[arg(
        long,
        env = "USHER_INSTANCE_REUSE",
        value_name = "N",
        default_value = "128",
        value_parser = number::<NonZeroU32>(1, u32::MAX.into())
    )]
    pub instance_reuse: NonZeroU32,
    /// Memory an instance may use.
    #[arg(
        long,
        env = "USHER_INSTANCE_MEMORY",
        value_name = "SIZE",
        default_value = "64MiB",
        value_parser = size::<usize>(64 * KIB, 4 * GIB)
    )]
    pub instance_memory: usize,
    /// Memory the host may hold for one request beside the instance's: header fields, bodies,
    /// parameters.
    #[arg(
        long,
        env = "USHER_REQUEST_MEMORY",
        value_name = "SIZE",
        default_value = "32MiB",
        value_parser = size::<usize>(64 * KIB, 4 * GIB)
    )]
    pub request_memory: usize,
    /// The same for all requests together: a body waits for it, any other request that needs more
    /// is 503.
    #[arg(
        long,
        env = "USHER_HOST_MEMORY",
        value_name = "SIZE",
        default_value = "512MiB",
        value_parser = size::<usize>(64 * KIB, TIB)
    )]
    pub host_memory: usize,
    /// A response that is not streamed; a larger one is 500.
    #[arg(
        long,
        env = "USHER_MAX_RESPONSE",
        value_name = "SIZE",
        default_value = "16MiB",
        value_parser = size::<usize>(KIB, 4 * GIB)
    )]
    pub max_response: usize,
    /// From a request's arrival to its response; a later one is 504.
    // For a streamed response also the time between two reads of its body.
    #[arg(
        long,
        env = "USHER_REQUEST_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration(MILLISECOND, YEAR)
    )]
    pub request_timeout: Duration,
    /// Processor time of one request, of a streamed one since 64 KiB of it were last read; more is
    /// 504.
    #[arg(
        long,
        env = "USHER_CPU_TIME",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration(MILLISECOND, YEAR)
    )]
    pub cpu_time: Duration,
    /// How long the component may go on after its response is complete.
    #[arg(
        long,
        env = "USHER_AFTER_ANSWER",
        value_name = "DURATION",
        default_value = "2s",
        value_parser = duration(Duration::ZERO, YEAR)
    )]
    pub after_answer: Duration,
}

impl Config {
    /// What compiles a component that is not the embedded one.
    pub fn compiler(&self) -> Compiler {
        let compiler = match &self.compiler {
            Some(program) => Compiler::Program(program.clone(), None),
            None => Compiler::default(),
        };
        compiler.with_cache(self.cache_directory())
    }

    /// The values for the component, of the options and of the file.
    ///
    /// # Errors
    /// See [`ValuesError`].
    pub fn values(&self) -> Result<Values, ValuesError> {
        Values::read(
            &self.component_config,
            self.component_config_file.as_deref(),
        )
    }

    fn cache_directory(&self) -> Option<PathBuf> {
        if let Some(directory) = &self.compile_cache {
            return (directory.as_os_str() != "none").then(|| directory.clone());
        }
        let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
        if let Some(directory) = std::env::var_os("CACHE_DIRECTORY").and_then(absolute) {
            // systemd's, which is the service's own.
            return Some(directory);
        }
        let caches = std::env::var_os("XDG_CACHE_HOME").and_then(absolute);
        let caches = caches.or_else(|| {
            let home = std::env::var_os("HOME").and_then(absolute)?;
            Some(home.join(".cache"))
        });
        Some(caches?.join("usher"))
    }
}

impl Default for Config {
    fn default() -> Self {
        defaults()
    }
}

fn file() -> impl clap::builder::TypedValueParser<Value = Source> {
    PathBufValueParser::new().map(|file: PathBuf| Source::File(file))
}
