//! Which database: the URL, in libpq's spelling or SQLAlchemy's.

mod sqlite;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A database URL. Its password is never shown: `Display` and `Debug` mask it.
///
/// | URL | database |
/// |---|---|
/// | `postgres://…`, `postgresql://…`, `postgresql+asyncpg://…` | PostgreSQL (libpq, "Connection URIs"); the `+driver` is passed over |
/// | `sqlite:PATH` | a file, relative to the working directory unless PATH begins with a slash |
/// | `sqlite:///PATH`, `sqlite+aiosqlite:///PATH` | the same, as SQLAlchemy writes it: four slashes for an absolute path |
/// | `memory:`, `sqlite://`, `sqlite:///:memory:` | memory, gone with the program |
#[derive(Clone)]
pub struct Url {
    target: Target,
    shown: String,
}

/// What a URL points at.
#[derive(Clone)]
pub(crate) enum Target {
    Postgres(Box<Postgres>),
    Sqlite(PathBuf),
    Memory,
}

/// A PostgreSQL server, a role and a database.
#[derive(Clone)]
pub(crate) struct Postgres {
    pub(crate) config: tokio_postgres::Config,
    pub(crate) tls: TlsMode,
    /// PEM certificates to trust in place of the public ones (`sslrootcert`).
    pub(crate) root_certificates: Option<PathBuf>,
}

/// How far a connection to PostgreSQL is protected (libpq, `sslmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Never by TLS.
    Disable,
    /// By TLS where the server has it, without asking who it is.
    Prefer,
    /// By TLS, without asking who the server is (unless `sslrootcert` is given, as in libpq).
    Require,
    /// By TLS, to the very server that the URL names.
    VerifyFull,
}

/// What is wrong with a database URL. It repeats nothing that may be secret.
#[derive(Debug)]
pub struct UrlError(String);

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UrlError {}

impl Url {
    /// `memory:`.
    pub fn memory() -> Self {
        Self {
            target: Target::Memory,
            shown: "memory:".into(),
        }
    }

    /// A file.
    pub fn sqlite(file: impl AsRef<Path>) -> Self {
        let file = file.as_ref();
        Self {
            target: Target::Sqlite(file.to_owned()),
            shown: format!("sqlite:{}", file.display()),
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Url").field(&self.shown).finish()
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(UrlError(format!(
                "a database URL begins with a scheme: {SCHEMES}"
            )));
        };
        let base = scheme.split_once('+').map_or(scheme, |(base, _)| base);
        match base {
            "memory" if rest.is_empty() => Ok(Self::memory()),
            "memory" => Err(UrlError("memory: takes nothing after the colon".into())),
            "sqlite" => sqlite::parse(rest),
            "postgres" | "postgresql" => postgres(rest),
            other => Err(UrlError(format!(
                "the scheme {other:?} is none of {SCHEMES}"
            ))),
        }
    }
}

const SCHEMES: &str = "postgres://…, sqlite:PATH, memory:";

fn postgres(rest: &str) -> Result<Url, UrlError> {
    let rest = rest.strip_prefix("//").ok_or_else(|| {
        UrlError("a PostgreSQL URL is written postgres://USER:PASSWORD@HOST:PORT/DATABASE".into())
    })?;
    let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut tls = TlsMode::Prefer;
    let mut root_certificates = None;
    let mut kept = Vec::new();
    // What tokio-postgres does not know of libpq's parameters is understood here, before it sees them.
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (name, value) {
            ("sslmode" | "ssl", "disable" | "false") => tls = TlsMode::Disable,
            ("sslmode", "allow" | "prefer") => tls = TlsMode::Prefer,
            ("sslmode" | "ssl", "require" | "true") => tls = TlsMode::Require,
            ("sslmode" | "ssl", "verify-full") => tls = TlsMode::VerifyFull,
            ("sslmode" | "ssl", "verify-ca") => {
                return Err(UrlError(
                    "sslmode=verify-ca does not say which server it trusts: use verify-full, or require".into(),
                ));
            }
            ("sslmode" | "ssl", _) => {
                return Err(UrlError(
                    "sslmode is one of disable, prefer, require, verify-full".into(),
                ));
            }
            ("sslrootcert", file) => root_certificates = Some(PathBuf::from(decode(file)?)),
            (
                "host"
                | "port"
                | "user"
                | "password"
                | "dbname"
                | "options"
                | "hostaddr"
                | "connect_timeout"
                | "keepalives"
                | "keepalives_idle"
                | "target_session_attrs"
                | "channel_binding"
                | "load_balance_hosts"
                | "tcp_user_timeout"
                | "keepalives_interval"
                | "keepalives_retries"
                | "application_name",
                _,
            ) => {
                kept.push(pair);
            }
            (other, _) => {
                return Err(UrlError(format!(
                    "the PostgreSQL URL's parameter {other:?} is not known"
                )));
            }
        }
    }
    let mut url = format!("postgres://{base}");
    if !kept.is_empty() {
        url.push('?');
        url.push_str(&kept.join("&"));
    }
    let mut config: tokio_postgres::Config = url.parse().map_err(|error| {
        UrlError(format!(
            "the PostgreSQL URL cannot be read: {}",
            reason(&error)
        ))
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host("localhost");
    }
    // libpq's defaults: the operating system's user, and a database of the role's name.
    if config.get_user().is_none() {
        let user = std::env::var("PGUSER")
            .or_else(|_| std::env::var("USER"))
            .unwrap_or_else(|_| "postgres".into());
        config.user(user);
    }
    let shown = format!("postgres://{}{}", mask_authority(base), mask_query(query));
    let target = Postgres {
        config,
        tls,
        root_certificates,
    };
    Ok(Url {
        target: Target::Postgres(Box::new(target)),
        shown,
    })
}

fn reason(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn decode(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let value = std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok());
                bytes.push(value.ok_or_else(|| {
                    UrlError("a % in the URL is followed by two hex digits".into())
                })?);
                rest = after;
            }
            (byte, tail) => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| UrlError("the URL is not UTF-8".into()))
}

/// The authority may hold a password with an unescaped `@` in it: everything up to the last one is taken for userinfo.
fn mask_authority(base: &str) -> String {
    let Some((user, place)) = base.rsplit_once('@') else {
        return base.to_owned();
    };
    match user.split_once(':') {
        Some((name, _)) => format!("{name}:***@{place}"),
        None => format!("{user}@{place}"),
    }
}

fn mask_query(query: &str) -> String {
    let shown: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            // Options may carry anything, so they are not shown either.
            Some((name @ ("password" | "options"), _)) => format!("{name}=***"),
            _ => pair.to_owned(),
        })
        .collect();
    if shown.is_empty() {
        String::new()
    } else {
        format!("?{}", shown.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        url.parse::<Url>()
            .map_or_else(|error| format!("error: {error}"), |url| url.to_string())
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, expected) in [
            (
                "postgres://me:secret@db:5433/users",
                "postgres://me:***@db:5433/users",
            ),
            (
                "postgresql+asyncpg://me:s%40crt@db/users",
                "postgres://me:***@db/users",
            ),
            (
                "postgres://me@db/users?password=secret",
                "postgres://me@db/users?password=***",
            ),
            (
                "postgres://me@db/users?sslmode=require",
                "postgres://me@db/users?sslmode=require",
            ),
        ] {
            assert_eq!(shown(url), expected);
            let parsed: Url = url.parse().expect(url);
            assert!(!format!("{parsed:?}").contains("secret"));
        }
        assert!(!shown("postgres://me:sec@ret@db:notaport/users").contains("sec"));
    }

    #[test]
    fn sqlalchemy_spellings_are_understood() {
        for (url, expected) in [
            ("sqlite:users.db", "sqlite:users.db"),
            ("sqlite:/var/users.db", "sqlite:/var/users.db"),
            ("sqlite:///users.db", "sqlite:users.db"),
            ("sqlite+aiosqlite:////var/users.db", "sqlite:/var/users.db"),
            ("sqlite+aiosqlite:///:memory:", "memory:"),
            ("sqlite://", "memory:"),
            ("memory:", "memory:"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_database_url_is_refused_with_its_reason() {
        for url in [
            "",
            "users.db",
            "mysql://x",
            "sqlite:",
            "sqlite://host/x",
            "memory:x",
            "postgres:me",
            "postgres://h/d?nonsense=1",
        ] {
            assert!(url.parse::<Url>().is_err(), "{url}");
        }
    }
}
