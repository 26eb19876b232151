//! Connection parameters as libpq has them: which servers, in which order, and how each is reached.
//!
//! | module | what lives there |
//! |---|---|
//! | `uri` | `postgres://…` |
//! | `pairs` | `host=… user=…` |
//! | `parameters` | the names, and their environment variables |
//! | `passfile` | `~/.pgpass` |
//!
//! What is wrong is an error at once. No error, no log line and no `Debug` output has a part of a
//! password in it.

mod pairs;
mod parameters;
mod passfile;
mod uri;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::config::ChannelBinding;

use super::url::UrlError;
pub(super) use pairs::is_meant as is_pairs;
use parameters::Parameters;
pub(super) use uri::decode;

/// The port of a server that says nothing of its own.
const PORT: u16 = 5432;

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
    fn new(text: String) -> Self {
        Self(text)
    }

    fn is_empty(&self) -> bool {
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

/// Reads what follows `postgres:`, with the defaults of this process's environment.
pub(super) fn from_uri(rest: &str) -> Result<Postgres, UrlError> {
    let rest = rest.strip_prefix("//").ok_or_else(|| {
        UrlError::new("a PostgreSQL URL is written postgres://USER:PASSWORD@HOST:PORT/DATABASE")
    })?;
    build(uri::parse(rest)?, &|name| std::env::var(name).ok())
}

/// Reads `name=value` pairs, with the same defaults.
pub(super) fn from_pairs(text: &str) -> Result<Postgres, UrlError> {
    build(pairs::parse(text)?, &|name| std::env::var(name).ok())
}

fn build(
    mut said: Parameters,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Postgres, UrlError> {
    said.complete(variable)?;
    let home = variable("HOME").map(PathBuf::from);
    let tls = tls(&mut said, home.as_deref())?;
    let user = match said.take("user") {
        Some(user) => user,
        None => operating_system_user(variable),
    };
    let database = said.take("dbname").unwrap_or_else(|| user.clone());
    // What is shown stays on its line.
    for (what, text) in [("user name", &user), ("database name", &database)] {
        printable(what, text)?;
    }
    let mut config = tokio_postgres::Config::new();
    config.user(&user).dbname(&database);
    if let Some(options) = said.take("options") {
        config.options(options);
    }
    let fallback = said.take("fallback_application_name");
    if let Some(name) = said.take("application_name").or(fallback) {
        config.application_name(name);
    }
    let binding = said.take("channel_binding");
    config.channel_binding(one_of(
        "channel_binding",
        binding.as_deref(),
        ChannelBinding::Prefer,
        &[
            ("disable", ChannelBinding::Disable),
            ("prefer", ChannelBinding::Prefer),
            ("require", ChannelBinding::Require),
        ],
    )?);
    if let Some(encoding) = said.take("client_encoding")
        && !["utf8", "utf-8", "unicode", "auto"].contains(&encoding.to_lowercase().as_str())
    {
        return Err(UrlError::new("client_encoding is UTF8: leave it out"));
    }
    if said
        .take("gssencmode")
        .is_some_and(|mode| mode == "require")
    {
        return Err(UrlError::new(
            "gssencmode=require cannot be had: use sslmode=require",
        ));
    }
    if said
        .take("min_protocol_version")
        .is_some_and(|version| version != "3.0")
    {
        return Err(UrlError::new(
            "min_protocol_version is 3.0, the one that is spoken: leave it out",
        ));
    }
    let wanted = said.take("target_session_attrs");
    let wanted = one_of(
        "target_session_attrs",
        wanted.as_deref(),
        Wanted::Any,
        &[
            ("any", Wanted::Any),
            ("read-write", Wanted::ReadWrite),
            ("read-only", Wanted::ReadOnly),
            ("primary", Wanted::Primary),
            ("standby", Wanted::Standby),
            ("prefer-standby", Wanted::PreferStandby),
        ],
    )?;
    let shuffle = said.take("load_balance_hosts");
    let shuffle = one_of(
        "load_balance_hosts",
        shuffle.as_deref(),
        false,
        &[("disable", false), ("random", true)],
    )?;
    let seconds = |number: Option<i32>| {
        number
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
    };
    let connect_timeout = seconds(number(&mut said, "connect_timeout")?);
    let keepalive = Keepalive {
        is_on: number(&mut said, "keepalives")? != Some(0),
        idle: seconds(number(&mut said, "keepalives_idle")?),
        interval: seconds(number(&mut said, "keepalives_interval")?),
        count: number(&mut said, "keepalives_count")?
            .and_then(|count| u32::try_from(count).ok())
            .filter(|count| *count > 0),
    };
    let tcp_user_timeout = number(&mut said, "tcp_user_timeout")?
        .and_then(|milliseconds| u64::try_from(milliseconds).ok())
        .filter(|milliseconds| *milliseconds > 0)
        .map(Duration::from_millis);
    let mut hosts = hosts(&mut said)?;
    passwords(&mut said, home.as_deref(), &mut hosts, &database, &user);
    Ok(Postgres {
        config,
        hosts,
        shuffle,
        wanted,
        tls,
        connect_timeout,
        keepalive,
        tcp_user_timeout,
    })
}

fn tls(said: &mut Parameters, home: Option<&Path>) -> Result<Tls, UrlError> {
    let mode = said.take("sslmode");
    let root = said.take("sslrootcert");
    let is_system = root.as_deref() == Some("system");
    let default = if is_system {
        TlsMode::VerifyFull
    } else {
        TlsMode::Prefer
    };
    let mode = one_of(
        "sslmode",
        mode.as_deref(),
        default,
        &[
            ("disable", TlsMode::Disable),
            ("allow", TlsMode::Allow),
            ("prefer", TlsMode::Prefer),
            ("require", TlsMode::Require),
            ("verify-ca", TlsMode::VerifyCa),
            ("verify-full", TlsMode::VerifyFull),
        ],
    )?;
    if is_system && mode != TlsMode::VerifyFull {
        return Err(UrlError::new(
            "sslrootcert=system goes with sslmode=verify-full alone: anyone may have a \
            certificate of a public authority",
        ));
    }
    let in_home = |name: &str| {
        let file = home?.join(".postgresql").join(name);
        file.is_file().then_some(file)
    };
    let roots = match root {
        Some(_) if is_system => Roots::System,
        Some(file) => Roots::File(PathBuf::from(file)),
        None if mode < TlsMode::Require => Roots::Unasked,
        None => match (in_home("root.crt"), mode) {
            (Some(file), _) => Roots::File(file),
            (None, TlsMode::VerifyCa) => {
                return Err(UrlError::new(
                    "sslmode=verify-ca needs sslrootcert, a file with the certificates to trust",
                ));
            }
            (None, TlsMode::VerifyFull) => Roots::Public,
            (None, _) => Roots::Unasked,
        },
    };
    let certificate = said
        .take("sslcert")
        .map(PathBuf::from)
        .or_else(|| in_home("postgresql.crt"));
    let key = said
        .take("sslkey")
        .map(PathBuf::from)
        .or_else(|| in_home("postgresql.key"));
    let certificate_mode = said.take("sslcertmode");
    let client = match (certificate_mode.as_deref(), certificate, key) {
        (Some("disable"), ..) => None,
        (Some("require"), None, _) => {
            return Err(UrlError::new("sslcertmode=require needs sslcert"));
        }
        (None | Some("allow" | "require"), Some(certificate), Some(key)) => {
            Some((certificate, key))
        }
        (None | Some("allow" | "require"), Some(_), None) => {
            return Err(UrlError::new(
                "sslcert needs sslkey, the file with the certificate's key",
            ));
        }
        (None | Some("allow"), None, _) => None,
        (Some(_), ..) => {
            return Err(UrlError::new(
                "sslcertmode is one of disable, allow, require",
            ));
        }
    };
    let direct = said.take("sslnegotiation");
    let direct = one_of(
        "sslnegotiation",
        direct.as_deref(),
        false,
        &[("postgres", false), ("direct", true)],
    )?;
    if direct && mode < TlsMode::Require {
        return Err(UrlError::new(
            "sslnegotiation=direct goes with sslmode=require, verify-ca or verify-full",
        ));
    }
    let sni = said.take("sslsni");
    let sni = one_of("sslsni", sni.as_deref(), true, &[("0", false), ("1", true)])?;
    Ok(Tls {
        mode,
        roots,
        client,
        direct,
        sni,
        versions: versions(said)?,
    })
}

fn versions(said: &mut Parameters) -> Result<Versions, UrlError> {
    let known = [
        ("TLSv1", 10),
        ("TLSv1.0", 10),
        ("TLSv1.1", 11),
        ("TLSv1.2", 12),
        ("TLSv1.3", 13),
    ];
    let mut version = |name: &'static str, default| {
        let value = said.take(name);
        one_of(name, value.as_deref(), default, &known)
    };
    let least = version("ssl_min_protocol_version", 12)?;
    let most = version("ssl_max_protocol_version", 13)?;
    match (least, most) {
        (..=12, 13) => Ok(Versions::Both),
        (13, 13) => Ok(Versions::Only13),
        (..=12, 12) => Ok(Versions::Only12),
        _ => Err(UrlError::new(
            "ssl_min_protocol_version and ssl_max_protocol_version leave nothing: TLSv1.2 and \
            TLSv1.3 are spoken",
        )),
    }
}

/// The hosts, each with an address and a port of its own where it has them.
fn hosts(said: &mut Parameters) -> Result<Vec<Host>, UrlError> {
    let list = |text: Option<String>| -> Vec<String> {
        text.map(|text| text.split(',').map(|item| item.trim().to_owned()).collect())
            .unwrap_or_default()
    };
    let names = list(said.take("host"));
    let addresses = list(said.take("hostaddr"));
    let ports = list(said.take("port"));
    let ports: Vec<u16> = ports
        .iter()
        .map(|port| match port.as_str() {
            "" => Ok(PORT),
            port => self::port(port),
        })
        .collect::<Result<_, _>>()?;
    if !addresses.is_empty() && !names.is_empty() && addresses.len() != names.len() {
        return Err(UrlError::new(format!(
            "{} addresses (hostaddr) do not go with {} hosts: give one for each",
            addresses.len(),
            names.len()
        )));
    }
    let count = names.len().max(addresses.len()).max(1);
    if ports.len() > 1 && ports.len() != count {
        return Err(UrlError::new(format!(
            "{} ports do not go with {count} hosts: give one, or one for each",
            ports.len()
        )));
    }
    let mut hosts = Vec::with_capacity(count);
    for index in 0..count {
        let given = names.get(index).filter(|name| !name.is_empty());
        let address = addresses
            .get(index)
            .filter(|address| !address.is_empty())
            .map(|address| {
                address
                    .parse::<IpAddr>()
                    .map_err(|_| UrlError::new(format!("hostaddr {} is no IP address", index + 1)))
            })
            .transpose()?;
        let port = match &ports[..] {
            [] => PORT,
            [port] => *port,
            ports => ports.get(index).copied().unwrap_or(PORT),
        };
        let (place, port) = match given {
            Some(given) => place(given, port, index + 1)?,
            None if address.is_some() => (Place::Name(String::new()), port),
            None => (default_place(port), port),
        };
        let name = match (&place, address) {
            (Place::Name(name), Some(address)) if name.is_empty() => address.to_string(),
            (Place::Name(name), _) => name.clone(),
            (Place::Address(address), _) => address.to_string(),
            (Place::Socket(directory), _) => directory.display().to_string(),
        };
        hosts.push(Host {
            name,
            place: address.map_or(place, Place::Address),
            port,
            password: None,
        });
    }
    Ok(hosts)
}

/// What a host's name says: a directory with a socket, an address, or a name, with a port of its
/// own where SQLAlchemy or asyncpg write one.
fn place(text: &str, port: u16, position: usize) -> Result<(Place, u16), UrlError> {
    printable("host", text)?;
    if text.starts_with(['/', '@']) {
        let path = Path::new(text);
        let own = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix(".s.PGSQL.")?.parse().ok());
        return Ok(match (own, path.parent()) {
            (Some(port), Some(directory)) => (Place::Socket(directory.to_owned()), port),
            _ => (Place::Socket(path.to_owned()), port),
        });
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(address) = bare.parse() {
        return Ok((Place::Address(address), port));
    }
    if let Some((name, own)) = text.rsplit_once(':')
        && (!name.contains(':') || name.ends_with(']'))
    {
        let port = if own.is_empty() {
            port
        } else {
            self::port(own)?
        };
        return place(name, port, position);
    }
    let is_name = |sign: char| sign.is_alphanumeric() || "-._".contains(sign);
    let has_zone = text.contains(':') && text.contains('%');
    if text.chars().all(is_name) || has_zone {
        Ok((Place::Name(text.to_owned()), port))
    } else {
        Err(UrlError::new(format!(
            "host {position} of the PostgreSQL URL is neither a name nor an address: {}",
            parameters::ENCODE
        )))
    }
}

fn port(text: &str) -> Result<u16, UrlError> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
        UrlError::new(format!(
            "a port in the PostgreSQL URL is no number from 1 to 65535; where a password \
                stands there, {}",
            parameters::ENCODE
        ))
    })
}

/// Where a server is looked for if nothing is said: at its socket, as libpq does, or on this
/// machine where there is none.
fn default_place(port: u16) -> Place {
    passfile::SOCKETS
        .iter()
        .map(Path::new)
        .find(|directory| directory.join(format!(".s.PGSQL.{port}")).exists())
        .map_or_else(
            || Place::Name("localhost".to_owned()),
            |directory| Place::Socket(directory.to_owned()),
        )
}

/// Gives each host its password: the one that was said, or the one that the password file has for
/// it.
fn passwords(
    said: &mut Parameters,
    home: Option<&Path>,
    hosts: &mut [Host],
    database: &str,
    user: &str,
) {
    let file = said.take("passfile").map(PathBuf::from);
    if let Some(password) = said.take("password") {
        let password = Secret::new(password);
        for host in hosts {
            host.password = Some(password.clone());
        }
        return;
    }
    let Some(file) = file.or_else(|| home.map(|home| home.join(".pgpass"))) else {
        return;
    };
    let Some(text) = passfile::read(&file) else {
        return;
    };
    for host in hosts {
        host.password = passfile::find(&text, &host.name, host.port, database, user);
    }
}

/// The name of who runs this program.
fn operating_system_user(variable: &dyn Fn(&str) -> Option<String>) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let id = rustix::process::geteuid().as_raw().to_string();
    users
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == id).then(|| name.to_owned())
        })
        .or_else(|| variable("USER"))
        .unwrap_or_else(|| "postgres".to_owned())
}

fn printable(what: &str, text: &str) -> Result<(), UrlError> {
    if text.contains(char::is_control) {
        return Err(UrlError::new(format!(
            "the {what} of the PostgreSQL URL holds a line break or another control character"
        )));
    }
    Ok(())
}

fn number(said: &mut Parameters, name: &'static str) -> Result<Option<i32>, UrlError> {
    said.take(name)
        .map(|text| {
            text.trim()
                .parse()
                .map_err(|_| UrlError::new(format!("{name} is a whole number")))
        })
        .transpose()
}

fn one_of<T: Copy>(
    name: &str,
    value: Option<&str>,
    default: T,
    known: &[(&str, T)],
) -> Result<T, UrlError> {
    let Some(value) = value else {
        return Ok(default);
    };
    known
        .iter()
        .find(|(known, _)| *known == value)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            UrlError::new(format!("{name} is one of {}", names.join(", ")))
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads either form with these variables in the environment.
    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Postgres, UrlError> {
        let said = match text.split_once("://") {
            Some((_, rest)) => uri::parse(rest)?,
            None => pairs::parse(text)?,
        };
        build(said, &|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn shown(text: &str, variables: &[(&str, &str)]) -> String {
        match read(text, variables) {
            Ok(read) => read.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn hosts_in_every_spelling_are_read_as_libpq_and_sqlalchemy_read_them() {
        for (text, expected) in [
            ("postgres://me@db/x", "me@db/x"),
            ("postgresql://me@db:5433/x", "me@db:5433/x"),
            ("postgres://me@a:1,b:2/x", "me@a:1,b:2/x"),
            ("postgres://me@a,b:2/x", "me@a,b:2/x"),
            (
                "postgres://me@[::1]:5433,[fe80::2]/x",
                "me@[::1]:5433,[fe80::2]/x",
            ),
            ("postgres://me@%2Frun%2Fpg:5433/x", "me@%2Frun%2Fpg:5433/x"),
            ("postgres://me@/x?host=a", "me@a/x"),
            ("postgres://me@/x?host=a,b&port=1,2", "me@a:1,b:2/x"),
            ("postgres://me@/x?host=a,b&port=1", "me@a:1,b:1/x"),
            // What is said as a parameter counts, and not what stands in the authority.
            ("postgres://me@a/x?port=1", "me@a:1/x"),
            ("postgres://me@a:2/x?port=1", "me@a:1/x"),
            ("postgres://me@a:2/x?host=b", "me@b:2/x"),
            ("postgres://me@a/x?user=you&dbname=y", "you@a/y"),
            // SQLAlchemy's: a port behind the host, and the parameter again for each.
            ("postgres://me@/x?host=127.0.0.1:1", "me@127.0.0.1:1/x"),
            ("postgres://me@/x?host=a:1&host=b:2", "me@a:1,b:2/x"),
            (
                "postgres://me@/x?host=a&host=b&port=1&port=2",
                "me@a:1,b:2/x",
            ),
            ("postgres://me@/x?host=a:1,b:2", "me@a:1,b:2/x"),
            ("postgres://me@/x?host=a:1,b&port=3", "me@a:1,b:3/x"),
            ("postgres://me@/x?host=[::1]:1", "me@[::1]:1/x"),
            ("postgres://me@/x?host=::1", "me@[::1]/x"),
            // asyncpg's: the socket itself.
            (
                "postgres://me@/x?host=/run/pg/.s.PGSQL.7",
                "me@%2Frun%2Fpg:7/x",
            ),
            ("postgres://me@/x?host=/run/pg&port=7", "me@%2Frun%2Fpg:7/x"),
            ("postgres://me@/x?hostaddr=10.0.0.1", "me@10.0.0.1/x"),
            ("postgres://me@a,b/x?hostaddr=10.0.0.1,::1", "me@a,b/x"),
            ("host=a user=me dbname=x", "me@a/x"),
            ("host = a  user='me'\tdbname=x\nport=7", "me@a:7/x"),
            (r"host=a user='m\'e' dbname=b\\c", "m%27e@a/b%5Cc"),
            ("host=/run/pg user=me dbname=x", "me@%2Frun%2Fpg/x"),
            ("postgres://me@a", "me@a/me"),
        ] {
            assert_eq!(shown(text, &[]), format!("postgres://{expected}"), "{text}");
        }
    }

    #[test]
    fn addresses_beside_hosts_are_where_the_named_servers_are() {
        let read = read("postgres://me@a,b/x?hostaddr=10.0.0.1,::1", &[]).expect("a URL");
        let places: Vec<_> = read
            .hosts
            .iter()
            .map(|host| format!("{} {:?}", host.name, host.place))
            .collect();
        assert_eq!(places, ["a Address(10.0.0.1)", "b Address(::1)"]);
    }

    #[test]
    fn environment_gives_what_the_url_does_not_say() {
        let all = [
            ("PGHOST", "env"),
            ("PGPORT", "7"),
            ("PGUSER", "someone"),
            ("PGDATABASE", "there"),
            ("PGPASSWORD", "secret"),
            ("PGSSLMODE", "require"),
        ];
        for (text, expected) in [
            ("postgres://", "someone:***@env:7/there?sslmode=require"),
            ("postgres://me@/x", "me:***@env:7/x?sslmode=require"),
            ("postgres://a:1", "someone:***@a:1/there?sslmode=require"),
            (
                "postgres:///x?sslmode=disable",
                "someone:***@env:7/x?sslmode=disable",
            ),
            ("user=me", "me:***@env:7/there?sslmode=require"),
        ] {
            assert_eq!(
                shown(text, &all),
                format!("postgres://{expected}"),
                "{text}"
            );
        }
        let timeout = |text: &str| {
            read(
                text,
                &[
                    ("PGCONNECT_TIMEOUT", "7"),
                    ("PGTARGETSESSIONATTRS", "primary"),
                ],
            )
            .map(|read| (read.connect_timeout, read.wanted))
            .expect(text)
        };
        assert_eq!(
            timeout("postgres://a"),
            (Some(Duration::from_secs(7)), Wanted::Primary)
        );
        // Forever, as in libpq; the host's own limit holds then.
        assert_eq!(
            timeout("postgres://a?connect_timeout=0&target_session_attrs=any"),
            (None, Wanted::Any)
        );
        assert!(read("postgres://a", &[("PGSERVICE", "x")]).is_err());
        assert!(read("postgres://a", &[("PGSSLMODE", "nonsense")]).is_err());
    }

    #[test]
    fn tls_is_what_was_asked_for_in_either_spelling() {
        let read = |query: &str| {
            read(&format!("postgres://me@a/x?{query}"), &[])
                .map(|read| (read.tls.mode, read.tls.roots))
                .map_err(|error| error.to_string())
        };
        let file = || Roots::File("ca.crt".into());
        for (query, mode, roots) in [
            ("", TlsMode::Prefer, Roots::Unasked),
            ("sslmode=disable", TlsMode::Disable, Roots::Unasked),
            ("sslmode=allow", TlsMode::Allow, Roots::Unasked),
            ("ssl=allow", TlsMode::Allow, Roots::Unasked),
            ("ssl=prefer", TlsMode::Prefer, Roots::Unasked),
            ("ssl=true", TlsMode::Require, Roots::Unasked),
            ("ssl=False", TlsMode::Disable, Roots::Unasked),
            ("ssl=verify-full", TlsMode::VerifyFull, Roots::Public),
            (
                "sslmode=verify-ca&sslrootcert=ca.crt",
                TlsMode::VerifyCa,
                file(),
            ),
            (
                "sslmode=require&sslrootcert=ca.crt",
                TlsMode::Require,
                file(),
            ),
            ("sslrootcert=system", TlsMode::VerifyFull, Roots::System),
        ] {
            assert_eq!(read(query), Ok((mode, roots)), "{query}");
        }
        for query in [
            "sslmode=verify-ca",
            "sslmode=none",
            "sslmode=require&sslrootcert=system",
            "sslnegotiation=direct",
            "sslcert=a.crt",
            "sslcrl=a.crl",
            "ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2",
        ] {
            assert!(read(query).is_err(), "{query}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_at_once() {
        for text in [
            "postgres://me@a,b/x?port=1,2,3",
            "postgres://me@a,b,c/x?hostaddr=::1,::1",
            "postgres://me@a:0/x",
            "postgres://me@a:65536/x",
            "postgres://me@[::1/x",
            "postgres://me@a/x?hostaddr=a",
            "postgres://me@a/x?connect_timeout=2s",
            "postgres://me@a/x?target_session_attrs=master",
            "postgres://me@a/x?nonsense=1",
            "postgres://me@a/x?service=y",
            "postgres://me@a/x?sslmode",
            "postgres://me@a/x%0Ay",
            "postgres://me@a/%zz",
            "postgres://me@a/%ff",
            "postgres://me@a/%00",
            "postgres://me@a b/x",
            "postgres://me@a!/x",
            "host=a user",
            "host=a user='me",
            "host=a nonsense=1",
        ] {
            assert!(read(text, &[]).is_err(), "{text}");
        }
    }

    /// Every sign that means something in a URL or a connection string, in every place of a
    /// password, in every form that a password can be written in: whether it is understood or not,
    /// nothing of it is shown.
    #[test]
    fn no_part_of_a_password_is_shown_whatever_the_url() {
        let signs = [
            "?",
            "#",
            "@",
            "/",
            ":",
            "%",
            "&",
            "=",
            " ",
            "'",
            "\"",
            "\\",
            "\n",
            "\t",
            "\r",
            ";",
            ",",
            "[",
            "]",
            "+",
            "%40",
            "%zz",
            "?host=",
            "&password=",
            "@db/",
            "://",
            "/x?user=",
            ":5432/",
            " host=",
        ];
        let forms = [
            "postgres://me:{}@db.example.com:5433/users",
            "postgres://me:{}@db.example.com/users?sslmode=require",
            "postgresql+asyncpg://me:{}@a:1,b:2/users",
            "postgres://:{}@/users?host=db",
            "postgres://me@db/users?password={}",
            "postgres://me@db/users?password={}&sslmode=require",
            "postgres://me@db/users?sslmode={}",
            "postgres:me:{}@db/users",
            "postgres:/me:{}@db/users",
            "postgres://user=me password={} host=x",
            "user=me password={} host=x",
            "user=me password='{}' host=x",
            "password={}",
            "me:{}@db/users",
            "jdbc:postgresql://db/users?user=me&password={}",
            "mysql://me:{}@db/users",
            "sqlite://me:{}@db/users",
            "memory:{}",
            "{}",
        ];
        let pieces = ["Zaq", "Wsx", "Cde", "Vfr"];
        for form in forms {
            // Not to be told from what is meant: a second pair, where spaces part them.
            let is_unquoted = form.contains("password={}") && !form.contains("://");
            for first in signs {
                for second in signs {
                    if is_unquoted && [first, second].contains(&" host=") {
                        continue;
                    }
                    let secret = format!("Zaq{first}Wsx{second}Cde{first}{second}Vfr");
                    let text = form.replace("{}", &secret);
                    let said = match text.parse::<super::super::Url>() {
                        Ok(url) => format!("{url} {url:?}"),
                        Err(error) => format!("{error} {error:?}"),
                    };
                    for piece in pieces {
                        assert!(!said.contains(piece), "{text}: {said}");
                    }
                    assert!(!said.contains(['\n', '\r']), "{text}: {said}");
                }
            }
        }
    }
}
