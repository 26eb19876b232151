//! Which servers, in which order, and how each is reached.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::uri;

/// PostgreSQL's default port.
pub(super) const PORT: u16 = 5432;

/// The target of connections: a role, a database, and the servers that may have them.
#[derive(Clone)]
pub(crate) struct Postgres {
    /// The role, the database and the start-up options, without hosts and password.
    pub(crate) config: tokio_postgres::Config,
    /// In the order of attempts.
    pub(crate) hosts: Vec<Host>,
    /// Whether the order is random (`load_balance_hosts`).
    pub(crate) shuffle: bool,
    pub(crate) required: ServerKind,
    pub(crate) tls: Tls,
    /// For one address of one host, start-up and authentication included (`connect_timeout`).
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) keepalive: Keepalive,
    pub(crate) tcp_user_timeout: Option<Duration>,
}

/// One of the servers that the URL names.
#[derive(Clone)]
pub(crate) struct Host {
    /// The name that its certificate must have.
    pub(crate) name: String,
    pub(crate) location: HostLocation,
    pub(crate) port: u16,
    pub(crate) password: Option<Secret>,
}

/// Where a server is.
#[derive(Clone, Debug)]
pub(crate) enum HostLocation {
    /// A host name, which DNS resolves.
    Name(String),
    Address(IpAddr),
    /// The directory of a Unix socket; one that begins with `@` is abstract.
    Socket(PathBuf),
}

/// The kind of server that a session needs (`target_session_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerKind {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// The protection of a connection (`sslmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TlsMode {
    /// Without TLS.
    Disable,
    /// With TLS if the server requires it.
    Allow,
    /// With TLS if the server supports it.
    Prefer,
    /// With TLS. The server's certificate is checked only if `sslrootcert` is given, as in libpq.
    Require,
    /// With TLS and a certificate of a trusted authority.
    VerifyCa,
    /// With TLS and such a certificate for the host that the URL names.
    VerifyFull,
}

/// The options of TLS.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) mode: TlsMode,
    pub(crate) roots: Roots,
    /// The client's certificate and key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    /// Whether TLS begins without negotiation (`sslnegotiation=direct`).
    pub(crate) direct: bool,
    /// Whether the server receives the host name (`sslsni`).
    pub(crate) sni: bool,
    pub(crate) versions: Versions,
}

/// The trusted authorities (`sslrootcert`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Certificates are not checked.
    Unchecked,
    /// The authorities that browsers trust.
    Public,
    /// The authorities that this machine trusts.
    System,
    /// The authorities in a PEM file.
    File(PathBuf),
}

/// The allowed versions of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    Both,
    Only12,
    Only13,
}

/// TCP keepalive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    pub(crate) is_on: bool,
    pub(crate) idle: Option<Duration>,
    pub(crate) interval: Option<Duration>,
    pub(crate) count: Option<u32>,
}

/// A password, which `Debug` masks.
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

/// A URL on one line, with the password masked.
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
