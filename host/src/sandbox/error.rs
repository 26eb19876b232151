//! Errors of loading a component, and of calling it.

use std::fmt;

use super::source::Source;
use crate::database::Unfit;
use crate::database::manifest::{ManifestError, SECTION};
use crate::telemetry::counters::FailedCall;
use crate::telemetry::log::excerpt;
use crate::telemetry::request::Blame;
use crate::telemetry::routes::RoutesError;
use crate::wasi::ValuesError;

/// Why a component cannot be served. The texts name the component and are meant for the operator.
#[derive(Debug)]
pub enum LoadError {
    /// The engine cannot start on this machine.
    Engine(wasmtime::Error),
    /// The engine cannot have the instances that the settings ask for.
    Capacity(wasmtime::Error),
    /// Its bytes cannot be read.
    Read(Source, std::io::Error),
    /// The bytes are no component, or do not compile. The text says why.
    NotAComponent(Source, String),
    /// There is nothing to compile it with. The text says why, and what to do.
    NoCompiler(Source, String),
    /// It needs an import that this host does not provide, or has no HTTP handler.
    DoesNotFit(Source, wasmtime::Error),
    /// It imports an interface under a name of its own.
    NamedImport {
        /// The component.
        source: Source,
        /// The name.
        name: String,
        /// The interface, with its version.
        interface: String,
    },
    /// It imports this, which the operator denies.
    Denied(Source, String),
    /// The values for it cannot be read.
    Values(ValuesError),
    /// Its list of statements cannot be read.
    Manifest(Source, ManifestError),
    /// Its list of routes cannot be read.
    Routes(Source, RoutesError),
    /// It uses the database and declares no statements.
    Undeclared(Source),
    /// It declares a statement that no component may run.
    Unfit(Source, Unfit),
    /// It declares a statement that the database cannot prepare.
    Unprepared(Source, Unfit),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => write!(
                f,
                "the WebAssembly engine does not start: {}",
                one_line(error)
            ),
            Self::Capacity(error) => write!(
                f,
                "the WebAssembly engine does not start: {}; each request in flight takes 4 GiB of \
                 address space (not of memory): lower --max-requests, or raise the limit of the \
                 process (ulimit -v)",
                one_line(error)
            ),
            Self::Read(source, error) => write!(f, "cannot read {source}: {error}"),
            Self::NotAComponent(source, why) => {
                let remedy = memory_remedy(why);
                write!(
                    f,
                    "{source} is not a WebAssembly component to serve: {why}{remedy}"
                )
            }
            Self::NoCompiler(source, why) => write!(f, "cannot compile {source}: {why}"),
            Self::DoesNotFit(source, error) => {
                let why = one_line(error);
                let remedy = memory_remedy(&why);
                write!(
                    f,
                    "{source} does not fit this host: {}{remedy}",
                    excerpt(why)
                )
            }
            Self::NamedImport {
                source,
                name,
                interface,
            } => write!(
                f,
                "{source} imports {interface} under the name {}, and this host has each interface \
                 once, by its own name, and one database for a component: import {interface} \
                 itself, and make what needs another database a component of its own",
                excerpt(name)
            ),
            Self::Denied(source, import) => {
                write!(f, "{source} imports {import}, which --deny-imports denies")
            }
            Self::Values(error) => error.fmt(f),
            Self::Manifest(source, error) => {
                write!(
                    f,
                    "the statements that {source} declares cannot be read: {error}; build it again"
                )
            }
            Self::Routes(source, error) => {
                write!(
                    f,
                    "the routes that {source} declares cannot be read: {error}; build it again"
                )
            }
            Self::Undeclared(source) => write!(
                f,
                "{source} does not declare the statements it runs (it has no section {SECTION}); \
                 build it with one, or let it run any statement that policy allows with \
                 --database-statements any"
            ),
            Self::Unprepared(source, Unfit { name, why }) => write!(
                f,
                "{source} declares the statement {name}, which does not fit this database: {why}"
            ),
            Self::Unfit(source, Unfit { name, why }) => write!(
                f,
                "{source} declares the statement {name}, which no component may run: {why}"
            ),
        }
    }
}

impl std::error::Error for LoadError {}

/// What to do about a component that begins with more memory than an instance may have, which
/// wasmtime only says in words.
fn memory_remedy(why: &str) -> &'static str {
    if why.contains("memory has a minimum byte size") {
        "; raise --instance-memory"
    } else {
        ""
    }
}

/// Why a request got no response from the guest. None of these is the client's fault.
#[derive(Debug)]
pub enum CallError {
    /// No permit was granted in half of the request's deadline.
    Busy,
    /// The limit on what the host holds for all requests is reached. The text is for the log.
    Memory(String),
    /// The guest did not respond before the deadline, and was ended.
    Deadline,
    /// The guest used more processor time than a request has. The text is for the log.
    Processor(String),
    /// The guest was ended to make room for others. The text is for the log.
    Evicted(String),
    /// The guest trapped, ran out of memory, or set no valid response. The text is for the log.
    Guest(String),
    /// The host could not instantiate the component. The text is for the log.
    Host(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("no instance came free in half of the request's deadline"),
            Self::Deadline => {
                f.write_str("the request's deadline passed and its instance was ended")
            }
            Self::Memory(text) => write!(f, "a request was refused: {text}"),
            Self::Processor(text) | Self::Evicted(text) => f.write_str(text),
            Self::Guest(text) => write!(f, "the component failed: {text}"),
            Self::Host(text) => write!(f, "the component could not be instantiated: {text}"),
        }
    }
}

impl std::error::Error for CallError {}

impl CallError {
    /// Who is to blame for it.
    pub(crate) fn blame(&self) -> Blame {
        match self {
            Self::Busy | Self::Memory(_) | Self::Host(_) => Blame::Host,
            // If the guest waited for the database, that is blamed already.
            Self::Deadline | Self::Processor(_) | Self::Evicted(_) | Self::Guest(_) => {
                Blame::Component
            }
        }
    }

    /// The counter for this error.
    pub(crate) fn kind(&self) -> FailedCall {
        match self {
            Self::Busy | Self::Memory(_) | Self::Evicted(_) => FailedCall::Busy,
            Self::Deadline | Self::Processor(_) => FailedCall::Deadline,
            Self::Guest(_) | Self::Host(_) => FailedCall::Trap,
        }
    }
}

/// An error and its causes in one line, for the log.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
