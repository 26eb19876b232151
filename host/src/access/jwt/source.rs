//! Where the keys are: a file, or a URL, which may hold a password.

use std::fmt;
use std::path::{Path, PathBuf};

use http::Uri;

use super::fetch::Endpoint;

/// The place of the keys, as it was given. What may be a secret in it is never shown.
#[derive(Clone)]
pub struct Location(String);

impl From<String> for Location {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Location").field(&shown(&self.0)).finish()
    }
}

/// What stands for a secret.
const MASK: &str = "***";

/// The place of the keys with user, password and query of a URL masked.
pub(crate) fn shown(location: &str) -> String {
    if !is_url(location) {
        return location.to_owned();
    }
    let uri = location.parse::<Uri>().unwrap_or_default();
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return format!("a URL ({MASK})");
    };
    let host = match authority.as_str().rsplit_once('@') {
        Some((_, host)) => format!("{MASK}@{host}"),
        None => authority.to_string(),
    };
    let query = uri.query().map_or_else(String::new, |_| format!("?{MASK}"));
    format!("{scheme}://{host}{}{query}", uri.path())
}

fn is_url(location: &str) -> bool {
    let is_scheme = |scheme: &str| {
        let beginning = location.get(..scheme.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(scheme))
    };
    is_scheme("http://") || is_scheme("https://")
}

/// Where the keys are.
#[derive(Debug)]
pub(super) enum Source {
    File(PathBuf),
    Url(Endpoint),
}

impl Source {
    /// Reads the place of the keys.
    ///
    /// # Errors
    /// One line, if it is a URL that cannot be used, or the certificates in the file `ca` cannot.
    pub(super) fn new(location: &Location, ca: Option<&Path>) -> Result<Self, String> {
        if !is_url(&location.0) {
            return match ca {
                None => Ok(Self::File(PathBuf::from(&location.0))),
                Some(_) => Err("--jwt-keys-ca is for keys at a URL".to_owned()),
            };
        }
        let uri = location.0.parse().map_err(|_| {
            "--jwt-keys is no URL that can be used: percent-encode what is special in it".to_owned()
        })?;
        Endpoint::new(&uri, location.to_string(), ca).map(Self::Url)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.display().fmt(f),
            Self::Url(endpoint) => endpoint.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_of_the_keys_is_shown_without_what_may_be_a_secret() {
        for (location, expected) in [
            ("keys.json", "keys.json"),
            ("/etc/a@b?c", "/etc/a@b?c"),
            ("https://id.example/keys", "https://id.example/keys"),
            (
                "https://me:secret@id.example:8443/keys?token=secret",
                "https://***@id.example:8443/keys?***",
            ),
            ("HTTPS://secret@id.example", "https://***@id.example/"),
            ("https://me:se cret@id.example/", "a URL (***)"),
            ("http://", "a URL (***)"),
        ] {
            assert_eq!(shown(location), expected, "{location}");
            let location = Location::from(location.to_owned());
            assert!(!format!("{location:?} {location}").contains("secret"));
            if let Ok(source) = Source::new(&location, None) {
                assert!(!format!("{source:?} {source}").contains("secret"));
            }
        }
    }
}
