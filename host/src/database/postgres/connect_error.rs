//! Why no session could be opened: at one address, and overall.
//!
//! Nothing was executed in either case. The error decides whether other addresses are tried,
//! whether the operator has to act, and what the guest receives, which never names addresses or
//! roles.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio_postgres::error::{DbError, SqlState};

use super::{guard, outcome, pooler_errors};
use crate::database::config::Config;
use crate::database::error::OpenError;
use crate::database::failure;
use crate::database::types::Error;

/// Why no session could be opened at one address.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// The time limit of the attempt has passed.
    Timeout(Duration),
    Lookup(io::Error),
    Io(io::Error),
    /// The answer is not PostgreSQL's protocol.
    NotPostgres,
    /// TLS is required, and the server has none.
    NoTls,
    Tls(io::Error),
    Postgres(tokio_postgres::Error),
    /// The server is not of the kind that `target_session_attrs` requires.
    WrongServer(&'static str),
}

const NOT_POSTGRES: &str = "the answer is from no PostgreSQL server";

/// What resolves an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// Waiting may be enough.
    Wait,
    /// The server has refused: its configuration, or the credentials, must change.
    Correct,
    /// The host's configuration must change.
    Configure,
}

impl AttemptError {
    fn remedy(&self) -> Remedy {
        match self {
            // In container networks a name is unknown until its server has started.
            Self::Timeout(_) | Self::Lookup(_) | Self::WrongServer(_) => Remedy::Wait,
            Self::Io(error) => match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => Remedy::Configure,
                _ => Remedy::Wait,
            },
            Self::NoTls => Remedy::Configure,
            // An error that is not of the operating system is one of TLS itself.
            Self::Tls(error) if error.get_ref().is_some() => Remedy::Configure,
            Self::Tls(_) => Remedy::Wait,
            Self::NotPostgres => Remedy::Configure,
            Self::Postgres(error) => remedy(error),
        }
    }

    /// Whether no other server is tried after this one: as in libpq, it was reached and has
    /// refused.
    pub(super) fn is_final(&self) -> bool {
        self.remedy() == Remedy::Correct
    }

    /// Whether the server has not responded at all.
    pub(super) fn is_unresponsive(&self) -> bool {
        match self {
            Self::Timeout(_) => true,
            Self::Io(error) => error.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }

    /// Whether an attempt with the other kind of encryption may succeed: the server refuses this
    /// kind, or TLS failed. A rejected certificate is final.
    pub(super) fn may_pass_with_other_encryption(&self) -> bool {
        match self {
            Self::Tls(error) => !error
                .get_ref()
                .and_then(|source| source.downcast_ref::<rustls::Error>())
                .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_))),
            // `no pg_hba.conf entry`, and what poolers return instead.
            Self::Postgres(error) => error.as_db_error().is_some_and(|error| {
                *error.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
                    || (*error.code() == SqlState::PROTOCOL_VIOLATION
                        && ["SSL", "TLS"]
                            .iter()
                            .any(|word| error.message().contains(word)))
            }),
            _ => false,
        }
    }

    pub(super) fn reason(&self) -> String {
        match self {
            Self::Timeout(after) => format!("no connection within {after:?}"),
            Self::Lookup(error) => format!("the name lookup failed: {error}"),
            Self::Io(error) => error.to_string(),
            Self::NotPostgres => NOT_POSTGRES.to_owned(),
            Self::Postgres(error)
                if error
                    .as_db_error()
                    .is_some_and(|error| guard::exceeded_limit(error).is_some()) =>
            {
                NOT_POSTGRES.to_owned()
            }
            Self::NoTls => "the server has no TLS, and sslmode requires it".to_owned(),
            Self::Tls(error) => format!("TLS failed: {error}"),
            Self::Postgres(error) => {
                let reason = outcome::reason(error);
                if reason.ends_with("password missing") {
                    "the server asks for a password, and there is none: put it into the URL, \
                    PGPASSWORD or the password file"
                        .to_owned()
                } else {
                    reason
                }
            }
            Self::WrongServer(why) => {
                format!("{why}, and target_session_attrs requires another kind")
            }
        }
    }
}

/// What resolves an error of the client library.
fn remedy(error: &tokio_postgres::Error) -> Remedy {
    match error.as_db_error() {
        Some(error) if guard::exceeded_limit(error).is_some() => Remedy::Configure,
        Some(error) => match error.code().code() {
            // Shutting down, or starting up.
            "57P01" | "57P02" | "57P03" => Remedy::Wait,
            "08P01" if pooler_errors::may_pass(error) => Remedy::Wait,
            "08P01" => Remedy::Correct,
            code if code.starts_with("53") || code.starts_with("08") => Remedy::Wait,
            _ => Remedy::Correct,
        },
        None if error.is_closed() => Remedy::Wait,
        None => match std::error::Error::source(error) {
            Some(source) if source.is::<io::Error>() => Remedy::Wait,
            _ => Remedy::Configure,
        },
    }
}

/// Why no session could be opened.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// No attempt succeeded. The most relevant error is the first.
    AllFailed(Vec<(String, AttemptError)>),
    Timeout(Duration),
    SetUp(tokio_postgres::Error),
    /// There is a pooler, and the configuration excludes one.
    UnexpectedPooler,
    /// The session does not have the requested settings.
    WrongSession(String),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason())
    }
}

impl std::error::Error for ConnectError {}

impl ConnectError {
    /// From the errors at each address, in the order of the attempts.
    pub(super) fn all_failed(mut errors: Vec<(String, AttemptError)>) -> Self {
        // A refusal is the most specific error. Waiting is worth it if it may help at one address.
        errors.sort_by_key(|(_, error)| match error.remedy() {
            Remedy::Correct => 0,
            Remedy::Wait => 1,
            Remedy::Configure => 2,
        });
        Self::AllFailed(errors)
    }

    /// The server's error, if the server has refused.
    pub(super) fn server_error(&self) -> Option<&DbError> {
        match self {
            Self::AllFailed(errors) => match errors.first() {
                Some((_, AttemptError::Postgres(error))) => error.as_db_error(),
                _ => None,
            },
            Self::SetUp(error) => error.as_db_error(),
            Self::Timeout(_) | Self::UnexpectedPooler | Self::WrongSession(_) => None,
        }
    }

    /// The guest's error, without addresses, roles and databases; these are in the log.
    pub(super) fn guest_error(&self) -> Error {
        let is_full = self.server_error().is_some_and(|error| {
            *error.code() == SqlState::TOO_MANY_CONNECTIONS || pooler_errors::is_full(error)
        });
        if is_full {
            Error::Overloaded
        } else {
            failure::unavailable("no connection to the database could be made")
        }
    }

    fn remedy(&self) -> Remedy {
        match self {
            Self::AllFailed(errors) => errors
                .first()
                .map_or(Remedy::Configure, |(_, error)| error.remedy()),
            Self::Timeout(_) => Remedy::Wait,
            Self::SetUp(error) => remedy(error),
            Self::UnexpectedPooler | Self::WrongSession(_) => Remedy::Configure,
        }
    }

    /// The operator's error.
    pub(super) fn open_error(&self, config: &Config) -> OpenError {
        let (url, reason) = (config.url.to_string(), self.reason());
        match self.remedy() {
            Remedy::Wait => OpenError::Unreachable { url, reason },
            Remedy::Correct => OpenError::Refused { url, reason },
            Remedy::Configure => OpenError::Configuration { url, reason },
        }
    }

    pub(super) fn reason(&self) -> String {
        match self {
            Self::AllFailed(errors) => match &errors[..] {
                [] => "there is no server to connect to".to_owned(),
                [(_, error)] => error.reason(),
                several => {
                    let several: Vec<_> = several
                        .iter()
                        .map(|(address, error)| format!("{address}: {}", error.reason()))
                        .collect();
                    several.join("; ")
                }
            },
            Self::Timeout(after) => format!("no connection within {after:?}"),
            Self::SetUp(error) => outcome::reason(error),
            Self::UnexpectedPooler => {
                "there is a connection pooler, and --database-pooler is none: set it to \
                 transaction or session, as the pooler is configured"
                    .to_owned()
            }
            Self::WrongSession(what) => format!("the session is not as requested: {what}"),
        }
    }
}
