//! `wasi:logging`: lines of the log, with a level and a context.
//!
//! The package has never been released, and this is the version that other hosts have, too.

use tracing::Level as LogLevel;
use wasmtime::component::{ComponentType, Lift, Linker};

use super::log_line::LogLine;
use crate::telemetry::RequestInfo;
use crate::telemetry::log::excerpt;

/// The name of the interface, with its version.
pub(crate) const INTERFACE: &str = "wasi:logging/logging@0.1.0-draft";

/// The `level` of the interface.
#[derive(ComponentType, Lift, Clone, Copy, Debug)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made of what a component passes")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl Level {
    /// The level of the host's log. It has none above an error, so the text says it.
    fn in_log(self) -> (LogLevel, &'static str) {
        match self {
            Self::Trace => (LogLevel::TRACE, "logged"),
            Self::Debug => (LogLevel::DEBUG, "logged"),
            Self::Info => (LogLevel::INFO, "logged"),
            Self::Warn => (LogLevel::WARN, "logged"),
            Self::Error => (LogLevel::ERROR, "logged"),
            Self::Critical => (LogLevel::ERROR, "logged as critical"),
        }
    }
}

/// Links the interface. `request` returns the request that a component is serving, if any.
///
/// # Errors
/// If the linker has the interface already.
pub(crate) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    request: fn(&T) -> Option<&RequestInfo>,
) -> wasmtime::Result<()> {
    linker.instance(INTERFACE)?.func_wrap(
        "log",
        move |store, (level, context, text): (Level, String, String)| {
            let (level, how) = level.in_log();
            let context = excerpt(context);
            let line = LogLine {
                level,
                how,
                context: Some(context.as_str()).filter(|context| !context.is_empty()),
                text: &excerpt(text),
            };
            line.write(request(store.data()));
            Ok(())
        },
    )
}
