//! A database URL and its target.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::sqlite;
use crate::database::error::UrlError;
use crate::database::libpq::{self, Postgres};

/// A database URL. Its password is never shown: `Display` and `Debug` mask it.
///
/// | URL | database |
/// |---|---|
/// | `postgres://…`, `postgresql://…` | PostgreSQL (libpq, "Connection URIs") |
/// | `postgresql+asyncpg://…` | the same; the `+driver` is ignored |
/// | `host=… user=…` | the same (libpq, "Keyword/Value Connection Strings") |
/// | `sqlite:PATH` | a file, relative to the working directory unless PATH begins with a slash |
/// | `sqlite:///PATH`, `sqlite+aiosqlite:///PATH` | as in SQLAlchemy; four slashes: absolute |
/// | `memory:`, `sqlite://`, `sqlite:///:memory:` | memory, which ends with the program |
#[derive(Clone)]
pub struct Url {
    target: Target,
    shown: String,
}

/// The database that a URL names.
#[derive(Clone)]
pub(crate) enum Target {
    Postgres(Box<Postgres>),
    Sqlite(PathBuf),
    Memory,
}

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

    fn postgres(target: Postgres) -> Self {
        Self {
            shown: target.to_string(),
            target: Target::Postgres(Box::new(target)),
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
        // A URL in a file ends with a line break.
        let text = text.trim();
        if libpq::is_pairs(text) {
            return libpq::from_pairs(text).map(Self::postgres);
        }
        if text.contains(char::is_control) {
            return Err(UrlError::new(
                "a database URL is one line without control characters: percent-encode what it \
                holds of them",
            ));
        }
        let (scheme, rest) = text.split_once(':').unwrap_or(("", ""));
        let base = scheme.split_once('+').map_or(scheme, |(base, _)| base);
        match base {
            "memory" if rest.is_empty() => Ok(Self::memory()),
            "memory" => Err(UrlError::new("memory: takes nothing after the colon")),
            "sqlite" => Ok(match sqlite::parse(rest)? {
                Some(file) => Self::sqlite(file),
                None => Self::memory(),
            }),
            "postgres" | "postgresql" => libpq::from_uri(rest).map(Self::postgres),
            other => Err(UrlError::new(
                match OTHERS.iter().find(|known| **known == other) {
                    Some(known) => {
                        format!("databases of the scheme {known} are not supported: use {SCHEMES}")
                    }
                    None => format!("a database URL begins with its scheme: {SCHEMES}"),
                },
            )),
        }
    }
}

const SCHEMES: &str = "postgres://…, sqlite:PATH, memory:";

/// Schemes that an error may name. It repeats no other part of the text, which may begin with a
/// password.
const OTHERS: &[&str] = &[
    "cockroachdb",
    "file",
    "http",
    "https",
    "jdbc",
    "libsql",
    "mariadb",
    "mongodb",
    "mssql",
    "mysql",
    "oracle",
    "redis",
    "sqlserver",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        url.parse::<Url>()
            .map_or_else(|error| format!("error: {error}"), |url| url.to_string())
    }

    #[test]
    fn url_is_displayed_without_its_password() {
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
                "postgres://me:***@db/users",
            ),
            ("user=me password=secret host=db", "postgres://me:***@db/me"),
            (
                "  postgres://me:secret@db/users\n",
                "postgres://me:***@db/users",
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
    fn sqlalchemy_url_is_accepted() {
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
    fn invalid_url_is_refused() {
        for url in [
            "",
            "users.db",
            "mysql://x",
            "sqlite:",
            "sqlite://host/x",
            "memory:x",
            "postgres:me",
            "postgres://h/d?nonsense=1",
            "sqlite:a\nb",
        ] {
            assert!(url.parse::<Url>().is_err(), "{url}");
        }
    }
}
