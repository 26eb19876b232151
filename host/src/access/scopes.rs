//! What a token permits.

use std::fmt;
use std::str::FromStr;

use http::Method;

/// What a token permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    read: bool,
    write: bool,
}

impl Scopes {
    /// Those of a token that has the scopes for reading, for writing, or for both.
    pub(super) fn new(read: bool, write: bool) -> Self {
        Self { read, write }
    }

    /// `GET`, `HEAD` and `OPTIONS`.
    pub(super) const READ: Self = Self {
        read: true,
        write: false,
    };

    /// All other methods.
    pub(super) const WRITE: Self = Self {
        read: false,
        write: true,
    };

    /// What a request with this method needs. The host knows no routes that mean more.
    pub(crate) fn needed(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD | Method::OPTIONS => Self::READ,
            _ => Self::WRITE,
        }
    }

    /// Whether these permit all that `needed` do.
    pub(super) fn include(self, needed: Self) -> bool {
        (self.read || !needed.read) && (self.write || !needed.write)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.read, self.write) {
            (true, true) => "read,write",
            (true, false) => "read",
            (false, true) => "write",
            (false, false) => "",
        })
    }
}

impl FromStr for Scopes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut scopes = Self {
            read: false,
            write: false,
        };
        for scope in text.split(',') {
            match scope.trim() {
                "read" => scopes.read = true,
                "write" => scopes.write = true,
                _ => return Err("scopes are read, write or read,write"),
            }
        }
        Ok(scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_include_what_they_name() {
        let both: Scopes = "read,write".parse().expect("scopes");
        assert!(both.include(Scopes::READ) && both.include(Scopes::WRITE));
        assert!(Scopes::READ.include(Scopes::READ) && !Scopes::READ.include(Scopes::WRITE));
        assert!(!Scopes::WRITE.include(Scopes::READ));
        assert_eq!(both.to_string(), "read,write");
        for text in ["", "admin", "read;write", "read,"] {
            assert!(text.parse::<Scopes>().is_err(), "{text}");
        }
    }
}
