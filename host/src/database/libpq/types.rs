//! Which servers, in which order, and how each is reached.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::uri;

/// The port of a server that says nothing of its own.
pub(super) const PORT: u16 = 5432;

/// A role, a database, and the servers to look for them on.
#[derive(Clone)]
pub(crate) struct Postgres {
    /// The role, the database, and what the session is told; neither hosts nor a password.
    pub(crate) config: tokio_postgres::Config,
    /// In the order in which they are tried.
    pub(crate) hosts: Vec<Host>,
    /// Whether that order is random (`load_balance_hosts`).
    pub(crate) shuffle: bool,
    pub(crate) wanted: Wanted,
    pub(crate) tls: Tls,
    /// For one address of one host, start-up and authentication included (`connect_timeout`).
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) keepalive: Keepalive,
    pub(crate) tcp_user_timeout: Option<Duration>,
}

/// One of the servers that the URL names.
#[derive(Clone)]
pub(crate) struct Host {
    /// What its certificate is to be for.
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) port: u16,
    pub(crate) password: Option<Secret>,
}

/// Where a server is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Wherever this name leads.
    Name(String),
    Address(IpAddr),
    /// A directory with a Unix socket in it, or an abstract one where it begins with `@`.
    Socket(PathBuf),
}

/// Which kind of server a session is wanted on (`target_session_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// How far a connection to PostgreSQL is protected (`sslmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TlsMode {
    /// Never by TLS.
    Disable,
    /// By TLS where the server insists.
    Allow,
    /// By TLS where the server has it.
    Prefer,
    /// By TLS, without asking who the server is (unless `sslrootcert` is given, as in libpq).
    Require,
    /// By TLS, to a server that the certificates vouch for.
    VerifyCa,
    /// By TLS, to the very server that the URL names.
    VerifyFull,
}

/// How TLS is made.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) mode: TlsMode,
    pub(crate) roots: Roots,
    /// The certificate to show to the server, and its key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    /// Whether TLS begins without being asked for (`sslnegotiation=direct`).
    pub(crate) direct: bool,
    /// Whether the server is told which name it is called by.
    pub(crate) sni: bool,
    pub(crate) versions: Versions,
}

/// Who vouches for servers (`sslrootcert`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Nobody is asked.
    Unasked,
    /// The authorities that browsers trust.
    Public,
    /// Those that this machine trusts.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// The versions of TLS that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    Both,
    Only12,
    Only13,
}

/// Whether and how often a silent server is asked if it is still there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    pub(crate) is_on: bool,
    pub(crate) idle: Option<Duration>,
    pub(crate) interval: Option<Duration>,
    pub(crate) count: Option<u32>,
}

/// A password. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// As a URL without its password, in one line.
impl fmt::Display for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        f.write_str(&uri::encode(self.config.get_user().unwrap_or_default()))?;
        if self.hosts.iter().any(|host| host.password.is_some()) {
            f.write_str(":***")?;
        }
        f.write_str("@")?;
        for (index, host) in self.hosts.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if host.name.contains(':') {
                write!(f, "[{}]", host.name)?;
            } else {
                f.write_str(&uri::encode(&host.name))?;
            }
            if host.port != PORT {
                write!(f, ":{}", host.port)?;
            }
        }
        let database = self.config.get_dbname().unwrap_or_default();
        write!(f, "/{}", uri::encode(database))?;
        let mode = match self.tls.mode {
            TlsMode::Prefer => return Ok(()),
            TlsMode::Disable => "disable",
            TlsMode::Allow => "allow",
            TlsMode::Require => "require",
            TlsMode::VerifyCa => "verify-ca",
            TlsMode::VerifyFull => "verify-full",
        };
        write!(f, "?sslmode={mode}")
    }
}
