//! Why a request is refused, and what its sender is told (RFC 6750, 3).

use std::fmt;

use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use super::jwt::Rejection;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has no token.
    NoToken,
    /// It has several `Authorization` fields, and others may not take the one that is taken here.
    Ambiguous,
    /// Its token is none of the file's.
    UnknownToken,
    /// Its JSON Web Token does not count.
    Rejected(Rejection),
    /// Its token does not have this scope.
    Scope(String),
}

impl Refusal {
    /// Whether there is a valid token, which does not permit the request.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Scope(_))
    }

    /// Whether the request is malformed, whoever sends it.
    pub(crate) fn is_malformed(&self) -> bool {
        matches!(self, Self::Ambiguous)
    }

    /// Adds what a client has to do.
    pub(crate) fn describe(&self, headers: &mut HeaderMap) {
        let challenge = match self {
            Self::NoToken => String::new(),
            Self::Ambiguous => ", error=\"invalid_request\"".to_owned(),
            Self::UnknownToken => ", error=\"invalid_token\"".to_owned(),
            Self::Rejected(rejection) => format!(
                ", error=\"invalid_token\", error_description=\"{}\"",
                rejection.reason()
            ),
            Self::Scope(scope) => format!(", error=\"insufficient_scope\", scope=\"{scope}\""),
        };
        // Scopes and reasons are ASCII without quotation marks.
        if let Ok(challenge) = HeaderValue::try_from(format!("Bearer realm=\"usher\"{challenge}")) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken => f.write_str("there is no token"),
            Self::Ambiguous => f.write_str("there are several Authorization fields"),
            Self::UnknownToken => f.write_str("the token is unknown"),
            Self::Rejected(rejection) => f.write_str(rejection.reason()),
            Self::Scope(scope) => write!(f, "the token does not have the scope {scope}"),
        }
    }
}
