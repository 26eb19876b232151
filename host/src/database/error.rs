//! The errors of opening and copying a database: a wrong URL, or why it could not be done.

use std::fmt;

/// What is wrong with a database URL. The text repeats nothing that may be secret.
#[derive(Debug)]
pub struct UrlError(String);

impl UrlError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UrlError {}

/// Why a database could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// No server answers. A later try may succeed.
    Unreachable {
        /// The URL, its password masked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server refuses: a wrong password, role or database.
    Refused {
        /// The URL, its password masked.
        url: String,
        /// The server's message.
        reason: String,
    },
    /// The server accepts no writes: it is a standby, or was made read-only.
    ReadOnly {
        /// The URL, its password masked.
        url: String,
    },
    /// The configuration cannot work: a file that cannot be opened, an unreadable certificate.
    Configuration {
        /// The URL, its password masked.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

impl OpenError {
    /// Whether a later try may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether the configuration is at fault, and not the database.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Configuration { .. })
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { url, reason } => {
                write!(
                    f,
                    "cannot reach the database {url}: {reason}; \
                     start it, or choose another with --database"
                )
            }
            Self::Refused { url, reason } => {
                write!(
                    f,
                    "the database {url} refuses: {reason}; \
                     correct --database or the database's own settings"
                )
            }
            Self::ReadOnly { url } => {
                write!(
                    f,
                    "the database {url} takes no writes: it is a standby, or \
                     default_transaction_read_only is on; where that is meant, \
                     say --database-read-only"
                )
            }
            Self::Configuration { url, reason } => {
                write!(
                    f,
                    "cannot use the database {url}: {reason}; choose another with --database"
                )
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// Why a database was not backed up or restored. The texts name the files.
#[derive(Debug)]
pub enum CopyError {
    /// The command cannot be carried out as it was given.
    Usage(String),
    /// It failed.
    Failed(String),
}

impl CopyError {
    /// Whether the command is wrong, rather than something failed.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_))
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for CopyError {}
