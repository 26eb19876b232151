//! Why the server could not start, or did not end well.

use std::fmt;
use std::io;

use crate::access::AccessError;
use crate::database::OpenError;
use crate::recording::RecordingError;
use crate::sandbox::LoadError;
use crate::sandbox::migrate::MigrateError;

/// Why the server could not start, or did not end well. Every text is one line for the operator.
#[derive(Debug)]
pub enum ServeError {
    /// The settings contradict each other. The text names them.
    Settings(String),
    /// The address cannot be listened on.
    Listen {
        /// The option that the address comes from.
        option: &'static str,
        /// The address, as it was given.
        address: String,
        /// What happened.
        error: io::Error,
    },
    /// The component cannot be served.
    Load(LoadError),
    /// The database cannot be used.
    Database(OpenError),
    /// Requests cannot be recorded.
    Record(RecordingError),
    /// The schema could not be brought up to date.
    Migrate(MigrateError),
    /// Access cannot be controlled.
    Access(AccessError),
    /// The operating system refused a thread, a signal handler or the like.
    System(io::Error),
}

impl ServeError {
    /// Whether the configuration is wrong, rather than something unavailable.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Settings(_) | Self::Listen { .. } | Self::Load(_) | Self::Record(_) => true,
            Self::Database(error) => !error.is_transient(),
            Self::Access(error) => matches!(error, AccessError::Settings(_)),
            Self::Migrate(_) | Self::System(_) => false,
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(text) => f.write_str(text),
            Self::Listen {
                option,
                address,
                error,
            } if error.kind() == io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "cannot listen on {address} ({option}): the port is in use; stop what uses \
                     it, or choose another"
                )
            }
            Self::Listen {
                option,
                address,
                error,
            } => write!(f, "cannot listen on {address} ({option}): {error}"),
            Self::Load(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
            Self::Migrate(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
            Self::Access(error) => error.fmt(f),
            Self::System(error) => write!(f, "the operating system refused: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}
