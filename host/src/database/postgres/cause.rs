//! Why no session could be made: at one address, and on the whole.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio_postgres::error::{DbError, SqlState};

use super::{guard, outcome, pooler};
use crate::database::config::Config;
use crate::database::error::OpenError;
use crate::database::failure;
use crate::database::types::Error;

/// Why no session could be made at one address: nothing was asked yet.
#[derive(Debug)]
pub(super) enum Cause {
    /// It did not come about in this time.
    Late(Duration),
    Lookup(io::Error),
    Io(io::Error),
    /// Whoever answers does not speak PostgreSQL's protocol.
    Stranger,
    /// TLS is asked for, and the server has none.
    NoTls,
    Tls(io::Error),
    Postgres(tokio_postgres::Error),
    /// The server is not of the kind that is wanted.
    Unfit(&'static str),
}

const STRANGER: &str = "what answers there is no PostgreSQL server";

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// Waiting may be enough.
    Wait,
    /// The server says no.
    Correct,
    /// It cannot work as it is configured.
    Configure,
}

impl Cause {
    fn remedy(&self) -> Remedy {
        match self {
            // A name that is not known yet is one of a server that has not been started yet, where
            // containers are.
            Self::Late(_) | Self::Lookup(_) | Self::Unfit(_) => Remedy::Wait,
            Self::Io(error) => match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => Remedy::Configure,
                _ => Remedy::Wait,
            },
            Self::NoTls => Remedy::Configure,
            // What is no error of the operating system is one of TLS itself.
            Self::Tls(error) if error.get_ref().is_some() => Remedy::Configure,
            Self::Tls(_) => Remedy::Wait,
            Self::Stranger => Remedy::Configure,
            Self::Postgres(error) => remedy(error),
        }
    }

    /// Whether other servers are not tried after this: as in libpq, this one has been reached and
    /// says no.
    pub(super) fn is_final(&self) -> bool {
        self.remedy() == Remedy::Correct
    }

    /// Whether the server may not have noticed that anybody came.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::Late(_) => true,
            Self::Io(error) => error.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }

    /// Whether it may be otherwise with encryption, or without: the server lets nobody in like
    /// this, or TLS fails. A certificate that was refused is refused.
    pub(super) fn may_pass_otherwise_encrypted(&self) -> bool {
        match self {
            Self::Tls(error) => !error
                .get_ref()
                .and_then(|source| source.downcast_ref::<rustls::Error>())
                .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_))),
            // `no pg_hba.conf entry`, and what poolers say for it.
            Self::Postgres(error) => error.as_db_error().is_some_and(|refusal| {
                *refusal.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
                    || (*refusal.code() == SqlState::PROTOCOL_VIOLATION
                        && ["SSL", "TLS"]
                            .iter()
                            .any(|word| refusal.message().contains(word)))
            }),
            _ => false,
        }
    }

    pub(super) fn reason(&self) -> String {
        match self {
            Self::Late(after) => format!("no connection within {after:?}"),
            Self::Lookup(error) => format!("its name cannot be looked up: {error}"),
            Self::Io(error) => error.to_string(),
            Self::Stranger => STRANGER.to_owned(),
            Self::Postgres(error)
                if error
                    .as_db_error()
                    .is_some_and(|refusal| guard::exceeded(refusal).is_some()) =>
            {
                STRANGER.to_owned()
            }
            Self::NoTls => "the server has no TLS, and sslmode asks for it".to_owned(),
            Self::Tls(error) => format!("TLS cannot be made: {error}"),
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
            Self::Unfit(why) => format!("{why}, and target_session_attrs asks for another kind"),
        }
    }
}

/// What is to be done about an error of the library.
fn remedy(error: &tokio_postgres::Error) -> Remedy {
    match error.as_db_error() {
        Some(refusal) if guard::exceeded(refusal).is_some() => Remedy::Configure,
        Some(refusal) => match refusal.code().code() {
            // Starting up, shutting down, or full: it may be well in a moment.
            "57P01" | "57P02" | "57P03" => Remedy::Wait,
            "08P01" if pooler::may_pass(refusal) => Remedy::Wait,
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

/// Why there is no connection: nothing was asked yet.
#[derive(Debug)]
pub(super) enum Unreachable {
    /// None could be made at any address, or name; what counts most comes first.
    Nowhere(Vec<(String, Cause)>),
    Late(Duration),
    Failed(tokio_postgres::Error),
    /// A pooler answers where none was expected.
    Pooled,
    /// The session is not what was asked for.
    Unfit(String),
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason())
    }
}

impl std::error::Error for Unreachable {}

impl Unreachable {
    /// What happened at each address, in the order in which they were tried.
    pub(super) fn nowhere(mut failures: Vec<(String, Cause)>) -> Self {
        // Where waiting may help at one of them it is worth it; who says no is told before who is
        // not configured.
        failures.sort_by_key(|(_, cause)| match cause.remedy() {
            Remedy::Correct => 0,
            Remedy::Wait => 1,
            Remedy::Configure => 2,
        });
        Self::Nowhere(failures)
    }

    /// What the server said, if it was the server that refused.
    pub(super) fn refusal(&self) -> Option<&DbError> {
        match self {
            Self::Nowhere(failures) => match failures.first() {
                Some((_, Cause::Postgres(error))) => error.as_db_error(),
                _ => None,
            },
            Self::Failed(error) => error.as_db_error(),
            Self::Late(_) | Self::Pooled | Self::Unfit(_) => None,
        }
    }

    /// What a guest is told: nothing of addresses, roles and databases, which the log has.
    pub(super) fn error(&self) -> Error {
        let is_full = self.refusal().is_some_and(|refusal| {
            *refusal.code() == SqlState::TOO_MANY_CONNECTIONS || pooler::is_full(refusal)
        });
        if is_full {
            Error::Overloaded
        } else {
            failure::unavailable("no connection to the database could be made")
        }
    }

    fn remedy(&self) -> Remedy {
        match self {
            Self::Nowhere(failures) => failures
                .first()
                .map_or(Remedy::Configure, |(_, cause)| cause.remedy()),
            Self::Late(_) => Remedy::Wait,
            Self::Failed(error) => remedy(error),
            Self::Pooled | Self::Unfit(_) => Remedy::Configure,
        }
    }

    /// What the one who started the host is told.
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
            Self::Nowhere(failures) => match &failures[..] {
                [] => "there is no server to connect to".to_owned(),
                [(_, cause)] => cause.reason(),
                several => {
                    let several: Vec<_> = several
                        .iter()
                        .map(|(place, cause)| format!("{place}: {}", cause.reason()))
                        .collect();
                    several.join("; ")
                }
            },
            Self::Late(after) => format!("no connection within {after:?}"),
            Self::Failed(error) => outcome::reason(error),
            Self::Pooled => {
                "a connection pooler answers there, and --database-pooler none says that \
                             there is none: say transaction or session, as it is configured"
                    .to_owned()
            }
            Self::Unfit(what) => format!("the session is not what was asked for: {what}"),
        }
    }
}
