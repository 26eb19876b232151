//! The URLs of SQLite: a plain path, or the form of SQLAlchemy.

use std::path::PathBuf;

use crate::database::error::UrlError;
use crate::database::libpq::decode;

/// Parameters of Python's driver, which are ignored: they do not concern the database.
const DRIVER: [&str; 5] = [
    "check_same_thread",
    "timeout",
    "cached_statements",
    "detect_types",
    "isolation_level",
];

/// Parses the text after `sqlite:`. Returns the file; none for memory.
pub(super) fn parse(rest: &str) -> Result<Option<PathBuf>, UrlError> {
    // SQLAlchemy: an empty authority, a slash that is not part of the path, and a percent-encoded
    // path.
    let path = match rest.strip_prefix("//") {
        None if rest.contains('?') => {
            return Err(UrlError::new(
                "sqlite:PATH takes no parameters after the file, and no ? in it: \
                 write sqlite:///PATH, with %3F for a ?",
            ));
        }
        None => rest.to_owned(),
        Some(rest) => {
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            parameters(query)?;
            match path.strip_prefix('/') {
                Some(path) => decode(path)?,
                None if path.is_empty() => return Ok(None),
                None => {
                    return Err(UrlError::new(
                        "sqlite: names no host: write sqlite:PATH or sqlite:///PATH",
                    ));
                }
            }
        }
    };
    match path.as_str() {
        "" if rest.starts_with("//") => Ok(None),
        "" => Err(UrlError::new(
            "sqlite: needs a file: sqlite:PATH, or memory: for none",
        )),
        ":memory:" => Ok(None),
        path if path.chars().any(char::is_control) => Err(UrlError::new(
            "the path of the SQLite file has a control character in it",
        )),
        path if rest.starts_with("//") && path.starts_with("file:") => Err(UrlError::new(
            "a file: URI is not understood: write sqlite:///PATH, \
             and --database-read-only to only read",
        )),
        path => Ok(Some(PathBuf::from(path))),
    }
}

fn parameters(query: &str) -> Result<(), UrlError> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        if !DRIVER.contains(&name) {
            return Err(UrlError::new(format!(
                "a parameter of the SQLite URL is not known: \
                 those of Python's driver are passed over ({}), and there are no others",
                DRIVER.join(", ")
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::database::url::Url;

    fn shown(url: &str) -> Option<String> {
        url.parse::<Url>().ok().map(|url| url.to_string())
    }

    #[test]
    fn sqlalchemy_sqlite_url_parses_as_in_sqlalchemy() {
        for (url, expected) in [
            ("sqlite+aiosqlite:///./p.db", "sqlite:./p.db"),
            ("sqlite:///./p.db?check_same_thread=False", "sqlite:./p.db"),
            (
                "sqlite:///p.db?timeout=30&check_same_thread=False",
                "sqlite:p.db",
            ),
            ("sqlite:////var/pl%61in.db", "sqlite:/var/plain.db"),
            ("sqlite:///a%20b%3Fc.db", "sqlite:a b?c.db"),
            ("sqlite:///a+b.db", "sqlite:a+b.db"),
            ("sqlite:///caf%C3%A9.db", "sqlite:café.db"),
            ("sqlite:///C:/p.db", "sqlite:C:/p.db"),
            ("sqlite:///:memory:?cached_statements=1", "memory:"),
            ("sqlite://?check_same_thread=False", "memory:"),
            ("sqlite:///?timeout=5", "memory:"),
            // A plain path is not decoded.
            ("sqlite:pl%61in.db", "sqlite:pl%61in.db"),
        ] {
            assert_eq!(shown(url).as_deref(), Some(expected), "{url}");
        }
    }

    #[test]
    fn ambiguous_sqlite_url_is_refused() {
        for url in [
            "sqlite:p.db?timeout=30",
            "sqlite:///p.db?mode=ro",
            "sqlite:///file:p.db?uri=true",
            "sqlite:///file:p.db",
            "sqlite:///p%zz.db",
            "sqlite:///p%0A.db",
            "sqlite:///p%FF.db",
            "sqlite://host/p.db",
        ] {
            assert_eq!(shown(url), None, "{url}");
        }
    }
}
