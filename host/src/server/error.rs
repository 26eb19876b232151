//! Why the server could not start, or did not end well.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::database::OpenError;
use crate::sandbox::LoadError;
use crate::sandbox::migrate::MigrateError;

/// Why the server could not start, or did not end well. Every text is one line for the operator.
#[derive(Debug)]
pub enum ServeError {
    /// The address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The component cannot be served.
    Load(LoadError),
    /// The database cannot be used.
    Database(OpenError),
    /// The schema could not be brought up to date.
    Migrate(MigrateError),
    /// The operating system refused a thread, a signal handler or the like.
    System(io::Error),
}

impl ServeError {
    /// Whether the configuration is wrong, rather than something unavailable.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Listen(..) | Self::Load(_) => true,
            Self::Database(error) => !error.is_transient(),
            Self::Migrate(_) | Self::System(_) => false,
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "cannot listen on {address}: the port is in use; stop what uses it, or choose \
                     another with --listen"
                )
            }
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Load(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
            Self::Migrate(error) => error.fmt(f),
            Self::System(error) => write!(f, "the operating system refused: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}
